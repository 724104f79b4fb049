/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of the box: keeps a zygote, hands it jobs, and believes
 * nothing that comes back but its size. The output file is ours: it is sealed
 * before it is read, when the parser is dead and the zygote has let go of it,
 * so that it cannot change under us.
 */
#include "fs/cachebox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compatlist.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "fs/cachebox_wire.h"
#include "nvml/compat.h"

#define ZYGOTE_FD 3 /* its socket: the first descriptor after stderr */

struct cachebox {
	const char *exe;
	const char *word;
	pid_t pid; /* 0: no zygote */
	int sock;  /* -1: no zygote */
};

static void zygote_stop(struct cachebox *box)
{
	if (box->pid > 0) {
		(void)kill(box->pid, SIGKILL);
		while (waitpid(box->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (box->sock >= 0)
		(void)close(box->sock);
	box->pid = 0;
	box->sock = -1;
}

static int spawn_actions(posix_spawn_file_actions_t *actions, int sock)
{
	int r;

	/* First: without stdio it may be 0 to 2. An equal fd loses its close-on-exec here. */
	r = posix_spawn_file_actions_adddup2(actions, sock, ZYGOTE_FD);
	r = r ? r : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	return r ? r : posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
}

/*
 * The daemon may block and ignore signals: the zygote must not. A process group
 * of its own keeps a Ctrl-C, which is the daemon's to answer, away from it.
 */
static int spawn_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	r = r ? r : posix_spawnattr_setsigdefault(attr, &all);
	r = r ? r : posix_spawnattr_setpgroup(attr, 0);
	return r ? r
		 : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							  POSIX_SPAWN_SETPGROUP);
}

/*
 * posix_spawn() is vfork() and exec(): safe with threads. An LD_PRELOAD or
 * GLIBC_TUNABLES would make calls that the parser's filter kills.
 */
static int spawn(const struct cachebox *box, int sock, pid_t *ret)
{
	auto_free char *library_path = NULL;
	const char *path = getenv("LD_LIBRARY_PATH");
	char program[] = "nvfs", number[] = { '0' + ZYGOTE_FD, '\0' };
	auto_free char *word = strdup(box->word);
	char *argv[] = { program, word, number, NULL };
	char *envp[] = { NULL, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	if (!word || (path && asprintf(&library_path, "LD_LIBRARY_PATH=%s", path) < 0))
		return -ENOMEM;
	envp[0] = library_path;
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		r = spawn_actions(&actions, sock);
		r = r ? r : spawn_attributes(&attr);
		r = r ? r : posix_spawn(ret, box->exe, &actions, &attr, argv, envp);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int zygote_start(struct cachebox *box, struct error *err)
{
	auto_close int ours = -1, theirs = -1;
	pid_t pid;
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return error_set(err, -errno, "socketpair for the cache parser");
	ours = sv[0];
	theirs = sv[1];
	r = spawn(box, theirs, &pid);
	if (r < 0)
		return error_set(err, r, "start the cache parser '%s'", box->exe);
	box->pid = pid;
	box->sock = take_fd(&ours);
	return 0;
}

int cachebox_new_exec(const char *exe, const char *word, struct cachebox **ret, struct error *err)
{
	auto_free struct cachebox *box = calloc(1, sizeof(*box));
	int r;

	if (!box)
		return error_set(err, -ENOMEM, "cache parser");
	*box = (struct cachebox){ .exe = exe, .word = word, .sock = -1 };
	r = zygote_start(box, err);
	if (r < 0)
		return r;
	*ret = take_ptr(&box);
	return 0;
}

int cachebox_new(struct cachebox **ret, struct error *err)
{
	/* Not our path: the package may have been upgraded since. */
	return cachebox_new_exec("/proc/self/exe", "cachebox", ret, err);
}

void cachebox_free(struct cachebox *box)
{
	if (!box)
		return;
	zygote_stop(box);
	free(box);
}

static char *append(char *at, const void *what, size_t size)
{
	memcpy(at, what, size);
	return at + size;
}

/* A request to merge as a sealed memfd; its layout is told in cachebox_wire.h. */
static int merge_request(const struct ldcache_add *add, size_t n_add, const char *drop_prefix)
{
	struct box_request head = { .work = BOX_MERGE, .n_add = (uint32_t)n_add };
	auto_free char *buf = NULL;
	size_t size;
	char *at;

	if (!drop_prefix)
		drop_prefix = "";
	if (n_add > LDCACHE_ENTRIES_MAX)
		return -EFBIG;
	size = sizeof(head) + n_add * sizeof(add->flags) + strlen(drop_prefix) + 1;
	for (size_t i = 0; i < n_add; i++)
		size += strlen(add[i].soname) + 1 + strlen(add[i].path) + 1;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	at = append(buf, &head, sizeof(head));
	for (size_t i = 0; i < n_add; i++)
		at = append(at, &add[i].flags, sizeof(add[i].flags));
	at = append(at, drop_prefix, strlen(drop_prefix) + 1);
	for (size_t i = 0; i < n_add; i++) {
		at = append(at, add[i].soname, strlen(add[i].soname) + 1);
		at = append(at, add[i].path, strlen(add[i].path) + 1);
	}
	return file_memfd("nvfs-cache-request", buf, size);
}

static int send_job(int sock, const int *fds, size_t n_fds)
{
	char byte = BOX_JOB;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union {
		struct cmsghdr header; /* for alignment */
		char space[CMSG_SPACE(BOX_FD_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_SPACE(n_fds * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Hand the job over; a zygote that died while idle is replaced once. */
static int submit(struct cachebox *box, const int *fds, size_t n_fds, struct error *err)
{
	int r = box->sock >= 0 ? send_job(box->sock, fds, n_fds) : -EPIPE;

	if (r < 0) {
		zygote_stop(box);
		r = zygote_start(box, err);
		if (r < 0)
			return r;
		r = send_job(box->sock, fds, n_fds);
	}
	return r < 0 ? error_set(err, r, "ask the cache parser") : 0;
}

/* 0, -ETIMEDOUT, or -EPIPE for a zygote that is gone or talks nonsense */
static int receive_answer(int sock, struct box_answer *ret)
{
	struct pollfd ready = { .fd = sock, .events = POLLIN };
	int r;

	do
		r = poll(&ready, 1, BOX_ZYGOTE_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -ETIMEDOUT;
	return recv(sock, ret, sizeof(*ret), MSG_DONTWAIT) == sizeof(*ret) ? 0 : -EPIPE;
}

/* The reason that a parser left in the output file: text from a hostile process. */
static int refused(int output, struct error *err)
{
	char text[ERROR_TEXT_MAX / 2] = "";
	ssize_t n = pread(output, text, sizeof(text) - 1, 0);

	return error_setc(err, ERROR_OTHER, -EBADMSG, "%s", n > 0 ? text : "no reason given");
}

static int judge(const struct box_answer *answer, int output, struct error *err)
{
	switch (answer->outcome) {
	case BOX_EXITED:
		if (answer->value == BOX_EXIT_DONE)
			return 0;
		if (answer->value == BOX_EXIT_REFUSED || answer->value == BOX_EXIT_UNCONFINED)
			return refused(output, err);
		return error_setc(err, ERROR_OTHER, -EBADMSG,
				  "the cache parser ended with status %d", answer->value);
	case BOX_KILLED:
		return error_setc(err, ERROR_OTHER, -EBADMSG,
				  "the cache parser was killed by SIG%s",
				  sigabbrev_np(answer->value) ? sigabbrev_np(answer->value) : "?");
	case BOX_TIMED_OUT:
		return error_setc(err, ERROR_OTHER, -EBADMSG, "the cache parser took over %d ms",
				  BOX_PARSER_TIMEOUT_MS);
	default:
		return error_setc(err, ERROR_OTHER, -EBADMSG, "no process for the cache parser: %s",
				  strerrordesc_np(answer->value) ? strerrordesc_np(answer->value)
								 : "unknown error");
	}
}

static int take_output(int output, void **ret, size_t *ret_len, struct error *err)
{
	auto_free char *buf = NULL;
	ssize_t size;
	int r;

	r = file_memfd_seal(output);
	if (r < 0)
		return error_set(err, r, "seal the result of the cache parser");
	size = file_memfd_sealed_size(output, LDCACHE_SIZE_MAX);
	if (size <= 0)
		return error_setc(err, ERROR_OTHER, -EBADMSG,
				  "the cache parser gave an empty or too large file");
	buf = malloc((size_t)size + 1);
	if (!buf)
		return error_set(err, -ENOMEM, "result of the cache parser");
	buf[size] = '\0';
	if (pread(output, buf, (size_t)size, 0) != size)
		return error_setc(err, ERROR_OTHER, -EIO, "read the result of the cache parser");
	*ret = take_ptr(&buf);
	*ret_len = (size_t)size;
	return 0;
}

static int run_job(struct cachebox *box, const int *fds, size_t n_fds, struct error *err)
{
	struct box_answer answer = { 0 };
	int r = submit(box, fds, n_fds, err);

	if (r < 0)
		return r;
	r = receive_answer(box->sock, &answer);
	if (r == 0)
		return judge(&answer, fds[BOX_FD_OUTPUT], err);
	/* An answer that comes late must not be taken for that of the next job. */
	zygote_stop(box);
	return error_setc(err, ERROR_OTHER, -EBADMSG,
			  r == -ETIMEDOUT ? "the cache parser does not answer"
					  : "the cache parser died");
}

static int run(struct cachebox *box, int request, int image, void **ret, size_t *ret_len,
	       struct error *err)
{
	auto_close int output = memfd_create("nvfs-cache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const int fds[BOX_FD_MAX] = { request, output, image };
	int r;

	if (request < 0)
		return error_set(err, request, "request for the cache parser");
	if (output < 0)
		return error_set(err, -errno, "memfd for the merged cache");
	r = run_job(box, fds, image < 0 ? BOX_FD_IMAGE : BOX_FD_MAX, err);
	return r < 0 ? r : take_output(output, ret, ret_len, err);
}

int cachebox_merge(struct cachebox *box, int image_memfd, const struct ldcache_add *add,
		   size_t n_add, const char *drop_prefix, void **ret, size_t *ret_len,
		   struct error *err)
{
	ssize_t size = image_memfd < 0 ? 0 : file_memfd_sealed_size(image_memfd, LDCACHE_SIZE_MAX);
	auto_close int request = -1;

	if (size < 0)
		return error_set(err, (int)size, "ld.so.cache of the container");
	request = merge_request(add, n_add, drop_prefix);
	return run(box, request, image_memfd, ret, ret_len, err);
}

int cachebox_choose(struct cachebox *box, int image_memfd, unsigned int mode,
		    const struct compat_host *host, char **ret, struct error *err)
{
	const struct box_request head = { .work = BOX_CHOOSE,
					  .mode = mode,
					  .brands = host->brands };
	size_t driver = strlen(host->driver) + 1, cuda = strlen(host->cuda) + 1, len;
	ssize_t size = file_memfd_sealed_size(image_memfd, COMPATLIST_SIZE_MAX);
	auto_free char *buf = malloc(sizeof(head) + driver + cuda);
	auto_close int request = -1;
	void *text;
	int r;

	if (size < 0)
		return error_set(err, (int)size, "compatibility libraries of the container");
	if (!buf)
		return error_set(err, -ENOMEM, "request for the cache parser");
	(void)append(append(append(buf, &head, sizeof(head)), host->driver, driver), host->cuda,
		     cuda);
	request = file_memfd("nvfs-compat-request", buf, sizeof(head) + driver + cuda);
	r = run(box, request, image_memfd, &text, &len, err);
	if (r == 0)
		*ret = text;
	return r;
}
