/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever an image asks for: it holds, fails, cannot be told or is invalid; the
 * last three say why. A fact that becomes known turns no answer around, and an
 * alternative that holds in front makes all of it hold.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/require.h"
#include "tests/fuzz/fuzz.h"

static int check(const char *text, const struct require_facts *facts)
{
	struct error err = { 0 };
	int r = require_check(text, facts, &err);

	require(r == 0 || r == -EINVAL || r == -ENOTSUP || r == -ENODATA);
	require((r == 0) == (err.code == 0));
	require(r == 0 || (err.class == ERROR_REQUIREMENT && err.text[0] && err.remedy[0]));
	require(require_check(text, facts, NULL) == r);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct require_facts all = { "13.0", "580.159.04", "GPU 0", "9.0", "Nvidia" };
	static const struct require_facts some = { "13.0", "580.159.04", "GPU 0", "", "" };
	static const struct require_facts driver = { "13.0", "580.159.04", NULL, "", "" };
	auto_free char *text = fuzz_text(data, size), *longer = malloc(size + 16);
	int known, guess;

	require(longer != NULL);
	known = check(text, &all);
	guess = check(text, &some);
	require(guess != 0 || known == 0);
	require(guess != -ENOTSUP || known == -ENOTSUP);
	(void)check(text, &driver);
	(void)strcpy(longer, "cuda=13 ");
	(void)strcat(longer, text);
	require(check(longer, &some) == 0);
	return 0;
}
