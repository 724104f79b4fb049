/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/audit.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/store.h"

#define LINE_MAX_BYTES 512
#define FIELD_MAX 300

static bool to_journal(const struct daemon *daemon, uint32_t index, const char *line)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const char *text = store_blob(daemon->store, tree->spec, NULL);
	json_t *spec = text ? json_loads(text, 0, NULL) : NULL;
	char message[LINE_MAX_BYTES + 16], priority[16], id[FIELD_MAX], pid[32], uid[32],
		devices[FIELD_MAX];
	const char *const fields[] = { message, priority, "SYSLOG_IDENTIFIER=nvfs", id, pid,
				       uid,	devices };

	(void)snprintf(message, sizeof(message), "MESSAGE=%s", line);
	(void)snprintf(priority, sizeof(priority), "PRIORITY=%d", LOG_LEVEL_INFO);
	(void)snprintf(id, sizeof(id), "NVFS_CONTAINER_ID=%s",
		       varlink_string(spec, "id", store_blob(daemon->store, tree->name, NULL)));
	(void)snprintf(pid, sizeof(pid), "NVFS_PID=%d", tree->pid);
	(void)snprintf(uid, sizeof(uid), "NVFS_UID=%u", tree->owner);
	(void)snprintf(devices, sizeof(devices), "NVFS_DEVICES=%s",
		       varlink_string(spec, "devices", ""));
	json_decref(spec);
	return audit_to_journal(fields, ARRAY_SIZE(fields));
}

void audit_tree(const struct daemon *daemon, uint32_t tree, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!log_is_journal() || !to_journal(daemon, tree, line))
		log_info("%s", line);
}
