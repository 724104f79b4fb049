/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/numbers.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/store.h"

json_t *numbers_views(const struct daemon *daemon)
{
	int in_use = 0, ending = 0, reference = 0, stale = 0;

	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);
		const struct container *container =
			i < daemon->containers_room ? daemon->containers[i] : NULL;

		if (!tree)
			continue;
		reference += !container;
		ending += container && container->ends;
		in_use += container && !container->ends;
		stale += daemon->generation &&
			 store_snapshot(daemon->store, tree->snapshot)->generation !=
				 daemon->generation->number;
	}
	return json_pack("{s:i, s:i, s:i, s:i}", "in_use", in_use, "ending", ending, "reference",
			 reference, "stale", stale);
}

static long resident_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long size, resident = 0;

	if (!statm)
		return 0;
	if (fscanf(statm, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	(void)fclose(statm);
	return resident;
}

static int open_fds(void)
{
	auto_closedir DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	return dir ? n - 1 : 0; /* but for the directory's own */
}

json_t *numbers_process(void)
{
	struct rusage usage = { 0 };
	struct rlimit limit = { 0 };

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return json_pack("{s:I, s:I, s:i, s:I}", "cpu_us",
			 (json_int_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
				 usage.ru_utime.tv_usec + usage.ru_stime.tv_usec,
			 "resident_bytes", (json_int_t)resident_pages() * sysconf(_SC_PAGESIZE),
			 "open_fds", open_fds(), "max_fds", (json_int_t)limit.rlim_cur);
}
