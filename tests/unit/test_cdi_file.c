/* SPDX-License-Identifier: Apache-2.0 */
/* When the file that engines read is written, and when it is left alone. What is in it: test_cdi.c. */
#include "fs/cdi_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct gpu gpus[2];
static struct gpu_list list;
static struct driver driver = { .version = "580.1" };
static struct generation generation;
static char root[64], dir[128], file[512];
static char nvinject[] = "/bin/true", sock[] = "/run/s", mountpoint[] = "/run/m";

/* A host with one GPU, whose node is there as far as a test may make one. */
static struct daemon begin(void)
{
	char path[512];

	scratch_new(root);
	scratch_path(path, root, "nvidia0");
	ck_assert_int_eq(mknod(path, S_IFCHR | 0666, 0), 0);
	scratch_text(root, "devices", "Character devices:\n  0 nvidia\n");
	gpus[0] = (struct gpu){
		.index = 0, .uuid = "GPU-a", .bus_id = "0000:01:00.0", .usable = true
	};
	list = (struct gpu_list){ .gpus = gpus, .n = 1 };
	generation = (struct generation){ .driver = &driver, .gpus = &list, .number = 1 };
	(void)snprintf(dir, sizeof(dir), "%s/cdi", root);
	(void)snprintf(file, sizeof(file), "%s/" CDI_FILE, dir);
	return (struct daemon){
		.generation = &generation,
		.config = { .dev_root = root,
			    .proc_root = root,
			    .cdi_dir = dir,
			    .nvinject = nvinject,
			    .socket = sock,
			    .mountpoint = mountpoint },
	};
}

/* 0: it is not there */
static ino_t inode(void)
{
	struct stat st;

	return stat(file, &st) == 0 ? st.st_ino : 0;
}

static bool has(const char *word)
{
	json_t *json = json_load_file(file, 0, NULL);
	auto_free char *text = json_dumps(json, JSON_COMPACT);
	bool found = text && strstr(text, word);

	json_decref(json);
	return found;
}

START_TEST(it_is_written_once_and_again_when_it_would_say_something_else)
{
	struct daemon daemon = begin();
	ino_t first;

	cdi_file_tick(&daemon);
	first = inode();
	ck_assert_uint_ne(first, 0);
	ck_assert(has("\"nvfs.dev/gpu\"") && has("GPU-a") && has("/bin/true"));
	cdi_file_tick(&daemon);
	ck_assert_uint_eq(inode(), first);
	(void)strcpy(gpus[0].uuid, "GPU-b");
	cdi_file_tick(&daemon);
	ck_assert(has("GPU-b") && !has("GPU-a"));
	cdi_file_done(&daemon);
	ck_assert_uint_ne(inode(), 0); /* it stays */
	scratch_remove(root);
}
END_TEST

START_TEST(what_somebody_took_away_comes_back)
{
	struct daemon daemon = begin();

	cdi_file_tick(&daemon);
	ck_assert_int_eq(unlink(file), 0);
	cdi_file_tick(&daemon);
	ck_assert(has("GPU-a"));
	cdi_file_done(&daemon);
	scratch_remove(root);
}
END_TEST

START_TEST(while_names_may_come_what_is_there_stays)
{
	struct daemon daemon = begin();
	ino_t first;

	list.provisional = true;
	cdi_file_tick(&daemon); /* there is none: better than nothing */
	first = inode();
	ck_assert_uint_ne(first, 0);
	(void)strcpy(gpus[0].uuid, "GPU-b");
	cdi_file_tick(&daemon);
	ck_assert_uint_eq(inode(), first);
	list.provisional = false;
	cdi_file_tick(&daemon);
	ck_assert(has("GPU-b"));
	cdi_file_done(&daemon);
	scratch_remove(root);
}
END_TEST

START_TEST(without_a_driver_or_a_directory_nothing_is_written)
{
	struct daemon daemon = begin();
	char none[] = "";

	daemon.generation = NULL;
	cdi_file_tick(&daemon);
	daemon.generation = &generation;
	daemon.config.cdi_dir = none;
	cdi_file_tick(&daemon);
	ck_assert_int_eq(access(dir, F_OK), -1);
	cdi_file_done(&daemon);
	scratch_remove(root);
}
END_TEST

START_TEST(what_fails_is_remembered_and_tried_again)
{
	struct daemon daemon = begin();

	scratch_text(root, "cdi", "no directory");
	cdi_file_tick(&daemon);
	ck_assert(daemon.cdi.failed);
	ck_assert_ptr_null(daemon.cdi.text);
	ck_assert_int_eq(unlink(dir), 0);
	cdi_file_tick(&daemon);
	ck_assert(!daemon.cdi.failed && has("GPU-a"));
	cdi_file_done(&daemon);
	scratch_remove(root);
}
END_TEST

START_TEST(a_specification_can_be_asked_for_by_other_names)
{
	struct daemon daemon = begin();
	json_t *params = json_pack("{s:s, s:s, s:b}", "vendor", "example.com", "class", "card",
				   "hooks", 0);
	json_t *reply = NULL;
	auto_free char *text = NULL;
	struct error err = { 0 };

	ck_assert_int_eq(cdi_method(&daemon, params, &reply, &err), 0);
	text = json_dumps(reply, JSON_COMPACT);
	ck_assert_ptr_nonnull(strstr(text, "\"example.com/card\""));
	ck_assert_ptr_nonnull(strstr(text, "/run/m/host"));
	ck_assert_ptr_null(strstr(text, "\"hooks\""));
	json_decref(reply);
	(void)json_object_set_new(params, "vendor", json_string("no vendor/"));
	ck_assert_int_eq(cdi_method(&daemon, params, &reply, &err), -EINVAL);
	json_decref(params);
	cdi_file_done(&daemon);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("cdi_file", it_is_written_once_and_again_when_it_would_say_something_else,
	  what_somebody_took_away_comes_back, while_names_may_come_what_is_there_stays,
	  without_a_driver_or_a_directory_nothing_is_written,
	  what_fails_is_remembered_and_tried_again, a_specification_can_be_asked_for_by_other_names)
