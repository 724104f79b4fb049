/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_REQUIRE_H
#define NVFS_NVML_REQUIRE_H

#include <stddef.h>

struct error;

/*
 * What an image asks of driver and GPU, in the language of `nvidia-container-cli
 * configure --require` and of the variables NVIDIA_REQUIRE_*:
 *
 *   expression  alternatives, divided by blanks: one of them must hold
 *   alternative terms, divided by commas: each of them must hold
 *   term        cuda, driver, arch or brand (any case); = != < <= > >=; a value
 *
 * cuda, driver and arch compare number by number, missing ones count as 0:
 * "12" equals "12.0". A brand compares as a word in any case, and by = and !=
 * alone. Alternatives and terms are read from the left and no further than the
 * outcome needs, so that words of a newer language do no harm behind an
 * alternative that holds; empty ones are skipped, and nothing asked for holds.
 *
 * A fact that is not known makes its term neither true nor false: another
 * alternative may hold without it; if none does, the answer is that it cannot
 * be told.
 *
 * Source: libnvidia-container, src/cli/dsl.c, whose error texts these are.
 */

/* Both with the NUL; a term that is longer is an invalid expression. */
#define REQUIRE_TERM_MAX 128
#define REQUIRE_TEXT_MAX 8192

/* Strings are borrowed; "" for what is not known. */
struct require_facts {
	const char *cuda;   /* version of CUDA that the driver has: "12.2" */
	const char *driver; /* "535.261.03" */
	const char *gpu;    /* "GPU 0", for messages; NULL: no GPU is given, arch and brand hold */
	const char *arch;   /* compute capability: "9.0" */
	const char *brand;  /* as NVML's nvmlDeviceGetBrand() is called there: "Tesla" */
};

/**
 * require_check() - does an expression hold?
 * @expression: borrowed
 * @facts:      of the driver and one GPU
 * @err:        ERROR_REQUIREMENT; the remedy says which fact was in the way
 *
 * Return: 0; -EINVAL ("invalid expression"); -ENOTSUP ("unsatisfied condition");
 * -ENODATA (a fact that it depends on is not known).
 */
int require_check(const char *expression, const struct require_facts *facts, struct error *err);

#endif
