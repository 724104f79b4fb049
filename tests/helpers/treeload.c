/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treeload loop|map TREE STOP: works on a driver tree until the file STOP is there, and measures
 * how long each operation takes.
 *
 *   loop  asks for names that are not there, opens and reads, loads libcuda.so.1 in a fresh process
 *         and executes nvidia-smi
 *   map   holds mappings of the tree's largest library, and touches a page that is new to it
 *         every millisecond
 *
 * What is read is dropped from the page cache first, so that a daemon that serves reads is asked
 * again. Prints "wait KIND START_US US" (CLOCK_REALTIME) for each operation that took longer than
 * 2 ms, a line for each one that failed, and at last "ops N failed N"; exit status 1 if any failed.
 *
 * LINK: -ldl
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOW_US 2000
#define PAGE 4096

struct load {
	const char *tree, *stop;
	unsigned long ops, failed;
};

struct operation {
	const char *kind;
	int (*run)(const char *path);
	const char *path; /* below the tree */
};

static long long now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static int op_lookup(const char *path)
{
	char missing[PATH_MAX];
	struct stat st;

	(void)snprintf(missing, sizeof(missing), "%s/missing-%d-%lld", path, getpid(), now_us());
	return stat(missing, &st) < 0 && errno == ENOENT ? 0 : -1;
}

static int op_read(const char *path)
{
	static char buf[256 * 1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (int i = 0; i < 4 && n; i++) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0)
			break;
	}
	return close(fd) < 0 || n < 0 ? -1 : 0;
}

static int op_list(const char *path)
{
	DIR *dir = opendir(path);

	if (!dir)
		return -1;
	errno = 0;
	while (readdir(dir))
		;
	return closedir(dir) < 0 || errno ? -1 : 0;
}

/* 0, or -1 with the child's word on stderr */
static int wait_for_child(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	errno = WIFSIGNALED(status) ? EFAULT : ENOEXEC;
	return WIFSIGNALED(status) || WEXITSTATUS(status) == 127 ? -1 : 0;
}

static int op_dlopen(const char *path)
{
	pid_t pid = fork();

	if (pid)
		return wait_for_child(pid);
	if (dlopen(path, RTLD_NOW))
		_exit(0);
	fprintf(stderr, "%s\n", dlerror());
	_exit(127);
}

static int op_exec(const char *path)
{
	pid_t pid = fork();

	if (pid)
		return wait_for_child(pid);
	if (!freopen("/dev/null", "w", stdout))
		_exit(127);
	(void)execl(path, path, (char *)NULL);
	perror(path);
	_exit(127);
}

static void account(struct load *load, const char *kind, long long start, int r)
{
	long long us = now_us() - start;

	load->ops++;
	if (r < 0) {
		load->failed++;
		printf("failed %s %lld %s\n", kind, start, strerror(errno));
	}
	if (us > SLOW_US)
		printf("wait %s %lld %lld\n", kind, start, us);
}

static int go_on(const struct load *load)
{
	return access(load->stop, F_OK) < 0;
}

static void loop(struct load *load)
{
	static const struct operation operations[] = {
		{ "lookup", op_lookup, "lib64" },
		{ "read-text", op_read, ".nvfs/manifest.json" },
		{ "read-host", op_read, "lib64/libcuda.so.1" },
		{ "list", op_list, "lib64" },
		{ "dlopen", op_dlopen, "lib64/libcuda.so.1" },
		{ "lookup", op_lookup, "bin" },
		{ "exec", op_exec, "bin/nvidia-smi" },
	};
	char path[PATH_MAX];

	for (size_t i = 0; go_on(load); i++) {
		const struct operation *op =
			&operations[i % (sizeof(operations) / sizeof(*operations))];
		long long start = now_us();

		(void)snprintf(path, sizeof(path), "%s/%s", load->tree, op->path);
		account(load, op->kind, start, op->run(path));
	}
}

static void touch_all(struct load *load, volatile const char *map, off_t size)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };

	for (off_t at = 0; at < size && go_on(load); at += PAGE) {
		long long start = now_us();

		(void)map[at]; /* a failure is SIGBUS */
		account(load, "touch", start, 0);
		(void)nanosleep(&pause, NULL);
	}
}

static int largest(const char *tree, char *path, size_t size)
{
	char lib64[PATH_MAX], candidate[PATH_MAX + 256];
	const struct dirent *entry;
	off_t best = 0;
	struct stat st;
	DIR *dir;

	(void)snprintf(lib64, sizeof(lib64), "%s/lib64", tree);
	dir = opendir(lib64);
	while (dir && (entry = readdir(dir))) {
		(void)snprintf(candidate, sizeof(candidate), "%s/%s", lib64, entry->d_name);
		if (stat(candidate, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= best)
			continue;
		best = st.st_size;
		(void)snprintf(path, size, "%s", candidate);
	}
	if (dir)
		(void)closedir(dir);
	return best ? 0 : -1;
}

static void map(struct load *load)
{
	char path[PATH_MAX + 256];

	while (go_on(load)) {
		long long start = now_us();
		void *at = MAP_FAILED;
		struct stat st = { 0 };
		int fd = largest(load->tree, path, sizeof(path)) < 0
				 ? -1
				 : open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && fstat(fd, &st) == 0) {
			(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		}
		account(load, "map", start, at == MAP_FAILED ? -1 : 0);
		if (fd >= 0)
			(void)close(fd);
		if (at == MAP_FAILED)
			continue;
		touch_all(load, at, st.st_size);
		(void)munmap(at, (size_t)st.st_size);
	}
}

int main(int argc, char *argv[])
{
	struct load load = { .tree = argc == 4 ? argv[2] : NULL,
			     .stop = argc == 4 ? argv[3] : NULL };

	if (argc != 4)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(argv[1], "map") == 0)
		map(&load);
	else
		loop(&load);
	printf("ops %lu failed %lu\n", load.ops, load.failed);
	return load.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
