/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a file of a loader: a refusal with a reason, or a text that names libraries by soname. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/icd.h"
#include "tests/fuzz/fuzz.h"

static bool has(void *data, const char *soname)
{
	(void)data;
	require(!strchr(soname, '/'));
	return strncmp(soname, "lib", 3) == 0;
}

static void check(const char *text, bool json)
{
	const struct icd_libraries libraries = { has, NULL };
	auto_free char *once = NULL, *twice = NULL;
	struct error err = { 0 };
	int r = icd_rewrite(text, json, &libraries, &once, &err);

	require(r == 0 || ((r == -EBADMSG || r == -ENOENT || r == -ENOMEM) && !once));
	require(r == 0 || r == -ENOMEM || err.text[0]);
	/* What was written anew is right as it is. */
	if (once)
		require(icd_rewrite(once, json, &libraries, &twice, &err) == 0 && !twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);

	check(text, true);
	check(text, false);
	return 0;
}
