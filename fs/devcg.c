/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cheap, since it is done for every container every few seconds: one system call for a cgroup of v2,
 * three for one of v1.
 */
#include "fs/devcg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cgroup_text.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"

#define MOUNTINFO_MAX (64 << 20)
#define TEXT_MAX (1 << 20)
#define PROGRAMS_MAX 256 /* in effect: 64 at each level at the most */

char *devcg_mountinfo(void)
{
	char *text = NULL;

	return file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, NULL) < 0
		       ? NULL
		       : text;
}

static bool is_cgroup(int fd, unsigned int version)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
	       fs.f_type == (version == 1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC);
}

/* -1: not under any mount that we see */
static int open_in_mounts(const char *path, unsigned int version, const char *mountinfo)
{
	int fd = -1;

	for (const char *cursor = mountinfo; fd < 0;) {
		struct cgroup_mount mount = { 0 };
		auto_close int top = -1;
		const char *below;

		if (cgroup_text_mount(&cursor, version, &mount) <= 0)
			return -1;
		below = cgroup_text_below(path, mount.root);
		top = below ? open(mount.point, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		if (top >= 0 && is_cgroup(top, version))
			fd = sys_openat2(top, *below ? below : ".", O_PATH | O_DIRECTORY, 0,
					 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
		cgroup_mount_done(&mount);
	}
	return fd;
}

int devcg_open(pid_t pid, const char *mountinfo, struct devcg *ret, struct error *err)
{
	auto_free char *text = NULL;
	char name[32];
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	r = file_read_at(AT_FDCWD, name, TEXT_MAX, &text, NULL, err);
	for (unsigned int version = 2; r == 0 && version > 0; version--) {
		auto_free char *path = NULL;

		r = cgroup_text_path(text, version, &path);
		if (r < 0)
			return error_set(err, r == -ENOENT ? -ESRCH : r, "cgroup of process %d",
					 (int)pid);
		if (!path)
			continue;
		*(version == 1 ? &ret->v1 : &ret->v2) = open_in_mounts(path, version, mountinfo);
		if (!ret->path)
			ret->path = take_ptr(&path);
	}
	return r == -ENOENT ? -ESRCH : r;
}

void devcg_close(struct devcg *devcg)
{
	cleanup_close(&devcg->v1);
	cleanup_close(&devcg->v2);
	free(devcg->path);
	*devcg = (struct devcg)DEVCG_EMPTY;
}

static int raise_net_admin(cap_flag_value_t value)
{
	cap_t caps = cap_get_proc();
	const cap_value_t cap = CAP_NET_ADMIN;
	int r = caps && cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, value) == 0 &&
				cap_set_proc(caps) == 0
			? 0
			: -EPERM;

	(void)cap_free(caps);
	return r;
}

static int query_now(int fd, uint32_t ids[PROGRAMS_MAX])
{
	union bpf_attr attr;
	int r;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.query_flags = BPF_F_QUERY_EFFECTIVE;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = PROGRAMS_MAX;
	r = sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr));
	return r < 0 ? r : (int)attr.query.prog_cnt;
}

/*
 * Programs in effect; -ENOSPC is more than we care to count. Older kernels (seen: 6.1) ask for
 * CAP_NET_ADMIN, which is raised for the moment.
 */
static int query(int fd, uint32_t ids[PROGRAMS_MAX])
{
	int r = query_now(fd, ids);

	if (r == -EPERM && raise_net_admin(CAP_SET) == 0) {
		r = query_now(fd, ids);
		(void)raise_net_admin(CAP_CLEAR);
	}
	return r;
}

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return h;
}

#define HASH_START UINT64_C(14695981039346656037)

/* Whatever their order. */
static uint64_t hash_programs(int fd)
{
	uint32_t ids[PROGRAMS_MAX];
	uint64_t sum = 0;
	int n = query(fd, ids);

	if (n == -ENODEV)
		return 0;
	if (n < 0) /* no programs in this kernel, or too many */
		return hash(HASH_START, &n, sizeof(n));
	for (int i = 0; i < n; i++)
		sum += hash(HASH_START, &ids[i], sizeof(ids[i]));
	return hash(HASH_START, &sum, sizeof(sum));
}

static uint64_t hash_list(int fd)
{
	auto_free char *list = NULL;
	size_t len;

	if (file_read_at(fd, "devices.list", TEXT_MAX, &list, &len, NULL) < 0)
		return 0;
	return hash(HASH_START, list, len);
}

uint64_t devcg_fingerprint(const struct devcg *devcg)
{
	uint64_t v1 = devcg->v1 < 0 ? 1 : hash_list(devcg->v1);
	uint64_t v2 = devcg->v2 < 0 ? 1 : hash_programs(devcg->v2);

	if (!v1 || !v2)
		return 0;
	return (v1 ^ (v2 << 1 | v2 >> 63)) | 1;
}

static bool has_id(const json_t *list, uint32_t id)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (json_integer_value(item) == (json_int_t)id)
			return true;
	}
	return false;
}

static bool programs_are_recorded(int fd, const json_t *programs)
{
	uint32_t ids[PROGRAMS_MAX];
	int n = query(fd, ids);

	if (n < 0)
		return json_array_size(programs) == 0;
	for (int i = 0; i < n; i++) {
		if (!has_id(programs, ids[i]))
			return false;
	}
	return (size_t)n == json_array_size(programs);
}

static bool list_permits(int fd, const json_t *rules)
{
	auto_free char *list = NULL;
	const json_t *rule;
	size_t i;

	if (file_read_at(fd, "devices.list", TEXT_MAX, &list, NULL, NULL) < 0)
		return true;
	json_array_foreach(rules, i, rule) {
		struct cgroup_rule wanted = {
			(unsigned int)json_integer_value(json_array_get(rule, 0)),
			(unsigned int)json_integer_value(json_array_get(rule, 1)),
			(unsigned int)json_integer_value(json_array_get(rule, 2))
		};
		struct cgroup_listed listed = cgroup_text_listed(list, &wanted);

		if (!listed.open && !listed.covered)
			return false;
	}
	return true;
}

bool devcg_is_as_recorded(const struct devcg *devcg, const json_t *step)
{
	return (devcg->v1 < 0 || list_permits(devcg->v1, json_object_get(step, "asked"))) &&
	       (devcg->v2 < 0 ||
		programs_are_recorded(devcg->v2, json_object_get(step, "programs")));
}

int devcg_programs(const struct devcg *devcg)
{
	uint32_t ids[PROGRAMS_MAX];

	return devcg->v2 < 0 ? -ENOENT : query(devcg->v2, ids);
}
