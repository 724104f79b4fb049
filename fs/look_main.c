/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looker. It may hang wherever it touches a file of the driver root, and
 * says before each path that it does so. Files that the daemon has already are
 * not sent again: closing a descriptor can hang too (FLUSH, on FUSE).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/generation.h"
#include "fs/look.h"
#include "fs/look_wire.h"
#include "fs/sandbox.h"
#include "nvml/driver.h"
#include "nvml/driver_root.h"

#define REQUEST_MAX (16UL * 1024 * 1024)
#define WATCHED                                                                         \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

struct looker {
	json_t *request;
	struct look_progress *progress;
	struct driver_guard guard;
};

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static int enter(void *data, const char *path)
{
	struct looker *l = data;
	const json_t *left_out;
	size_t i;

	json_array_foreach(json_object_get(l->request, "left_out"), i, left_out) {
		if (strcmp(json_string_value(left_out), path) == 0)
			return -ETIMEDOUT;
	}
	(void)snprintf(l->progress->path, sizeof(l->progress->path), "%s", path);
	atomic_fetch_add(&l->progress->paths, 1);
	return 0;
}

/* watching */

static void watch(const char *full)
{
	if (inotify_add_watch(LOOK_INOTIFY, full, WATCHED) < 0 && errno != ENOENT)
		log_warning(
			"watch '%s': %s, changes in it are found by nvfs rescan alone, ignoring",
			full, strerror(errno));
}

static void watch_dir(struct looker *l, const char *path, size_t len)
{
	const char *root = varlink_string(l->request, "driver_root", "/");
	auto_free char *dir = NULL, *full = NULL;

	if (asprintf(&dir, "%.*s", len ? (int)len : 1, len ? path : "/") < 0)
		dir = NULL;
	if (!dir || enter(l, dir) < 0 ||
	    asprintf(&full, "%s%s", strcmp(root, "/") == 0 ? "" : root, dir) < 0)
		return;
	watch(full);
}

static void watch_dir_of(struct looker *l, const char *path, char last[PATH_MAX])
{
	size_t len = (size_t)(strrchr(path, '/') - path);

	if (len >= PATH_MAX || (strlen(last) == len && memcmp(path, last, len) == 0))
		return;
	memcpy(last, path, len);
	last[len] = '\0';
	watch_dir(l, path, len);
}

/* Where its files lie, and where ldconfig writes when others come. */
static void watch_driver(struct looker *l, const struct generation *g)
{
	char last[PATH_MAX] = "-";
	const char *rules = varlink_string(l->request, "rules_dir", NULL);
	const json_t *known;
	size_t i;

	watch_dir(l, "/etc", 4);
	if (rules && enter(l, rules) == 0)
		watch(rules);
	json_array_foreach(json_object_get(l->request, "known"), i, known)
		watch_dir_of(l, varlink_string(known, "path", "/"), last);
	for (i = 0; g && i < g->driver->n_files; i++)
		watch_dir_of(l, g->driver->files[i].path, last);
}

/* comparing */

static bool is_inode(const json_t *known, const struct stat *st)
{
	return (dev_t)number(known, "dev") == st->st_dev &&
	       (ino_t)number(known, "ino") == st->st_ino;
}

static bool is_content(const json_t *known, const struct stat *st)
{
	return (off_t)number(known, "size") == st->st_size &&
	       number(known, "mtime_sec") == st->st_mtim.tv_sec &&
	       number(known, "mtime_nsec") == st->st_mtim.tv_nsec;
}

/* A file that is another one under the same inode: what containers have mapped has changed too. */
static json_t *find_rewritten(struct looker *l)
{
	json_t *list = json_array();
	struct driver_root root;
	const json_t *known;
	size_t i;

	if (enter(l, "/") < 0 ||
	    driver_root_open(varlink_string(l->request, "driver_root", "/"), &root, NULL) < 0)
		return list;
	root.guard = &l->guard;
	json_array_foreach(json_object_get(l->request, "known"), i, known) {
		auto_free char *path = NULL;
		struct stat st;

		if (driver_root_resolve(&root, varlink_string(known, "path", "/"), &path, &st) ==
			    0 &&
		    is_inode(known, &st) && !is_content(known, &st))
			(void)json_array_append(list, json_object_get(known, "path"));
	}
	driver_root_done(&root);
	return list;
}

static bool is_known(const struct looker *l, const struct driver_file *file)
{
	const json_t *known;
	size_t i;

	json_array_foreach(json_object_get(l->request, "known"), i, known) {
		if (strcmp(varlink_string(known, "path", ""), file->path) == 0)
			return is_inode(known, &file->st) && is_content(known, &file->st);
	}
	return false;
}

/* sending */

static int send_fds(char type, const int *fds, size_t n)
{
	struct iovec iov = { .iov_base = &type, .iov_len = 1 };
	union {
		struct cmsghdr header; /* for alignment */
		char space[CMSG_SPACE(LOOK_FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	return sendmsg(LOOK_SOCKET, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Those of new files, and the others marked. */
static int send_files(const struct looker *l, const struct driver *driver, json_t *files)
{
	int fds[LOOK_FDS_MAX], r = 0;
	size_t n = 0;

	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		if (is_known(l, &driver->files[i])) {
			r = json_object_set_new(json_array_get(files, i), "known", json_true());
			continue;
		}
		fds[n++] = driver->files[i].fd;
		if (n == LOOK_FDS_MAX) {
			r = send_fds(LOOK_FILES, fds, n);
			n = 0;
		}
	}
	return r == 0 && n ? send_fds(LOOK_FILES, fds, n) : r;
}

static int send_result(json_t *result)
{
	auto_free char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
	int fd = text ? file_memfd("nvfs-look-result", text, strlen(text)) : -ENOMEM;

	return fd < 0 ? fd : send_fds(LOOK_RESULT, &fd, 1);
}

/* opening again */

static int reopen_one(const struct driver_root *root, const json_t *file)
{
	auto_free char *path = NULL;
	struct stat st;
	int fd = driver_root_open_file(root, varlink_string(file, "path", "/"), &path, &st);

	/* Another one is not closed: that could hang, and the process ends. */
	return fd >= 0 && is_inode(file, &st) && is_content(file, &st) ? fd : -1;
}

static json_t *reopen_all(const struct driver_root *root, const json_t *files, int *r)
{
	json_t *reopened = json_array();
	int fds[LOOK_FDS_MAX];
	const json_t *file;
	size_t i, n = 0;

	json_array_foreach(files, i, file) {
		int fd = *r == 0 ? reopen_one(root, file) : -1;

		if (fd < 0)
			continue;
		fds[n++] = fd;
		(void)json_array_append_new(reopened, json_integer((json_int_t)i));
		if (n == LOOK_FDS_MAX) {
			*r = send_fds(LOOK_FILES, fds, n);
			n = 0;
		}
	}
	if (*r == 0 && n)
		*r = send_fds(LOOK_FILES, fds, n);
	return reopened;
}

static int reopen(struct looker *l)
{
	struct driver_root root = { .fd = -1 };
	json_t *reopened;
	int r = 0;

	if (enter(l, "/") < 0 ||
	    driver_root_open(varlink_string(l->request, "driver_root", "/"), &root, NULL) < 0)
		return send_result(json_pack("{s:[]}", "reopened"));
	root.guard = &l->guard;
	reopened = reopen_all(&root, json_object_get(l->request, "reopen"), &r);
	return r < 0 ? r : send_result(json_pack("{s:o}", "reopened", reopened));
}

static int look(struct looker *l)
{
	const struct driver_config where = {
		.driver_root = varlink_string(l->request, "driver_root", "/"),
		.proc_root = varlink_string(l->request, "proc_root", "/proc"),
		.sys_root = varlink_string(l->request, "sys_root", NULL),
		.rules_dir = varlink_string(l->request, "rules_dir", NULL),
		.guard = &l->guard,
	};
	json_t *rewritten = find_rewritten(l), *description;
	struct generation *g = NULL;
	struct error err = { 0 };
	int r = generation_discover(&where, (uint32_t)number(l->request, "number"), &g, &err);

	watch_driver(l, g);
	if (r < 0)
		return send_result(json_pack("{s:i, s:i, s:s}", "code", r, "class", (int)err.class,
					     "text", err.text));
	description = generation_describe(g);
	r = description ? send_files(l, g->driver, json_object_get(description, "files")) : -ENOMEM;
	return r < 0 ? r
		     : send_result(json_pack("{s:o, s:o}", "generation", description, "rewritten",
					     rewritten));
}

int look_main(void)
{
	struct looker l = { .guard = { .enter = enter, .data = &l } };
	auto_free char *text = NULL;
	struct error err = { 0 };
	void *progress = mmap(NULL, sizeof(*l.progress), PROT_READ | PROT_WRITE, MAP_SHARED,
			      LOOK_PROGRESS, 0);
	int r = progress == MAP_FAILED ? error_set(&err, -errno, "map the progress") : 0;

	log_open("nvfs", LOG_LEVEL_INFO);
	l.progress = progress;
	/* Nobody waits for what a looker finds whose daemon is dead. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	r = r ? r : sandbox_limit(SANDBOX_LOOKER, &err);
	if (r == 0 && lseek(LOOK_REQUEST, 0, SEEK_SET) < 0)
		r = error_set(&err, -errno, "read the request");
	r = r ? r : file_read_fd(LOOK_REQUEST, REQUEST_MAX, &text, NULL, &err);
	l.request = text ? json_loads(text, 0, NULL) : NULL;
	if (r == 0 && !l.request)
		r = -EBADMSG;
	r = r ? r : json_object_get(l.request, "reopen") ? reopen(&l) : look(&l);
	if (r < 0)
		log_error("look at the driver: %s", err.code ? err.text : strerror(-r));
	/* Nothing is freed or closed: that could hang, and the process ends. */
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
