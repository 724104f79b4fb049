/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_COMPATLIST_H
#define NVFS_COMMON_COMPATLIST_H

/*
 * What nvinject tells the daemon of an image's libraries for CUDA forward
 * compatibility, and what the daemon remembers of it: one block of bytes,
 *
 *   file NAME         a regular file
 *   link NAME TARGET  a link to another name of the same directory
 *   elf SIZE HEAD     of the only libcuda: bytes of the file, and of its beginning below
 *   note TEXT         or, once that has been read, the text of its note
 *                     an empty line
 *   ...               the first HEAD bytes of libcuda, then its last ones; without "elf" nothing
 *
 * Names are of compatlist_is_name(). All of it is the image's word: only a
 * confined process reads it.
 */

#include <stdbool.h>
#include <stddef.h>

#define COMPATLIST_DIR "usr/local/cuda/compat" /* below the container's root */
#define COMPATLIST_ROOT "/" COMPATLIST_DIR "/"

#define COMPATLIST_NAME_MAX 128 /* bytes with the NUL */
#define COMPATLIST_NAMES_MAX 64
#define COMPATLIST_NOTE_MAX 1024 /* bytes with the NUL; real ones have 107 */
/* Notes stand behind the ELF header, tables of sections at the end. */
#define COMPATLIST_PIECE_MAX 16384 /* bytes of each end of libcuda */
#define COMPATLIST_SIZE_MAX \
	(COMPATLIST_NAMES_MAX * 2 * COMPATLIST_NAME_MAX + 2 * COMPATLIST_PIECE_MAX + 4096)

/** compatlist_is_name() - "lib*.so*" of plain characters: no slash, no blank, none that a terminal obeys */
bool compatlist_is_name(const char *name);

/**
 * compatlist_is_libcuda() - "libcuda.so.550.54.15": the file that decides
 *
 * Source: the NVIDIA Container Toolkit's hook enable-cuda-compat, which looks for "libcuda.so.*.*".
 */
bool compatlist_is_libcuda(const char *name);

#endif
