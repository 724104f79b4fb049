/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapheld FILE SECONDS: maps a file and holds it so long. Ten times a second all that the kernel has of it in
 * memory is dropped, and every page is touched again: its bytes must be what they were at first. Prints
 * "held" when it has begun, and how often it was the same at the end; exit status 1 if it was not, and a
 * page that cannot be had is SIGBUS.
 *
 * LINK: -static
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t sum(const unsigned char *data, size_t size)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 1099511628211u;
	return hash;
}

/* What is mapped nowhere the kernel can drop. */
static int drop(int fd, void *data, size_t size)
{
	return madvise(data, size, MADV_DONTNEED) == 0 &&
			       posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0
		       ? 0
		       : -1;
}

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 100 * 1000000 };
	int fd = argc == 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	time_t end = argc == 3 ? time(NULL) + atoi(argv[2]) : 0;
	unsigned long times = 0;
	struct stat st;
	uint64_t first;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror("mapheld");
		return 2;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	first = sum(data, (size_t)st.st_size);
	puts("held");
	(void)fflush(stdout);
	for (; time(NULL) < end; times++) {
		if (drop(fd, data, (size_t)st.st_size) < 0) {
			perror("drop");
			return 2;
		}
		if (sum(data, (size_t)st.st_size) != first) {
			puts("other bytes");
			return 1;
		}
		(void)nanosleep(&pause, NULL);
	}
	printf("the same %lu times\n", times);
	return 0;
}
