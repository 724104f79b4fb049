/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_ERROR_H
#define NVFS_COMMON_ERROR_H

/*
 * One error convention for the whole project.
 *
 * A function returns 0 or a useful value >= 0 on success and a negative errno
 * on failure. Its last parameter is a `struct error *`, which may be NULL. The
 * first failure fills it with error_set() or error_setc(), callers put their
 * step in front with error_wrap(); all return the code that they were given,
 * so that a failure is one line: `return error_set(err, -EINVAL, "...")`.
 *
 * The buffers are inside, so nothing is allocated: it works out of memory and
 * after fork(). A long step is cut, never the reason.
 */

#define ERROR_TEXT_MAX 160
#define ERROR_REMEDY_MAX 96
#define ERROR_LINE_MAX 200

/* What went wrong, as a user sees it: the value is the program's exit status. */
enum error_class {
	ERROR_OTHER = 1,
	ERROR_USAGE = 2,       /* command line, request or configuration */
	ERROR_DEVICE = 3,      /* unknown or unusable GPU */
	ERROR_REQUIREMENT = 4, /* the image asks for more than the driver has */
	ERROR_PERMISSION = 5,  /* privilege or policy */
	ERROR_MOUNT = 6,       /* mount, namespace or container root */
	ERROR_DAEMON = 7,      /* daemon unreachable */
	ERROR_DRIVER = 8,      /* driver missing or mismatched */
	ERROR_AGAIN = 75,      /* EX_TEMPFAIL of sysexits.h: try again */
};

struct error {
	int code;               /* negative errno, 0 = not set */
	enum error_class class; /* 0 = not set */
	char text[ERROR_TEXT_MAX];
	char remedy[ERROR_REMEDY_MAX];
};

/**
 * error_set() - record the first failure
 * @err:  may be NULL
 * @code: negative errno; its text is appended as ": Permission denied"
 * @fmt:  what failed, with the object in quotes
 *
 * Return: @code.
 */
int error_set(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * error_setc() - record the first failure, with its class and no errno text
 * @err:   may be NULL
 * @class: what the user sees
 * @code:  negative errno, returned but not printed
 * @fmt:   the whole message
 *
 * Return: @code.
 */
int error_setc(struct error *err, enum error_class class, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * error_wrap() - put a step in front of what is recorded: "step: reason"
 * @err:  may be NULL
 * @code: returned unchanged
 * @fmt:  the step
 *
 * Return: @code.
 */
int error_wrap(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * error_classify() - give the recorded error a class if it has none yet
 *
 * Return: @code.
 */
int error_classify(struct error *err, int code, enum error_class class);

/**
 * error_remedy() - say what the reader can do about it; the first one stays
 *
 * Return: @code.
 */
int error_remedy(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * error_class_name() - the word for a class in an error line ("device", "mount", ...)
 *
 * Return: static string, never NULL.
 */
const char *error_class_name(enum error_class class);

/**
 * error_class_by_name() - the class for a word that error_class_name() gives
 *
 * Return: the class, or ERROR_OTHER for an unknown word.
 */
enum error_class error_class_by_name(const char *name);

/**
 * error_line() - write "<class>: <what>; <remedy> [trace abc123]", without a newline
 * @err:   a recorded error
 * @trace: NULL for none; borrowed
 * @line:  at least ERROR_LINE_MAX bytes; what does not fit is cut from the
 *         middle of the message, never from its reason, remedy or trace
 */
void error_line(const struct error *err, const char *trace, char line[ERROR_LINE_MAX]);

/** error_exit_status() - the exit status for a recorded error: its class, or 1 */
int error_exit_status(const struct error *err);

#endif
