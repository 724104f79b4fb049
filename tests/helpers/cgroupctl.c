/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives inject/cgroup.h from a shell, for the end-to-end tests:
 *
 *	cgroupctl allow PID MAJOR:MINOR:ACCESS...    allow and say what was done
 *	cgroupctl undo PID MAJOR:MINOR:ACCESS...     allow, then undo at once
 *	cgroupctl revoke PID MAJOR:MINOR:ACCESS...   take it back later
 *	cgroupctl load PATH FLAGS|link RULES...      attach a program that allows only these
 *	cgroupctl count PATH                         programs attached there
 *	cgroupctl ids PATH                           their ids, the oldest first
 *
 * FLAGS are BPF_F_ALLOW_*: 0, 1 or 2. A link is kept until the input ends.
 * Exit status as nvinject's.
 *
 * LINK: inject/bpfdev.c inject/cgroup.c inject/cgroup1.c inject/cgroup2.c
 * LINK: inject/cgroup_members.c inject/cgroup_target.c common/cgroup_text.c inject/devprog.c inject/devprog_run.c
 * LINK: common/error.c common/file.c common/parse.c common/sys.c
 */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/bpfdev.h"
#include "inject/devprog.h"

#define RULES_MAX 64

static int fail(const struct error *err)
{
	char line[ERROR_LINE_MAX];

	error_line(err, NULL, line);
	fprintf(stderr, "cgroupctl: %s\n", line);
	return error_exit_status(err);
}

static size_t rules_parse(char **argv, struct cgroup_rule *rules)
{
	size_t n = 0;

	for (; *argv && n < RULES_MAX; argv++) {
		char access[4] = "";

		rules[n] = (struct cgroup_rule){ 0 };
		if (sscanf(*argv, "%u:%u:%3s", &rules[n].major, &rules[n].minor, access) != 3)
			exit(ERROR_USAGE);
		rules[n].access = (strchr(access, 'm') ? CGROUP_ACCESS_MKNOD : 0) |
				  (strchr(access, 'r') ? CGROUP_ACCESS_READ : 0) |
				  (strchr(access, 'w') ? CGROUP_ACCESS_WRITE : 0);
		n++;
	}
	return n;
}

static void print_undo(const struct cgroup_undo *undo)
{
	const struct cgroup_rule *added;
	char note[512];

	for (size_t i = 0; i < cgroup_undo_count(undo); i++) {
		const struct cgroup_change *c = cgroup_undo_at(undo, i);

		printf("v%u %s %s %s\n", c->version, c->result,
		       c->program_before != c->program_after ? "replaced" : "kept", c->path);
	}
	cgroup_undo_note(undo, note, sizeof(note));
	printf("note: %s\nadded: %zu\n", note, cgroup_undo_added(undo, &added));
}

static int cmd_target(const char *cmd, const char *pid, const struct cgroup_rule *rules, size_t n)
{
	struct cgroup_target *target = NULL;
	struct cgroup_undo *undo = NULL;
	struct error err = { 0 };
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? error_set(&err, -errno, "open '%s'", path)
		   : cgroup_target_open(atoi(pid), fd, &target, &err);
	if (r < 0)
		return fail(&err);
	(void)close(fd);
	if (strcmp(cmd, "revoke") == 0)
		r = cgroup_revoke(target, rules, n, &err);
	else
		r = cgroup_allow(target, rules, n, &undo, &err);
	cgroup_target_free(target);
	if (r == 0 && undo)
		print_undo(undo);
	if (r == 0 && strcmp(cmd, "undo") == 0)
		r = cgroup_undo(undo, &err);
	cgroup_undo_free(undo);
	return r < 0 ? fail(&err) : 0;
}

/* Everything but the rules is denied; a context register is kept elsewhere, as compilers do. */
static int program_load(const struct cgroup_rule *rules, size_t n)
{
	static const struct bpf_insn deny[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct devprog_rules *list = calloc(1, sizeof(*list));
	struct bpf_insn *insns = NULL;
	size_t n_insns;
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r == 0; i++)
		r = devprog_rules_add(list, &rules[i]);
	r = r ? r : devprog_build(list, deny, ARRAY_SIZE(deny), &insns, &n_insns);
	/* without our mark, so that it is a foreign program */
	if (r == 0 && n)
		insns[0].imm = 1;
	r = r ? r : bpfdev_load(insns, n_insns, "test_devices");
	free(insns);
	free(list);
	return r;
}

static int cmd_load(const char *path, const char *how, const struct cgroup_rule *rules, size_t n)
{
	bool link = strcmp(how, "link") == 0;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int prog = program_load(rules, n), r;
	struct error err = { 0 };
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	if (link) {
		attr.link_create.prog_fd = (unsigned int)prog;
		attr.link_create.target_fd = (unsigned int)dir;
		attr.link_create.attach_type = BPF_CGROUP_DEVICE;
	} else {
		attr.target_fd = (unsigned int)dir;
		attr.attach_bpf_fd = (unsigned int)prog;
		attr.attach_type = BPF_CGROUP_DEVICE;
		attr.attach_flags = (unsigned int)atoi(how);
	}
	r = prog < 0 ? prog
		     : sys_bpf(link ? BPF_LINK_CREATE : BPF_PROG_ATTACH, &attr, sizeof(attr));
	if (r < 0) {
		(void)error_set(&err, r, "attach to '%s'", path);
		return fail(&err);
	}
	printf("attached\n");
	fflush(stdout);
	while (link && getchar() != EOF)
		;
	return 0;
}

static int cmd_query(const char *path, bool ids)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct bpfdev_attached attached;
	int r = bpfdev_query(dir, &attached);
	struct error err = { 0 };

	if (r < 0) {
		(void)error_set(&err, r, "query '%s'", path);
		return fail(&err);
	}
	for (size_t i = 0; ids && i < attached.n; i++)
		printf("%u\n", attached.id[i]);
	if (!ids)
		printf("%zu\n", attached.n);
	return 0;
}

int main(int argc, char **argv)
{
	struct cgroup_rule rules[RULES_MAX];

	if (argc == 3 && (strcmp(argv[1], "count") == 0 || strcmp(argv[1], "ids") == 0))
		return cmd_query(argv[2], strcmp(argv[1], "ids") == 0);
	if (argc >= 4 && strcmp(argv[1], "load") == 0)
		return cmd_load(argv[2], argv[3], rules, rules_parse(argv + 4, rules));
	if (argc < 3)
		return ERROR_USAGE;
	return cmd_target(argv[1], argv[2], rules, rules_parse(argv + 3, rules));
}
