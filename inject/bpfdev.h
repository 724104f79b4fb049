/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_BPFDEV_H
#define NVFS_INJECT_BPFDEV_H

/*
 * bpf(2) as far as device programs of cgroups need it; libbpf is not linked into a
 * static program for eight calls. Every structure used is in linux/bpf.h since 5.7.
 * Descriptors returned are the caller's. Privilege: CAP_SYS_ADMIN; on
 * Linux 6.1 CAP_NET_ADMIN, too.
 */

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel allows 64 on one cgroup: BPF_CGROUP_MAX_PROGS, kernel/bpf/cgroup.c. */
#define BPFDEV_PROGS_MAX 64

struct bpfdev_attached {
	uint32_t id[BPFDEV_PROGS_MAX];
	size_t n;
	unsigned int flags; /* BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE or 0; of the cgroup */
};

struct bpfdev_prog {
	int fd;
	uint32_t id;
	char name[BPF_OBJ_NAME_LEN];
	bool has_maps;
	struct bpf_insn *insns; /* as the verifier left them; NULL when the kernel hides them */
	size_t n_insns;
};

/**
 * bpfdev_query() - device programs attached to this cgroup itself
 *
 * Return: 0 (also on a kernel without them: none) or the errno of bpf(2).
 */
int bpfdev_query(int cgroup_fd, struct bpfdev_attached *ret);

/**
 * bpfdev_open() - open a program and read its instructions
 * @ret: filled; release it with bpfdev_prog_done(), also after a failure
 *
 * Return: 0, -ENOENT (gone), -ENOMEM, -E2BIG or the errno of bpf(2).
 */
int bpfdev_open(uint32_t id, struct bpfdev_prog *ret);

/** bpfdev_prog_done() - close and free */
void bpfdev_prog_done(struct bpfdev_prog *prog);

/** bpfdev_id() - id of a program fd; 0 or the errno of bpf(2) */
int bpfdev_id(int prog_fd, uint32_t *ret);

/**
 * bpfdev_load() - load a device program
 * @name: may be empty
 *
 * Return: the fd, or the errno of bpf(2): -EINVAL or -EACCES when the verifier refuses.
 */
int bpfdev_load(const struct bpf_insn *insns, size_t n, const char *name);

/**
 * bpfdev_replace() - put one program in the place of another in one step
 * @flags: of the cgroup, from bpfdev_query()
 *
 * Also where a link holds the old program.
 *
 * Return: 0, -ENOENT (@old_fd is not attached here any more) or the errno of bpf(2).
 */
int bpfdev_replace(int cgroup_fd, unsigned int flags, int old_fd, int new_fd);

/**
 * bpfdev_attach() - add a program to those of a cgroup that allows several (BPF_F_ALLOW_MULTI)
 * bpfdev_detach() - take one of several away
 *
 * Return: 0, -ENOENT (detach: not attached here, or held by a link) or the errno of bpf(2).
 */
int bpfdev_attach(int cgroup_fd, int prog_fd);
int bpfdev_detach(int cgroup_fd, int prog_fd);

#endif
