/* SPDX-License-Identifier: Apache-2.0 */
/* Three names are looked up in a stranger's root, and nothing is opened for more than that. */
#include "inject/classic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "inject/place.h"

#if defined(__aarch64__)
#define MULTIARCH "/usr/lib/aarch64-linux-gnu"
#define MULTIARCH32 NULL
#else
#define MULTIARCH "/usr/lib/x86_64-linux-gnu"
#define MULTIARCH32 "/usr/lib/i386-linux-gnu"
#endif

static int look(int root, const char *path, int flags)
{
	return sys_openat2(root, path, O_PATH | flags, 0,
			   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

/* A mount is there, too. */
static bool is_there(int root, const char *path, int flags)
{
	auto_close int fd = look(root, path, flags);

	return fd >= 0 || fd == -EXDEV;
}

static bool is_one_directory(int root, const char *one, const char *other)
{
	auto_close int a = look(root, one, O_DIRECTORY), b = look(root, other, O_DIRECTORY);
	struct place_identity x, y;

	return a >= 0 && b >= 0 && place_identify(a, &x) == 0 && place_identify(b, &y) == 0 &&
	       place_is_same(&x, &y);
}

void classic_find(int root, struct classic *ret)
{
	*ret = (struct classic){ MULTIARCH, MULTIARCH32 };
	if (is_there(root, "etc/debian_version", 0))
		return;
	*ret = (struct classic){ "/usr/lib64", "/usr/lib32" };
	if (!is_there(root, "usr/lib32", O_DIRECTORY) && is_there(root, "usr/lib", O_DIRECTORY) &&
	    !is_one_directory(root, "usr/lib", "usr/lib64"))
		ret->lib32 = "/usr/lib";
}
