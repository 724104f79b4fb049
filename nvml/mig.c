/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MIG devices without NVML: the module has a directory for each GPU instance, and in
 * that one for each compute instance, as long as these exist.
 */
#include "nvml/mig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "nvml/gpu.h"

#define INSTANCE_MAX 999
#define INSTANCES_MAX 4096 /* in all */

/* "gi13" with prefix "gi" is 13 */
static bool parse_name(const char *name, const char *prefix, unsigned int *ret)
{
	size_t len = strlen(prefix);
	uint64_t number;

	if (strncmp(name, prefix, len) != 0 || parse_u64(name + len, INSTANCE_MAX, &number) < 0)
		return false;
	*ret = (unsigned int)number;
	return true;
}

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		cleanup_close(&fd);
	return dir;
}

static DIR *open_nvidia(const char *proc_root, const char *name)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/driver/nvidia/%s", proc_root ? proc_root : "/proc", name) < 0)
		path = NULL;
	return path ? open_dir(AT_FDCWD, path) : NULL;
}

static int compare(const void *a, const void *b)
{
	const struct mig_device *x = a, *y = b;

	if (x->gpu != y->gpu)
		return x->gpu < y->gpu ? -1 : 1;
	if (x->gi != y->gi)
		return x->gi < y->gi ? -1 : 1;
	return x->ci < y->ci ? -1 : x->ci > y->ci;
}

static int append(struct gpu_list *list, size_t gpu, unsigned int gi, unsigned int ci)
{
	struct mig_device *migs;

	if (list->n_migs == INSTANCES_MAX)
		return 0;
	migs = reallocarray(list->migs, list->n_migs + 1, sizeof(*migs));
	if (!migs)
		return -ENOMEM;
	list->migs = migs;
	migs[list->n_migs++] =
		(struct mig_device){ .gpu = gpu, .gi = gi, .ci = ci, .source = FACT_PROC };
	return 0;
}

static int read_gi(struct gpu_list *list, size_t gpu, int mig_fd, const char *name, unsigned int gi)
{
	auto_closedir DIR *dir = open_dir(mig_fd, name);
	const struct dirent *entry;
	unsigned int ci;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir)))
		if (parse_name(entry->d_name, "ci", &ci))
			r = append(list, gpu, gi, ci);
	return r;
}

static int read_gpu(struct gpu_list *list, size_t gpu, int caps_fd)
{
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	unsigned int gi;
	char path[32];
	int r = 0;

	(void)snprintf(path, sizeof(path), "gpu%u/mig", list->gpus[gpu].minor);
	dir = open_dir(caps_fd, path);
	while (dir && r == 0 && (entry = readdir(dir)))
		if (parse_name(entry->d_name, "gi", &gi))
			r = read_gi(list, gpu, dirfd(dir), entry->d_name, gi);
	return r;
}

static void number_migs(struct gpu_list *list)
{
	unsigned int index = 0;

	if (list->n_migs)
		qsort(list->migs, list->n_migs, sizeof(*list->migs), compare);
	for (size_t i = 0; i < list->n_migs; i++) {
		struct gpu *gpu = &list->gpus[list->migs[i].gpu];

		index = i && list->migs[i - 1].gpu == list->migs[i].gpu ? index + 1 : 0;
		list->migs[i].index = index;
		gpu->mig_mode = GPU_MIG_ON;
		gpu->mig_source = FACT_PROC;
	}
}

int mig_list_read(const char *proc_root, struct gpu_list *list, struct error *err)
{
	auto_closedir DIR *caps = open_nvidia(proc_root, "capabilities");
	int r = 0;

	free(list->migs);
	list->migs = NULL;
	list->n_migs = 0;
	list->has_nvcaps = caps != NULL;
	for (size_t i = 0; i < list->n; i++) {
		list->gpus[i].mig_mode = GPU_MIG_UNKNOWN;
		list->gpus[i].mig_source = FACT_UNKNOWN;
		/* Without a minor nobody knows which directory is its own. */
		if (caps && r == 0 && list->gpus[i].usable)
			r = read_gpu(list, i, dirfd(caps));
	}
	number_migs(list);
	return r < 0 ? error_set(err, r, "list MIG devices") : 0;
}

/* prints */

/* FNV-1a of the path, and the inode's number; sums do not ask for an order. */
static uint64_t print_of(uint64_t parent, const struct dirent *entry)
{
	uint64_t hash = 0xcbf29ce484222325 ^ parent;

	for (const char *c = entry->d_name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	return (hash ^ entry->d_ino) * 0x100000001b3;
}

/* After an open(2) that failed: is the directory there, perhaps, and this process is short of something? */
static int shortage(void)
{
	return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
}

/* Of the entries of a directory that begin so, and of what is below them, as deep as there are prefixes. */
static uint64_t print_dir(DIR *dir, uint64_t parent, const char *const *prefixes, int *r)
{
	const struct dirent *entry;
	uint64_t sum = 0, print;

	while (dir && (entry = readdir(dir))) {
		auto_closedir DIR *below = NULL;

		if (entry->d_name[0] == '.' ||
		    strncmp(entry->d_name, prefixes[0], strlen(prefixes[0])) != 0)
			continue;
		print = print_of(parent, entry);
		sum += print;
		if (!prefixes[1])
			continue;
		below = open_dir(dirfd(dir), entry->d_name);
		if (!below && *r == 0)
			*r = shortage();
		sum += print_dir(below, print, prefixes + 1, r);
	}
	return sum;
}

int mig_print_read(const char *proc_root, struct mig_print *ret)
{
	static const char *const gpu[] = { "", NULL };
	static const char *const mig[] = { "gpu", "mig", "gi", "ci", NULL };
	auto_closedir DIR *gpus = NULL, *caps = NULL;
	int r = 0;

	gpus = open_nvidia(proc_root, "gpus");
	if (!gpus)
		r = shortage();
	caps = open_nvidia(proc_root, "capabilities");
	if (!caps && r == 0)
		r = shortage();
	ret->gpus = print_dir(gpus, 0, gpu, &r);
	ret->migs = print_dir(caps, 0, mig, &r);
	return r;
}
