/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_TESTS_APPLY_WORLD_H
#define NVFS_TESTS_APPLY_WORLD_H

/*
 * A container's root in a mount namespace of the test's own: as root by
 * unshare(CLONE_NEWNS), else in a user namespace. Where neither is allowed the
 * tests say so on stderr and check nothing.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "inject/apply.h"
#include "inject/record.h"
#include "inject/regular.h"
#include "inject/restore.h"
#include "tests/unit/unit.h"

static const char where[] = "/tmp"; /* of the namespace: a tmpfs of its own */
static char listing[65536];

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void put_id_map(const char *path, unsigned int id)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "0 %u 1", id);
	put(path, text);
}

static bool own_namespace(void)
{
	unsigned int uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return false;
		put("/proc/self/setgroups", "deny");
		put_id_map("/proc/self/uid_map", uid);
		put_id_map("/proc/self/gid_map", gid);
	}
	(void)umask(0);
	ck_assert_int_eq(regular_init(), 0);
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", where, "tmpfs", 0, "mode=755") == 0 && chdir(where) == 0;
}

/* root/: the container; tree/: the driver; sock: a socket to bind. */
static bool make_world(void)
{
	static const char *const dirs[] = { "tree",	"tree/bin",	"tree/etc", "pipes",
					    "root",	"root/dev",	"root/etc", "root/tmp",
					    "root/usr", "root/usr/bin", "root/run" };
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int sock;

	if (!own_namespace()) {
		(void)fprintf(stderr, "# no mount namespace to be had: nothing checked\n");
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		ck_assert_int_eq(mkdir(dirs[i], 0755), 0);
	ck_assert_int_eq(mount("tmpfs", "root/dev", "tmpfs", 0, "mode=755"), 0);
	put("tree/bin/nvidia-smi", "smi");
	put("tree/etc/ld.so.cache", "tree's cache");
	put("root/etc/ld.so.cache", "old cache");
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return true;
}

static int list_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t len = strlen(listing), room = sizeof(listing) - len;
	char text[128] = "";
	ssize_t n = 0;
	int fd;

	(void)type;
	(void)ftw;
	if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof(text) - 1);
		(void)close(fd);
	} else if (S_ISLNK(st->st_mode)) {
		n = readlink(path, text, sizeof(text) - 1);
	}
	text[n > 0 ? n : 0] = '\0';
	(void)snprintf(listing + len, room, "%s %o %u:%u %s\n", path, st->st_mode,
		       major(st->st_rdev), minor(st->st_rdev), text);
	return 0;
}

static inline int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A file that was replaced is another one in the order of its directory. */
static inline char *sorted(char *text)
{
	char *lines[2048], *line, *rest, *all = NULL;
	size_t n = 0, len;
	FILE *out = open_memstream(&all, &len);

	for (line = strtok_r(text, "\n", &rest); line && n < 2048;
	     line = strtok_r(NULL, "\n", &rest))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(out, "%s\n", lines[i]);
	ck_assert_int_eq(fclose(out), 0);
	return all;
}

/* Everything below root/, contents and mounts included, as text of the caller's. */
static inline char *list_world(void)
{
	auto_free char *mounts = NULL;
	char *line, *rest;

	listing[0] = '\0';
	ck_assert_int_eq(nftw("root", list_one, 32, FTW_PHYS), 0);
	ck_assert_int_eq(
		file_read_at(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &mounts, NULL, NULL), 0);
	for (line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *point = strstr(line, where);

		if (point) /* mount point, options: what stands before it are numbers */
			(void)snprintf(listing + strlen(listing), sizeof(listing) - strlen(listing),
				       "mount %.*s\n", (int)strcspn(point, "-"), point);
	}
	return sorted(listing);
}

static int clone_of(const char *path, uint64_t flags)
{
	struct sys_mount_attr attr = { .attr_set = flags };
	int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr), 0);
	return fd;
}

static const char steps_text[] =
	"{\"id\":\"c1\",\"token\":\"t\",\"plan\":["
	"{\"step\":\"tree\",\"target\":\"/usr/local/nvidia\",\"alternative\":\"/dev/"
	"nvfs\",\"fd\":0},"
	"{\"step\":\"device\",\"target\":\"/dev/nv0\",\"major\":1,\"minor\":3,\"fd\":1},"
	"{\"step\":\"device\",\"target\":\"/dev/nvcaps/cap1\",\"major\":1,\"minor\":5,\"fd\":2},"
	"{\"step\":\"socket\",\"target\":\"/run/nvd/socket\",\"fd\":3},"
	"{\"step\":\"socket\",\"target\":\"/tmp/pipes\",\"fd\":5},"
	"{\"step\":\"file\",\"target\":\"/etc/ld.so.conf.d/00-nvfs.conf\",\"alternative\":"
	"\"/etc/ld.so.conf.d/00-other.conf\",\"content\":\"# mark\\n/nv/lib64\\n\"},"
	"{\"step\":\"cache\",\"target\":\"/etc/ld.so.cache\",\"fd\":4},"
	"{\"step\":\"link\",\"target\":\"/etc/vulkan/icd.d/nv.json\",\"to\":\"/nv/icd.json\"},"
	"{\"step\":\"link\",\"target\":\"/usr/bin/nvidia-smi\",\"to\":\"/nv/bin/nvidia-smi\"}]}";

static inline struct apply *new_apply(struct plan *plan)
{
	const uint64_t ro = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	struct varlink_message reply = { .json = json_loads(steps_text, 0, NULL), .n_fds = 6 };
	struct apply *apply = calloc(1, sizeof(*apply));

	reply.fds[0] = clone_of("tree", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	reply.fds[1] = clone_of("/dev/null", ro);
	reply.fds[2] = clone_of("/dev/zero", ro);
	reply.fds[3] = clone_of("sock", ro | MOUNT_ATTR_NODEV);
	reply.fds[4] = file_memfd("cache", "merged", 6);
	reply.fds[5] = clone_of("pipes", ro | MOUNT_ATTR_NODEV);
	memset(plan, 0, sizeof(*plan));
	ck_assert_int_eq(plan_parse(&reply, false, plan, NULL), 0);
	varlink_message_done(&reply);
	apply->plan = plan;
	apply->roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	return apply;
}

static void free_apply(struct apply *apply, struct plan *plan)
{
	(void)close(apply->roots.root);
	apply_done(apply);
	plan_done(plan);
	free(apply);
	ck_assert_int_eq(chdir(where), 0); /* an undo leaves for "/" */
}

static inline const struct outcome *outcome_of(const struct apply *apply, const char *target)
{
	size_t i = 0;

	while (i < apply->plan->n && strcmp(apply->plan->steps[i].target, target) != 0)
		i++;
	ck_assert_uint_lt(i, apply->plan->n);
	return &apply->outcomes[i];
}

static inline const char *result_of(const struct apply *apply, enum step_kind kind)
{
	for (size_t i = 0; i < apply->plan->n; i++) {
		if (apply->plan->steps[i].kind == kind)
			return apply->outcomes[i].result;
	}
	return NULL;
}

/* A plan that fails at each of its effects in turn leaves the world as it was, and so does one that is taken back. */
static inline void ck_every_failure_is_undone(int (*run)(void *apply, struct error *err),
					      int (*undo)(void *apply, struct error *err))
{
	auto_free char *before = list_world();
	size_t fail_at;
	int r = -EIO;

	for (fail_at = 1; r == -EIO; fail_at++) {
		auto_free char *after = NULL;
		struct error err = { 0 };
		struct plan plan;
		struct apply *apply = new_apply(&plan);

		apply->effects.fail_at = fail_at;
		r = run(apply, &err);
		ck_assert_ptr_null(strstr(err.text, "undo"));
		if (r < 0)
			ck_assert_int_eq(err.class, ERROR_MOUNT);
		else
			ck_assert_int_eq(undo(apply, &err), 0);
		free_apply(apply, &plan);
		after = list_world();
		ck_assert_str_eq(before, after);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(fail_at, 12); /* every effect of the plan had its turn */
}

#endif
