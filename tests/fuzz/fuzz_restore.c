/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back by a record that says anything, in a root with links that lead
 * out of it: nothing beside the root is touched, and no descriptor stays.
 *
 * Input: the record, as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "inject/restore.h"
#include "tests/fuzz/fuzz.h"

#define CONF "/usr/local/nvidia/lib64\n"
#define SMI "/usr/local/nvidia/bin/nvidia-smi"

static struct {
	char path[64];
	int top; /* holds "root" and "outside" */
} scratch = { "/tmp/nvfs-fuzz-XXXXXX", -1 };

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_scratch(void)
{
	(void)nftw(scratch.path, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void put_file(const char *name, const char *text)
{
	auto_close int fd = openat(scratch.top, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				   0644);

	require(fd >= 0 && file_write_all(fd, text, strlen(text)) == 0);
}

static void put_link(const char *name, const char *target)
{
	require(symlinkat(target, scratch.top, name) == 0 || errno == EEXIST);
}

/* What an injection may have left; what the input before has taken away comes again. */
static void fill(void)
{
	static const char *const dirs[] = {
		"root",		"root/etc",	  "root/etc/ld.so.conf.d", "root/usr",
		"root/usr/bin", "root/usr/local", "root/usr/local/nvidia"
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		(void)mkdirat(scratch.top, dirs[i], 0755);
	put_file("root/etc/ld.so.conf.d/00-nvfs.conf", CONF);
	put_link("root/usr/bin/nvidia-smi", SMI);
	put_link("root/up", "../outside");
	put_link("root/magic", "/proc/self/cwd");
}

static void set_up(void)
{
	require(mkdtemp(scratch.path) != NULL);
	(void)atexit(remove_scratch);
	scratch.top = open(scratch.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	require(scratch.top >= 0 && mkdirat(scratch.top, "outside", 0755) == 0);
	put_file("outside/keep", CONF);
	put_link("outside/nvidia-smi", SMI);
	require(mkdirat(scratch.top, "outside/empty", 0755) == 0);
}

static void check_outside(void)
{
	auto_free char *text = NULL;
	char target[64] = "";
	struct stat st;

	require(file_read_at(scratch.top, "outside/keep", 100, &text, NULL, NULL) == 0);
	require(strcmp(text, CONF) == 0);
	require(readlinkat(scratch.top, "outside/nvidia-smi", target, sizeof(target) - 1) > 0);
	require(fstatat(scratch.top, "outside/empty", &st, 0) == 0 && S_ISDIR(st.st_mode));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *done = json_loadb((const char *)data, size, 0, NULL);
	struct restore restore = { .roots = PLACE_ROOTS(-1), .done = done };
	struct error err = { 0 };
	int before, r;

	if (!done)
		return 0;
	if (scratch.top < 0)
		set_up();
	fill();
	before = fuzz_lowest_fd();
	restore.roots.root = openat(scratch.top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = restore_run(&restore, &err);
	require(r == 0 || err.text[0]);
	require(restore.removed + restore.left <= json_array_size(done));
	(void)close(restore.roots.root);
	place_roots_done(&restore.roots);
	require(fuzz_lowest_fd() == before);
	check_outside();
	json_decref(done);
	return 0;
}
