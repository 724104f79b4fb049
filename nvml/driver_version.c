/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of the driver: in file names, and of the loaded kernel module. The
 * module counts: user space of another version is refused by it at run time.
 */
#include "nvml/driver_version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"

#define VERSION_FILE_MAX_BYTES 4096

static size_t count_digits(const char *s)
{
	size_t n = 0;

	while (s[n] >= '0' && s[n] <= '9')
		n++;
	return n;
}

bool driver_version_is_valid(const char *version)
{
	size_t digits = count_digits(version), parts = 1;

	if (digits < 2 || digits > 4)
		return false;
	for (version += digits; *version; version += digits, parts++) {
		if (*version++ != '.')
			return false;
		digits = count_digits(version);
		if (digits < 1 || digits > 6)
			return false;
	}
	return parts == 2 || parts == 3;
}

int driver_version_compare(const char *a, const char *b)
{
	char *a_rest, *b_rest;

	for (;;) {
		unsigned long x = strtoul(a, &a_rest, 10), y = strtoul(b, &b_rest, 10);

		if (x != y)
			return x < y ? -1 : 1;
		if (*a_rest != '.' || *b_rest != '.')
			return (*a_rest == '.') - (*b_rest == '.');
		a = a_rest + 1;
		b = b_rest + 1;
	}
}

const char *driver_library_version(const char *name)
{
	const char *so;

	if (strncmp(name, "lib", 3) != 0)
		return NULL;
	so = strstr(name, ".so.");
	return so && so[4] ? so + 4 : NULL;
}

/* The words in front of it differ from driver to driver: it is the first one that is a version. */
static int find_version(const char *line, char ret[DRIVER_VERSION_MAX])
{
	char word[DRIVER_VERSION_MAX];
	const char *item;
	size_t len;

	while ((item = parse_field(&line, ' ', &len))) {
		if (len >= sizeof(word))
			continue;
		memcpy(word, item, len);
		word[len] = '\0';
		if (!driver_version_is_valid(word))
			continue;
		memcpy(ret, word, len + 1);
		return 0;
	}
	return -EBADMSG;
}

int driver_module_version_parse(const char *text, char ret[DRIVER_VERSION_MAX])
{
	static const char key[] = "NVRM version:";
	const char *lines = text, *item;
	char line[512];
	size_t len;

	while ((item = parse_field(&lines, '\n', &len))) {
		if (len >= sizeof(line) || strncmp(item, key, strlen(key)) != 0)
			continue;
		memcpy(line, item, len);
		line[len] = '\0';
		return find_version(line + strlen(key), ret);
	}
	return -EBADMSG;
}

int driver_module_version(const char *proc_root, char ret[DRIVER_VERSION_MAX], struct error *err)
{
	auto_free char *path = NULL, *text = NULL;
	int r;

	if (asprintf(&path, "%s/driver/nvidia/version", proc_root ? proc_root : "/proc") < 0) {
		path = NULL;
		return error_set(err, -ENOMEM, "read module version");
	}
	r = file_read_at(AT_FDCWD, path, VERSION_FILE_MAX_BYTES, &text, NULL, err);
	if (r == -ENOENT) {
		if (err)
			*err = (struct error){ 0 };
		ret[0] = '\0';
		return 0;
	}
	if (r < 0)
		return r;
	r = driver_module_version_parse(text, ret);
	if (r < 0)
		return error_setc(err, ERROR_DRIVER, r, "'%s' names no driver version", path);
	return 0;
}
