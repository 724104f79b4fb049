/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/process_walk.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct process_walk process_walk_begin(void)
{
	return (struct process_walk){ .proc = opendir("/proc") };
}

void process_walk_end(struct process_walk *walk)
{
	if (walk->proc)
		(void)closedir(walk->proc);
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
		if (fstatat(dirfd(walk->proc), path, &st, 0) < 0)
			continue;
		walk->mnt_ns = st.st_ino;
		return true;
	}
	return false;
}
