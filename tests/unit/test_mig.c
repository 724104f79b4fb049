/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/mig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvml/gpu.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define CAPS "/driver/nvidia/capabilities"

static char root[64];

static void make_dirs(const char *path)
{
	char full[256];

	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *c = full + strlen(root) + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		(void)mkdir(full, 0755);
		*c = '/';
	}
	(void)mkdir(full, 0755);
}

static struct gpu gpus[3];
static struct gpu_list list = { .gpus = gpus, .n = 3 };

/* Positions are by bus id, directories by minor. */
static void three_gpus(void)
{
	memset(gpus, 0, sizeof(gpus));
	gpus[0] = (struct gpu){ .minor = 1, .usable = true };
	gpus[1] = (struct gpu){ .minor = 0, .usable = true };
	gpus[2] = (struct gpu){ .minor = 0, .usable = false };
	scratch_new(root);
}

static void ck_migs(const char *wanted)
{
	char text[512] = "";
	size_t used = 0;

	ck_assert_int_eq(mig_list_read(root, &list, NULL), 0);
	for (size_t i = 0; i < list.n_migs; i++)
		used += (size_t)sprintf(text + used, "%s%zu:%u=%u/%u", i ? " " : "",
					list.migs[i].gpu, list.migs[i].index, list.migs[i].gi,
					list.migs[i].ci);
	ck_assert_str_eq(text, wanted);
}

START_TEST(instances_are_the_modules_directories)
{
	three_gpus();
	make_dirs(CAPS "/gpu0/mig/gi9/ci0");
	make_dirs(CAPS "/gpu0/mig/gi13/ci0");
	make_dirs(CAPS "/gpu0/mig/gi13/ci1");
	make_dirs(CAPS "/gpu1/mig/gi2/ci10");
	make_dirs(CAPS "/gpu1/mig/gi2/ci2");
	make_dirs(CAPS "/gpu7/mig/gi1/ci0"); /* nobody's */
	make_dirs(CAPS "/gpu1/mig/gi/ci0");
	make_dirs(CAPS "/gpu1/mig/gi-1/ci0");
	make_dirs(CAPS "/gpu1/mig/gi1000/ci0");
	make_dirs(CAPS "/gpu1/mig/gi3/cix");
	make_dirs(CAPS "/gpu1/mig/gi4");
	ck_migs("0:0=2/2 0:1=2/10 1:0=9/0 1:1=13/0 1:2=13/1");
	ck_assert(list.has_nvcaps);
	ck_assert_int_eq(gpus[0].mig_mode, GPU_MIG_ON);
	ck_assert_int_eq(gpus[0].mig_source, FACT_PROC);
	ck_assert_int_eq(gpus[2].mig_mode, GPU_MIG_UNKNOWN);
	ck_assert_int_eq(list.migs[0].source, FACT_PROC);
	ck_assert_str_eq(list.migs[0].uuid, "");
	/* read again: those that were there before are not there twice */
	ck_migs("0:0=2/2 0:1=2/10 1:0=9/0 1:1=13/0 1:2=13/1");
	scratch_remove(root);
}
END_TEST

START_TEST(without_directories_there_are_none)
{
	three_gpus();
	ck_migs("");
	ck_assert(!list.has_nvcaps);
	make_dirs(CAPS "/gpu1/mig");
	ck_migs("");
	ck_assert(list.has_nvcaps);
	ck_assert_int_eq(gpus[0].mig_mode, GPU_MIG_UNKNOWN);
	scratch_remove(root);
}
END_TEST

static bool is_another(struct mig_print *before, bool *ret_gpus)
{
	struct mig_print now;
	bool migs;

	ck_assert_int_eq(mig_print_read(root, &now), 0);
	migs = now.migs != before->migs;
	*ret_gpus = now.gpus != before->gpus;
	*before = now;
	return migs;
}

START_TEST(a_print_changes_when_something_comes_or_goes)
{
	struct mig_print print;
	bool gpus_differ;
	char path[256], aside[256];

	three_gpus();
	ck_assert_int_eq(mig_print_read(root, &print), 0);
	ck_assert_uint_eq(print.gpus, 0);
	ck_assert_uint_eq(print.migs, 0);
	make_dirs("/driver/nvidia/gpus/0000:06:00.0");
	ck_assert(!is_another(&print, &gpus_differ));
	ck_assert(gpus_differ);
	make_dirs(CAPS "/gpu0/mig/gi1/ci0");
	ck_assert(is_another(&print, &gpus_differ));
	ck_assert(!gpus_differ);
	ck_assert(!is_another(&print, &gpus_differ));
	make_dirs(CAPS "/gpu0/mig/gi1/ci1");
	ck_assert(is_another(&print, &gpus_differ));
	make_dirs(CAPS "/gpu0/other");
	ck_assert(!is_another(&print, &gpus_differ));
	/* gone, and there again under the same name: another one, while the first still has its inode */
	(void)snprintf(path, sizeof(path), "%s" CAPS "/gpu0/mig/gi1/ci1", root);
	(void)snprintf(aside, sizeof(aside), "%s/aside", root);
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert(is_another(&print, &gpus_differ));
	make_dirs(CAPS "/gpu0/mig/gi1/ci1");
	ck_assert(is_another(&print, &gpus_differ));
	scratch_remove(root);
}
END_TEST

START_TEST(a_print_without_descriptors_is_none)
{
	struct rlimit before, none;
	struct mig_print print;

	three_gpus();
	make_dirs(CAPS "/gpu0/mig/gi1/ci0");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* For the directory of all, and not for what is below it. */
	none = before;
	none.rlim_cur = (rlim_t)dup(STDERR_FILENO);
	ck_assert_int_eq(close((int)none.rlim_cur), 0);
	for (int i = 0; i < 3; i++, none.rlim_cur++) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		ck_assert_int_eq(mig_print_read(root, &print), -EMFILE);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(mig_print_read(root, &print), 0);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("mig", instances_are_the_modules_directories, without_directories_there_are_none,
	  a_print_changes_when_something_comes_or_goes, a_print_without_descriptors_is_none)
