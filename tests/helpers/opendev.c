/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opendev [-r|-w|-s|-m MAJOR:MINOR] PATH...: opens each node (read-write unless
 * told) and prints "PATH OK" or "PATH ENXIO". What the names tell: EPERM is the
 * cgroup's refusal, EACCES a nodev mount or the mode bits, ENXIO an allowed open
 * of a device without a driver. -s only stats and prints type and numbers; -m
 * makes the node first, which asks for mknod permission.
 *
 * Exit status: 0 all opened, 1 some were not, 2 usage.
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *errno_name(int e)
{
	const char *name = strerrorname_np(e);

	return name ? name : "?";
}

static bool open_one(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	printf("%s %s\n", path, fd < 0 ? errno_name(errno) : "OK");
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static bool stat_one(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		printf("%s %s\n", path, errno_name(errno));
		return false;
	}
	printf("%s %s %u:%u %04o\n", path, S_ISCHR(st.st_mode) ? "char" : "other",
	       major(st.st_rdev), minor(st.st_rdev), st.st_mode & 07777);
	return true;
}

static bool make_one(const char *path, unsigned int major_nr, unsigned int minor_nr)
{
	if (mknod(path, S_IFCHR | 0666, makedev(major_nr, minor_nr)) == 0)
		return true;
	printf("%s mknod %s\n", path, errno_name(errno));
	return false;
}

/* Newer headers turn sscanf() and strtoul() into calls of glibc 2.38, which a container may lack. */
static unsigned int number(const char **s)
{
	unsigned int n = 0;

	for (; **s >= '0' && **s <= '9'; (*s)++)
		n = n * 10 + (unsigned int)(**s - '0');
	return n;
}

int main(int argc, char *argv[])
{
	int flags = O_RDWR, opt;
	bool only_stat = false, make = false, failed = false;
	unsigned int major_nr = 0, minor_nr = 0;
	const char *at;

	while ((opt = getopt(argc, argv, "rwsm:")) != -1) {
		switch (opt) {
		case 'r':
			flags = O_RDONLY;
			break;
		case 'w':
			flags = O_WRONLY;
			break;
		case 's':
			only_stat = true;
			break;
		case 'm':
			at = optarg;
			make = true;
			major_nr = number(&at);
			at += *at == ':';
			minor_nr = number(&at);
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return 2;
	for (int i = optind; i < argc; i++) {
		if (make && !make_one(argv[i], major_nr, minor_nr))
			failed = true;
		else if (!(only_stat ? stat_one(argv[i]) : open_one(argv[i], flags)))
			failed = true;
	}
	return failed ? 1 : 0;
}
