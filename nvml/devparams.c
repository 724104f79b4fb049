/* SPDX-License-Identifier: Apache-2.0 */
/* "Name: number" lines, of which four are about device nodes. */
#include "nvml/devparams.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"

/* Of a whole line; false for another name, or no number up to @max. */
static bool take(const char *line, size_t len, const char *name, uint64_t max, uint64_t *ret)
{
	size_t skip = strlen(name);
	char number[24];

	if (len <= skip || strncmp(line, name, skip) != 0 || line[skip] != ':')
		return false;
	for (skip++; skip < len && (line[skip] == ' ' || line[skip] == '\t'); skip++)
		;
	if (len - skip >= sizeof(number))
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(len - skip), line + skip);
	return parse_u64(number, max, ret) == 0;
}

struct devparams devparams_parse(const char *text)
{
	struct devparams params = { .mode = 0666, .may_modify = true };
	const char *cursor = text ? text : "", *line;
	uint64_t value;
	size_t len;

	while ((line = parse_field(&cursor, '\n', &len))) {
		/* The largest id says "leave it" to chown(2). */
		if (take(line, len, "DeviceFileUID", UINT32_MAX - 1, &value))
			params.uid = (uid_t)value;
		else if (take(line, len, "DeviceFileGID", UINT32_MAX - 1, &value))
			params.gid = (gid_t)value;
		else if (take(line, len, "DeviceFileMode", 0777, &value))
			params.mode = (mode_t)value & 0666;
		else if (take(line, len, "ModifyDeviceFiles", 1, &value) ||
			 take(line, len, "DeviceFileModify", 1, &value))
			params.may_modify = value == 1;
	}
	return params;
}
