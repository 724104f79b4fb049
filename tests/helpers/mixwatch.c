/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mixwatch DIR SECONDS [PAUSE_MS]: looks at a driver tree over and over while its driver changes, without a
 * pause or with one.
 *
 * Within one opened lib64 the versions of two libraries must be the same ("mixed" counts when they
 * are not), and once a path has shown another version than before, no path may show the one before
 * again ("backwards"). Prints a line whenever it sees another version than the last time, an older
 * one that returns too, and a last line "looks N mixed N backwards N failed N", at SIGTERM as well as
 * at the end of its time; exit status 1 if any of the last three is not 0.
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MAX 16

static char seen[SEEN_MAX][64];
static unsigned int n_seen, shown; /* the last one that was printed is seen[shown - 1] */
static volatile sig_atomic_t told_to_end;
static unsigned long looks, mixed, backwards, failed;

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* "libcuda.so.1" -> "libcuda.so.535.261.03": what follows ".so." */
static bool version_of(int dirfd, const char *path, char *version, size_t size)
{
	char target[256];
	ssize_t n = readlinkat(dirfd, path, target, sizeof(target) - 1);
	const char *at;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	target[n] = '\0';
	at = strstr(target, ".so.");
	(void)snprintf(version, size, "%.63s", at ? at + 4 : target);
	return true;
}

static void on_sigterm(int signal)
{
	(void)signal;
	told_to_end = 1;
}

/* 1 for the first version ever seen, 2 for the next...; a version that is new gets the next number */
static unsigned int number_of(const char *version)
{
	for (unsigned int i = 0; i < n_seen; i++) {
		if (strcmp(seen[i], version) == 0)
			return i + 1;
	}
	if (n_seen == SEEN_MAX) {
		fprintf(stderr, "more than %d versions\n", SEEN_MAX);
		exit(2);
	}
	(void)snprintf(seen[n_seen++], sizeof(seen[0]), "%s", version);
	return n_seen;
}

static void note_version(const char *version)
{
	unsigned int number = number_of(version);

	if (number < n_seen)
		backwards++;
	if (number == shown)
		return;
	shown = number;
	printf("%s\n", version);
	fflush(stdout);
}

/* The file itself, and not only the name, must be there to be read. */
static bool is_readable(int dirfd, const char *name)
{
	char magic[4];
	int fd = openat(dirfd, name, O_RDONLY);
	bool good = fd >= 0 && read(fd, magic, 4) == 4 && memcmp(magic, "\177ELF", 4) == 0;

	if (!good)
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return good;
}

static void look_within(const char *dir)
{
	char path[512], cuda[64], ml[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/lib64", dir);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || !version_of(fd, "libcuda.so.1", cuda, sizeof(cuda)) ||
	    !is_readable(fd, "libcuda.so.1") ||
	    !version_of(fd, "libnvidia-ml.so.1", ml, sizeof(ml)) ||
	    !is_readable(fd, "libnvidia-ml.so.1"))
		failed++;
	else
		mixed += strcmp(cuda, ml) != 0;
	if (fd >= 0)
		(void)close(fd);
}

static void look_by_path(const char *dir)
{
	static const char *const names[] = { "lib64/libcuda.so.1", "lib64/libnvidia-ml.so.1",
					     "lib/libcuda.so.1" };
	char path[512], version[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (version_of(AT_FDCWD, path, version, sizeof(version)))
			note_version(version);
		else
			failed++;
	}
}

int main(int argc, char *argv[])
{
	double end;

	if (argc != 3 && argc != 4)
		return 2;
	(void)signal(SIGTERM, on_sigterm);
	for (end = now() + atof(argv[2]); now() < end && !told_to_end; looks++) {
		look_by_path(argv[1]);
		look_within(argv[1]);
		if (argc == 4)
			(void)usleep((useconds_t)atoi(argv[3]) * 1000);
	}
	printf("looks %lu mixed %lu backwards %lu failed %lu\n", looks, mixed, backwards, failed);
	return mixed || backwards || failed;
}
