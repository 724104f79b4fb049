/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_TESTS_SCRATCH_H
#define NVFS_TESTS_SCRATCH_H

/*
 * A scratch directory with files in it, and the smallest shared library that
 * the dynamic section's rules allow: header, one PT_LOAD over the whole file,
 * one PT_DYNAMIC with DT_STRTAB and DT_SONAME. Needs no compiler at test time.
 */

#include <check.h>
#include <elf.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__aarch64__)
#define SCRATCH_NATIVE EM_AARCH64
#define SCRATCH_FOREIGN EM_X86_64
#else
#define SCRATCH_NATIVE EM_X86_64
#define SCRATCH_FOREIGN EM_AARCH64
#endif

struct scratch_elf {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[2];
	Elf64_Dyn dyn[3];
	char strings[64]; /* "\0" and the soname */
};

static inline struct scratch_elf scratch_elf(int machine, const char *soname)
{
	struct scratch_elf elf = { 0 };

	memcpy(elf.ehdr.e_ident, ELFMAG, SELFMAG);
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	elf.ehdr.e_type = ET_DYN;
	elf.ehdr.e_machine = (Elf64_Half)machine;
	elf.ehdr.e_version = EV_CURRENT;
	elf.ehdr.e_ehsize = sizeof(elf.ehdr);
	elf.ehdr.e_phoff = offsetof(struct scratch_elf, phdr);
	elf.ehdr.e_phentsize = sizeof(*elf.phdr);
	elf.ehdr.e_phnum = 2;
	elf.phdr[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_filesz = sizeof(elf) };
	elf.phdr[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				    .p_offset = offsetof(struct scratch_elf, dyn),
				    .p_filesz = sizeof(elf.dyn) };
	elf.dyn[0] = (Elf64_Dyn){ .d_tag = DT_STRTAB,
				  .d_un.d_ptr = offsetof(struct scratch_elf, strings) };
	elf.dyn[1] = (Elf64_Dyn){ .d_tag = soname ? DT_SONAME : DT_NULL, .d_un.d_val = 1 };
	if (soname)
		(void)snprintf(elf.strings + 1, sizeof(elf.strings) - 1, "%s", soname);
	return elf;
}

static inline void scratch_path(char path[512], const char *root, const char *name)
{
	ck_assert_int_lt(snprintf(path, 512, "%s/%s", root, name), 512);
}

/* Make the directories above a path. */
static inline void scratch_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
}

static inline void scratch_write(const char *root, const char *name, const void *data, size_t len)
{
	char path[512];
	FILE *file;

	scratch_path(path, root, name);
	scratch_parents(path);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

static inline void scratch_text(const char *root, const char *name, const char *text)
{
	scratch_write(root, name, text, strlen(text));
}

static inline void scratch_library(const char *root, const char *name, const char *soname)
{
	struct scratch_elf elf = scratch_elf(SCRATCH_NATIVE, soname);

	scratch_write(root, name, &elf, sizeof(elf));
}

/* The same for i386. */
static inline void scratch_library32(const char *root, const char *name, const char *soname)
{
	struct {
		Elf32_Ehdr ehdr;
		Elf32_Phdr phdr[2];
		Elf32_Dyn dyn[3];
		char strings[64];
	} elf = { 0 };
	const Elf32_Word dyn = (Elf32_Word)((char *)elf.dyn - (char *)&elf);
	const Elf32_Word strings = (Elf32_Word)(elf.strings - (char *)&elf);

	memcpy(elf.ehdr.e_ident, ELFMAG, SELFMAG);
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	elf.ehdr.e_type = ET_DYN;
	elf.ehdr.e_machine = EM_386;
	elf.ehdr.e_version = EV_CURRENT;
	elf.ehdr.e_ehsize = sizeof(elf.ehdr);
	elf.ehdr.e_phoff = sizeof(elf.ehdr);
	elf.ehdr.e_phentsize = sizeof(*elf.phdr);
	elf.ehdr.e_phnum = 2;
	elf.phdr[0] = (Elf32_Phdr){ .p_type = PT_LOAD, .p_filesz = sizeof(elf) };
	elf.phdr[1] =
		(Elf32_Phdr){ .p_type = PT_DYNAMIC, .p_offset = dyn, .p_filesz = sizeof(elf.dyn) };
	elf.dyn[0] = (Elf32_Dyn){ .d_tag = DT_STRTAB, .d_un.d_ptr = strings };
	elf.dyn[1] = (Elf32_Dyn){ .d_tag = DT_SONAME, .d_un.d_val = 1 };
	(void)snprintf(elf.strings + 1, sizeof(elf.strings) - 1, "%s", soname);
	scratch_write(root, name, &elf, sizeof(elf));
}

static inline void scratch_link(const char *root, const char *name, const char *to)
{
	char path[512];

	scratch_path(path, root, name);
	scratch_parents(path);
	ck_assert_int_eq(symlink(to, path), 0);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_new(char root[64])
{
	(void)snprintf(root, 64, "/tmp/nvfs-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static inline void scratch_remove(const char *root)
{
	(void)nftw(root, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
