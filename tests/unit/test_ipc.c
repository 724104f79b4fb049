/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some of it is about files of other users, which only root can make: without
 * root those tests check nothing and say so on stderr.
 */
#include "fs/ipc.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nvml/driver_cap.h"
#include "nvml/finding.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define STRANGER 4321

static char root[64];
static struct ipc_list list;
static struct finding_list findings;

static void make_socket(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[512];

	scratch_path(path, root, name);
	scratch_parents(path);
	ck_assert_uint_lt(strlen(path), sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(chmod(path, 0666), 0);
	(void)close(sock);
}

static void make_dir(const char *name, mode_t mode)
{
	char path[512];

	scratch_path(path, root, name);
	scratch_parents(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void set_mode(const char *name, mode_t mode)
{
	char path[512];

	scratch_path(path, root, name);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void open_world(void)
{
	scratch_new(root);
	make_socket("run/nvidia-persistenced/socket");
	make_socket("run/nvidia-fabricmanager/socket");
	make_dir("tmp/nvidia-mps", 0755);
}

static void close_world(void)
{
	ipc_list_done(&list);
	finding_list_done(&findings);
	scratch_remove(root);
}

/* What is found, as one text. */
static const char *find(unsigned int caps, uid_t uid, bool by_root)
{
	const struct ipc_request request = {
		.root = root, .caps = caps, .uid = uid, .by_root = by_root
	};
	static char text[256];

	ipc_list_done(&list);
	ck_assert_int_eq(ipc_find(&request, &list, &findings, NULL), 0);
	text[0] = '\0';
	for (size_t i = 0; i < list.n; i++) {
		ck_assert_int_ge(list.items[i].fd, 0);
		ck_assert_ptr_nonnull(strstr(list.items[i].path, list.items[i].target));
		strcat(strcat(text, list.items[i].target), " ");
	}
	return text;
}

#define BOTH (DRIVER_CAP_UTILITY | DRIVER_CAP_COMPUTE)
#define SOCKETS "/run/nvidia-persistenced/socket /run/nvidia-fabricmanager/socket "

START_TEST(what_is_there_is_found_by_driver_capability)
{
	open_world();
	ck_assert_str_eq(find(BOTH, geteuid(), true), SOCKETS "/tmp/nvidia-mps ");
	ck_assert_str_eq(find(DRIVER_CAP_UTILITY, geteuid(), true), SOCKETS);
	ck_assert_str_eq(find(DRIVER_CAP_COMPUTE, geteuid(), true), "/tmp/nvidia-mps ");
	ck_assert_str_eq(find(DRIVER_CAP_GRAPHICS, geteuid(), true), "");
	close_world();
}
END_TEST

START_TEST(nothing_there_is_no_error)
{
	scratch_new(root);
	ck_assert_str_eq(find(BOTH, geteuid(), true), "");
	scratch_remove(root);
	ck_assert_str_eq(find(BOTH, geteuid(), true), "");
	ck_assert_uint_eq(findings.n, 0);
}
END_TEST

START_TEST(what_is_no_socket_is_not_given)
{
	scratch_new(root);
	scratch_text(root, "run/nvidia-persistenced/socket", "x");
	scratch_text(root, "tmp/nvidia-mps", "x");
	ck_assert_str_eq(find(BOTH, geteuid(), true), "");
	ck_assert_uint_eq(findings.n, 2);
	ck_assert_str_eq(findings.items[0].text,
			 "'/run/nvidia-persistenced/socket' of the host is no socket, ignoring");
	close_world();
}
END_TEST

START_TEST(links_are_followed_nowhere)
{
	scratch_new(root);
	make_socket("else/socket");
	make_dir("secret", 0755);
	scratch_link(root, "run/nvidia-persistenced", "../else");
	scratch_link(root, "run/nvidia-fabricmanager/socket", "../../else/socket");
	scratch_link(root, "tmp/nvidia-mps", "../secret");
	ck_assert_str_eq(find(BOTH, geteuid(), true), "");
	close_world();
}
END_TEST

START_TEST(a_stranger_is_given_only_what_he_can_reach)
{
	open_world();
	set_mode("", 0700); /* above the root that is configured nothing counts */
	ck_assert_str_eq(find(BOTH, STRANGER, false),
			 geteuid() == 0 ? SOCKETS "/tmp/nvidia-mps " : SOCKETS);
	set_mode("run/nvidia-persistenced", 0700);
	set_mode("run/nvidia-fabricmanager/socket", 0600);
	set_mode("tmp/nvidia-mps", 0711);
	ck_assert_str_eq(find(BOTH, STRANGER, false), "");
	ck_assert_str_eq(find(BOTH, geteuid(), false), SOCKETS "/tmp/nvidia-mps "); /* his own */
	close_world();
}
END_TEST

START_TEST(a_directory_of_mps_that_somebody_else_has_made_is_not_given)
{
	char path[512];

	if (geteuid() != 0) {
		(void)fprintf(stderr, "# not root: nothing checked\n");
		return;
	}
	open_world();
	scratch_path(path, root, "tmp/nvidia-mps");
	ck_assert_int_eq(chown(path, STRANGER, STRANGER), 0);
	ck_assert_str_eq(find(DRIVER_CAP_COMPUTE, 0, true), "");
	ck_assert_str_eq(findings.items[0].text, "'/tmp/nvidia-mps' of the host belongs to uid "
						 "4321 and not to root or who asks, ignoring");
	ck_assert_str_eq(find(DRIVER_CAP_COMPUTE, STRANGER, false), "/tmp/nvidia-mps ");
	close_world();
}
END_TEST

/* A user may mount a FUSE of his own on a directory of his; its root looks like root's. */
START_TEST(a_mount_in_the_place_of_the_mps_directory_is_not_given)
{
	char path[512];

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
		(void)fprintf(stderr, "# no mount namespace to be had: nothing checked\n");
		return;
	}
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	open_world();
	scratch_path(path, root, "tmp/nvidia-mps");
	ck_assert_int_eq(mount("tmpfs", path, "tmpfs", 0, "mode=755"), 0);
	ck_assert_str_eq(find(DRIVER_CAP_COMPUTE, 0, true), "");
	ck_assert_int_eq(umount(path), 0);
	ck_assert_str_eq(find(DRIVER_CAP_COMPUTE, 0, true), "/tmp/nvidia-mps ");
	close_world();
}
END_TEST

START_TEST(what_is_left_out_by_its_word_is_not_found)
{
	struct ipc_request request = { .root = root, .caps = DRIVER_CAP_UTILITY, .by_root = true,
				       .without = IPC_PERSISTENCED };

	open_world();
	ck_assert_int_eq(ipc_find(&request, &list, NULL, NULL), 0);
	ck_assert_uint_eq(list.n, 1);
	ck_assert_str_eq(list.items[0].target, "/run/nvidia-fabricmanager/socket");
	ck_assert_uint_eq(list.items[0].cap, DRIVER_CAP_UTILITY);
	ipc_list_done(&list);
	request.without = "fabricmanager,persistenced";
	ck_assert_int_eq(ipc_find(&request, &list, NULL, NULL), 0);
	ck_assert_uint_eq(list.n, 0);
	close_world();
}
END_TEST

START_TEST(places_of_sockets_are_known)
{
	ck_assert(ipc_is_target("/run/nvidia-persistenced/socket"));
	ck_assert(ipc_is_target("/tmp/nvidia-mps"));
	ck_assert(!ipc_is_target("/run/nvidia-persistenced"));
	ck_assert(!ipc_is_target("/proc/sys"));
	ck_assert(!ipc_is_target(""));
}
END_TEST

UNIT_MAIN("ipc", what_is_there_is_found_by_driver_capability, nothing_there_is_no_error,
	  what_is_no_socket_is_not_given, links_are_followed_nowhere,
	  a_stranger_is_given_only_what_he_can_reach,
	  a_directory_of_mps_that_somebody_else_has_made_is_not_given,
	  a_mount_in_the_place_of_the_mps_directory_is_not_given,
	  what_is_left_out_by_its_word_is_not_found, places_of_sockets_are_known)
