/* SPDX-License-Identifier: Apache-2.0 */
/* Container ids as file names: see ident.h for the rule. */
#include "fs/ident.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

static bool is_reserved(const char *id)
{
	return id[0] == '.' || strcmp(id, IDENT_HOST) == 0 || strcmp(id, "generations") == 0 ||
	       strncmp(id, "by-", 3) == 0;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_.:+@=,~-", c));
}

int ident_escape(const char *id, char ret[IDENT_MAX + 1], struct error *err)
{
	bool escape_first = is_reserved(id);
	size_t n = 0;

	if (!*id || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 || strchr(id, '/'))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "id '%.60s' is empty, '.', '..' or has a '/'", id);
	for (const char *c = id; *c; c++) {
		bool plain = is_plain(*c) && !(c == id && escape_first);

		if (n + (plain ? 1 : 4) > IDENT_MAX)
			return error_setc(err, ERROR_USAGE, -ENAMETOOLONG,
					  "id '%.40s...' is too long", id);
		if (plain)
			ret[n++] = *c;
		else
			n += (size_t)snprintf(ret + n, 5, "\\x%02x", (unsigned char)*c);
	}
	ret[n] = '\0';
	return 0;
}
