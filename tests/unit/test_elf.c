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

/* A library with section headers: the empty first one, and a section of notes. */
struct noted_elf {
	struct scratch_elf elf;
	Elf64_Shdr sections[2];
	struct {
		Elf64_Nhdr header;
		char owner[20];
		char text[32];
	} notes[2];
};

#define OWNER "NVIDIA Corporation"

static struct noted_elf noted_elf(const char *owner, unsigned int type, const char *text)
{
	struct noted_elf noted = { .elf = scratch_elf(SCRATCH_NATIVE, "libcuda.so.1") };

	noted.elf.ehdr.e_shoff = offsetof(struct noted_elf, sections);
	noted.elf.ehdr.e_shentsize = sizeof(*noted.sections);
	noted.elf.ehdr.e_shnum = 2;
	noted.sections[1] = (Elf64_Shdr){ .sh_type = SHT_NOTE,
					  .sh_offset = offsetof(struct noted_elf, notes),
					  .sh_size = sizeof(noted.notes),
					  .sh_addralign = 4 };
	for (int i = 0; i < 2; i++) {
		noted.notes[i].header = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 32, .n_type = 3 };
		(void)strcpy(noted.notes[i].owner, "GNU");
	}
	/* Names are padded to four bytes: a short one would move what follows. */
	noted.notes[0].header.n_namesz = noted.notes[1].header.n_namesz = sizeof(OWNER);
	noted.notes[1].header.n_type = type;
	(void)snprintf(noted.notes[1].owner, sizeof(noted.notes[1].owner), "%s", owner);
	memcpy(noted.notes[1].text, text, strlen(text));
	return noted;
}

static int note_of(const struct noted_elf *noted, size_t len, char text[64])
{
	int fd = memfd_create("elf", MFD_CLOEXEC), r;

	ck_assert_int_eq((int)write(fd, noted, len), (int)len);
	r = elf_note(fd, OWNER, 0, text, 64);
	(void)close(fd);
	return r;
}

START_TEST(a_note_is_found_by_owner_and_type)
{
	struct noted_elf noted = noted_elf(OWNER, 0, "{\"CUDA version\":\"13.0\"}");
	char text[64] = "before";

	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), 0);
	ck_assert_str_eq(text, "{\"CUDA version\":\"13.0\"}");
	noted = noted_elf(OWNER, 1, "x");
	(void)strcpy(text, "before");
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	noted = noted_elf("NVIDIA Incorporated", 0, "x");
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	noted = noted_elf(OWNER, 0, "");
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	ck_assert_str_eq(text, "before");
}
END_TEST

START_TEST(notes_outside_the_file_or_cut_short_are_none)
{
	struct noted_elf noted;
	char text[64] = "before";

	noted = noted_elf(OWNER, 0, "x");
	for (size_t len = 0; len < sizeof(noted); len++)
		ck_assert_int_eq(note_of(&noted, len, text), -ENOENT);
	noted.sections[1].sh_offset = UINT64_MAX - 16;
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	noted = noted_elf(OWNER, 0, "x");
	noted.sections[1].sh_size = 1U << 30;
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	noted = noted_elf(OWNER, 0, "x");
	noted.notes[0].header.n_descsz = UINT32_MAX;
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	noted = noted_elf(OWNER, 0, "x");
	noted.notes[1].header.n_descsz = 4096;
	ck_assert_int_eq(note_of(&noted, sizeof(noted), text), -ENOENT);
	ck_assert_int_eq(elf_note(-1, OWNER, 0, text, sizeof(text)), -EBADF);
	ck_assert_str_eq(text, "before");
}
END_TEST

/* The same file with a gap of some megabytes between the header and the rest. */
static int note_of_pieces(struct noted_elf noted, size_t head, uint64_t gap, char text[64])
{
	struct elf_pieces pieces = { .bytes = &noted, .head = head, .len = sizeof(noted),
				     .size = sizeof(noted) + gap };

	return elf_note_in_pieces(&pieces, OWNER, 0, text, 64);
}

START_TEST(a_note_is_found_at_either_end_of_a_file)
{
	const uint64_t gap = 12345677;
	struct noted_elf noted = noted_elf(OWNER, 0, "x"), moved = noted;
	size_t sections = offsetof(struct noted_elf, sections),
	       notes = offsetof(struct noted_elf, notes);
	char text[64] = "";

	ck_assert_int_eq(note_of_pieces(noted, sizeof(noted), 0, text), 0);
	ck_assert_str_eq(text, "x");
	/* Both behind the gap, as where a tool has added the section. */
	moved.elf.ehdr.e_shoff += gap;
	moved.sections[1].sh_offset += gap;
	text[0] = '\0';
	ck_assert_int_eq(note_of_pieces(moved, sections, gap, text), 0);
	ck_assert_str_eq(text, "x");
	/* The table in front of it, the note behind. */
	moved.elf.ehdr.e_shoff -= gap;
	ck_assert_int_eq(note_of_pieces(moved, notes, gap, text), 0);
	/* In the gap, or partly. */
	(void)strcpy(text, "before");
	ck_assert_int_eq(note_of_pieces(noted, sections, gap, text), -ENOENT);
	ck_assert_int_eq(note_of_pieces(noted, notes, gap, text), -ENOENT);
	ck_assert_int_eq(note_of_pieces(noted, notes + 8, gap, text), -ENOENT);
	moved.elf.ehdr.e_shoff = UINT64_MAX - 8;
	ck_assert_int_eq(note_of_pieces(moved, sections, gap, text), -ENOENT);
	noted.elf.ehdr.e_ident[EI_DATA] = ELFDATA2MSB;
	ck_assert_int_eq(note_of_pieces(noted, sizeof(noted), 0, text), -ENOENT);
	ck_assert_str_eq(text, "before");
	for (size_t head = 0; head <= sizeof(noted); head++)
		(void)note_of_pieces(noted_elf(OWNER, 0, "x"), head, gap, text);
}
END_TEST

UNIT_MAIN("elf", a_note_is_found_by_owner_and_type, a_note_is_found_at_either_end_of_a_file,
	  notes_outside_the_file_or_cut_short_are_none,
	  class_machine_and_soname_are_read, a_library_without_soname_is_fine,
	  this_very_program_is_readable, a_file_cut_anywhere_is_refused,
	  text_and_directories_are_no_elf, offsets_outside_the_file_are_refused,
	  a_soname_must_be_a_file_name_with_an_end, no_single_changed_byte_does_harm)
