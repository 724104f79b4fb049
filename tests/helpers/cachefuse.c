/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cachefuse silent|mute|stone PATH [chroot]: a FUSE mount on PATH (a directory or
 * a file) that never answers, as a hostile container may have one. Prints
 * "ready", then the pid to name. cachefuse gone PATH: takes the mount away.
 *
 *   silent  reads nothing: not even the kernel's first request is taken. Whoever
 *           asks for something waits, and can be killed.
 *   mute    takes every request and answers only the first one and those for the
 *           attributes of PATH itself. Whoever asks for more waits in D state, and
 *           SIGKILL does not end it, until this program ends.
 *   stone   the same, and the attributes of PATH are not told either.
 *   chroot  a child, whose pid it is that is printed, has PATH as its root; mute only.
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

static void die(const char *what)
{
	fprintf(stderr, "cachefuse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer(int fd, uint64_t unique, const void *body, size_t len)
{
	struct {
		struct fuse_out_header header;
		char body[512];
	} out = { .header = { .len = (uint32_t)(sizeof(out.header) + len), .unique = unique } };

	memcpy(out.body, body, len);
	if (write(fd, &out, out.header.len) < 0)
		die("answer");
}

static void answer_init(int fd, const struct fuse_in_header *in)
{
	const struct fuse_init_in *init = (const void *)(in + 1);
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = init->minor,
				     .max_readahead = init->max_readahead,
				     .max_write = 4096 };

	answer(fd, in->unique, &out, sizeof(out));
}

static void answer_getattr(int fd, const struct fuse_in_header *in, mode_t mode)
{
	struct fuse_attr_out out = { .attr_valid = 3600,
				     .attr = { .ino = 1, .mode = mode, .nlink = 2 } };

	answer(fd, in->unique, &out, sizeof(out));
}

/* @mode: of the root; 0: not told */
static void serve(int fd, mode_t mode)
{
	char *buffer = malloc(BUFFER_SIZE);

	while (buffer && read(fd, buffer, BUFFER_SIZE) > 0) {
		const struct fuse_in_header *in = (const void *)buffer;

		if (in->opcode == FUSE_INIT)
			answer_init(fd, in);
		else if (mode && in->opcode == FUSE_GETATTR && in->nodeid == FUSE_ROOT_ID)
			answer_getattr(fd, in, mode);
	}
	die("serve");
}

static void live_inside(const char *path)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chroot(path) < 0)
		die("chroot");
	printf("ready %d\n", getpid());
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}

int main(int argc, char *argv[])
{
	char options[128];
	struct stat st;
	char kind;
	int fd;

	if (argc == 3 && strcmp(argv[1], "gone") == 0)
		return umount2(argv[2], MNT_DETACH) < 0;
	if (argc < 3 || (strcmp(argv[1], "silent") != 0 && strcmp(argv[1], "mute") != 0 &&
			 strcmp(argv[1], "stone") != 0))
		return 2;
	kind = argv[1][1];
	if (stat(argv[2], &st) < 0)
		die(argv[2]);
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions", fd,
		       st.st_mode & (S_IFMT | 0777));
	if (mount("cachefuse", argv[2], "fuse.cachefuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	if (argc > 3 && fork() == 0)
		live_inside(argv[2]);
	if (argc <= 3)
		printf("ready %d\n", getpid());
	(void)fflush(stdout);
	if (kind != 'i')
		serve(fd, kind == 'u' ? st.st_mode : 0);
	for (;;)
		(void)pause();
}
