/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hangfuse good|mute|silent PATH SOURCE: a FUSE mount on the file PATH that reads as
 * SOURCE, on a filesystem that may stop to answer; or, where both are directories, with nothing
 * in it. Prints "ready PID".
 *
 *   good    answers; SIGUSR1 makes it mute, SIGUSR2 good again: what has waited is answered
 *   mute    takes every request and answers only the first one. Whoever waits is in D
 *           state, and SIGKILL does not end it, until this program ends
 *   silent  takes no request at all. Whoever waits can be killed
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

struct waiting {
	struct waiting *next;
	char request[512];
};

static volatile sig_atomic_t is_mute;
static struct waiting *first, **end = &first;
static char *content;
static struct stat source;

static void die(const char *what)
{
	fprintf(stderr, "hangfuse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_signal(int number)
{
	is_mute = number == SIGUSR1;
}

static void answer(int fd, uint64_t unique, int error, const void *body, size_t len)
{
	static char out[BUFFER_SIZE];
	struct fuse_out_header header = { .len = (uint32_t)(sizeof(header) + len), .error = error,
					  .unique = unique };

	memcpy(out, &header, sizeof(header));
	if (len)
		memcpy(out + sizeof(header), body, len);
	if (write(fd, out, header.len) < 0 && errno != ENOENT)
		die("answer");
}

static void answer_init(int fd, const struct fuse_in_header *in)
{
	const struct fuse_init_in *init = (const void *)(in + 1);
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = init->minor,
				     .max_readahead = init->max_readahead, .max_write = 4096 };

	answer(fd, in->unique, 0, &out, sizeof(out));
}

static void answer_getattr(int fd, const struct fuse_in_header *in)
{
	/* No time to keep it: each stat(2) asks. */
	struct fuse_attr_out out = { .attr = { .ino = 1, .mode = source.st_mode, .nlink = 1,
					       .size = (uint64_t)source.st_size,
					       .blocks = (uint64_t)source.st_blocks,
					       .mtime = (uint64_t)source.st_mtime } };

	answer(fd, in->unique, 0, &out, sizeof(out));
}

static void answer_read(int fd, const struct fuse_in_header *in)
{
	const struct fuse_read_in *read_in = (const void *)(in + 1);
	uint64_t size = (uint64_t)source.st_size,
		 left = read_in->offset < size ? size - read_in->offset : 0;
	size_t n = left < read_in->size ? left : read_in->size;

	answer(fd, in->unique, 0, content + (n ? read_in->offset : 0), n);
}

static void serve(int fd, const void *request)
{
	const struct fuse_in_header *in = request;
	struct fuse_open_out opened = { 0 }; /* nothing is kept: each read asks */

	switch (in->opcode) {
	case FUSE_INIT:
		answer_init(fd, in);
		return;
	case FUSE_GETATTR:
		answer_getattr(fd, in);
		return;
	case FUSE_OPEN:
		answer(fd, in->unique, 0, &opened, sizeof(opened));
		return;
	case FUSE_READ:
		answer_read(fd, in);
		return;
	case FUSE_RELEASE:
		answer(fd, in->unique, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default: /* FLUSH too: so close(2) asks nothing from then on */
		answer(fd, in->unique, -ENOSYS, NULL, 0);
	}
}

static void keep(const char *request, size_t size)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		die("keep a request");
	memcpy(w->request, request, size < sizeof(w->request) ? size : sizeof(w->request));
	*end = w;
	end = &w->next;
}

static void serve_waiting(int fd)
{
	for (struct waiting *next; first; first = next) {
		next = first->next;
		serve(fd, first->request);
		free(first);
	}
	end = &first;
}

static void run(int fd)
{
	static char buffer[BUFFER_SIZE];

	for (;;) {
		ssize_t n = read(fd, buffer, sizeof(buffer));

		if (n < 0 && errno != EINTR && errno != ENOENT)
			die("serve");
		if (n > 0 && is_mute &&
		    ((const struct fuse_in_header *)(const void *)buffer)->opcode != FUSE_INIT)
			keep(buffer, (size_t)n);
		else if (n > 0)
			serve(fd, buffer);
		if (!is_mute)
			serve_waiting(fd);
	}
}

static void read_source(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &source) < 0)
		die(path);
	if (S_ISDIR(source.st_mode))
		source.st_size = 0;
	content = malloc((size_t)source.st_size + 1);
	if (!content ||
	    (source.st_size && read(fd, content, (size_t)source.st_size) != source.st_size))
		die(path);
	(void)close(fd);
}

int main(int argc, char *argv[])
{
	struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: read(2) must return */
	char options[128];
	int fd;

	if (argc != 4)
		return 2;
	read_source(argv[3]);
	is_mute = strcmp(argv[1], "mute") == 0;
	(void)sigaction(SIGUSR1, &action, NULL);
	(void)sigaction(SIGUSR2, &action, NULL);
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", fd,
		       source.st_mode & (S_IFMT | 0777));
	if (mount("hangfuse", argv[2], "fuse.hangfuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	printf("ready %d\n", getpid());
	(void)fflush(stdout);
	if (strcmp(argv[1], "silent") != 0)
		run(fd);
	for (;;)
		(void)pause();
}
