/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "fs/store.h"
#include "fs/store_impl.h"
#include "tests/unit/unit.h"

static char dir[PATH_MAX / 4], sock[PATH_MAX / 2], state[PATH_MAX / 2];
static struct error err;
static bool left;

static void make_dir(void)
{
	char template[] = "/tmp/nvfs-statefile-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(template));
	(void)snprintf(dir, sizeof(dir), "%s/nvfsd", template);
	(void)snprintf(sock, sizeof(sock), "%s/nvfs.sock", dir);
	ck_assert_int_eq(statefile_path(sock, state, sizeof(state)), 0);
	ck_assert_int_eq(mkdir(dir, 0755), 0);
	memset(&err, 0, sizeof(err));
	left = true;
}

static void remove_dir(void)
{
	char *slash;

	(void)unlink(state);
	(void)rmdir(dir);
	slash = strrchr(dir, '/');
	*slash = '\0';
	(void)rmdir(dir);
}

static int open_state(void)
{
	memset(&err, 0, sizeof(err));
	return statefile_open(sock, &left, &err);
}

static void refused(int code, const char *why)
{
	ck_assert_int_eq(open_state(), code);
	ck_assert_msg(strstr(err.text, why) != NULL, "'%s' is not in '%s'", why, err.text);
}

/* A store of this program, as a daemon leaves it. */
static void leave_state(void)
{
	struct store *store = NULL;

	ck_assert_int_eq(store_new(open_state(), &store, NULL), 0);
	store_free(store);
}

/* 32-bit words of the beginning: magic, version, size; then the boot id. */
static void patch_state(off_t offset, uint32_t value)
{
	int fd = open(state, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, &value, sizeof(value), offset), sizeof(value));
	(void)close(fd);
}

START_TEST(the_path_is_beside_the_socket)
{
	char path[64], small[12];

	ck_assert_int_eq(statefile_path("/run/nvfsd/nvfs.sock", path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/run/nvfsd/state");
	ck_assert_int_eq(statefile_path("/nvfs.sock", path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/state");
	ck_assert_int_eq(statefile_path("/run/nvfsd/nvfs.sock", small, sizeof(small)),
			 -ENAMETOOLONG);
}
END_TEST

START_TEST(it_is_made_for_its_owner_alone)
{
	struct stat st;
	int fd;

	make_dir();
	fd = open_state();
	ck_assert_int_ge(fd, 0);
	ck_assert(!left);
	ck_assert_int_eq(stat(state, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	(void)close(fd);
	statefile_remove(sock);
	ck_assert_int_lt(stat(state, &st), 0);
	remove_dir();
}
END_TEST

START_TEST(what_a_dead_daemon_left_is_found)
{
	int fd;

	make_dir();
	leave_state();
	fd = open_state();
	ck_assert_int_ge(fd, 0);
	ck_assert(left);
	(void)close(fd);
	remove_dir();
}
END_TEST

START_TEST(a_state_in_use_is_refused_and_not_touched)
{
	int fd;

	make_dir();
	leave_state();
	fd = open_state();
	refused(-EBUSY, "another daemon serves from");
	ck_assert_int_eq(store_check(fd, NULL), 0);
	(void)close(fd);
	remove_dir();
}
END_TEST

START_TEST(another_layout_is_refused_by_name_and_kept)
{
	struct stat before, after;
	char older[100];

	make_dir();
	leave_state();
	patch_state(4, 77);
	ck_assert_int_eq(stat(state, &before), 0);
	refused(-EPROTO, state);
	ck_assert_ptr_nonnull(strstr(err.text, "layout 77"));
	ck_assert_ptr_nonnull(strstr(err.text, "this program reads layout"));
	patch_state(4, STATE_VERSION - 1);
	refused(-EPROTO, state);
	(void)snprintf(older, sizeof(older), "it has layout %u, this program reads layout %u",
		       STATE_VERSION - 1, STATE_VERSION);
	ck_assert_ptr_nonnull(strstr(err.text, older));
	ck_assert_ptr_nonnull(strstr(err.remedy, "remove it"));
	ck_assert_int_eq(stat(state, &after), 0);
	ck_assert_int_eq(before.st_size, after.st_size);
	patch_state(4, STATE_VERSION);
	patch_state(8, 12);
	refused(-EPROTO, "12 bytes");
	patch_state(0, 0x12345678);
	refused(-EBADMSG, "not a state file");
	ck_assert_int_eq(truncate(state, 7), 0);
	refused(-EBADMSG, "not a state file");
	remove_dir();
}
END_TEST

START_TEST(a_state_from_before_the_machine_started_is_emptied)
{
	struct stat st;
	int fd;

	make_dir();
	leave_state();
	patch_state(12, 0x2d2d2d2d);
	fd = open_state();
	ck_assert_int_ge(fd, 0);
	ck_assert(!left);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	(void)close(fd);
	remove_dir();
}
END_TEST

START_TEST(a_directory_that_others_can_write_is_refused)
{
	make_dir();
	ck_assert_int_eq(chmod(dir, 01777), 0);
	refused(-EPERM, "can be written by others");
	ck_assert_int_eq(chmod(dir, 0775), 0);
	refused(-EPERM, "can be written by others");
	ck_assert_ptr_nonnull(strstr(err.remedy, "root's alone"));
	remove_dir();
}
END_TEST

START_TEST(links_are_not_followed)
{
	char other[PATH_MAX], real[PATH_MAX / 2];

	make_dir();
	(void)snprintf(other, sizeof(other), "%s/other", dir);
	ck_assert_int_eq(close(open(other, O_CREAT | O_WRONLY, 0600)), 0);
	ck_assert_int_eq(symlink(other, state), 0);
	refused(-ELOOP, state);
	ck_assert_int_eq(unlink(state), 0);
	ck_assert_int_eq(link(other, state), 0);
	refused(-EPERM, "has another name too");
	ck_assert_int_eq(unlink(other), 0);
	ck_assert_int_eq(unlink(state), 0);
	(void)snprintf(real, sizeof(real), "%s.real", dir);
	ck_assert_int_eq(rename(dir, real), 0);
	ck_assert_int_eq(symlink(real, dir), 0);
	ck_assert_int_lt(open_state(), 0);
	ck_assert_int_eq(unlink(dir), 0);
	ck_assert_int_eq(rename(real, dir), 0);
	remove_dir();
}
END_TEST

START_TEST(other_kinds_and_modes_of_files_are_refused)
{
	make_dir();
	ck_assert_int_eq(mkfifo(state, 0600), 0);
	refused(-EPERM, "is no regular file");
	ck_assert_int_eq(unlink(state), 0);
	ck_assert_int_eq(close(open(state, O_CREAT | O_WRONLY, 0600)), 0);
	ck_assert_int_eq(chmod(state, 0644), 0);
	refused(-EPERM, "could be read or changed by others");
	ck_assert_int_eq(unlink(state), 0);
	ck_assert_int_eq(mkdir(state, 0700), 0);
	ck_assert_int_lt(open_state(), 0);
	ck_assert_int_eq(rmdir(state), 0);
	remove_dir();
}
END_TEST

UNIT_MAIN("statefile", the_path_is_beside_the_socket, it_is_made_for_its_owner_alone,
	  what_a_dead_daemon_left_is_found, a_state_in_use_is_refused_and_not_touched,
	  another_layout_is_refused_by_name_and_kept,
	  a_state_from_before_the_machine_started_is_emptied,
	  a_directory_that_others_can_write_is_refused, links_are_not_followed,
	  other_kinds_and_modes_of_files_are_refused)
