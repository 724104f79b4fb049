/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsbench NAME OURS HOSTS: the same file through a driver tree and on the host,
 * the operations taken in turn so that a busy machine slows both alike. Prints
 * one line per operation: "NAME OPERATION OURS_NS HOSTS_NS", medians.
 *
 * stat and open are warm; read is the whole file from the page cache; touch maps
 * the file anew and touches every page; touch-cold the same after the tree's own cached pages were
 * dropped; dlopen is in a fresh process each time, and spawn is that with fork and exec.
 *
 * fsbench cached FILE: reads it and prints how many bytes of it the page cache holds under this
 * inode (cachestat(2), Linux 6.5; nothing before).
 *
 * LINK: -ldl
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 2001

struct operation {
	const char *name;
	int rounds;
	int (*run)(const char *path);
	bool cold; /* our side without its own pages */
};

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int op_stat(const char *path)
{
	struct stat st;

	return stat(path, &st);
}

static int op_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int op_read(const char *path)
{
	static char buf[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	do
		n = read(fd, buf, sizeof(buf));
	while (n > 0);
	return close(fd) < 0 || n < 0 ? -1 : 0;
}

static int op_touch(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	volatile const char *map;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return -1;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	for (off_t at = 0; at < st.st_size; at += 4096)
		(void)map[at];
	(void)munmap((void *)map, (size_t)st.st_size);
	return close(fd);
}

/* The fork and the exit are the same on both sides; what is timed is inside the child. */
static long long dlopen_ns(const char *path)
{
	long long ns = -1;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		long long start = now_ns();
		void *lib = dlopen(path, RTLD_NOW);

		start = now_ns() - start;
		if (!lib)
			fprintf(stderr, "%s\n", dlerror());
		else if (write(fds[1], &start, sizeof(start)) < 0)
			perror("write");
		_exit(0);
	}
	(void)close(fds[1]);
	if (pid < 0 || read(fds[0], &ns, sizeof(ns)) != sizeof(ns))
		ns = -1;
	(void)close(fds[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return ns;
}

static int op_spawn(const char *path)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/proc/self/exe", "fsbench", "load", path, (char *)NULL);
		_exit(1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static void drop_pages(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(fd);
}

static int print_cached(const char *path)
{
	/* linux/mman.h of 6.5 */
	struct { uint64_t off, len; } range = { 0, 0 };
	struct { uint64_t cache, dirty, writeback, evicted, recently_evicted; } stat = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || op_read(path) < 0)
		return 1;
	if (syscall(451, fd, &range, &stat, 0) == 0) /* cachestat */
		printf("%llu\n", (unsigned long long)stat.cache * 4096);
	return 0;
}

static long long timed(const struct operation *op, const char *path)
{
	long long start;

	if (!op->run)
		return dlopen_ns(path);
	start = now_ns();
	if (op->run(path) < 0)
		return -1;
	return now_ns() - start;
}

static int compare(const void *a, const void *b)
{
	const long long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int measure(const struct operation *op, const char *name, const char *const path[2])
{
	static long long ns[2][ROUNDS_MAX];

	for (int i = -1; i < op->rounds; i++) { /* the first one warms up */
		for (int turn = 0; turn < 2; turn++) {
			/* Whoever comes second finds the pages in the processor's cache. */
			int side = (turn + i + 2) % 2;
			long long t;

			if (op->cold && side == 0)
				drop_pages(path[side]);
			t = timed(op, path[side]);
			if (t < 0) {
				perror(path[side]);
				return -1;
			}
			if (i >= 0)
				ns[side][i] = t;
		}
	}
	for (int side = 0; side < 2; side++)
		qsort(ns[side], (size_t)op->rounds, sizeof(**ns), compare);
	printf("%s %s %lld %lld\n", name, op->name, ns[0][op->rounds / 2], ns[1][op->rounds / 2]);
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct operation operations[] = {
		{ "stat", 2001, op_stat, false },   { "open", 2001, op_open, false },
		{ "read", 51, op_read, false },	    { "touch", 51, op_touch, false },
		{ "touch-cold", 15, op_touch, true }, { "dlopen", 51, NULL, false },
		{ "spawn", 51, op_spawn, false },
	};
	const char *const path[2] = { argc == 4 ? argv[2] : NULL, argc == 4 ? argv[3] : NULL };

	if (argc == 3 && strcmp(argv[1], "load") == 0)
		return dlopen(argv[2], RTLD_NOW) ? 0 : 1;
	if (argc == 3 && strcmp(argv[1], "cached") == 0)
		return print_cached(argv[2]);
	if (argc != 4)
		return 2;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (measure(&operations[i], argv[1], path) < 0)
			return 1;
	return 0;
}
