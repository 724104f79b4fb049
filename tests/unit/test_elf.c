/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/elf.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static int read_bytes(const void *data, size_t len, struct elf_info *info, struct error *err)
{
	int fd = memfd_create("elf", MFD_CLOEXEC), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, data, len), (int)len);
	*err = (struct error){ 0 };
	r = elf_read(fd, info, err);
	(void)close(fd);
	return r;
}

static void refused(const struct scratch_elf *elf, size_t len, const char *why)
{
	struct elf_info info = { .machine = 4711 };
	struct error err;

	ck_assert_int_eq(read_bytes(elf, len, &info, &err), -ENOEXEC);
	ck_assert_msg(strstr(err.text, why) != NULL, "'%s' lacks '%s'", err.text, why);
	ck_assert_int_eq(info.machine, 4711); /* untouched */
}

START_TEST(class_machine_and_soname_are_read)
{
	struct scratch_elf elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	struct elf_info info;
	struct error err;

	ck_assert_int_eq(read_bytes(&elf, sizeof(elf), &info, &err), 0);
	ck_assert_int_eq(info.class, 64);
	ck_assert_int_eq(info.machine, elf_native_machine());
	ck_assert_str_eq(info.soname, "libcuda.so.1");
	ck_assert(info.is_shared);
}
END_TEST

START_TEST(a_library_without_soname_is_fine)
{
	struct scratch_elf elf = scratch_elf(EM_ARM, NULL);
	struct elf_info info;
	struct error err;

	ck_assert_int_eq(read_bytes(&elf, sizeof(elf), &info, &err), 0);
	ck_assert_str_eq(info.soname, "");
	ck_assert_str_eq(elf_machine_name(info.machine), "arm");
}
END_TEST

START_TEST(this_very_program_is_readable)
{
	struct elf_info info;
	FILE *self = fopen("/proc/self/exe", "r");

	ck_assert_ptr_nonnull(self);
	ck_assert_int_eq(elf_read(fileno(self), &info, NULL), 0);
	ck_assert_int_eq(info.class, elf_native_class());
	ck_assert_int_eq(info.machine, elf_native_machine());
	(void)fclose(self);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
	struct scratch_elf elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	struct elf_info info;
	struct error err;

	for (size_t len = 0; len < sizeof(elf); len++)
		ck_assert_int_eq(read_bytes(&elf, len, &info, &err), -ENOEXEC);
	refused(&elf, 0, "empty");
	refused(&elf, 3, "not an ELF file");
	refused(&elf, sizeof(elf) - 1, "truncated");
}
END_TEST

START_TEST(text_and_directories_are_no_elf)
{
	struct elf_info info;
	struct error err;
	FILE *dir = fopen("/", "r");

	ck_assert_int_eq(read_bytes("INPUT(libcuda.so.1)\n", 20, &info, &err), -ENOEXEC);
	ck_assert_str_eq(err.text, "not an ELF file");
	ck_assert_int_eq(read_bytes("!<arch>\n", 8, &info, &err), -ENOEXEC);
	ck_assert_ptr_nonnull(dir);
	err = (struct error){ 0 };
	ck_assert_int_eq(elf_read(fileno(dir), &info, &err), -ENOEXEC);
	ck_assert_str_eq(err.text, "not a regular file");
	(void)fclose(dir);
}
END_TEST

START_TEST(offsets_outside_the_file_are_refused)
{
	struct scratch_elf elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");

	elf.phdr[1].p_offset = UINT64_MAX - 8;
	refused(&elf, sizeof(elf), "dynamic section lies outside");
	elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	elf.phdr[1].p_filesz = 1U << 30;
	refused(&elf, sizeof(elf), "dynamic section lies outside");
	elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	elf.dyn[0].d_un.d_ptr = 1U << 20;
	refused(&elf, sizeof(elf), "soname lies outside");
	elf.dyn[0].d_un.d_ptr = UINT64_MAX;
	refused(&elf, sizeof(elf), "no string table");
	elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	elf.ehdr.e_phnum = 60000;
	refused(&elf, sizeof(elf), "too many program headers");
	elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
	elf.ehdr.e_phoff = UINT64_MAX - 16;
	refused(&elf, sizeof(elf), "program headers lie");
}
END_TEST

START_TEST(a_soname_must_be_a_file_name_with_an_end)
{
	static const char *const bad[] = { "../../etc/passwd", "..", ".", "a b", "a\nb", "" };
	struct scratch_elf elf;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		elf = scratch_elf(SCRATCH_NATIVE, bad[i]);
		refused(&elf, sizeof(elf), "its soname is not a file name");
	}
	elf = scratch_elf(SCRATCH_NATIVE, "x");
	memset(elf.strings, 'x', sizeof(elf.strings));
	refused(&elf, sizeof(elf), "its soname has no end");
	elf = scratch_elf(SCRATCH_NATIVE, "x");
	elf.dyn[0].d_tag = DT_DEBUG;
	refused(&elf, sizeof(elf), "no string table");
}
END_TEST

START_TEST(no_single_changed_byte_does_harm)
{
	struct elf_info info;
	struct error err;

	for (size_t at = 0; at < offsetof(struct scratch_elf, strings); at++) {
		for (int value = 0; value < 256; value += 51) {
			struct scratch_elf elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1");
			int r;

			((unsigned char *)&elf)[at] = (unsigned char)value;
			r = read_bytes(&elf, sizeof(elf), &info, &err);
			ck_assert(r == 0 || (r == -ENOEXEC && err.text[0]));
		}
	}
}
END_TEST

UNIT_MAIN("elf", class_machine_and_soname_are_read, a_library_without_soname_is_fine,
	  this_very_program_is_readable, a_file_cut_anywhere_is_refused,
	  text_and_directories_are_no_elf, offsets_outside_the_file_are_refused,
	  a_soname_must_be_a_file_name_with_an_end, no_single_changed_byte_does_harm)
