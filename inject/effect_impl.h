/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_EFFECT_IMPL_H
#define NVFS_INJECT_EFFECT_IMPL_H

/* What effect.c and effect_replace.c share; nobody else includes this. */

#include <linux/openat2.h>

#include "inject/effect.h"

#define EFFECT_HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV) /* one name in one directory */

/**
 * effect_begin() - record an effect that is about to be done
 * @dirfd, @name: copied
 * @ret_err:      0, -EIO (as a test wants it), -ENOBUFS, -EINVAL (no name), or of fcntl(2)
 *
 * Return: the record, with fd and old -1, to and was NULL; NULL where @ret_err is not 0.
 */
struct effect *effect_begin(struct effects *effects, enum effect_kind kind, int dirfd,
			    const char *name, int *ret_err);

/** effect_end() - returns @r, and strikes the last effect off where that is an error */
int effect_end(struct effects *effects, int r);

/** effect_is_at() - is @name in its directory what was made? The file, by whichever mount; or the very mount */
bool effect_is_at(const struct effect *effect, const char *name);

/** effect_is_there() - the same, under its own name */
bool effect_is_there(const struct effect *effect);

/** effect_looks_like_ours() - killed between making it and looking at it: is it there, by its looks? */
bool effect_looks_like_ours(const struct effect *effect);

/* effect_replace.c; 0 also where nothing of it is there any more */
int effect_undo_replace(const struct effects *effects, const struct effect *effect);
int effect_undo_relink(const struct effects *effects, const struct effect *effect);
int effect_undo_aside(const struct effects *effects, const struct effect *effect);

#endif
