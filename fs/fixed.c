/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links rather than mounts: they work as well, cost one name each, and follow
 * the tree when the driver changes. What a link leads to is in the tree only.
 */
#include "fs/fixed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "fs/layout.h"
#include "nvml/finding.h"

#if defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif

/*
 * A directory of the tree, and the one in the container where its files are
 * looked for. Of several places that a loader reads, the one where an image
 * that brings such a file itself has it: then the two have one name, and
 * the image's stays alone.
 *
 * Sources: the driver's README, "Installed Components"; the
 * Vulkan loader's LoaderInterfaceArchitecture ("/etc" and "/usr/share" are both
 * searched; NVIDIA's images use /etc); libglvnd's EGL_VENDOR_DIRS; eglexternalplatform;
 * Mesa's src/gbm/main/backend.c (DEFAULT_BACKENDS_PATH); Xorg(1), ModulePath;
 * the ICD specification of OpenCL (cl_khr_icd).
 */
static const struct {
	const char *tree, *container;
	const char *where; /* only in containers that have this path; NULL: in all */
	bool whole;        /* the directory itself is linked */
} rows[] = {
	{ "bin", "/usr/bin", NULL, false },
	{ "etc/OpenCL/vendors", "/etc/OpenCL/vendors", NULL, false },
	{ "etc/nvidia", "/etc/nvidia", NULL, false },
	{ "etc/nvidia/nvidia-application-profiles-rc.d",
	  "/etc/nvidia/nvidia-application-profiles-rc.d", NULL, false },
	{ "share/nvidia", "/usr/share/nvidia", NULL,
	  false }, /* application profiles, nvoptix.bin */
	{ "share/nvidia/files.d", "/usr/share/nvidia/files.d", NULL, false },
	{ "share/vulkan/icd.d", "/etc/vulkan/icd.d", NULL, false },
	{ "share/vulkan/implicit_layer.d", "/etc/vulkan/implicit_layer.d", NULL, false },
	{ "share/vulkansc/icd.d", "/etc/vulkansc/icd.d", NULL, false },
	{ "share/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d", NULL, false },
	{ "share/egl/egl_external_platform.d", "/usr/share/egl/egl_external_platform.d", NULL,
	  false },
	{ "wsl", "/usr/lib/wsl", NULL, true }, /* libraries of WSL2 name it in full */
	/* Where a distribution's libraries lie: Debian's way, and the others', which have their libc there. */
	{ "lib64/gbm", "/usr/lib/" MULTIARCH "/gbm", "/usr/lib/" MULTIARCH, false },
	{ "lib64/gbm", "/usr/lib64/gbm", "/usr/lib64/libc.so.6", false },
	{ "lib32/gbm", "/usr/lib/i386-linux-gnu/gbm", "/usr/lib/i386-linux-gnu", false },
	/* Where there is an X server. */
	{ "lib64/xorg/modules/drivers", "/usr/lib/xorg/modules/drivers", "/usr/lib/xorg/modules",
	  false },
	{ "lib64/xorg/modules/extensions", "/usr/lib/xorg/modules/extensions",
	  "/usr/lib/xorg/modules", false },
	{ "lib64/xorg/modules/drivers", "/usr/lib64/xorg/modules/drivers",
	  "/usr/lib64/xorg/modules", false },
	{ "lib64/xorg/modules/extensions", "/usr/lib64/xorg/modules/extensions",
	  "/usr/lib64/xorg/modules", false },
};

/* The slot of a directory, or a negative errno. */
static int find_dir(const struct layout *layout, const char *path)
{
	char name[LAYOUT_NAME_MAX + 1];
	const char *part;
	size_t len;
	int slot = 0;

	while (slot >= 0 && (part = parse_field(&path, '/', &len))) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, part);
		slot = layout_lookup(layout, (uint32_t)slot, name);
	}
	if (slot >= 0 && layout->nodes[slot].kind != LAYOUT_DIR)
		return -ENOTDIR;
	return slot;
}

static int link_add(struct fixed_links *links, struct fixed_link link)
{
	if (links->n == FIXED_LINKS_MAX + FIXED_LIBRARIES_MAX) {
		free(link.path);
		free(link.to);
		return -E2BIG;
	}
	if (!link.path || !link.to) {
		free(link.path);
		free(link.to);
		return -ENOMEM;
	}
	links->items[links->n++] = link;
	return 0;
}

/* "DIR/NAME", or DIR alone; NULL: out of memory */
static char *join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s%s%s", dir, *name ? "/" : "", name) < 0 ? NULL : path;
}

static char *join_target(const char *target, const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s%s%s", target, dir, *name ? "/" : "", name) < 0 ? NULL : path;
}

static int add_row(struct fixed_links *links, size_t row, const char *target, const char *name)
{
	if (links->n == FIXED_LINKS_MAX)
		return -E2BIG;
	return link_add(links, (struct fixed_link){ .path = join(rows[row].container, name),
						    .to = join_target(target, rows[row].tree, name),
						    .where = rows[row].where });
}

static int list_row(const struct layout *layout, size_t row, const char *target,
		    struct fixed_links *links)
{
	int dir = find_dir(layout, rows[row].tree), r = 0;

	if (dir < 0)
		return 0;
	if (rows[row].whole)
		return add_row(links, row, target, "");
	for (uint32_t i = 0; i < layout->nodes[dir].count && r == 0; i++) {
		uint32_t slot = layout->nodes[dir].ref + i;

		if (layout->nodes[slot].kind != LAYOUT_DIR)
			r = add_row(links, row, target, layout_name(layout, slot));
	}
	return r;
}

int fixed_links_libraries(const struct layout *layout, const char *dir, const char *at,
			  const char *target, struct fixed_links *ret,
			  struct finding_list *findings, struct error *err)
{
	int found = find_dir(layout, dir), r = 0;

	for (uint32_t i = 0; found >= 0 && i < layout->nodes[found].count && r == 0; i++) {
		uint32_t slot = layout->nodes[found].ref + i;
		const char *name = layout_name(layout, slot);

		if (layout->nodes[slot].kind != LAYOUT_DIR)
			r = link_add(ret,
				     (struct fixed_link){ .path = join(at, name),
							  .to = join_target(target, dir, name) });
	}
	if (r == -E2BIG)
		r = finding_add(findings, true,
				"more than %d libraries for '%s', ignoring the rest",
				FIXED_LIBRARIES_MAX, at);
	return r < 0 ? error_set(err, r, "list the links of libraries") : 0;
}

int fixed_links_list(const struct layout *layout, const char *target, struct fixed_links *ret,
		     struct finding_list *findings, struct error *err)
{
	int r = 0;

	ret->items = calloc(FIXED_LINKS_MAX + FIXED_LIBRARIES_MAX, sizeof(*ret->items));
	if (!ret->items)
		return error_set(err, -ENOMEM, "list the links");
	for (size_t i = 0; i < ARRAY_SIZE(rows) && r == 0; i++)
		r = list_row(layout, i, target, ret);
	if (r == -E2BIG)
		r = finding_add(findings, true,
				"more than %d links at fixed paths, ignoring the rest",
				FIXED_LINKS_MAX);
	return r < 0 ? error_set(err, r, "list the links") : 0;
}

void fixed_links_done(struct fixed_links *links)
{
	for (size_t i = 0; i < links->n; i++) {
		free(links->items[i].path);
		free(links->items[i].to);
	}
	free(links->items);
	*links = (struct fixed_links){ 0 };
}
