/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes in an ELF file's sections. As in elf.c every offset is checked against
 * the file's size before libelf is asked, and nothing is mapped.
 */
#include "nvml/elf.h"

#include <errno.h>
#include <gelf.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"

/* Real libraries have a build id of 36 bytes, and NVIDIA's note of 140. */
#define NOTES_MAX_BYTES 4096

static void cleanup_elf(Elf **elf)
{
	int saved = errno;

	if (*elf)
		(void)elf_end(*elf);
	errno = saved;
}

struct wanted {
	const char *owner;
	unsigned int type;
	char *text;
	size_t size;
};

/* The descriptor as a string: what is behind a NUL is padding. */
static bool copy_text(const struct wanted *wanted, const char *descriptor, size_t len)
{
	len = strnlen(descriptor, len);
	if (len == 0 || len >= wanted->size)
		return false;
	memcpy(wanted->text, descriptor, len);
	wanted->text[len] = '\0';
	return true;
}

static bool find_in_notes(Elf_Data *data, const struct wanted *wanted)
{
	const char *bytes = data->d_buf;
	size_t offset = 0, name, descriptor;
	GElf_Nhdr note;

	while ((offset = gelf_getnote(data, offset, &note, &name, &descriptor)) > 0) {
		if (note.n_type == wanted->type && note.n_namesz == strlen(wanted->owner) + 1 &&
		    !memcmp(bytes + name, wanted->owner, note.n_namesz) &&
		    copy_text(wanted, bytes + descriptor, note.n_descsz))
			return true;
	}
	return false;
}

static int find_in_sections(Elf *elf, uint64_t size, const struct wanted *wanted)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	Elf_Data *data;

	while ((section = elf_nextscn(elf, section))) {
		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_NOTE)
			continue;
		if (header.sh_size > NOTES_MAX_BYTES || header.sh_offset > size ||
		    header.sh_size > size - header.sh_offset)
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)header.sh_offset, header.sh_size,
					    header.sh_addralign == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		if (data && find_in_notes(data, wanted))
			return 0;
	}
	return -ENOENT;
}

int elf_note(int fd, const char *owner, unsigned int type, char *ret, size_t size)
{
	__attribute__((cleanup(cleanup_elf))) Elf *elf = NULL;
	const struct wanted wanted = { owner, type, ret, size };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || elf_version(EV_CURRENT) == EV_NONE)
		return -ENOENT;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return -ENOENT;
	return find_in_sections(elf, (uint64_t)st.st_size, &wanted);
}
