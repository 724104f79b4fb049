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
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/store.h"

#define JOURNAL "/run/systemd/journal/socket" /* systemd-journald.service(8) */
#define LINE_LENGTH_MAX 512

/* A value of one line, as this form has to be. */
static void put(FILE *out, const char *key, const char *value)
{
	(void)fprintf(out, "%s=", key);
	for (const char *c = value; *c; c++)
		(void)fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
	(void)fputc('\n', out);
}

static void put_all(FILE *out, const struct daemon *daemon, uint32_t index, const char *line)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const char *text = store_blob(daemon->store, tree->spec, NULL);
	const char *name = store_blob(daemon->store, tree->name, NULL);
	json_t *spec = text ? json_loads(text, 0, NULL) : NULL;

	put(out, "MESSAGE", line);
	put(out, "NVFS_CONTAINER_ID", varlink_string(spec, "id", name));
	put(out, "NVFS_DEVICES", varlink_string(spec, "devices", ""));
	(void)fprintf(out, "NVFS_PID=%d\nNVFS_UID=%u\nPRIORITY=%d\nSYSLOG_IDENTIFIER=nvfs\n",
		      tree->pid, tree->owner, LOG_LEVEL_INFO);
	json_decref(spec);
}

static bool to_journal(const struct daemon *daemon, uint32_t index, const char *line)
{
	const struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = JOURNAL };
	auto_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	auto_free char *entry = NULL;
	size_t len;
	FILE *out = open_memstream(&entry, &len);

	if (!out)
		return false;
	put_all(out, daemon, index, line);
	return fclose(out) == 0 && sock >= 0 &&
	       sendto(sock, entry, len, MSG_NOSIGNAL, (const struct sockaddr *)&addr,
		      sizeof(addr)) == (ssize_t)len;
}

void audit_tree(const struct daemon *daemon, uint32_t tree, const char *fmt, ...)
{
	char line[LINE_LENGTH_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!log_is_journal() || !to_journal(daemon, tree, line))
		log_info("%s", line);
}
