/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_DROPIN_H
#define NVFS_CLI_DROPIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct error;
struct option;

/*
 * nvidia-container-cli, spoken by nvfs: the command line, output, words and exit status of
 * libnvidia-container's program, for the runtimes that call it. What it tells comes from the daemon;
 * what it does, the code of nvinject does. Functions that print an error give the exit status, 1, and others 0 or -1.
 *
 * Source: libnvidia-container 1.17, by its documentation and behaviour: src/cli.
 */

#define DROPIN_NAME "nvidia-container-cli"
#define DROPIN_SPEAKS "1.17.8" /* the release of that program whose options and words these are */

extern char dropin_name[]; /* for argv[0], by which getopt_long(3) speaks */

/* Classes of errors as callers know them. */
#define DROPIN_INPUT "input error"
#define DROPIN_PERMISSION "permission error"
#define DROPIN_INIT "initialization error"
#define DROPIN_CONTAINER "container error"
#define DROPIN_DETECTION "detection error"
#define DROPIN_DEVICE "device error"
#define DROPIN_MIG_CONFIG "mig-config error"
#define DROPIN_MIG_MONITOR "mig-monitor error"
#define DROPIN_REQUIREMENT "requirement error"
#define DROPIN_MOUNT "mount error"
#define DROPIN_IMEX "error parsing IMEX info"

#define DROPIN_LOG_FD 3 /* what is opened later is above it, and what was inherited may be closed */

/* What stands before the command. */
struct dropin {
	const char *socket;  /* of the daemon */
	const char *root;    /* driver root; NULL: whichever the daemon serves */
	FILE *log;           /* NULL: none; on DROPIN_LOG_FD */
};

/* Options of a command that devices are chosen by. */
struct dropin_devices {
	char *list;        /* comma list; NULL: none were named; owned */
	const char *mig_config, *mig_monitor; /* NULL: not asked for */
	char *imex;        /* comma list of channels; NULL: none; owned */
};

/* One word of what a command has to do; argv[0] is the command. Gives the exit status. */
int dropin_info(struct dropin *dropin, int argc, char **argv);
int dropin_list(struct dropin *dropin, int argc, char **argv);
int dropin_configure(struct dropin *dropin, int argc, char **argv);

/** dropin_fail() - "nvidia-container-cli: CLASS: TEXT", on standard error and in the log; gives 1 */
int dropin_fail(const struct dropin *dropin, const char *class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * dropin_fail_error() - likewise an error of ours, in the words of that program
 * @class: NULL: as the error's own class says
 */
int dropin_fail_error(const struct dropin *dropin, const char *class, const struct error *err);

/** dropin_reason() - an error's text as that program writes one: its last part begins in lower case */
void dropin_reason(const struct error *err, char *buf, size_t size);

/** dropin_class() - the class of an error of ours */
const char *dropin_class(const struct error *err);

/**
 * dropin_log_open() - append to a file, unbuffered; see dropin_log()
 *
 * Return: 0 or 1.
 */
int dropin_log_open(struct dropin *dropin, const char *path);

/** dropin_log() - "I1127 13:45:01.123456 4711 dropin_list.c:42] TEXT"; @level: 'I', 'W' or 'E' */
#define dropin_log(dropin, level, ...) \
	dropin_log_line(dropin, level, __FILE__, __LINE__, __VA_ARGS__)
void dropin_log_line(const struct dropin *dropin, char level, const char *file, int line,
		     const char *format, ...) __attribute__((format(printf, 5, 6)));

/**
 * dropin_ask() - a method of the daemon
 * @params: taken over
 * @ret:    new reference
 *
 * Return: 0, or 1 after telling what went wrong.
 */
int dropin_ask(const struct dropin *dropin, const char *method, json_t *params, json_t **ret);

/** dropin_check_root() - is --root what the daemon serves? 0, or 1 after telling that it is not */
int dropin_check_root(const struct dropin *dropin);

/** dropin_append() - one more item of a comma list; @list is owned; 0 or -ENOMEM */
int dropin_append(char **list, const char *item);

/** dropin_check_devices() - the words of mig and IMEX options; 0, or 1 after telling what is wrong */
int dropin_check_devices(const struct dropin *dropin, const struct dropin_devices *devices);

void dropin_devices_done(struct dropin_devices *devices);

/** dropin_usage_error() - as argp(3) has it, after getopt_long(3) has told what is wrong; gives 1 */
int dropin_usage_error(void);

#endif
