/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware lies where the kernel's own loader looks for it, in its order: the
 * path that it was told, then the directories below /lib/firmware, those of
 * this release of the kernel first. All of them are looked up below the driver
 * root, of which the path that the kernel was told may name the host's view.
 *
 * Source: drivers/base/firmware_loader/main.c, fw_path[]; the driver asks for
 * "nvidia/VERSION/gsp_*.bin".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "nvml/driver_impl.h"
#include "nvml/driver_places.h"
#include "nvml/driver_table.h"

#define KERNEL_TEXT_MAX 512 /* the path has at most 255 bytes, a release 64 */

static int add_firmware(struct discovery *d, const char *directory, const char *name)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_FIRMWARE, .fd = -1 };
	const struct driver_row *row = driver_table_find(DRIVER_FIRMWARE, name);
	auto_free char *path = NULL;
	int r = 0;

	file.name = strdup(name);
	if (!file.name)
		return -ENOMEM;
	if (!row || discovery_find(d, &file))
		return 0;
	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file.fd = driver_root_open_file(&d->root, path, &file.path, &file.st);
	if (file.fd < 0 || file.st.st_size == 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					path, file.fd < 0 ? strerror(-file.fd) : "empty");
	if (discovery_excludes(d, file.path, name, &r))
		return r;
	file.caps = row->caps;
	return discovery_take(d, &file);
}

static int add_from(struct discovery *d, const char *base, const char *sub)
{
	auto_free char *directory = NULL;
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int r;

	if (asprintf(&directory, "%s%s%s/nvidia/%s", base, *sub ? "/" : "", sub,
		     d->driver->version) < 0) {
		directory = NULL;
		return -ENOMEM;
	}
	r = driver_root_open_dir(&d->root, directory, &dir);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return finding_add(&d->findings, true, "%s: %s, ignoring", directory, strerror(-r));
	while (r == 0 && (entry = readdir(dir)))
		r = add_firmware(d, directory, entry->d_name);
	return r;
}

/* One line that the kernel tells, without its end; NULL: it tells none. */
static char *kernel_line(const char *root, const char *name)
{
	auto_free char *path = NULL;
	char *text = NULL;

	if (asprintf(&path, "%s/%s", root, name) < 0)
		path = NULL;
	if (!path || file_read_at(AT_FDCWD, path, KERNEL_TEXT_MAX, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* Told to the kernel as a path of the host: the driver root's own part is taken off. */
static int add_from_told(struct discovery *d)
{
	const char *sys = d->config->sys_root ? d->config->sys_root : "/sys", *below;
	auto_free char *told = kernel_line(sys, "module/firmware_class/parameters/path");
	size_t len = strlen(d->root.real);
	int r = 0;

	if (!told || told[0] != '/')
		return 0;
	below = told + len;
	if (len && strncmp(told, d->root.real, len) == 0 && *below == '/')
		r = add_from(d, below, "");
	return r ? r : add_from(d, told, "");
}

int driver_find_firmware(struct discovery *d)
{
	const char *proc = d->config->proc_root ? d->config->proc_root : "/proc";
	auto_free char *release = kernel_line(proc, "sys/kernel/osrelease");
	int r;

	if (!d->driver->version[0])
		return 0; /* WSL2: the Windows host's business */
	r = add_from_told(d);

	if (release && (!*release || strchr(release, '/') || release[0] == '.'))
		release[0] = '\0';
	for (const char *const *base = driver_firmware_places(); *base && r == 0; base++) {
		const char *const updates[] = { "updates", "" };

		for (size_t i = 0; i < ARRAY_SIZE(updates) && r == 0; i++) {
			char of_release[KERNEL_TEXT_MAX + 16];

			(void)snprintf(of_release, sizeof(of_release), "%s%s%s", updates[i],
				       *updates[i] ? "/" : "", release ? release : "");
			if (release && *release)
				r = add_from(d, *base, of_release);
			r = r ? r : add_from(d, *base, updates[i]);
		}
	}
	return r;
}
