/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capabilities that there are: one file each below /proc/driver/nvidia/capabilities, which come
 * and go as GPUs are divided. Names and numbers have holes, so that the directories are read
 * and nothing is counted up.
 */
#include "nvml/nvcap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "nvml/gpu.h"

#define CAPABILITIES_DIR "driver/nvidia/capabilities"
#define MINORS_FILE "driver/nvidia-caps/mig-minors"
#define FILE_MAX_BYTES 4096
#define MINORS_MAX_BYTES (16 * 1024 * 1024)
/* More than any GPU can be divided into; it takes a module that is none of NVIDIA's to get there. */
#define INSTANCES_MAX 1024
#define CAPS_MAX 4096 /* of 16384 names that a tree can have they take 8192 */

struct reader {
	const char *proc_root;
	int dir_fd; /* of the capabilities */
	struct nvcap *caps;
	size_t n, room;
	bool have_minors; /* the list of all has been read, as far as it can be */
	struct nvcap_list minors;
};

static const struct nvcap *find_in_minors(struct reader *r, const struct nvcap *cap)
{
	auto_free char *path = NULL, *text = NULL;

	if (!r->have_minors && asprintf(&path, "%s/" MINORS_FILE, r->proc_root) < 0)
		path = NULL;
	if (path && file_read_at(AT_FDCWD, path, MINORS_MAX_BYTES, &text, NULL, NULL) == 0)
		(void)nvcap_list_parse(text, &r->minors, NULL);
	r->have_minors = true;
	return nvcap_find(&r->minors, cap->kind, cap->gpu, cap->gi, cap->ci);
}

static int append(struct reader *r, const struct nvcap *cap)
{
	size_t room = r->room ? 2 * r->room : 64;
	struct nvcap *bigger;

	if (r->n == CAPS_MAX)
		return 0;
	if (r->n == r->room) {
		bigger = reallocarray(r->caps, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		r->caps = bigger;
		r->room = room;
	}
	r->caps[r->n++] = *cap;
	return 0;
}

/* One that cannot be told is left out: who asks for it hears that. */
static int add(struct reader *r, struct nvcap cap)
{
	auto_free char *text = NULL;
	const struct nvcap *listed;
	char name[NVCAP_NAME_MAX];

	nvcap_file_name(&cap, name);
	if (file_read_at(r->dir_fd, name, FILE_MAX_BYTES, &text, NULL, NULL) < 0)
		return 0;
	if (nvcap_file_parse(text, &cap) < 0) {
		listed = find_in_minors(r, &cap);
		if (!listed)
			return 0;
		cap = *listed;
	}
	return append(r, &cap);
}

/* "gi12" */
static bool is_instance(const char *name, const char *prefix, unsigned int *ret)
{
	uint64_t number;

	if (strncmp(name, prefix, strlen(prefix)) != 0 ||
	    parse_u64(name + strlen(prefix), INSTANCES_MAX - 1, &number) < 0)
		return false;
	*ret = (unsigned int)number;
	return true;
}

static DIR *open_dir(const struct reader *r, const char *path)
{
	int fd = openat(r->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		(void)close(fd);
	return dir;
}

static int add_cis(struct reader *r, struct nvcap cap)
{
	char path[NVCAP_NAME_MAX];
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int result = 0;

	(void)snprintf(path, sizeof(path), "gpu%u/mig/gi%u", cap.gpu, cap.gi);
	dir = open_dir(r, path);
	cap.kind = NVCAP_CI;
	while (dir && result == 0 && (entry = readdir(dir)))
		if (is_instance(entry->d_name, "ci", &cap.ci))
			result = add(r, cap);
	return result;
}

static int add_gis(struct reader *r, unsigned int gpu)
{
	struct nvcap cap = { .kind = NVCAP_GI, .gpu = gpu };
	char path[NVCAP_NAME_MAX];
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int result = 0;

	(void)snprintf(path, sizeof(path), "gpu%u/mig", gpu);
	dir = open_dir(r, path);
	while (dir && result == 0 && (entry = readdir(dir))) {
		if (!is_instance(entry->d_name, "gi", &cap.gi))
			continue;
		result = add(r, cap);
		result = result ? result : add_cis(r, cap);
	}
	return result;
}

static int read_all(struct reader *r, const struct gpu_list *gpus)
{
	static const enum nvcap_kind singles[] = { NVCAP_CONFIG, NVCAP_MONITOR, NVCAP_FABRIC };
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(singles) && result == 0; i++)
		result = add(r, (struct nvcap){ .kind = singles[i] });
	for (size_t i = 0; i < gpus->n && result == 0; i++)
		if (gpus->gpus[i].usable)
			result = add_gis(r, gpus->gpus[i].minor);
	return result;
}

int nvcap_list_read(const char *proc_root, const struct gpu_list *gpus, struct nvcap_list *ret,
		    struct error *err)
{
	struct reader reader = { .proc_root = proc_root ? proc_root : "/proc" };
	auto_free char *path = NULL;
	auto_close int dir_fd = -1;
	int r;

	if (asprintf(&path, "%s/" CAPABILITIES_DIR, reader.proc_root) < 0) {
		path = NULL;
		return error_set(err, -ENOMEM, "list the capabilities of MIG");
	}
	dir_fd = reader.dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = dir_fd < 0 ? 0 : read_all(&reader, gpus);
	r = r ? r : nvcap_list_copy(reader.caps, reader.n, ret);
	nvcap_list_done(&reader.minors);
	free(reader.caps);
	return r < 0 ? error_set(err, r, "list the capabilities of MIG") : 0;
}
