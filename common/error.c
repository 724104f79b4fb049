/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error chain. A message is one line, "step: step: reason"; the reason is
 * what helps, so steps give way when the line is full.
 */
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum error_class class;
	const char *name;
} class_names[] = {
	{ ERROR_OTHER, "error" },
	{ ERROR_USAGE, "usage" },
	{ ERROR_DEVICE, "device" },
	{ ERROR_REQUIREMENT, "requirement" },
	{ ERROR_PERMISSION, "permission" },
	{ ERROR_MOUNT, "mount" },
	{ ERROR_DAEMON, "daemon" },
	{ ERROR_DRIVER, "driver" },
	{ ERROR_AGAIN, "again" },
};

#define N_CLASSES (sizeof(class_names) / sizeof(class_names[0]))

/*
 * Untrusted names end up in messages: keep a message one printable line. Plain
 * ASCII alone, since a message is cut anywhere and half a character is no JSON.
 */
static void make_printable(char *s)
{
	for (; *s; s++) {
		if (*s < 0x20 || *s > 0x7e)
			*s = '?';
	}
}

static void put_reason(struct error *err, int code, const char *what, const char *reason)
{
	size_t reason_len = reason ? strlen(reason) + 2 : 0;
	size_t room = sizeof(err->text) - 1 - reason_len;
	size_t len = strlen(what);

	if (len > room)
		len = room;
	memcpy(err->text, what, len);
	err->text[len] = '\0';
	if (reason)
		(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", reason);
	make_printable(err->text);
	err->code = code;
	err->remedy[0] = '\0';
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
	char what[ERROR_TEXT_MAX];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	err->class = 0;
	put_reason(err, code, what,
		   strerrordesc_np(-code) ? strerrordesc_np(-code) : "unknown error");
	return code;
}

int error_setc(struct error *err, enum error_class class, int code, const char *fmt, ...)
{
	char what[ERROR_TEXT_MAX];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	put_reason(err, code, what, NULL);
	err->class = class;
	return code;
}

int error_wrap(struct error *err, int code, const char *fmt, ...)
{
	char step[ERROR_TEXT_MAX];
	size_t text_len, step_len, room;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(step, sizeof(step), fmt, ap);
	va_end(ap);

	text_len = strlen(err->text);
	room = sizeof(err->text) - 1 - text_len;
	if (room < 4)
		return code;
	step_len = strlen(step);
	if (step_len > room - 2)
		step_len = room - 2;
	memmove(err->text + step_len + 2, err->text, text_len + 1);
	memcpy(err->text, step, step_len);
	memcpy(err->text + step_len, ": ", 2);
	make_printable(err->text);
	return code;
}

int error_classify(struct error *err, int code, enum error_class class)
{
	if (err && !err->class)
		err->class = class;
	return code;
}

int error_remedy(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err || err->remedy[0])
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(err->remedy, sizeof(err->remedy), fmt, ap);
	va_end(ap);
	make_printable(err->remedy);
	return code;
}

const char *error_class_name(enum error_class class)
{
	for (size_t i = 0; i < N_CLASSES; i++) {
		if (class_names[i].class == class)
			return class_names[i].name;
	}
	return class_names[0].name;
}

enum error_class error_class_by_name(const char *name)
{
	for (size_t i = 0; i < N_CLASSES; i++) {
		if (strcmp(class_names[i].name, name) == 0)
			return class_names[i].class;
	}
	return ERROR_OTHER;
}

void error_line(const struct error *err, const char *trace, char line[ERROR_LINE_MAX])
{
	char tail[ERROR_REMEDY_MAX + 32];
	const char *text = err->text[0] ? err->text : "unknown error";
	size_t head, room, len = strlen(text);

	(void)snprintf(tail, sizeof(tail), "%s%s%s%.20s%s", err->remedy[0] ? "; " : "", err->remedy,
		       trace ? " [trace " : "", trace ? trace : "", trace ? "]" : "");
	head = (size_t)snprintf(line, ERROR_LINE_MAX, "%s: ", error_class_name(err->class));
	room = ERROR_LINE_MAX - 1 - head - strlen(tail);
	if (len <= room) {
		(void)snprintf(line + head, ERROR_LINE_MAX - head, "%s%s", text, tail);
		return;
	}
	/* Keep the first third and the end, which holds the reason. */
	(void)snprintf(line + head, ERROR_LINE_MAX - head, "%.*s...%s%s", (int)(room / 3), text,
		       text + len - (room - room / 3 - 3), tail);
}

int error_exit_status(const struct error *err)
{
	return err->class ? (int)err->class : (int)ERROR_OTHER;
}
