/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One datagram for each line: "Native Journal Protocol", systemd.io/JOURNAL_NATIVE_PROTOCOL. Not
 * sd_journal_sendv(3), which waits where journald does not read.
 */
#include "fs/audit.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/store.h"

#define JOURNAL "/run/systemd/journal/socket" /* systemd-journald.service(8) */
#define LINE_LENGTH_MAX 512
#define VALUE_LENGTH_MAX 512

static const char *const message_ids[] = {
	[AUDIT_INJECTED] = "77e09129085049b688f962684c0bedca",
	[AUDIT_HEALED] = "0a89430a4a2a43df9cc3b1d36b54ae03",
	[AUDIT_REMOVED] = "973ab66b84844f25a3d6e9a4507af53f",
	[AUDIT_REFUSED] = "fcded9ee55ce4d3390548d200d8a9bd3",
};

/* A value of one line, as this form has to be. What was asked may be long: its beginning, in whole characters. */
static void put(FILE *out, const char *key, const char *value)
{
	size_t len = strnlen(value, VALUE_LENGTH_MAX);

	while (len && ((unsigned char)value[len] & 0xc0) == 0x80)
		len--;
	(void)fprintf(out, "%s=", key);
	for (size_t i = 0; i < len; i++)
		(void)fputc((unsigned char)value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i],
			    out);
	(void)fputc('\n', out);
}

static bool to_journal(enum audit_what what, const struct audit_asker *about, const char *line)
{
	const struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = JOURNAL };
	auto_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	auto_free char *entry = NULL;
	size_t len;
	FILE *out = open_memstream(&entry, &len);

	if (!out)
		return false;
	put(out, "MESSAGE", line);
	put(out, "MESSAGE_ID", message_ids[what]);
	put(out, "NVFS_CONTAINER_ID", about->id);
	put(out, "NVFS_DEVICES", about->devices);
	if (about->trace)
		put(out, "NVFS_TRACE", about->trace);
	(void)fprintf(out, "NVFS_PID=%d\nNVFS_UID=%u\nPRIORITY=%d\nSYSLOG_IDENTIFIER=nvfs\n",
		      about->pid, about->uid, LOG_LEVEL_INFO);
	return fclose(out) == 0 && sock >= 0 &&
	       sendto(sock, entry, len, MSG_NOSIGNAL, (const struct sockaddr *)&addr,
		      sizeof(addr)) == (ssize_t)len;
}

static bool tree_to_journal(const struct daemon *daemon, uint32_t index, enum audit_what what,
			    const char *trace, const char *line)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const char *text = store_blob(daemon->store, tree->spec, NULL);
	const char *name = store_blob(daemon->store, tree->name, NULL);
	json_t *spec = text ? json_loads(text, 0, NULL) : NULL;
	const struct audit_asker about = { .id = varlink_string(spec, "id", name),
					   .devices = varlink_string(spec, "devices", ""),
					   .pid = tree->pid,
					   .uid = tree->owner,
					   .trace = trace };
	bool taken = to_journal(what, &about, line);

	json_decref(spec);
	return taken;
}

void audit_tree(const struct daemon *daemon, uint32_t tree, enum audit_what what, const char *trace,
		const char *fmt, ...)
{
	char line[LINE_LENGTH_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!log_is_journal() || !tree_to_journal(daemon, tree, what, trace, line))
		log_info("%s", line);
}

void audit_refused(const struct audit_asker *asker, const char *fmt, ...)
{
	char line[LINE_LENGTH_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!log_is_journal() || !to_journal(AUDIT_REFUSED, asker, line))
		log_info("%s", line);
}
