/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remount [-b OTHER] PATH rw|suid|dev|exec: clears one flag of a mount and keeps the others. With -b
 * the mount is bound to OTHER first, and the flag is cleared there. Prints the errno's name; exit
 * status 0 when the flag could be cleared, 1 when not, 2 when it did not come to that.
 *
 * LINK: -static
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

static const struct {
	const char *name;
	unsigned long st, ms;
} flags[] = { { "rw", ST_RDONLY, MS_RDONLY },
	      { "suid", ST_NOSUID, MS_NOSUID },
	      { "dev", ST_NODEV, MS_NODEV },
	      { "exec", ST_NOEXEC, MS_NOEXEC } };

int main(int argc, char *argv[])
{
	const char *path = argc == 5 ? argv[3] : argv[1], *word = argv[argc - 1];
	unsigned long keep = MS_REMOUNT | MS_BIND;
	struct statvfs st;
	int r;

	if ((argc != 3 && (argc != 5 || strcmp(argv[1], "-b") != 0)) || statvfs(path, &st) < 0)
		return 2;
	if (argc == 5 && mount(path, argv[2], NULL, MS_BIND, NULL) < 0) {
		perror("bind");
		return 2;
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (st.f_flag & flags[i].st && strcmp(word, flags[i].name) != 0)
			keep |= flags[i].ms;
	}
	r = mount(NULL, argc == 5 ? argv[2] : path, NULL, keep, NULL);
	printf("%s\n", r < 0 ? strerrorname_np(errno) : "cleared");
	if (argc == 5)
		(void)umount2(argv[2], MNT_DETACH);
	return r < 0;
}
