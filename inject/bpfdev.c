/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device programs of cgroups by bpf(2). A program is replaced in one step, never
 * detached first: there is no moment at which a cgroup has fewer programs than
 * whoever attached them wants.
 */
#include "inject/bpfdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "inject/devprog.h"

#define LOAD_TRIES 5

static uint64_t pointer(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

int bpfdev_query(int cgroup_fd, struct bpfdev_attached *ret)
{
	union bpf_attr attr;
	int r;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = pointer(ret->id);
	attr.query.prog_cnt = BPFDEV_PROGS_MAX;
	r = sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr));
	ret->n = 0;
	ret->flags = 0;
	if (r == -EINVAL || r == -ENOSYS) /* no CONFIG_CGROUP_BPF, no bpf(2) */
		return 0;
	if (r < 0)
		return r;
	ret->n = attr.query.prog_cnt;
	ret->flags = attr.query.attach_flags & (BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI);
	return 0;
}

static int fd_by_id(int cmd, uint32_t id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id; /* link_id lies in the same place */
	return sys_bpf(cmd, &attr, sizeof(attr));
}

static int info_by_fd(int fd, void *info, size_t size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = (uint32_t)size;
	attr.info.info = pointer(info);
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
}

int bpfdev_id(int prog_fd, uint32_t *ret)
{
	struct bpf_prog_info info;
	int r;

	memset(&info, 0, sizeof(info));
	r = info_by_fd(prog_fd, &info, sizeof(info));
	if (r == 0)
		*ret = info.id;
	return r;
}

int bpfdev_open(uint32_t id, struct bpfdev_prog *ret)
{
	struct bpf_prog_info info;
	uint32_t size;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->id = id;
	ret->fd = fd_by_id(BPF_PROG_GET_FD_BY_ID, id);
	if (ret->fd < 0)
		return ret->fd;
	memset(&info, 0, sizeof(info));
	r = info_by_fd(ret->fd, &info, sizeof(info));
	if (r < 0)
		return r;
	memcpy(ret->name, info.name, sizeof(ret->name) - 1);
	ret->has_maps = info.nr_map_ids > 0;
	size = info.xlated_prog_len;
	if (size / sizeof(struct bpf_insn) > DEVPROG_OLD_MAX + DEVPROG_OLD_MAX)
		return -E2BIG;
	ret->insns = calloc(1, size ? size : 1);
	if (!ret->insns)
		return -ENOMEM;
	memset(&info, 0, sizeof(info));
	info.xlated_prog_len = size;
	info.xlated_prog_insns = pointer(ret->insns);
	r = info_by_fd(ret->fd, &info, sizeof(info));
	/* The kernel sets the pointer to 0 when it does not show a blinded program. */
	if (r == 0 && info.xlated_prog_insns && info.xlated_prog_len == size)
		ret->n_insns = size / sizeof(struct bpf_insn);
	return r;
}

void bpfdev_prog_done(struct bpfdev_prog *prog)
{
	cleanup_close(&prog->fd);
	prog->fd = -1;
	free(prog->insns);
	prog->insns = NULL;
}

/* Before 5.11 programs count against RLIMIT_MEMLOCK. */
static bool raise_memlock(void)
{
	struct rlimit limit = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	return setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

int bpfdev_load(const struct bpf_insn *insns, size_t n, const char *name)
{
	static const char license[] = "Apache-2.0";
	int r = -EAGAIN;

	/* EAGAIN: the verifier was interrupted by a signal */
	for (int i = 0; i < LOAD_TRIES && r == -EAGAIN; i++) {
		union bpf_attr attr;

		memset(&attr, 0, sizeof(attr));
		attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
		attr.insns = pointer(insns);
		attr.insn_cnt = (uint32_t)n;
		attr.license = pointer(license);
		memcpy(attr.prog_name, name, strnlen(name, BPF_OBJ_NAME_LEN - 1));
		r = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
		if (r == -EPERM && i == 0 && raise_memlock())
			r = -EAGAIN;
	}
	return r;
}

/* The link that holds this program here: its fd, or -ENOENT. */
static int link_find(uint64_t cgroup_id, uint32_t prog_id)
{
	uint32_t id = 0;

	for (;;) {
		struct bpf_link_info info;
		union bpf_attr attr;
		auto_close int fd = -1;

		memset(&attr, 0, sizeof(attr));
		attr.start_id = id;
		if (sys_bpf(BPF_LINK_GET_NEXT_ID, &attr, sizeof(attr)) < 0)
			return -ENOENT;
		id = attr.next_id;
		fd = fd_by_id(BPF_LINK_GET_FD_BY_ID, id);
		memset(&info, 0, sizeof(info));
		if (fd < 0 || info_by_fd(fd, &info, sizeof(info)) < 0)
			continue;
		if (info.type == BPF_LINK_TYPE_CGROUP && info.prog_id == prog_id &&
		    info.cgroup.cgroup_id == cgroup_id &&
		    info.cgroup.attach_type == BPF_CGROUP_DEVICE)
			return take_fd(&fd);
	}
}

static int link_replace(int cgroup_fd, int old_fd, int new_fd)
{
	auto_close int link = -1;
	union bpf_attr attr;
	uint32_t old_id;
	struct stat st;
	int r;

	/* A cgroup's id is its inode number on 64-bit machines: kernfs_id(), linux/kernfs.h. */
	r = bpfdev_id(old_fd, &old_id);
	if (r < 0 || fstat(cgroup_fd, &st) < 0)
		return r < 0 ? r : -errno;
	link = link_find(st.st_ino, old_id);
	if (link < 0)
		return link;
	memset(&attr, 0, sizeof(attr));
	attr.link_update.link_fd = (uint32_t)link;
	attr.link_update.new_prog_fd = (uint32_t)new_fd;
	attr.link_update.old_prog_fd = (uint32_t)old_fd;
	attr.link_update.flags = BPF_F_REPLACE;
	r = sys_bpf(BPF_LINK_UPDATE, &attr, sizeof(attr));
	return r == -EPERM ? -ENOENT : r; /* EPERM: another program is in the link by now */
}

/* Where only one program can be, attaching replaces whatever is there: look just before. */
static int single_replace(int cgroup_fd, unsigned int flags, int old_fd, int new_fd)
{
	struct bpfdev_attached now;
	union bpf_attr attr;
	uint32_t old_id;
	int r;

	r = bpfdev_id(old_fd, &old_id);
	if (r == 0)
		r = bpfdev_query(cgroup_fd, &now);
	if (r < 0)
		return r;
	if (now.n != 1 || now.id[0] != old_id || now.flags != flags)
		return -ENOENT;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)new_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = flags;
	return sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr));
}

int bpfdev_replace(int cgroup_fd, unsigned int flags, int old_fd, int new_fd)
{
	union bpf_attr attr;
	int r;

	if (!(flags & BPF_F_ALLOW_MULTI))
		return single_replace(cgroup_fd, flags, old_fd, new_fd);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)new_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE;
	attr.replace_bpf_fd = (uint32_t)old_fd;
	r = sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr));
	return r == -ENOENT ? link_replace(cgroup_fd, old_fd, new_fd) : r;
}

static int attach_or_detach(int cmd, int cgroup_fd, int prog_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = cmd == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
	return sys_bpf(cmd, &attr, sizeof(attr));
}

int bpfdev_attach(int cgroup_fd, int prog_fd)
{
	return attach_or_detach(BPF_PROG_ATTACH, cgroup_fd, prog_fd);
}

int bpfdev_detach(int cgroup_fd, int prog_fd)
{
	return attach_or_detach(BPF_PROG_DETACH, cgroup_fd, prog_fd);
}
