/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/process_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

struct process_walk process_walk_begin(void)
{
	return (struct process_walk){ .proc = opendir("/proc") };
}

void process_walk_end(struct process_walk *walk)
{
	if (walk->proc)
		(void)closedir(walk->proc);
}

/* Where the first thread has ended before the others: one of those tells. */
static int ns_of_thread(int proc_fd, const char *pid, struct stat *ret)
{
	auto_closedir DIR *tasks = NULL;
	const struct dirent *entry;
	int fd, r = -ENOENT;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/task", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tasks = fd < 0 ? NULL : fdopendir(fd);
	if (!tasks && fd >= 0)
		(void)close(fd);
	while (r < 0 && tasks && (entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%.15s/ns/mnt", entry->d_name);
		r = fstatat(dirfd(tasks), path, ret, 0) < 0 ? -errno : 0;
	}
	return r;
}

bool process_walk_next(struct process_walk *walk)
{
	const struct dirent *entry;

	while (walk->proc && (entry = readdir(walk->proc))) {
		char path[32];
		struct stat st;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    strlen(entry->d_name) >= sizeof(walk->pid))
			continue;
		strcpy(walk->pid, entry->d_name);
		(void)snprintf(path, sizeof(path), "%s/ns/mnt", walk->pid);
		if (fstatat(dirfd(walk->proc), path, &st, 0) < 0 &&
		    ns_of_thread(dirfd(walk->proc), walk->pid, &st) < 0)
			continue;
		walk->mnt_ns = st.st_ino;
		return true;
	}
	return false;
}
