/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans applied to a container's root in a mount namespace of the test's own:
 * as root by unshare(CLONE_NEWNS), else in a user namespace. Where neither is
 * allowed the tests say so on stderr and check nothing.
 */
#include "inject/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "inject/enter.h"
#include "inject/record.h"
#include "inject/restore.h"

#include "inject/regular.h"
#include "inject/shared.h"
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
	static const char *const dirs[] = { "tree",	"tree/bin",	"tree/etc",
					    "root",	"root/dev",	"root/etc",
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

/* Everything below root/, contents and mounts included, as text of the caller's. */
static char *list_world(void)
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
	return strdup(listing);
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
	"{\"step\":\"file\",\"target\":\"/etc/ld.so.conf.d/00-nvfs.conf\",\"content\":\"/nv/"
	"lib64\\n\"},"
	"{\"step\":\"cache\",\"target\":\"/etc/ld.so.cache\",\"fd\":4},"
	"{\"step\":\"link\",\"target\":\"/usr/bin/nvidia-smi\",\"to\":\"/nv/bin/nvidia-smi\"}]}";

static struct apply *new_apply(struct plan *plan)
{
	const uint64_t ro = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	struct varlink_message reply = { .json = json_loads(steps_text, 0, NULL), .n_fds = 5 };
	struct apply *apply = calloc(1, sizeof(*apply));

	reply.fds[0] = clone_of("tree", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	reply.fds[1] = clone_of("/dev/null", ro);
	reply.fds[2] = clone_of("/dev/zero", ro);
	reply.fds[3] = clone_of("sock", ro | MOUNT_ATTR_NODEV);
	reply.fds[4] = file_memfd("cache", "merged", 6);
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

static const char *result_of(const struct apply *apply, enum step_kind kind)
{
	for (size_t i = 0; i < apply->plan->n; i++) {
		if (apply->plan->steps[i].kind == kind)
			return apply->outcomes[i].result;
	}
	return NULL;
}

START_TEST(a_plan_is_applied_and_taken_back_whole)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	ck_assert_int_eq(access("root/usr/local/nvidia/bin/nvidia-smi", F_OK), 0);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_DEVICE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_SOCKET), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "replaced");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "created");
	ck_assert_int_eq(apply_undo(apply, &err), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_failure_at_any_effect_leaves_nothing_behind)
{
	auto_free char *before = NULL;
	size_t fail_at;
	int r = -EIO;

	if (!make_world())
		return;
	before = list_world();
	for (fail_at = 1; r == -EIO; fail_at++) {
		auto_free char *after = NULL;
		struct plan plan;
		struct apply *apply = new_apply(&plan);
		struct error err = { 0 };

		apply->effects.fail_at = fail_at;
		r = apply_run(apply, &err);
		if (r < 0)
			ck_assert_int_eq(err.class, ERROR_MOUNT);
		else
			ck_assert_int_eq(apply_undo(apply, &err), 0);
		free_apply(apply, &plan);
		after = list_world();
		ck_assert_str_eq(before, after);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(fail_at, 12); /* every effect of the plan had its turn */
}
END_TEST

START_TEST(twice_changes_nothing)
{
	auto_free char *once = NULL, *twice = NULL;
	struct apply *first, *second;
	struct plan plan, again;

	if (!make_world())
		return;
	first = new_apply(&plan);
	ck_assert_int_eq(apply_run(first, NULL), 0);
	once = list_world();
	second = new_apply(&again);
	ck_assert_int_eq(apply_run(second, NULL), 0);
	for (size_t i = 0; i < again.n; i++)
		ck_assert_str_eq(second->outcomes[i].result, "already");
	ck_assert_uint_eq(second->effects.n, 0);
	free_apply(second, &again);
	twice = list_world();
	ck_assert_str_eq(once, twice);
	free_apply(first, &plan);
}
END_TEST

START_TEST(a_record_is_enough_to_take_all_back_later)
{
	auto_free char *before = NULL, *after = NULL;
	struct restore restore = { .cache = "old cache", .cache_len = 9 };
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	restore.done = done;
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	ck_assert_uint_eq(restore.left, 0);
	place_roots_done(&restore.roots);
	json_decref(done);
	ck_assert_int_eq(chdir(where), 0);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_removal_leaves_what_is_no_longer_ours)
{
	struct restore restore = { .cache = NULL };
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local/nvidia", "tmpfs", 0, ""), 0);
	ck_assert_int_eq(unlink("root/usr/bin/nvidia-smi"), 0);
	ck_assert_int_eq(symlink("elsewhere", "root/usr/bin/nvidia-smi"), 0);
	put("root/etc/ld.so.conf.d/00-nvfs.conf", "changed");
	restore.done = done;
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_uint_eq(restore.left, 4); /* tree, conf.d file, cache, link */
	ck_assert_int_eq(access("root/usr/local/nvidia", F_OK), 0);
	ck_assert_int_eq(access("root/etc/ld.so.conf.d/00-nvfs.conf", F_OK), 0);
	ck_assert_int_eq(access("root/dev/nv0", F_OK), -1);
	place_roots_done(&restore.roots);
	json_decref(done);
}
END_TEST

/* Prepares the world by shell-like calls, then expects the tree's alternative to be wanted. */
static void expect_alternative(void)
{
	auto_free char *before = list_world(), *after = NULL;
	struct error err = { 0 };
	struct plan plan;
	struct apply *apply = new_apply(&plan);

	ck_assert_int_lt(apply_run(apply, &err), 0);
	ck_assert(apply->wants_alternative);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(a_target_that_leads_elsewhere_is_not_followed)
{
	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(symlink("/etc", "root/usr/local/nvidia"), 0);
	expect_alternative(); /* a link as the last component */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	ck_assert_int_eq(symlink("/nowhere", "root/usr/local/nvidia"), 0);
	expect_alternative(); /* a dangling one */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	put("root/usr/local/nvidia", "");
	expect_alternative(); /* a file */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	ck_assert_int_eq(rmdir("root/usr/local"), 0);
	ck_assert_int_eq(symlink("/proc/1/root/tmp", "root/usr/local"), 0);
	expect_alternative(); /* a parent out of the root */
}
END_TEST

START_TEST(a_volume_of_the_users_is_not_written_to)
{
	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local", "tmpfs", 0, ""), 0);
	expect_alternative();
	ck_assert_int_eq(umount("root/usr/local"), 0);
	ck_assert_int_eq(mkdir("root/usr/local/nvidia", 0755), 0);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local/nvidia", "tmpfs", 0, ""), 0);
	expect_alternative();
}
END_TEST

START_TEST(links_of_the_image_stay_within_the_image)
{
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/var", 0755), 0);
	ck_assert_int_eq(mkdir("root/var/usrlocal", 0755), 0);
	ck_assert_int_eq(symlink("../../../../var/usrlocal", "root/usr/local"), 0);
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_int_eq(access("root/var/usrlocal/nvidia/bin/nvidia-smi", F_OK), 0);
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

START_TEST(something_else_at_a_devices_name_is_an_error)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkfifo("root/dev/nv0", 0600), 0);
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, &err), -EEXIST);
	ck_assert(!apply->wants_alternative);
	ck_assert_ptr_nonnull(strstr(err.text, "'/dev/nv0' is there and is something else"));
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(nothing_is_made_in_the_hosts_own_dev)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;
	struct stat st;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(stat("root/dev", &st), 0);
	apply->roots.host_dev = st.st_dev;
	ck_assert_int_eq(apply_run(apply, &err), -ENOENT);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* procfs has directories of just the mode that ours get: to remove one would be refused. */
START_TEST(what_looks_like_ours_is_adopted_but_not_where_the_host_owns_it)
{
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;
	struct stat st;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/dev/nvcaps", 0755), 0);
	put("root/dev/nvcaps/cap1", "");
	put("root/dev/nv0", "");
	ck_assert_int_eq(chmod("root/dev/nv0", 0444), 0);
	ck_assert_int_eq(stat("root/dev", &st), 0);
	for (int host = 0; host < 2; host++) {
		apply = new_apply(&plan);
		apply->adopt = true;
		apply->roots.host_dev = host ? st.st_dev : 0;
		ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
		ck_assert_str_eq(plan.steps[1].target, "/dev/nv0");
		ck_assert(apply->outcomes[1].made == !host);
		ck_assert_int_eq(apply_undo(apply, &err), 0);
		free_apply(apply, &plan);
	}
}
END_TEST

START_TEST(a_read_only_root_gets_the_cache_by_a_bind)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(mkdir("root/usr/local/nvidia", 0755), 0);
	ck_assert_int_eq(mount("root", "root", NULL, MS_BIND | MS_REC, NULL), 0);
	ck_assert_int_eq(mount(NULL, "root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "bound");
	ck_assert_str_eq(result_of(apply, STEP_FILE), "omitted");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "omitted");
	ck_assert_str_eq(result_of(apply, STEP_SOCKET), "omitted");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_cache_that_is_a_link_is_left_alone)
{
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	put("victim", "precious");
	ck_assert_int_eq(unlink("root/etc/ld.so.cache"), 0);
	ck_assert_int_eq(symlink("../../victim", "root/etc/ld.so.cache"), 0);
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "omitted");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

/* Check has a handler of its own, and the filters want no new privileges. */
static void as_nvinject_begins(void)
{
	(void)signal(SIGALRM, SIG_DFL);
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
}

static int reads_target(void *json, struct error *err)
{
	(void)err;
	return (int)strlen(varlink_string(json, "target", ""));
}

static int wait_for_ever(void *arg, struct error *err)
{
	(void)err;
	*(int *)arg = fcntl(0, F_DUPFD, 3);
	while (poll(NULL, 0, -1) < 0)
		;
	return 0;
}

START_TEST(a_call_that_hangs_inside_is_ended_and_what_it_opened_stays)
{
	struct error err = { 0 };
	int *fd = shared_new(sizeof(*fd));

	as_nvinject_begins();
	*fd = -1;
	ck_assert_int_eq(enter_run(-1, 100, wait_for_ever, fd, &err), -ETIMEDOUT);
	ck_assert_int_eq(err.class, ERROR_MOUNT);
	ck_assert_int_ge(*fd, 0);
	ck_assert_int_ge(fcntl(*fd, F_GETFD), 0);
	(void)close(*fd);
	shared_free(fd, sizeof(*fd));
}
END_TEST

struct sum {
	int a, b, result;
};

static int add(void *arg, struct error *err)
{
	struct sum *sum = arg;

	if (sum->a < 0)
		return error_set(err, -EINVAL, "add %d", sum->a);
	sum->result = sum->a + sum->b;
	return 0;
}

static int die(void *arg, struct error *err)
{
	(void)arg;
	(void)err;
	(void)raise(SIGKILL);
	return 0;
}

START_TEST(one_child_does_several_calls_while_we_go_on)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	struct error err = { 0 };
	pid_t child;

	as_nvinject_begins();
	*sum = (struct sum){ .a = 1, .b = 2 };
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, add, sum, &err), 0);
	child = enter.pid;
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	ck_assert_int_eq(sum->result, 3);
	sum->a = -4; /* what it gets is what is there now */
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter.pid, child);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), -EINVAL);
	ck_assert_str_eq(err.text, "add -4: Invalid argument");
	enter_stop(&enter);
	enter_done(&enter);
	ck_assert_int_eq(enter.pid, 0);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
	shared_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(after_a_child_that_died_there_is_another)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	struct error err = { 0 };

	as_nvinject_begins();
	*sum = (struct sum){ .a = 1, .b = 2 };
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, die, sum, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), -ECHILD);
	ck_assert_str_eq(err.text, "ended inside the container by signal 9");
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, add, sum, NULL), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, NULL), 0);
	ck_assert_int_eq(sum->result, 3);
	enter_done(&enter);
	shared_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(json_that_is_made_later_is_known_to_the_child)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	json_t *before = json_pack("{s:i}", "a", 1), *after;
	struct error err = { 0 };

	as_nvinject_begins();
	ck_assert_int_eq(shared_json(), 0);
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	after = json_pack("{s:s, s:s}", "target", "/usr/local/nvidia", "other", "x");
	ck_assert_int_eq(enter_begin(&enter, -1, 5000, reads_target, after, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 17);
	json_decref(after);
	json_decref(before); /* malloc's */
	enter_done(&enter);
	shared_free(sum, sizeof(*sum));
}
END_TEST

UNIT_MAIN("apply", a_plan_is_applied_and_taken_back_whole,
	  a_failure_at_any_effect_leaves_nothing_behind, twice_changes_nothing,
	  a_record_is_enough_to_take_all_back_later, a_removal_leaves_what_is_no_longer_ours,
	  a_target_that_leads_elsewhere_is_not_followed, a_volume_of_the_users_is_not_written_to,
	  links_of_the_image_stay_within_the_image, something_else_at_a_devices_name_is_an_error,
	  nothing_is_made_in_the_hosts_own_dev,
	  what_looks_like_ours_is_adopted_but_not_where_the_host_owns_it, a_read_only_root_gets_the_cache_by_a_bind,
	  a_cache_that_is_a_link_is_left_alone,
	  a_call_that_hangs_inside_is_ended_and_what_it_opened_stays,
	  one_child_does_several_calls_while_we_go_on, after_a_child_that_died_there_is_another,
	  json_that_is_made_later_is_known_to_the_child)
