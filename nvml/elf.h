/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_ELF_H
#define NVFS_NVML_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct elf_info {
	int class;        /* 32 or 64 */
	int machine;      /* EM_X86_64, EM_AARCH64, ... of <elf.h> */
	char soname[256]; /* DT_SONAME, a plain file name; "" for none */
	bool is_shared;   /* ET_DYN: a library, or a position-independent program */
};

/**
 * elf_read() - class, machine and soname of an ELF file
 * @fd:  a regular file, readable; its offset is neither used nor moved; stays the caller's
 * @ret: untouched on failure
 * @err: message chain, may be NULL; the reason alone, the caller puts the file's name in front
 *
 * Works from the program headers, as the dynamic linker does, so that stripped
 * files count. Every offset is checked against the file's size: a file that is
 * shorter than its segments say is "truncated". Nothing is mapped, so that a
 * file that shrinks meanwhile is an error and no SIGBUS.
 * Source: elf(5); the gABI, "Program Header" and "Dynamic Section".
 *
 * Return: 0, -ENOEXEC (not ELF, truncated or malformed), -ENOMEM, or the errno
 * of fstat(2) or pread(2).
 */
int elf_read(int fd, struct elf_info *ret, struct error *err);

/**
 * elf_note() - text of the first note of an owner and type in the file's sections
 * @fd:    as for elf_read()
 * @owner: "NVIDIA Corporation"
 * @ret:   the descriptor, up to its first NUL; untouched where there is none
 * @size:  of @ret; a longer descriptor does not count
 *
 * Notes that no section header tells of, or that are malformed, are not found.
 * Source: elf(5), "Notes".
 *
 * Return: 0, -ENOENT, or the errno of fstat(2).
 */
int elf_note(int fd, const char *owner, unsigned int type, char *ret, size_t size);

/* The two ends of a file, of which the middle is not there. */
struct elf_pieces {
	void *bytes;   /* the first @head bytes of the file, then its last ones; borrowed, and changed */
	size_t head;
	size_t len;    /* of both together */
	uint64_t size; /* of the file */
};

/**
 * elf_note_in_pieces() - elf_note() of a 64-bit file of this byte order that is there in pieces
 *
 * Notes whose section, or the table of sections, is in neither piece are not found.
 * No system call is made beyond what malloc() and free() need.
 *
 * Return: 0 or -ENOENT.
 */
int elf_note_in_pieces(const struct elf_pieces *pieces, const char *owner, unsigned int type,
		       char *ret, size_t size);

/** elf_native_class() - 64 on 64-bit builds, else 32 */
int elf_native_class(void);

/** elf_native_machine() - the EM_ value that this program was built for */
int elf_native_machine(void);

/** elf_compat32_machine() - the EM_ value of 32-bit programs that run here too; 0 for none */
int elf_compat32_machine(void);

/** elf_machine_name() - "x86-64", "aarch64", "i386", "arm"; "another machine" for the rest */
const char *elf_machine_name(int machine);

#endif
