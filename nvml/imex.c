/* SPDX-License-Identifier: Apache-2.0 */
/* Channels are numbers that become device minors: what is none must never reach a path or mknod. */
#include "nvml/imex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/parse.h"

static int parse_id(const char *item, size_t len, uint64_t *ret, struct error *err)
{
	char number[8];

	if (len < sizeof(number)) {
		(void)snprintf(number, sizeof(number), "%.*s", (int)len, item);
		if (parse_u64(number, IMEX_CHANNELS_MAX - 1, ret) == 0)
			return 0;
	}
	(void)error_setc(err, ERROR_DEVICE, -EINVAL, "IMEX channel '%.*s' is not one from 0 to %d",
			 len > 40 ? 40 : (int)len, item, IMEX_CHANNELS_MAX - 1);
	return error_remedy(err, -EINVAL, "a comma list of numbers: 0,1");
}

int imex_channels_parse(const char *list, struct imex_channels *ret, struct error *err)
{
	bool has[IMEX_CHANNELS_MAX] = { false };
	struct imex_channels channels = { .n = 0 };
	const char *cursor = list, *item;
	uint64_t id = 0;
	size_t len;

	while ((item = parse_field(&cursor, ',', &len))) {
		if (len == 0 || (len == 3 && strncmp(item, "all", 3) == 0))
			continue;
		if (parse_id(item, len, &id, err) < 0)
			return -EINVAL;
		if (!has[id])
			channels.ids[channels.n++] = (unsigned short)id;
		has[id] = true;
	}
	*ret = channels;
	return 0;
}
