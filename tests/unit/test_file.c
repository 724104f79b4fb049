/* SPDX-License-Identifier: Apache-2.0 */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct error err;

/* An unlinked file with this many bytes, read from its beginning. */
static int file_of(size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(file_write_all(fd, "x", 1), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

START_TEST(files_of_every_size_are_read_whole_and_terminated)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8192, 10000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int fd = file_of(sizes[i]);
		char *text = NULL;
		size_t len = 1;

		ck_assert_int_eq(file_read_fd(fd, 10000, &text, &len, &err), 0);
		ck_assert_uint_eq(len, sizes[i]);
		ck_assert_uint_eq(strlen(text), len);
		free(text);
		(void)close(fd);
	}
}
END_TEST

START_TEST(a_file_above_the_limit_is_refused_whether_it_tells_its_size_or_not)
{
	char *text = NULL;
	int fd = file_of(101), ends[2];

	ck_assert_int_eq(file_read_fd(fd, 100, &text, NULL, &err), -EFBIG);
	(void)close(fd);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(file_write_all(ends[1], "0123456789", 10), 0);
	(void)close(ends[1]);
	ck_assert_int_eq(file_read_fd(ends[0], 9, &text, NULL, &err), -EFBIG);
	(void)close(ends[0]);
	ck_assert_ptr_null(text);
}
END_TEST

START_TEST(a_file_of_proc_that_tells_no_size_is_read)
{
	char *text = NULL;
	size_t len;

	ck_assert_int_eq(file_read_at(AT_FDCWD, "/proc/self/status", 65536, &text, &len, &err), 0);
	ck_assert_ptr_nonnull(strstr(text, "Pid:"));
	ck_assert_uint_eq(strlen(text), len);
	free(text);
}
END_TEST

START_TEST(errors_name_the_file)
{
	char *text = NULL;

	ck_assert_int_eq(file_read_at(AT_FDCWD, "/nowhere/at/all", 100, &text, NULL, &err),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "'/nowhere/at/all'"));
	ck_assert_int_eq(file_read_at(AT_FDCWD, "/", 100, &text, NULL, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "'/'"));
	ck_assert_ptr_null(text);
	ck_assert_int_eq(file_write_all(-1, "x", 1), -EBADF);
}
END_TEST

START_TEST(a_fifo_that_nobody_writes_to_holds_nobody_up)
{
	char root[64], path[512], *text = NULL;

	scratch_new(root);
	scratch_path(path, root, "fifo");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(file_read_at(AT_FDCWD, path, 100, &text, NULL, &err), 0);
	ck_assert_str_eq(text, "");
	free(text);
	scratch_remove(root);
}
END_TEST

START_TEST(a_sealed_memfd_cannot_be_changed)
{
	int fd = file_memfd("test", "content", 7);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_memfd_sealed_size(fd, 7), 7);
	ck_assert_int_eq(file_memfd_sealed_size(fd, 6), -EFBIG);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 3), -1);
	ck_assert_int_eq(ftruncate(fd, 30), -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	(void)close(fd);
}
END_TEST

START_TEST(what_is_not_wholly_sealed_is_refused)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), ends[2];

	ck_assert_int_eq(file_memfd_sealed_size(fd, 100), -EINVAL);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	ck_assert_int_eq(file_memfd_sealed_size(fd, 100), -EINVAL);
	ck_assert_int_eq(file_memfd_seal(fd), 0);
	ck_assert_int_eq(file_memfd_sealed_size(fd, 100), 0);
	(void)close(fd);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(file_memfd_sealed_size(ends[0], 100), -EINVAL);
	ck_assert_int_lt(file_memfd_seal(ends[0]), 0);
	ck_assert_int_eq(file_memfd_sealed_size(-1, 100), -EINVAL);
	(void)close(ends[0]);
	(void)close(ends[1]);
}
END_TEST

UNIT_MAIN("file", files_of_every_size_are_read_whole_and_terminated,
	  a_file_above_the_limit_is_refused_whether_it_tells_its_size_or_not,
	  a_file_of_proc_that_tells_no_size_is_read, errors_name_the_file,
	  a_fifo_that_nobody_writes_to_holds_nobody_up, a_sealed_memfd_cannot_be_changed,
	  what_is_not_wholly_sealed_is_refused)
