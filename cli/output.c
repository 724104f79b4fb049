/* SPDX-License-Identifier: Apache-2.0 */
/* A file that others read while it is written. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

/* A device, a FIFO, a link such as /dev/stdout: written to, and never replaced. */
static int write_through(const char *path, const char *text, struct error *err)
{
	auto_close int fd = open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
	int r = fd < 0 ? -errno : file_write_all(fd, text, strlen(text));

	return r < 0 ? error_set(err, r, "write '%.80s'", path) : 0;
}

int output_write(const char *path, const char *text, struct error *err)
{
	struct stat st;
	const char *slash = strrchr(path, '/');
	auto_free char *dir_path = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	auto_close int dir = dir_path ? open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return write_through(path, text, err);
	if (dir < 0)
		return error_set(err, -errno, "open the directory of '%.80s'", path);
	return file_replace_at(dir, slash ? slash + 1 : path, NULL, text, strlen(text), err);
}
