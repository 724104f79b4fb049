/* SPDX-License-Identifier: Apache-2.0 */
#include "common/compatlist.h"

#include <string.h>

bool compatlist_is_name(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
	size_t len = strlen(name);
	const char *so = strstr(name, ".so");

	return len < COMPATLIST_NAME_MAX && strspn(name, plain) == len &&
	       strncmp(name, "lib", 3) == 0 && so && (so[3] == '\0' || so[3] == '.');
}

bool compatlist_is_libcuda(const char *name)
{
	static const char stem[] = "libcuda.so.";
	const char *dot;

	if (strncmp(name, stem, strlen(stem)) != 0)
		return false;
	dot = strchr(name + strlen(stem), '.');
	return dot && dot[1];
}
