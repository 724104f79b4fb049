/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds for hashes: not for keys, which may not be had from a kernel that has just been started. */
#include "common/seed.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static size_t from_start(void)
{
	const void *bytes = (const void *)(uintptr_t)getauxval(AT_RANDOM);
	struct timespec now;
	size_t seed = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	/* The second half: the first is the stack protector's, as it is. */
	if (bytes)
		memcpy(&seed, (const char *)bytes + 8, sizeof(seed));
	seed ^= (size_t)now.tv_nsec * 2654435761U;
	return seed ^ ((size_t)getpid() << 16);
}

size_t seed_random(void)
{
	size_t seed = 0;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed) || !seed)
		seed = from_start();
	return seed ? seed : 1;
}

void seed_json(void)
{
	json_object_seed(seed_random());
}
