/* SPDX-License-Identifier: Apache-2.0 */
/* Each is tried as we are, then as the directory's owner, and all that again where a mount is read-only. */
#include "inject/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "inject/place.h"
#include "inject/privilege.h"
#include "inject/writable.h"

static int check_owner(const struct place_roots *within, int dirfd)
{
	struct stat st;

	if (!within || !within->owners.limited)
		return 0;
	if (fstat(dirfd, &st) < 0)
		return -errno;
	return owners_have(&within->owners, st.st_uid) ? 0 : -EACCES;
}

/* Who may create here: the directory's owner. In a user namespace root of the host is nobody. */
static void become(uid_t uid, gid_t gid)
{
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	if (privilege_stay_hidden() < 0)
		abort();
}

static int make_now(int dirfd, const char *name, mode_t mode, const char *to)
{
	int r;

	if (S_ISDIR(mode))
		r = mkdirat(dirfd, name, mode & 01777);
	else if (S_ISLNK(mode))
		r = symlinkat(to, dirfd, name);
	else
		r = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			   mode & 0777);
	return r < 0 ? -errno : r;
}

static int make_as_owner(int dirfd, const char *name, mode_t mode, const char *to)
{
	struct stat st;
	int r;

	if (fstat(dirfd, &st) < 0)
		return -errno;
	if (st.st_uid == geteuid() && st.st_gid == getegid())
		return make_now(dirfd, name, mode, to);
	become(st.st_uid, st.st_gid);
	r = make_now(dirfd, name, mode, to);
	become(geteuid(), getegid());
	/* A directory that its owner may not write: root of the host may, if it is mapped. */
	return r == -EACCES ? make_now(dirfd, name, mode, to) : r;
}

int name_make(struct place_roots *within, int dirfd, const char *name, mode_t mode, const char *to,
	      bool *ret_through)
{
	auto_close int writable = -1;
	int r = check_owner(within, dirfd);

	r = r ? r : make_as_owner(dirfd, name, mode, to);
	if (ret_through)
		*ret_through = r == -EROFS;
	if (r != -EROFS)
		return r;
	writable = writable_open(within, dirfd);
	return writable < 0 ? writable : make_as_owner(writable, name, mode, to);
}

static int move_now(int dirfd, const char *from, const char *to, int flags)
{
	int r = to ? renameat(dirfd, from, dirfd, to) : unlinkat(dirfd, from, flags);

	return r < 0 ? -errno : 0;
}

/* In a directory with the sticky bit only who owns it, or the name, may take it away: no CAP_FOWNER. */
static int move_as_owner(int dirfd, const char *from, const char *to, int flags)
{
	int r = move_now(dirfd, from, to, flags);
	struct stat st;

	if (r != -EPERM || fstat(dirfd, &st) < 0)
		return r;
	become(st.st_uid, st.st_gid);
	r = move_now(dirfd, from, to, flags);
	become(geteuid(), getegid());
	return r;
}

/* To @to, or away where that is NULL. */
static int move(struct place_roots *within, int dirfd, const char *from, const char *to, int flags)
{
	auto_close int writable = -1;
	int r = check_owner(within, dirfd);

	r = r ? r : move_as_owner(dirfd, from, to, flags);
	if (r != -EROFS)
		return r;
	writable = writable_open(within, dirfd);
	return writable < 0 ? writable : move_as_owner(writable, from, to, flags);
}

int name_rename(struct place_roots *within, int dirfd, const char *from, const char *to)
{
	return move(within, dirfd, from, to, 0);
}

int name_unlink(struct place_roots *within, int dirfd, const char *name, int flags)
{
	return move(within, dirfd, name, NULL, flags);
}
