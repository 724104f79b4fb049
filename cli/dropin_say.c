/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors, log and questions of the drop-in. Callers look for these words: class, colon, text, one line; the
 * reason in lower case.
 */
#include "cli/dropin.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "nvml/imex.h"

char dropin_name[] = DROPIN_NAME;

#define NOT_RUNNING "nvfs does not answer: "

int dropin_log_open(struct dropin *dropin, const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);

	if (fd < 0)
		return dropin_fail(dropin, DROPIN_INIT, "open failed: %s: %s", path,
				   strerror(errno));
	if (fd != DROPIN_LOG_FD) {
		if (dup3(fd, DROPIN_LOG_FD, O_CLOEXEC) < 0)
			return dropin_fail(dropin, DROPIN_INIT, "open failed: %s: %s", path,
					   strerror(errno));
		(void)close(fd);
	}
	dropin->log = fdopen(DROPIN_LOG_FD, "a");
	if (!dropin->log)
		return dropin_fail(dropin, DROPIN_INIT, "memory allocation failed");
	(void)setvbuf(dropin->log, NULL, _IOLBF, 0);
	(void)fputs("\n-- WARNING, the following logs are for debugging purposes only --\n\n",
		    dropin->log);
	return 0;
}

void dropin_log_line(const struct dropin *dropin, char level, const char *file, int line,
		     const char *format, ...)
{
	const char *slash = strrchr(file, '/');
	struct timespec now;
	char date[32];
	struct tm tm;
	va_list args;

	if (!dropin->log)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)strftime(date, sizeof(date), "%m%d %H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	(void)fprintf(dropin->log, "%c%s.%06ld %d %s:%d] ", level, date, now.tv_nsec / 1000,
		      (int)getpid(), slash ? slash + 1 : file, line);
	va_start(args, format);
	(void)vfprintf(dropin->log, format, args);
	va_end(args);
	(void)fputc('\n', dropin->log);
}

int dropin_fail(const struct dropin *dropin, const char *class, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text[strcspn(text, "\n")] = '\0';
	(void)fflush(stdout);
	(void)fprintf(stderr, DROPIN_NAME ": %s: %s\n", class, text);
	dropin_log(dropin, 'E', "%s: %s", class, text);
	return EXIT_FAILURE;
}

void dropin_reason(const struct error *err, char *buf, size_t size)
{
	char *reason = NULL, *at = buf;

	(void)snprintf(buf, size, "%s", err->text);
	while ((at = strstr(at, ": ")))
		reason = at += 2;
	/* Not names: "NVML has", "GPU-1" */
	if (reason && isupper((unsigned char)reason[0]) && islower((unsigned char)reason[1]))
		reason[0] = (char)tolower((unsigned char)reason[0]);
}

const char *dropin_class(const struct error *err)
{
	switch (err->class) {
	case ERROR_DEVICE:
		return strstr(err->text, "mig-config") ? DROPIN_MIG_CONFIG :
		       strstr(err->text, "mig-monitor") ? DROPIN_MIG_MONITOR : DROPIN_DEVICE;
	case ERROR_REQUIREMENT:
		return DROPIN_REQUIREMENT;
	case ERROR_PERMISSION:
		return DROPIN_PERMISSION;
	case ERROR_MOUNT:
		return DROPIN_MOUNT;
	case ERROR_DAEMON:
	case ERROR_DRIVER:
	case ERROR_AGAIN:
		return DROPIN_INIT;
	case ERROR_USAGE:
	case ERROR_OTHER:
		break;
	}
	return DROPIN_CONTAINER;
}

/* Words that people and scripts look for, before ours. */
static const char *famous_words(const struct error *err)
{
	if (err->class == ERROR_DRIVER && strncmp(err->text, "no driver", strlen("no driver")) == 0)
		return "nvml error: driver not loaded: ";
	return err->class == ERROR_DAEMON ? NOT_RUNNING : "";
}

int dropin_fail_error(const struct dropin *dropin, const char *class, const struct error *err)
{
	/* These two are compared as a whole. */
	bool exact = err->class == ERROR_DEVICE || err->class == ERROR_REQUIREMENT;
	const char *remedy = err->class == ERROR_DAEMON ? "systemctl start nvfs" : err->remedy;
	char text[ERROR_TEXT_MAX];

	dropin_reason(err, text, sizeof(text));
	if (*err->remedy)
		dropin_log(dropin, 'I', "remedy: %s", err->remedy);
	return dropin_fail(dropin, class ? class : dropin_class(err), "%s%s%s%s", famous_words(err),
			   text, exact || !*remedy ? "" : "; ", exact ? "" : remedy);
}

int dropin_ask(const struct dropin *dropin, const char *method, json_t *params, json_t **ret)
{
	struct varlink_message reply = { 0 };
	struct error err = { 0 };
	int r = query_ask(dropin->socket, method, params ? params : json_object(), &reply, &err);

	if (r == 0)
		*ret = json_incref(reply.json);
	varlink_message_done(&reply);
	return r < 0 ? dropin_fail_error(dropin, NULL, &err) : 0;
}

/* "/x/" is "/x" */
static size_t length_of_path(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

int dropin_check_root(const struct dropin *dropin)
{
	json_t *status = NULL;
	const char *served;
	size_t len;
	int r;

	if (!dropin->root)
		return 0;
	if (dropin_ask(dropin, "io.nvfs.Status", NULL, &status))
		return EXIT_FAILURE;
	served = varlink_string(status, "driver_root", "/");
	len = length_of_path(served);
	r = length_of_path(dropin->root) == len && strncmp(dropin->root, served, len) == 0
		    ? 0
		    : dropin_fail(
			      dropin, DROPIN_INIT,
			      "driver root '%.100s' is not what nvfs serves, which is '%.100s'; "
			      "set driver_root in nvfs.conf",
			      dropin->root, served);
	json_decref(status);
	return r;
}

int dropin_append(char **list, const char *item)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? "," : "", item) < 0)
		return -ENOMEM;
	free(*list);
	*list = longer;
	return 0;
}

static int check_mig(const struct dropin *dropin, const char *class, const char *word)
{
	if (!word || !*word || strcmp(word, "all") == 0)
		return 0;
	return dropin_fail(dropin, class, "%s: only 'all' devices are currently supported", word);
}

int dropin_check_devices(const struct dropin *dropin, const struct dropin_devices *devices)
{
	auto_free struct imex_channels *channels = NULL;
	struct error err = { 0 };

	if (check_mig(dropin, DROPIN_MIG_CONFIG, devices->mig_config) ||
	    check_mig(dropin, DROPIN_MIG_MONITOR, devices->mig_monitor))
		return EXIT_FAILURE;
	channels = calloc(1, sizeof(*channels));
	if (!channels)
		return dropin_fail(dropin, DROPIN_INIT, "memory allocation failed");
	if (devices->imex && imex_channels_parse(devices->imex, channels, &err) < 0)
		return dropin_fail_error(dropin, DROPIN_IMEX, &err);
	return 0;
}

void dropin_devices_done(struct dropin_devices *devices)
{
	free(devices->list);
	free(devices->imex);
}

int dropin_usage_error(void)
{
	(void)fputs("Try `" DROPIN_NAME " --help' or `" DROPIN_NAME
		    " --usage' for more information.\n",
		    stderr);
	return EXIT_FAILURE;
}
