/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_CLEANUP_H
#define NVFS_COMMON_CLEANUP_H

/*
 * Cleanup belongs to the variable: declare it empty, fill it, hand it over by
 * name with take_fd() or take_ptr(). Every cleanup keeps errno.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

static inline void cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void cleanup_closedir(DIR **dir)
{
	int saved = errno;

	if (*dir)
		(void)closedir(*dir);
	errno = saved;
}

static inline void cleanup_fclose(FILE **file)
{
	int saved = errno;

	if (*file)
		(void)fclose(*file);
	errno = saved;
}

#define auto_close __attribute__((cleanup(cleanup_close)))
#define auto_free __attribute__((cleanup(cleanup_free)))
#define auto_closedir __attribute__((cleanup(cleanup_closedir)))
#define auto_fclose __attribute__((cleanup(cleanup_fclose)))

/* Hand an fd over to the caller: the variable forgets it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Hand a pointer over to the caller: the variable forgets it. */
#define take_ptr(pp)                         \
	({                                   \
		__typeof__(*(pp)) _t = *(pp); \
		*(pp) = NULL;                \
		_t;                          \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
