/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file says of itself as ELF: class, machine, soname. libelf decodes
 * headers and the dynamic section (byte order, class); where things lie and
 * whether they fit into the file is checked here, before libelf is asked for
 * them. The rule: no offset or size of the file is believed unchecked, and the
 * file is read by pread(2) only, so that it may change or shrink under us.
 */
#include "nvml/elf.h"

#include <errno.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"

/* Real drivers have 7 to 11 program headers and fewer than 40 dynamic entries. */
#define PHDR_MAX 128
#define DYNAMIC_MAX_BYTES (64 * 1024)

struct elf_file {
	Elf *elf;
	int fd;
	uint64_t size;
	size_t n_phdr;
};

static void cleanup_elf(Elf **elf)
{
	int saved = errno;

	if (*elf)
		(void)elf_end(*elf);
	errno = saved;
}
#define auto_elf __attribute__((cleanup(cleanup_elf)))

static int reject(struct error *err, const char *why)
{
	return error_setc(err, ERROR_DRIVER, -ENOEXEC, "%s", why);
}

static bool fits(const struct elf_file *file, uint64_t offset, uint64_t len)
{
	return offset <= file->size && len <= file->size - offset;
}

/* Every segment must lie in the file: half a download still has sound headers. */
static int check_segments(const struct elf_file *file, struct error *err)
{
	GElf_Phdr phdr;

	for (size_t i = 0; i < file->n_phdr; i++) {
		if (!gelf_getphdr(file->elf, (int)i, &phdr))
			return reject(err, "unreadable program header");
		if (phdr.p_type == PT_LOAD && !fits(file, phdr.p_offset, phdr.p_filesz))
			return error_setc(err, ERROR_DRIVER, -ENOEXEC,
					  "truncated: a segment ends beyond its %llu bytes",
					  (unsigned long long)file->size);
	}
	return 0;
}

/* Where an address of the loaded image lies in the file, and how much of its segment follows. */
static bool address_to_offset(const struct elf_file *file, uint64_t address, uint64_t *ret_offset,
			      uint64_t *ret_left)
{
	GElf_Phdr phdr;

	for (size_t i = 0; i < file->n_phdr; i++) {
		if (!gelf_getphdr(file->elf, (int)i, &phdr) || phdr.p_type != PT_LOAD)
			continue;
		if (address < phdr.p_vaddr || address - phdr.p_vaddr >= phdr.p_filesz)
			continue;
		*ret_left = phdr.p_filesz - (address - phdr.p_vaddr);
		*ret_offset = phdr.p_offset + (address - phdr.p_vaddr);
		return true;
	}
	return false;
}

static bool is_file_name(const char *s)
{
	if (!*s || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++)
		if (*s == '/' || (unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static int read_soname(const struct elf_file *file, uint64_t address, char *ret, size_t size,
		       struct error *err)
{
	uint64_t offset, left;
	ssize_t n;

	if (!address_to_offset(file, address, &offset, &left))
		return reject(err, "its soname lies outside the file");
	n = pread(file->fd, ret, left < size ? left : size, (off_t)offset);
	if (n < 0)
		return error_set(err, -errno, "read soname");
	if (!memchr(ret, '\0', (size_t)n))
		return reject(err, "its soname has no end");
	if (!is_file_name(ret))
		return reject(err, "its soname is not a file name");
	return 0;
}

/* DT_SONAME is an offset into the string table that DT_STRTAB gives by address. */
static int parse_dynamic(const struct elf_file *file, const GElf_Phdr *phdr, struct elf_info *info,
			 struct error *err)
{
	uint64_t strtab = 0, soname = 0;
	bool has_strtab = false, has_soname = false;
	GElf_Dyn dyn;
	Elf_Data *data;

	if (!fits(file, phdr->p_offset, phdr->p_filesz) || phdr->p_filesz > DYNAMIC_MAX_BYTES)
		return reject(err, "its dynamic section lies outside the file");
	data = elf_getdata_rawchunk(file->elf, (int64_t)phdr->p_offset, phdr->p_filesz, ELF_T_DYN);
	if (!data)
		return reject(err, "unreadable dynamic section");
	for (int i = 0; gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		if (dyn.d_tag == DT_STRTAB) {
			strtab = dyn.d_un.d_ptr;
			has_strtab = true;
		} else if (dyn.d_tag == DT_SONAME) {
			soname = dyn.d_un.d_val;
			has_soname = true;
		}
	}
	if (!has_soname)
		return 0;
	if (!has_strtab || soname > UINT64_MAX - strtab)
		return reject(err, "it has a soname but no string table");
	return read_soname(file, strtab + soname, info->soname, sizeof(info->soname), err);
}

static int read_dynamic(const struct elf_file *file, struct elf_info *info, struct error *err)
{
	GElf_Phdr phdr;

	for (size_t i = 0; i < file->n_phdr; i++)
		if (gelf_getphdr(file->elf, (int)i, &phdr) && phdr.p_type == PT_DYNAMIC)
			return parse_dynamic(file, &phdr, info, err);
	return 0;
}

/* The number of program headers is the header's own: elf_getphdrnum() gives what fits, silently. */
static int open_elf(struct elf_file *file, struct elf_info *info, struct error *err)
{
	GElf_Ehdr ehdr;

	if (elf_kind(file->elf) != ELF_K_ELF)
		return reject(err, "not an ELF file");
	if (!gelf_getehdr(file->elf, &ehdr))
		return reject(err, "unreadable ELF header");
	file->n_phdr = ehdr.e_phnum;
	if (file->n_phdr > PHDR_MAX)
		return reject(err, "it has too many program headers");
	if (!fits(file, ehdr.e_phoff, (uint64_t)file->n_phdr * ehdr.e_phentsize))
		return reject(err, "truncated: its program headers lie beyond its end");
	info->class = gelf_getclass(file->elf) == ELFCLASS64 ? 64 : 32;
	info->machine = ehdr.e_machine;
	info->is_shared = ehdr.e_type == ET_DYN;
	return 0;
}

int elf_read(int fd, struct elf_info *ret, struct error *err)
{
	auto_elf Elf *elf = NULL;
	struct elf_file file = { .fd = fd };
	struct elf_info info = { 0 };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "stat");
	if (!S_ISREG(st.st_mode))
		return reject(err, "not a regular file");
	if (st.st_size == 0)
		return reject(err, "empty");
	if (elf_version(EV_CURRENT) == EV_NONE)
		return reject(err, "libelf is too old");
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return reject(err, elf_errmsg(-1));
	file.elf = elf;
	file.size = (uint64_t)st.st_size;
	r = open_elf(&file, &info, err);
	r = r ? r : check_segments(&file, err);
	r = r ? r : read_dynamic(&file, &info, err);
	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

int elf_native_class(void)
{
	return sizeof(void *) == 8 ? 64 : 32;
}

int elf_native_machine(void)
{
#if defined(__x86_64__)
	return EM_X86_64;
#elif defined(__aarch64__)
	return EM_AARCH64;
#elif defined(__i386__)
	return EM_386;
#elif defined(__arm__)
	return EM_ARM;
#else
#error "name the EM_ value of this architecture here"
#endif
}

int elf_compat32_machine(void)
{
#if defined(__x86_64__) && defined(__LP64__)
	return EM_386;
#else
	return 0; /* the driver has no 32-bit libraries for others */
#endif
}

const char *elf_machine_name(int machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86-64";
	case EM_AARCH64:
		return "aarch64";
	case EM_386:
		return "i386";
	case EM_ARM:
		return "arm";
	default:
		return "another machine";
	}
}
