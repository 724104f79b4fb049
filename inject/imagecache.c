/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that is ever read out of a container, as opaque bytes. */
#include "inject/imagecache.h"
#include "inject/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"

/* The size may change under us: what counts is what was read. */
static int copy(int from, int to)
{
	size_t total = 0;

	for (;;) {
		ssize_t n = sendfile(to, from, NULL, IMAGECACHE_MAX + 1 - total);

		if (n < 0)
			return -errno;
		total += (size_t)n;
		if (total > IMAGECACHE_MAX)
			return -EFBIG;
		if (n == 0)
			return 0;
	}
}

int imagecache_read(int root, int *ret, struct error *err)
{
	auto_close int fd = regular_open(root, IMAGECACHE_PATH,
					 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	auto_close int memfd = -1;
	struct stat st;
	int r;

	if (fd == -ENOENT) {
		*ret = -1;
		return 0;
	}
	if (fd == -EMEDIUMTYPE)
		return error_setc(err, ERROR_MOUNT, -EINVAL,
				  "'/" IMAGECACHE_PATH "' is not a regular file");
	if (fd < 0)
		return error_set(err, fd, "open '/" IMAGECACHE_PATH "'");
	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "stat '/" IMAGECACHE_PATH "'");
	memfd = memfd_create("ld.so.cache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0)
		return error_set(err, -errno, "memfd_create");
	r = st.st_size > IMAGECACHE_MAX ? -EFBIG : copy(fd, memfd);
	r = r ? r : file_memfd_seal(memfd);
	if (r < 0)
		return error_set(err, r, "copy '/" IMAGECACHE_PATH "'");
	*ret = take_fd(&memfd);
	return 0;
}
