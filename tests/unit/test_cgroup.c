/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cgroup_text.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "inject/cgroup_impl.h"
#include "tests/unit/unit.h"

#define R CGROUP_ACCESS_READ
#define W CGROUP_ACCESS_WRITE
#define M CGROUP_ACCESS_MKNOD

static const char hybrid[] = "9:name=systemd:/user.slice\n"
			     "5:cpu,devices:/docker/a:b\n"
			     "4:memory:/x\n"
			     "0::/system.slice/docker-1.scope\n";

static void path_is(const char *text, unsigned int version, const char *want)
{
	auto_free char *path = NULL;

	ck_assert_int_eq(cgroup_text_path(text, version, &path), 0);
	if (want)
		ck_assert_str_eq(path, want);
	else
		ck_assert_ptr_null(path);
}

START_TEST(each_hierarchy_has_its_line)
{
	path_is(hybrid, 1, "/docker/a:b");
	path_is(hybrid, 2, "/system.slice/docker-1.scope");
	path_is("0::/\n", 2, "/");
	path_is("0::/no-newline", 2, "/no-newline");
}
END_TEST

START_TEST(a_missing_hierarchy_is_no_error)
{
	path_is("0::/x\n", 1, NULL);
	path_is("5:devices:/x\n", 2, NULL);
	path_is("", 1, NULL);
}
END_TEST

START_TEST(names_that_look_like_devices_are_not)
{
	path_is("3:devicesx:/a\n2:xdevices:/b\n1:name=devices:/c\n", 1, NULL);
	path_is("3:name=a,devices:/c\n", 1, NULL);
	path_is("3:memory:/devices\n4:devices:/d\n", 1, "/d");
	path_is("7::/not-v2\n", 2, NULL);
}
END_TEST

START_TEST(lines_that_cannot_be_used_are_refused)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "junk\n", -EINVAL },
		{ "0:\n", -EINVAL },
		{ "0::\n", -EINVAL },
		{ "0::relative\n", -EINVAL },
		{ "0::/../other\n", -EXDEV },
		{ "0::/..\n", -EXDEV },
		{ "0::/gone (deleted)\n", -ENOENT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *path = NULL;

		ck_assert_int_eq(cgroup_text_path(cases[i].text, 2, &path), cases[i].want);
		ck_assert_ptr_null(path);
	}
	path_is("0::/..almost\n", 2, "/..almost");
}
END_TEST

static const char mountinfo[] =
	"30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
	"31 30 0:28 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
	"short line\n"
	"35 30 0:32 /a\\040b /sys/fs/cgroup/my\\040devices rw shared:1 master:2 - cgroup cgroup "
	"rw,devices\n"
	"36 30 0:33 / /mnt/devices rw - ext4 /dev/sda rw,devices\n"
	"40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
	"41 30 0:37 / /second rw - cgroup2 cgroup2 rw";

START_TEST(mounts_are_found_by_type_and_options)
{
	struct cgroup_mount mount = { 0 };
	const char *cursor = mountinfo;

	ck_assert_int_eq(cgroup_text_mount(&cursor, 1, &mount), 1);
	ck_assert_str_eq(mount.point, "/sys/fs/cgroup/my devices");
	ck_assert_str_eq(mount.root, "/a b");
	cgroup_mount_done(&mount);
	ck_assert_int_eq(cgroup_text_mount(&cursor, 1, &mount), 0);
	ck_assert_int_eq(cgroup_text_mount(&cursor, 1, &mount), 0);

	cursor = mountinfo;
	ck_assert_int_eq(cgroup_text_mount(&cursor, 2, &mount), 1);
	ck_assert_str_eq(mount.point, "/sys/fs/cgroup/unified");
	cgroup_mount_done(&mount);
	ck_assert_int_eq(cgroup_text_mount(&cursor, 2, &mount), 1);
	ck_assert_str_eq(mount.point, "/second");
	cgroup_mount_done(&mount);
	ck_assert_int_eq(cgroup_text_mount(&cursor, 2, &mount), 0);
}
END_TEST

START_TEST(a_path_is_taken_below_the_mounts_root_or_not_at_all)
{
	ck_assert_str_eq(cgroup_text_below("/a/b", "/"), "a/b");
	ck_assert_str_eq(cgroup_text_below("/", "/"), "");
	ck_assert_str_eq(cgroup_text_below("/a/b", "/a"), "b");
	ck_assert_str_eq(cgroup_text_below("/a", "/a"), "");
	ck_assert_ptr_null(cgroup_text_below("/ab", "/a"));
	ck_assert_ptr_null(cgroup_text_below("/", "/a"));
	ck_assert_ptr_null(cgroup_text_below("/a/b", "/.."));
}
END_TEST

static const char list[] =
	"c *:* m\nc 1:3 rwm\nc 195:0 r\nc 136:* rw\nb 195:255 rwm\nc x:y rwm\nc 9\n";

START_TEST(a_line_covers_a_rule_only_with_all_its_bits)
{
	static const struct {
		struct cgroup_rule rule;
		bool covered;
		unsigned int exact;
	} cases[] = {
		{ { 1, 3, R | W }, true, R | W | M },
		{ { 195, 0, R }, true, R },
		{ { 195, 0, R | W }, false, R },
		{ { 195, 0, R | M }, false, R }, /* "m" is on another line: the kernel wants one */
		{ { 195, 0, M }, true, R },
		{ { 136, 7, R | W }, true, 0 },
		{ { 195, 255, R }, false, 0 }, /* a block device's line */
		{ { 9, 0, R }, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup_listed listed = cgroup_text_listed(list, &cases[i].rule);

		ck_assert_int_eq(listed.covered, cases[i].covered);
		ck_assert_uint_eq(listed.access, cases[i].exact);
		ck_assert(!listed.open);
	}
}
END_TEST

START_TEST(a_list_of_everything_is_open)
{
	const struct cgroup_rule rule = { 195, 0, R | W };

	ck_assert(cgroup_text_listed("a *:* rwm\n", &rule).open);
	ck_assert(!cgroup_text_listed("", &rule).open);
	ck_assert(!cgroup_text_listed("", &rule).covered);
}
END_TEST

START_TEST(a_rule_is_written_as_the_kernel_reads_it)
{
	char text[CGROUP_RULE_TEXT];

	cgroup_text_rule(&(struct cgroup_rule){ 195, 255, R | W }, text);
	ck_assert_str_eq(text, "c 195:255 rw");
	cgroup_text_rule(&(struct cgroup_rule){ UINT32_MAX, UINT32_MAX, R | W | M }, text);
	ck_assert_str_eq(text, "c 4294967295:4294967295 rwm");
}
END_TEST

/* A directory with these two files plays a v1 cgroup. */
static struct cgroup_level fake_level(const char *devices)
{
	char dir[] = "/tmp/nvfs-test-cgroup-XXXXXX";
	struct cgroup_level level;
	static const char *const files[] = { "devices.list", "devices.allow", "devices.deny",
					     "cgroup.procs" };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	level.path = strdup(dir);
	level.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_close int fd = openat(level.fd, files[i], O_WRONLY | O_CREAT | O_APPEND, 0600);

		if (i == 0)
			ck_assert_int_eq(write(fd, devices, strlen(devices)), (int)strlen(devices));
	}
	return level;
}

static void fake_done(struct cgroup_level *level)
{
	static const char *const files[] = { "devices.list", "devices.allow", "devices.deny",
					     "cgroup.procs" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(level->fd, files[i], 0);
	(void)rmdir(level->path);
	(void)close(level->fd);
	free(level->path);
}

static void file_is(const struct cgroup_level *level, const char *name, const char *want)
{
	auto_close int fd = openat(level->fd, name, O_RDONLY | O_CLOEXEC);
	char buf[256];
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, want);
}

START_TEST(v1_adds_only_what_is_missing_and_takes_only_that_back)
{
	const struct cgroup_rule rules[] = { { 195, 0, R | W },
					     { 1, 3, R | W },
					     { 195, 255, R | W } };
	struct cgroup_level levels[2] = { fake_level("a *:* rwm\n"), fake_level(list) };
	struct cgroup_target target = { .proc_fd = -1,
					.hierarchy[0] = { .version = 1, .levels = levels, .n = 2 },
					.hierarchy[1] = { .version = 2 } };
	struct cgroup_undo *undo = NULL;
	const struct cgroup_rule *added;
	char note[256];

	ck_assert_int_eq(cgroup_allow(&target, rules, 3, &undo, NULL), 0);
	file_is(&levels[1], "devices.allow", "c 195:0 wc 195:255 rw");
	file_is(&levels[0], "devices.allow", "");
	ck_assert_uint_eq(cgroup_undo_count(undo), 1);
	ck_assert_str_eq(cgroup_undo_at(undo, 0)->result, "changed");
	ck_assert_ptr_null(cgroup_undo_at(undo, 1));
	ck_assert_uint_eq(cgroup_undo_added(undo, &added), 2);
	ck_assert_uint_eq(added[0].access, W);
	cgroup_undo_note(undo, note, sizeof(note));
	ck_assert_int_eq(strncmp(note, "changed '/tmp/", 14), 0);
	cgroup_undo_note(undo, note, 5);
	ck_assert_str_eq(note, "chan");
	ck_assert_int_eq(cgroup_undo(undo, NULL), 0);
	ck_assert_int_eq(cgroup_undo(undo, NULL), 0);
	file_is(&levels[1], "devices.deny", "c 195:255 rwc 195:0 w");
	cgroup_undo_free(undo);
	fake_done(&levels[0]);
	fake_done(&levels[1]);
}
END_TEST

START_TEST(v1_undoes_the_first_cgroup_when_the_second_fails)
{
	const struct cgroup_rule rule = { 195, 0, R | W };
	struct cgroup_level levels[2] = { fake_level("c 1:3 rwm\n"), fake_level("c 1:3 rwm\n") };
	struct cgroup_target target = { .proc_fd = -1,
					.hierarchy[0] = { .version = 1, .levels = levels, .n = 2 },
					.hierarchy[1] = { .version = 2 } };
	struct cgroup_undo *undo = NULL;
	struct error err = { 0 };

	ck_assert_int_eq(unlinkat(levels[1].fd, "devices.allow", 0), 0);
	ck_assert_int_eq(cgroup_allow(&target, &rule, 1, &undo, &err), -ENOENT);
	ck_assert_ptr_null(undo);
	ck_assert_int_eq(err.class, ERROR_PERMISSION);
	file_is(&levels[0], "devices.allow", "c 195:0 rw");
	file_is(&levels[0], "devices.deny", "c 195:0 rw");
	file_is(&levels[1], "devices.deny", "");
	fake_done(&levels[0]);
	fake_done(&levels[1]);
}
END_TEST

START_TEST(v1_refuses_a_cgroup_with_a_foreign_process)
{
	const struct cgroup_rule rule = { 195, 0, R | W };
	struct cgroup_level level = fake_level("c 1:3 rwm\n");
	struct cgroup_target target = { .proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC),
					.hierarchy[0] = { .version = 1, .levels = &level, .n = 1 },
					.hierarchy[1] = { .version = 2 } };
	auto_close int fd = openat(level.fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	struct cgroup_undo *undo = NULL;
	struct error err = { 0 };

	/* ourselves, in a cgroup said to be that of a container in other namespaces */
	ck_assert_int_gt(dprintf(fd, "%d\n", (int)getpid()), 0);
	ck_assert_int_eq(cgroup_allow(&target, &rule, 1, &undo, &err), -EPERM);
	ck_assert_int_eq(err.class, ERROR_PERMISSION);
	ck_assert_ptr_nonnull(strstr(err.text, level.path));
	file_is(&level, "devices.allow", "");
	/* our own namespaces count for nothing, even when they are the target's too */
	ck_assert_int_eq(cgroup_ns_read(target.proc_fd, "self/ns/mnt", &target.mnt_ns), 0);
	ck_assert_int_eq(cgroup_ns_read(target.proc_fd, "self/ns/pid", &target.pid_ns), 0);
	target.our_mnt_ns = target.mnt_ns;
	target.our_pid_ns = target.pid_ns;
	ck_assert_int_eq(cgroup_allow(&target, &rule, 1, &undo, NULL), -EPERM);
	/* in a namespace of the target's that is not ours it is the container's */
	target.our_mnt_ns.ino++;
	ck_assert_int_eq(cgroup_allow(&target, &rule, 1, &undo, NULL), 0);
	cgroup_undo_free(undo);
	(void)close(target.proc_fd);
	fake_done(&level);
}
END_TEST

START_TEST(v1_takes_the_containers_own_back_whoever_is_in_it)
{
	const struct cgroup_rule rule = { 195, 0, R | W };
	struct cgroup_level levels[2] = { fake_level("c 195:0 rw\n"), fake_level("c 195:0 rw\n") };
	struct cgroup_target target = { .proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC),
					.hierarchy[0] = { .version = 1, .levels = levels, .n = 2 },
					.hierarchy[1] = { .version = 2 } };

	/* ourselves, in both: strangers */
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		auto_close int fd = openat(levels[i].fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

		ck_assert_int_gt(dprintf(fd, "%d\n", (int)getpid()), 0);
	}
	ck_assert_int_eq(cgroup_revoke(&target, &rule, 1, NULL), 0);
	file_is(&levels[1], "devices.deny", "c 195:0 rw");
	file_is(&levels[0], "devices.deny", "");
	(void)close(target.proc_fd);
	fake_done(&levels[0]);
	fake_done(&levels[1]);
}
END_TEST

START_TEST(bad_rules_and_dead_processes_are_named_errors)
{
	const struct cgroup_rule bad = { 195, 0, 0 };
	struct cgroup_target none = { .proc_fd = -1,
				      .hierarchy = { { .version = 1 }, { .version = 2 } } };
	struct cgroup_target *target = NULL;
	struct cgroup_undo *undo = NULL;
	struct error err = { 0 };
	auto_close int not_proc = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_eq(cgroup_allow(&none, &bad, 1, &undo, &err), -EINVAL);
	ck_assert_ptr_null(undo);
	ck_assert_int_lt(cgroup_target_open(1, not_proc, &target, &err), 0);
	ck_assert_ptr_null(target);
	ck_assert_int_ne(err.code, 0);
	cgroup_target_free(NULL);
	cgroup_undo_free(NULL);
}
END_TEST

START_TEST(no_hierarchy_is_nothing_to_do)
{
	const struct cgroup_rule rule = { 195, 0, R | W };
	struct cgroup_target none = { .proc_fd = -1,
				      .hierarchy = { { .version = 1 }, { .version = 2 } } };
	struct cgroup_undo *undo = NULL;
	char note[32];

	ck_assert_int_eq(cgroup_allow(&none, &rule, 1, &undo, NULL), 0);
	ck_assert_uint_eq(cgroup_undo_count(undo), 0);
	cgroup_undo_note(undo, note, sizeof(note));
	ck_assert_str_eq(note, "unchanged");
	ck_assert_int_eq(cgroup_undo(undo, NULL), 0);
	cgroup_undo_free(undo);
	ck_assert_int_eq(cgroup_revoke(&none, &rule, 1, NULL), 0);
}
END_TEST

UNIT_MAIN("cgroup", each_hierarchy_has_its_line, a_missing_hierarchy_is_no_error,
	  names_that_look_like_devices_are_not, lines_that_cannot_be_used_are_refused,
	  mounts_are_found_by_type_and_options, a_path_is_taken_below_the_mounts_root_or_not_at_all,
	  a_line_covers_a_rule_only_with_all_its_bits, a_list_of_everything_is_open,
	  a_rule_is_written_as_the_kernel_reads_it,
	  v1_adds_only_what_is_missing_and_takes_only_that_back,
	  v1_undoes_the_first_cgroup_when_the_second_fails,
	  v1_refuses_a_cgroup_with_a_foreign_process,
	  v1_takes_the_containers_own_back_whoever_is_in_it,
	  bad_rules_and_dead_processes_are_named_errors, no_hierarchy_is_nothing_to_do)
