/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that strangers choose: an id becomes one file name that means this id
 * alone, and a path that is accepted anywhere is absolute and without detours.
 */
#include <errno.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/claim.h"
#include "fs/ident.h"
#include "inject/plan.h"
#include "tests/fuzz/fuzz.h"

static void unescape(const char *name, char *ret)
{
	for (; *name; ret++) {
		char digits[3] = { 0 };

		if (*name != '\\') {
			*ret = *name++;
			continue;
		}
		require(name[1] == 'x');
		memcpy(digits, name + 2, 2);
		*ret = (char)strtol(digits, NULL, 16);
		name += 4;
	}
	*ret = '\0';
}

static void check_ident(const char *id)
{
	char name[IDENT_MAX + 1], back[IDENT_MAX + 1];
	struct error err = { 0 };
	int r = ident_escape(id, name, &err);

	require(r == 0 || ((r == -EINVAL || r == -ENAMETOOLONG) && err.text[0]));
	if (r < 0)
		return;
	require(name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) <= IDENT_MAX);
	require(strcmp(name, "host") && strcmp(name, "generations") && strncmp(name, "by-", 3));
	for (const char *c = name; *c; c++)
		require(*c > ' ' && *c <= '~');
	unescape(name, back);
	require(strcmp(back, id) == 0);
}

static bool has_detour(const char *path)
{
	for (const char *at = path; (at = strchr(at, '/')); at++) {
		size_t len = strcspn(at + 1, "/");

		if (len == 0 || (len == 1 && at[1] == '.') ||
		    (len == 2 && at[1] == '.' && at[2] == '.'))
			return true;
	}
	return path[0] != '/';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);

	check_ident(text);
	if (plan_path_ok(text))
		require(!has_detour(text));
	if (claim_target_is_valid(text))
		require(!has_detour(text) && plan_path_ok(text));
	return 0;
}
