/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes in an ELF file's sections. As in elf.c every offset is checked against
 * the file's size before libelf is asked, and nothing is mapped. Of a file that
 * is there in two pieces, its beginning and its end, libelf gets these as one
 * file: the offsets behind the gap are moved to where their bytes are.
 */
#include "nvml/elf.h"

#include <errno.h>
#include <gelf.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

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

/* Where bytes of the file are in what there is of it; false if they are not, or not in one place. */
static bool locate(const struct elf_pieces *pieces, uint64_t offset, uint64_t len, uint64_t *ret)
{
	uint64_t gap = pieces->size - pieces->len, tail = pieces->head + gap;

	if (offset > pieces->size || len > pieces->size - offset)
		return false;
	if (offset < tail && len > 0 && (offset > pieces->head || len > pieces->head - offset))
		return false;
	*ret = offset < tail ? offset : offset - gap;
	return true;
}

static int find_in_sections(Elf *elf, const struct elf_pieces *pieces, const struct wanted *wanted)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	Elf_Data *data;
	uint64_t at;

	while ((section = elf_nextscn(elf, section))) {
		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_NOTE)
			continue;
		if (header.sh_size > NOTES_MAX_BYTES ||
		    !locate(pieces, header.sh_offset, header.sh_size, &at))
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)at, header.sh_size,
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
	struct elf_pieces whole = { 0 };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || elf_version(EV_CURRENT) == EV_NONE)
		return -ENOENT;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return -ENOENT;
	whole.size = whole.len = whole.head = (size_t)st.st_size;
	return find_in_sections(elf, &whole, &wanted);
}

/* The table of sections is where the header says, which is moved if it is in the second piece. */
static bool move_table(const struct elf_pieces *pieces)
{
	Elf64_Ehdr header;
	uint64_t at;

	if (pieces->head < sizeof(header))
		return false;
	memcpy(&header, pieces->bytes, sizeof(header));
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_ident[EI_DATA] !=
		    (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB) ||
	    !locate(pieces, header.e_shoff, (uint64_t)header.e_shnum * header.e_shentsize, &at))
		return false;
	header.e_shoff = at;
	memcpy(pieces->bytes, &header, sizeof(header));
	return true;
}

int elf_note_in_pieces(const struct elf_pieces *pieces, const char *owner, unsigned int type,
		       char *ret, size_t size)
{
	__attribute__((cleanup(cleanup_elf))) Elf *elf = NULL;
	const struct wanted wanted = { owner, type, ret, size };

	if (pieces->head > pieces->len || pieces->len > pieces->size || !move_table(pieces) ||
	    elf_version(EV_CURRENT) == EV_NONE)
		return -ENOENT;
	elf = elf_memory(pieces->bytes, pieces->len);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return -ENOENT;
	return find_in_sections(elf, pieces, &wanted);
}
