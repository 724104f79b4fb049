/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/mountpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/unit.h"

START_TEST(a_tree_is_known_by_its_name_in_the_filesystem)
{
	static const char text[] =
		"40 27 0:40 /abc /usr/local/nvidia ro,nosuid - fuse.nvfs nvfs ro\n"
		"41 27 0:41 /other /usr/local/nvidia ro,nosuid - fuse.sshfs nvfs ro\n";

	ck_assert(mountpoint_shows(text, "abc"));
	ck_assert(!mountpoint_shows(text, "ab"));
	ck_assert(!mountpoint_shows(text, "other"));
	ck_assert(!mountpoint_shows("40 27 0:40", "abc"));
	ck_assert(!mountpoint_shows("", "abc"));
}
END_TEST

static const char mountinfo[] =
	"23 27 0:21 / /proc rw,relatime - proc proc rw\n"
	"36 27 0:40 / /run/nvfs ro,nosuid,nodev shared:7 master:2 - fuse.nvfs nvfs ro,user_id=0\n"
	"37 27 0:41 / /mnt/a\\040b rw - tmpfs tmpfs rw\n"
	"38 37 0:42 / /mnt/a\\040b rw - ext4 /dev/vda rw\n";

START_TEST(the_mounts_of_nvfs_are_listed)
{
	static const char text[] = "23 27 0:21 / /proc rw - proc proc rw\n"
				   "40 27 0:40 /abc /usr/local/nvidia ro - fuse.nvfs nvfs ro\n"
				   "41 27 0:41 /abc /mnt ro - fuse.sshfs nvfs ro\n"
				   "42 27 0:40 /abc/proc/driver/nvidia /proc/driver/nvidia ro "
				   "shared:1 - fuse.nvfs nvfs ro";
	const char *cursor = text,
		   *broken = "40 27 0:40 - fuse.nvfs nvfs\n40 - fuse.nvfs \n\n - fuse.nvfs \n";
	struct mountpoint_mount mount;

	ck_assert(mountpoint_next(&cursor, &mount));
	ck_assert_str_eq(mount.dev, "0:40");
	ck_assert_str_eq(mount.root, "/abc");
	ck_assert_str_eq(mount.point, "/usr/local/nvidia");
	ck_assert(mountpoint_next(&cursor, &mount));
	ck_assert_str_eq(mount.point, "/proc/driver/nvidia");
	ck_assert(!mountpoint_next(&cursor, &mount));
	ck_assert(!mountpoint_next(&cursor, &mount));
	while (mountpoint_next(&broken, &mount))
		;
}
END_TEST

static char type[32];

START_TEST(the_topmost_mount_counts)
{
	mountpoint_find_type(mountinfo, "/mnt/a b", type, sizeof(type));
	ck_assert_str_eq(type, "ext4");
	mountpoint_find_type(mountinfo, "/run/nvfs", type, sizeof(type));
	ck_assert_str_eq(type, "fuse.nvfs");
}
END_TEST

START_TEST(paths_are_compared_whole)
{
	static const char *const none[] = { "/run/nvf", "/run/nvfs/x", "/run", "/mnt/a\\040b",
					    "/" };

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		mountpoint_find_type(mountinfo, none[i], type, sizeof(type));
		ck_assert_str_eq(type, "");
	}
}
END_TEST

START_TEST(damaged_text_finds_nothing_and_does_no_harm)
{
	static const char *const texts[] = { "",
					     "\n\n",
					     "36 27",
					     "36 27 0:40 / /run/nvfs",
					     "36 27 0:40 / /run/nvfs ro -",
					     "36 27 0:40 / /run\\04" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		mountpoint_find_type(texts[i], "/run/nvfs", type, sizeof(type));
		ck_assert_str_eq(type, "");
	}
}
END_TEST

START_TEST(a_directory_is_made_and_what_cannot_serve_is_refused)
{
	char dir[] = "/tmp/nvfs-mountpoint-XXXXXX", path[64];
	struct error err = { 0 };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/new", dir);
	ck_assert_int_eq(mountpoint_prepare(path, &err), 0);
	ck_assert_int_eq(mountpoint_prepare(path, &err), 0);
	ck_assert_int_eq(mountpoint_prepare(dir, &err), -ENOTEMPTY);
	ck_assert_int_eq(error_exit_status(&err), 2);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mknod(path, S_IFREG | 0600, 0), 0);
	ck_assert_int_eq(mountpoint_prepare(path, &err), -ENOTDIR);
	ck_assert_int_eq(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/no/such", dir);
	ck_assert_int_eq(mountpoint_prepare(path, &err), -ENOENT);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(mountpoint_prepare("relative", &err), -EINVAL);
	ck_assert_int_eq(mountpoint_prepare("/tmp/../x", &err), -EINVAL);
	ck_assert_int_eq(mountpoint_prepare("/proc", &err), -EBUSY);
}
END_TEST

UNIT_MAIN("mountpoint", the_mounts_of_nvfs_are_listed, the_topmost_mount_counts,
	  a_tree_is_known_by_its_name_in_the_filesystem, paths_are_compared_whole,
	  damaged_text_finds_nothing_and_does_no_harm,
	  a_directory_is_made_and_what_cannot_serve_is_refused)
