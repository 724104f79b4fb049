/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_CLOCK_H
#define NVFS_COMMON_CLOCK_H

/* CLOCK_MONOTONIC of clock_gettime(2) as one number, for time limits and durations. It cannot fail. */

#include <stdint.h>
#include <time.h>

/** clock_us() - microseconds since some moment at or before the boot */
static inline int64_t clock_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/** clock_ms() - milliseconds likewise */
static inline int64_t clock_ms(void)
{
	return clock_us() / 1000;
}

/** clock_s() - seconds likewise */
static inline int64_t clock_s(void)
{
	return clock_us() / 1000000;
}

#endif
