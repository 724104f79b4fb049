/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in /run are root's to make, names in /tmp anybody's. What is found is
 * held by descriptor, and the caller makes its mount from that, or compares.
 *
 * Sources: paths and driver capabilities as in libnvidia-container 1.16
 * (nvc_info.c, nvc_mount.c); path_resolution(7) for who may reach what.
 */
#include "fs/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/sys.h"
#include "nvml/driver_cap.h"
#include "nvml/finding.h"

#define DIRECTORY (O_PATH | O_DIRECTORY)
#define BASE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) /* /run and /tmp are mounts as a rule */
#define BELOW (BASE | RESOLVE_NO_XDEV)

static const struct row {
	const char *base, *dir, *name; /* dir: NULL for none between base and name */
	const char *target;
	mode_t type;
	unsigned int cap;
	bool anybodys; /* anybody can make the name */
	const char *word; /* by which it is left out; NULL: by none */
} rows[IPC_MAX] = {
	{ "run", "nvidia-persistenced", "socket", "/run/nvidia-persistenced/socket", S_IFSOCK,
	  DRIVER_CAP_UTILITY, false, IPC_PERSISTENCED },
	{ "run", "nvidia-fabricmanager", "socket", "/run/nvidia-fabricmanager/socket", S_IFSOCK,
	  DRIVER_CAP_UTILITY, false, IPC_FABRICMANAGER },
	{ "tmp", NULL, "nvidia-mps", "/tmp/nvidia-mps", S_IFDIR, DRIVER_CAP_COMPUTE, true, NULL },
};

/* statx(2) as told: a FUSE server, which only a mount could bring here, is asked for nothing. */
static int look(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, ret) < 0
		       ? -errno
		       : 0;
}

static bool may_use(const struct ipc_request *request, const struct statx *st)
{
	unsigned int needed = S_ISDIR(st->stx_mode) ? S_IROTH | S_IXOTH : S_IWOTH;

	return request->by_root || st->stx_uid == request->uid || (st->stx_mode & needed) == needed;
}

/* A directory on the way, which who asks may search; 0: no way. */
static bool is_open_to(const struct ipc_request *request, int dir)
{
	struct statx st;

	return look(dir, &st) == 0 &&
	       (request->by_root || st.stx_uid == request->uid || st.stx_mode & S_IXOTH);
}

/* Open the directory that holds the last name: an O_PATH fd, or a negative errno. */
static int open_dir(const struct ipc_request *request, const struct row *row)
{
	auto_close int root = open(request->root, DIRECTORY | O_CLOEXEC), base = -1, dir = -1;

	if (root < 0)
		return -errno;
	base = sys_openat2(root, row->base, DIRECTORY, 0, BASE);
	if (base < 0 || !is_open_to(request, base))
		return base < 0 ? base : -EACCES;
	if (!row->dir)
		return take_fd(&base);
	dir = sys_openat2(base, row->dir, DIRECTORY, 0, BELOW);
	if (dir < 0 || !is_open_to(request, dir))
		return dir < 0 ? dir : -EACCES;
	return take_fd(&dir);
}

/* Is it what the row says, and may it be given? */
static bool is_fit(const struct ipc_request *request, const struct row *row, const struct statx *st,
		   struct finding_list *findings)
{
	if ((st->stx_mode & S_IFMT) != row->type) {
		(void)finding_add(findings, true, "'%s' of the host is no %s, ignoring",
				  row->target, row->type == S_IFDIR ? "directory" : "socket");
		return false;
	}
	if (row->anybodys && st->stx_uid != 0 && st->stx_uid != request->uid) {
		(void)finding_add(
			findings, true,
			"'%s' of the host belongs to uid %u and not to root or who asks, ignoring",
			row->target, st->stx_uid);
		return false;
	}
	return may_use(request, st);
}

static int find_row(const struct ipc_request *request, const struct row *row, struct ipc_list *ret,
		    struct finding_list *findings)
{
	auto_close int dir = open_dir(request, row), fd = -1;
	struct ipc *ipc = &ret->items[ret->n];
	const char *slash = request->root[strlen(request->root) - 1] == '/' ? "" : "/";
	struct statx st;

	if (dir < 0)
		return 0;
	fd = sys_openat2(dir, row->name, O_PATH | O_NOFOLLOW, 0, BELOW);
	if (fd < 0 || look(fd, &st) < 0 || !is_fit(request, row, &st, findings))
		return 0;
	if (asprintf(&ipc->path, "%s%s%s", request->root, slash, row->target + 1) < 0) {
		ipc->path = NULL;
		return -ENOMEM;
	}
	ipc->target = row->target;
	ipc->cap = row->cap;
	ipc->fd = take_fd(&fd);
	ret->n++;
	return 0;
}

int ipc_find(const struct ipc_request *request, struct ipc_list *ret, struct finding_list *findings,
	     struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < IPC_MAX && r == 0; i++) {
		if (rows[i].word && request->without &&
		    parse_list_has(request->without, rows[i].word))
			continue;
		if (request->caps & rows[i].cap)
			r = find_row(request, &rows[i], ret, findings);
	}
	return r < 0 ? error_set(err, r, "look for the sockets of the driver's daemons") : 0;
}

void ipc_list_done(struct ipc_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].path);
		cleanup_close(&list->items[i].fd);
	}
	list->n = 0;
}

bool ipc_is_target(const char *path)
{
	size_t i = 0;

	while (i < IPC_MAX && strcmp(rows[i].target, path) != 0)
		i++;
	return i < IPC_MAX;
}
