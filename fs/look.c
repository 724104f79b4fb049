/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of a look: start it, hear it, give it up. See look.h. */
#include "fs/look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"
#include "fs/generation.h"
#include "fs/look_wire.h"
#include "fs/store.h"
#include "nvml/driver.h"

#define RESULT_MAX (16UL * 1024 * 1024)
#define GIVEN_UP_MAX 64

struct look {
	pid_t pid;
	int sock;
	uint32_t number;
	size_t n_reopen; /* asked for; 0: it looks */
	const struct look_progress *progress; /* shared with the looker */
	unsigned int paths;                   /* progress when it was last looked at */
	int64_t since_ms;
	char path[PATH_MAX]; /* a copy: the looker's own may change */
	int *fds; /* of files that were not known */
	size_t n_fds;
};

/* Lookers that were killed and may never end: children that somebody must take in one day. */
static pid_t given_up[GIVEN_UP_MAX];

/* starting */

static json_t *file_json(const struct look_file *file)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "path", file->path, "dev",
			 (json_int_t)file->dev, "ino", (json_int_t)file->ino, "size",
			 (json_int_t)file->size, "mtime_sec", (json_int_t)file->mtime_sec,
			 "mtime_nsec", (json_int_t)file->mtime_nsec);
}

void look_file_of(const struct generation *g, const struct store *store, size_t i,
		  struct look_file *ret)
{
	const struct store_object *o = store_object(store, g->objects[i]);

	*ret = (struct look_file){ .path = g->driver->files[i].path,
				   .dev = o->dev,
				   .ino = o->ino,
				   .size = o->size,
				   .mtime_sec = o->mtime_sec,
				   .mtime_nsec = o->mtime_nsec };
}

/* Those that somebody holds: others must be opened anew. */
static json_t *known_json(const struct generation *g, const struct store *store)
{
	json_t *list = json_array();

	for (size_t i = 0; g && i < g->driver->n_files; i++) {
		struct look_file file;

		if (!store_object_is_held(store, g->objects[i]))
			continue;
		look_file_of(g, store, i, &file);
		(void)json_array_append_new(list, file_json(&file));
	}
	return list;
}

static json_t *look_json(const struct look_request *request)
{
	return json_pack("{s:s, s:s, s:s*, s:s*, s:I, s:o}", "driver_root", request->driver_root,
			 "proc_root", request->proc_root, "sys_root", request->sys_root,
			 "rules_dir", request->rules_dir, "number", (json_int_t)request->number,
			 "known", known_json(request->known, request->store));
}

static json_t *reopen_json(const struct look_request *request)
{
	json_t *list = json_array();

	for (size_t i = 0; i < request->n_reopen; i++)
		(void)json_array_append_new(list, file_json(&request->reopen[i]));
	return json_pack("{s:s, s:o}", "driver_root", request->driver_root, "reopen", list);
}

static int request_memfd(const struct look_request *request)
{
	json_t *left_out = json_array(), *json;
	auto_free char *text = NULL;

	for (size_t i = 0; i < request->n_left_out; i++)
		(void)json_array_append_new(left_out, json_string(request->left_out[i]));
	json = request->reopen ? reopen_json(request) : look_json(request);
	if (json_object_set_new(json, "left_out", left_out) < 0) {
		json_decref(json);
		return -ENOMEM;
	}
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return text ? file_memfd("nvfs-look", text, strlen(text)) : -ENOMEM;
}

static int progress_memfd(struct look *look)
{
	auto_close int fd = memfd_create("nvfs-look-at", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(*look->progress)) < 0)
		return -errno;
	p = mmap(NULL, sizeof(*look->progress), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	look->progress = p;
	return take_fd(&fd);
}

/* @fds become LOOK_SOCKET and those after it; first out of each other's way. */
static int spawn(const int fds[LOOK_FD_END], pid_t *ret)
{
	char *argv[] = { (char[]){ "nvfs" }, (char[]){ "look" }, NULL };
	int moved[LOOK_FD_END];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setpgroup(&attr, 0); /* Ctrl-C is the keeper's */
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	for (int i = LOOK_SOCKET; i < LOOK_FD_END; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, LOOK_FD_END);
		r = r		   ? r
		    : moved[i] < 0 ? errno
				   : posix_spawn_file_actions_adddup2(&actions, moved[i], i);
	}
	/* Not our path: the package may have been upgraded since. */
	r = r ? r : posix_spawn(ret, "/proc/self/exe", &actions, &attr, argv, environ);
	for (int i = LOOK_SOCKET; i < LOOK_FD_END; i++)
		cleanup_close(&moved[i]);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int look_open(struct look *look, const struct look_request *request)
{
	auto_close int sock = -1, memfd = request_memfd(request), progress = progress_memfd(look);
	int pair[2], fds[LOOK_FD_END];

	if (memfd < 0 || progress < 0)
		return memfd < 0 ? memfd : progress;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	look->sock = pair[0];
	sock = pair[1];
	fds[LOOK_SOCKET] = sock;
	fds[LOOK_REQUEST] = memfd;
	fds[LOOK_PROGRESS] = progress;
	fds[LOOK_INOTIFY] = request->inotify_fd < 0 ? memfd : request->inotify_fd;
	return spawn(fds, &look->pid);
}

int look_start(const struct look_request *request, struct look **ret, struct error *err)
{
	struct look *look = calloc(1, sizeof(*look));
	int r;

	if (!look)
		return error_set(err, -ENOMEM, "look at the driver");
	look->sock = -1;
	look->number = request->number;
	look->n_reopen = request->n_reopen;
	look->since_ms = clock_ms();
	r = look_open(look, request);
	if (r < 0) {
		look_free(look);
		return error_set(err, r, "start a process that looks at the driver");
	}
	*ret = look;
	return 0;
}

/* ending */

static void give_up(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	for (size_t i = 0; i < GIVEN_UP_MAX; i++) {
		if (!given_up[i]) {
			given_up[i] = pid;
			return;
		}
	}
	/* With so many stuck ones a zombie more, at our own end, is no matter. */
}

size_t look_reap(void)
{
	size_t n = 0;

	for (size_t i = 0; i < GIVEN_UP_MAX; i++) {
		if (given_up[i] && waitpid(given_up[i], NULL, WNOHANG) != 0)
			given_up[i] = 0;
		n += given_up[i] != 0;
	}
	return n;
}

void look_free(struct look *look)
{
	if (!look)
		return;
	for (size_t i = 0; i < look->n_fds; i++)
		cleanup_close(&look->fds[i]);
	free(look->fds);
	cleanup_close(&look->sock);
	if (look->progress)
		(void)munmap((void *)(uintptr_t)look->progress, sizeof(*look->progress));
	if (look->pid > 0)
		give_up(look->pid);
	(void)look_reap();
	free(look);
}

/* hearing */

int look_fd(const struct look *look)
{
	return look->sock;
}

const char *look_path(struct look *look, int64_t *ret_since_ms)
{
	unsigned int paths = atomic_load(&look->progress->paths);

	if (paths != look->paths) {
		look->paths = paths;
		look->since_ms = clock_ms();
	}
	*ret_since_ms = clock_ms() - look->since_ms;
	memcpy(look->path, look->progress->path, sizeof(look->path));
	look->path[sizeof(look->path) - 1] = '\0';
	return look->path;
}

static int keep_fds(struct look *look, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int *bigger = reallocarray(look->fds, look->n_fds + n, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM; /* what was received ends with the process, at worst */
	look->fds = bigger;
	memcpy(bigger + look->n_fds, CMSG_DATA(cmsg), n * sizeof(int));
	look->n_fds += n;
	return 0;
}

/* The message's type; 0: none is there; or a negative errno. */
static int receive_message(struct look *look)
{
	char type = 0;
	struct iovec iov = { .iov_base = &type, .iov_len = 1 };
	union {
		struct cmsghdr header; /* for alignment */
		char space[CMSG_SPACE(LOOK_FDS_MAX * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	const struct cmsghdr *cmsg;
	ssize_t n = recvmsg(look->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? 0 : -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    keep_fds(look, cmsg) < 0)
		return -ENOMEM;
	return msg.msg_flags & MSG_CTRUNC ? -EMFILE : type;
}

static json_t *read_result(struct look *look)
{
	auto_free char *text = NULL;
	auto_close int fd = look->n_fds ? look->fds[--look->n_fds] : -1;

	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    file_read_fd(fd, RESULT_MAX, &text, NULL, NULL) < 0)
		return NULL;
	return json_loads(text, 0, NULL);
}

/* Descriptors to the files that came with one. */
static int give_fds(struct look *look, const json_t *files, struct driver *driver)
{
	size_t next = 0;

	for (size_t i = 0; i < driver->n_files; i++) {
		if (json_is_true(json_object_get(json_array_get(files, i), "known")))
			continue;
		if (next == look->n_fds)
			return -EBADMSG;
		driver->files[i].fd = look->fds[next];
		look->fds[next++] = -1;
	}
	return 0;
}

/* One for each that was asked for. */
static int take_reopened(struct look *look, const json_t *indexes, struct look_result *ret)
{
	int *fds = calloc(look->n_reopen + 1, sizeof(*fds));
	const json_t *index;
	size_t i;

	if (!fds)
		return -ENOMEM;
	for (i = 0; i < look->n_reopen; i++)
		fds[i] = -1;
	json_array_foreach(indexes, i, index) {
		json_int_t at = json_integer_value(index);

		if (i == look->n_fds || at < 0 || (size_t)at >= look->n_reopen || fds[at] >= 0)
			break;
		fds[at] = look->fds[i];
		look->fds[i] = -1;
	}
	*ret = (struct look_result){ .reopened = fds };
	return 1;
}

static int take_failure(const json_t *json, struct error *err)
{
	int code = (int)json_integer_value(json_object_get(json, "code"));

	if (code >= 0)
		return error_set(err, -EBADMSG, "hear from the process that looks at the driver");
	return error_setc(err, (enum error_class)json_integer_value(json_object_get(json, "class")),
			  code, "%s", varlink_string(json, "text", "?"));
}

void look_add_rewritten(struct finding_list *list, const char *path)
{
	char text[PATH_MAX + 160];

	(void)snprintf(text, sizeof(text),
		       "'%s' was rewritten in place: containers that use it may crash; "
		       "restart them, and install drivers by rename",
		       path);
	if (!finding_has(list, text))
		(void)finding_add(list, true, "%s", text);
}

static int take_result(struct look *look, const json_t *json, struct look_result *ret,
		       struct error *err)
{
	const json_t *description = json_object_get(json, "generation"), *path;
	struct generation *g = NULL;
	size_t i;
	int r;

	if (look->n_reopen && json_object_get(json, "reopened"))
		return take_reopened(look, json_object_get(json, "reopened"), ret);
	if (!description)
		return take_failure(json, err);
	r = generation_from_description(description, look->number, &g);
	r = r ? r : give_fds(look, json_object_get(description, "files"), g->driver);
	if (r < 0) {
		generation_free(g);
		return error_set(err, r, "hear from the process that looks at the driver");
	}
	*ret = (struct look_result){ .generation = g };
	json_array_foreach(json_object_get(json, "rewritten"), i, path)
		look_add_rewritten(&ret->rewritten, json_string_value(path));
	return 1;
}

int look_receive(struct look *look, struct look_result *ret, struct error *err)
{
	json_t *json;
	int type, r;

	while ((type = receive_message(look)) == LOOK_FILES)
		;
	if (type < 0)
		return error_set(err, type, "the process that looks at the driver");
	if (type == 0)
		return 0;
	json = read_result(look);
	r = take_result(look, json, ret, err);
	json_decref(json);
	return r;
}
