/* SPDX-License-Identifier: Apache-2.0 */
/* A record is a blob of the store, replaced as a whole. */
#include "fs/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/filesystem.h"
#include "fs/ident.h"
#include "fs/ipc.h"
#include "fs/store.h"

#define DEV "/dev/"
#define DRIVER "nvidia" /* what the names of nodes begin with, but for WSL's dxg */
#define BELOW                                                                                     \
	(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) /* a host that is a container has nodes as mounts \
						 */

json_t *record_load(const struct daemon *daemon, uint32_t tree)
{
	const char *text = store_blob(daemon->store, store_tree(daemon->store, tree)->done, NULL);

	return text ? json_loads(text, 0, NULL) : NULL;
}

json_t *record_step(const json_t *done, const char *name)
{
	json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), name) == 0)
			return step;
	}
	return NULL;
}

/* Does the record name this device number and inode number? */
static bool is_of(const json_t *step, const struct statx *st)
{
	char dev[32];

	(void)snprintf(dev, sizeof(dev), "%u:%u", st->stx_dev_major, st->stx_dev_minor);
	return strcmp(varlink_string(step, "dev", ""), dev) == 0 &&
	       json_integer_value(json_object_get(step, "ino")) == (json_int_t)st->stx_ino;
}

static int look(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, ret);
}

/* Of this tree: itself, its view of /proc and its cache, which is all that is mounted of it. */
static bool is_of_tree(const struct daemon *daemon, uint32_t tree, const json_t *step)
{
	static const char *const parts[] = { "", "/proc/driver/nvidia", "/etc/ld.so.cache" };
	const char *name = store_blob(daemon->store, store_tree(daemon->store, tree)->name, NULL);
	char path[IDENT_MAX + 32];
	struct statx st;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", name, parts[i]);
		if (statx(filesystem_root(daemon->fs), path,
			  AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO,
			  &st) == 0 &&
		    is_of(step, &st))
			return true;
	}
	return false;
}

/* A node of the driver's that was made anew since has another inode, on the same filesystem. */
static bool is_of_before(const struct daemon *daemon, const char *path, const json_t *step)
{
	struct statx st;

	if (strncmp(path, DRIVER, strlen(DRIVER)) != 0 || look(daemon->dev_fd, &st) < 0)
		return false;
	st.stx_ino = (uint64_t)json_integer_value(json_object_get(step, "ino"));
	return is_of(step, &st);
}

/* The host's node of the same path. Below other names of /dev there may be a user's FUSE. */
static bool is_hosts_node(const struct daemon *daemon, const json_t *step)
{
	const char *target = varlink_string(step, "target", ""), *path = target + strlen(DEV);
	auto_close int fd = -1;
	struct statx st;

	if (strncmp(target, DEV, strlen(DEV)) != 0 ||
	    (strncmp(path, DRIVER, strlen(DRIVER)) != 0 && strcmp(path, "dxg") != 0))
		return false;
	fd = sys_openat2(daemon->dev_fd, path, O_PATH | O_NOFOLLOW, 0, BELOW);
	return fd >= 0 && look(fd, &st) == 0 && S_ISCHR(st.stx_mode) &&
	       (is_of(step, &st) || is_of_before(daemon, path, step));
}

/* A mount that a runtime made to hide something must not go by the container's own word. */
static bool is_our_mount(const struct daemon *daemon, uint32_t tree, const json_t *step)
{
	const char *name = varlink_string(step, "step", ""),
		   *result = varlink_string(step, "result", "");

	if (strcmp(result, "mounted") != 0 && strcmp(result, "bound") != 0)
		return false;
	if (strcmp(name, "device") == 0)
		return is_hosts_node(daemon, step);
	if (strcmp(name, "socket") == 0)
		return ipc_is_target(varlink_string(step, "target", ""));
	return is_of_tree(daemon, tree, step);
}

static json_t *mount_of_user(const json_t *step)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)step);

	(void)json_object_del(copy, "made");
	(void)json_object_del(copy, "dirs");
	return copy;
}

json_t *record_of_user(const struct daemon *daemon, uint32_t tree, const json_t *done)
{
	json_t *list = json_array();
	const json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), "cgroup") == 0)
			(void)json_array_append(list, (json_t *)(uintptr_t)step);
		else if (is_our_mount(daemon, tree, step))
			(void)json_array_append_new(list, mount_of_user(step));
	}
	return list;
}

/* @done: the reference is taken over; NULL: out of memory */
static int save(struct daemon *daemon, uint32_t tree, json_t *done, struct error *err)
{
	auto_free char *text = done ? json_dumps(done, JSON_COMPACT) : NULL;

	json_decref(done);
	if (!text)
		return error_set(err, -ENOMEM, "write the record");
	if (strlen(text) > RECORD_MAX)
		return error_setc(err, ERROR_USAGE, -EFBIG, "the record is more than %d bytes",
				  RECORD_MAX);
	store_write_lock(daemon->store);
	store_tree_set_done(daemon->store, tree, store_blob_put(daemon->store, text, strlen(text)));
	store_unlock(daemon->store);
	return 0;
}

int record_distrust(struct daemon *daemon, uint32_t tree, struct error *err)
{
	json_t *done = record_load(daemon, tree);
	int r = done ? save(daemon, tree, record_of_user(daemon, tree, done), err) : 0;

	json_decref(done);
	return r;
}

static int put(json_t *done, json_t *step)
{
	const char *name = varlink_string(step, "step", "");

	for (size_t i = 0; i < json_array_size(done); i++) {
		if (strcmp(varlink_string(json_array_get(done, i), "step", ""), name) == 0)
			return json_array_set(done, i, step);
	}
	return json_array_append(done, step);
}

int record_put(struct daemon *daemon, uint32_t tree, json_t *step, struct error *err)
{
	json_t *done = record_load(daemon, tree);

	if (!done)
		done = json_array();
	if (!step || put(done, step) != 0) {
		json_decref(done);
		done = NULL;
	}
	json_decref(step);
	return save(daemon, tree, done, err);
}
