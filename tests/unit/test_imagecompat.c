/* SPDX-License-Identifier: Apache-2.0 */
/* The image's compatibility directory: what is read of it, and what is not touched. */
#include "inject/imagecompat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compatlist.h"
#include "common/error.h"
#include "common/file.h"
#include "inject/regular.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define DIR COMPATLIST_DIR "/"

static char root[64];

static void open_sample(void)
{
	char path[512];

	ck_assert_int_eq(regular_init(), 0);
	scratch_new(root);
	scratch_path(path, root, DIR "x");
	scratch_parents(path);
}

/* The block as text; "" for nothing. What is behind the empty line is in @rest. */
static char *block(char **rest, size_t *rest_len)
{
	auto_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct error err = { 0 };
	char *text = NULL, *end;
	size_t len = 0;

	ck_assert_msg(imagecompat_read(dir, &fd, &err) == 0, "%s", err.text);
	if (fd < 0)
		return strdup("");
	ck_assert_int_gt(file_memfd_sealed_size(fd, COMPATLIST_SIZE_MAX), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(file_read_fd(fd, COMPATLIST_SIZE_MAX, &text, &len, NULL), 0);
	end = memmem(text, len, "\n\n", 2);
	ck_assert_ptr_nonnull(end);
	end[1] = '\0';
	if (rest) {
		*rest = end + 2;
		*rest_len = len - (size_t)(end + 2 - text);
	}
	return text;
}

static void ck_nothing(void)
{
	auto_free char *text = block(NULL, NULL);

	ck_assert_str_eq(text, "");
}

START_TEST(names_links_and_both_ends_of_libcuda)
{
	size_t size = 3 * COMPATLIST_PIECE_MAX + 7, len;
	auto_free char *big = malloc(size), *text = NULL;
	char *rest, wanted[64];

	for (size_t i = 0; i < size; i++)
		big[i] = (char)('a' + i % 23);
	open_sample();
	scratch_write(root, DIR "libcuda.so.550.54.15", big, size);
	scratch_link(root, DIR "libcuda.so.1", "libcuda.so.550.54.15");
	text = block(&rest, &len);
	ck_assert_ptr_nonnull(strstr(text, "file libcuda.so.550.54.15\n"));
	ck_assert_ptr_nonnull(strstr(text, "link libcuda.so.1 libcuda.so.550.54.15\n"));
	(void)snprintf(wanted, sizeof(wanted), "elf %zu %d\n", size, COMPATLIST_PIECE_MAX);
	ck_assert_ptr_nonnull(strstr(text, wanted));
	ck_assert_uint_eq(len, 2 * COMPATLIST_PIECE_MAX);
	ck_assert_mem_eq(rest, big, COMPATLIST_PIECE_MAX);
	ck_assert_mem_eq(rest + COMPATLIST_PIECE_MAX, big + size - COMPATLIST_PIECE_MAX,
			 COMPATLIST_PIECE_MAX);
	scratch_remove(root);
}
END_TEST

START_TEST(of_a_small_file_there_is_all_of_it_once)
{
	auto_free char *text = NULL;
	char *rest;
	size_t len;

	open_sample();
	scratch_text(root, DIR "libcuda.so.1.1", "small");
	text = block(&rest, &len);
	ck_assert_str_eq(text, "file libcuda.so.1.1\nelf 5 5\n");
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(rest, "small", 5);
	scratch_remove(root);
}
END_TEST

START_TEST(of_several_libcudas_none_is_read)
{
	auto_free char *text = NULL;
	char *rest;
	size_t len;

	open_sample();
	scratch_text(root, DIR "libcuda.so.550.1", "a");
	scratch_text(root, DIR "libcuda.so.580.1", "b");
	scratch_text(root, DIR "libcuda.so.590.1", "c");
	text = block(&rest, &len);
	ck_assert_ptr_null(strstr(text, "elf"));
	ck_assert_uint_eq(len, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(an_image_without_such_a_directory_has_nothing)
{
	char path[512];

	open_sample();
	ck_nothing();
	scratch_path(path, root, COMPATLIST_DIR);
	ck_assert_int_eq(rmdir(path), 0);
	ck_nothing();
	scratch_text(root, COMPATLIST_DIR, "no directory");
	ck_nothing();
	scratch_remove(root);
}
END_TEST

/* As images have it: a link to /etc/alternatives, and from there to the version's directory. */
START_TEST(links_on_the_way_stay_inside_the_root)
{
	auto_free char *text = NULL;
	char path[512];

	open_sample();
	scratch_path(path, root, COMPATLIST_DIR);
	ck_assert_int_eq(rmdir(path), 0);
	scratch_path(path, root, "usr/local/cuda");
	ck_assert_int_eq(rmdir(path), 0);
	scratch_link(root, "usr/local/cuda", "/etc/alternatives/cuda");
	scratch_link(root, "etc/alternatives/cuda", "/usr/local/cuda-12.4");
	scratch_text(root, "usr/local/cuda-12.4/compat/libnvidia-nvvm.so.550.1", "x");
	text = block(NULL, NULL);
	ck_assert_str_eq(text, "file libnvidia-nvvm.so.550.1\n");
	scratch_remove(root);
}
END_TEST

START_TEST(what_is_no_library_of_the_directory_is_passed_over)
{
	char path[512];

	open_sample();
	scratch_text(root, "libcuda.so.580.1", "elsewhere");
	scratch_link(root, DIR "libcuda.so.580.1", "/libcuda.so.580.1");
	scratch_link(root, DIR "libup.so.1", "../../../../libcuda.so.580.1");
	scratch_link(root, DIR "libself.so.1", "/proc/self/exe");
	scratch_path(path, root, DIR "libfifo.so.1");
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	scratch_path(path, root, DIR "libdir.so.1");
	ck_assert_int_eq(mkdir(path, 0755), 0);
	scratch_text(root, DIR "lib\033[31m.so.1", "x");
	scratch_text(root, DIR "lib x.so.1", "x");
	scratch_text(root, DIR "README", "x");
	ck_nothing();
	/* The one that decides, as a FIFO: it is neither opened nor waited for. */
	scratch_path(path, root, DIR "libcuda.so.590.1");
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	ck_nothing();
	scratch_remove(root);
}
END_TEST

START_TEST(there_is_an_end_to_names)
{
	auto_close int dir = -1;
	struct error err = { 0 };
	char name[64];
	int fd;

	open_sample();
	for (int i = 0; i <= COMPATLIST_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), DIR "libx%d.so.1", i);
		scratch_text(root, name, "x");
	}
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(imagecompat_read(dir, &fd, &err), -EFBIG);
	ck_assert_int_eq(fd, -1);
	ck_assert_ptr_nonnull(strstr(err.text, "/usr/local/cuda/compat"));
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("imagecompat", names_links_and_both_ends_of_libcuda,
	  of_a_small_file_there_is_all_of_it_once, of_several_libcudas_none_is_read,
	  an_image_without_such_a_directory_has_nothing, links_on_the_way_stay_inside_the_root,
	  what_is_no_library_of_the_directory_is_passed_over, there_is_an_end_to_names)
