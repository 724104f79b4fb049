/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a file holds, elf_read() answers with sound values or with a reason:
 * a soname is a file name, and the outcome is the same each time. A note is a
 * string that fits.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "nvml/elf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int fd = memfd_create("elf", MFD_CLOEXEC);
	struct elf_info info, again;
	char note[64] = "";
	struct error err = { 0 };
	int r;

	require(fd >= 0 && file_write_all(fd, data, size) == 0);
	r = elf_read(fd, &info, &err);
	require(r == 0 || (r == -ENOEXEC && err.text[0]));
	require(elf_read(fd, &again, NULL) == r);
	require(elf_note(fd, "GNU", 3, note, sizeof(note)) == -ENOENT || strlen(note) > 0);
	if (r < 0)
		return 0;
	require(info.class == 32 || info.class == 64);
	require(memchr(info.soname, '\0', sizeof(info.soname)) != NULL);
	require(!strchr(info.soname, '/') && strcmp(info.soname, "..") != 0);
	require(!strcmp(info.soname, again.soname) && info.machine == again.machine);
	return 0;
}
