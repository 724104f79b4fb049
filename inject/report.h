/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_REPORT_H
#define NVFS_INJECT_REPORT_H

struct apply;

/**
 * report_left() - tell a person what of the container's own was in our way and stays
 * @cache_why: why the container's ld.so.cache was not read; "": it was, or there is none
 *
 * One line each, on the log: a link, file or socket that stands where ours would
 * be, and what became of a linker cache that is not as it should be.
 */
void report_left(const struct apply *apply, const char *cache_why);

#endif
