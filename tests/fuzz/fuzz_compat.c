/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nvinject says of an image's compatibility libraries, and what a confined
 * parser answers, whatever they hold: names are names of libraries, the note is a
 * printable line, and what is printed is read again as the same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/compat_verdict.h"
#include "nvml/compat_image.h"
#include "nvml/driver.h"
#include "tests/fuzz/fuzz.h"

static const struct driver driver = { .n_files = 0 };

static void check_names(struct compat_image *image)
{
	const struct compat_host host = { .driver = "535.261.03",
					  .cuda = "12.2",
					  .brands = 1 << 14 };
	const char *why;
	size_t n;

	for (size_t i = 0; i < image->n; i++) {
		require(compatlist_is_name(image->files[i].name));
		require(!image->files[i].link || compatlist_is_name(image->files[i].link));
	}
	for (int mode = COMPAT_AUTO; mode <= COMPAT_DISABLED; mode++) {
		n = compat_choose((enum compat_mode)mode, &host, image->files, image->n, &why);
		require(n <= image->n && why && (mode != COMPAT_DISABLED || n == 0));
	}
}

static void fuzz_image(const uint8_t *data, size_t size)
{
	struct compat_image image = { 0 }, again = { 0 };
	auto_free char *text = NULL, *second = NULL;
	int r = compat_image_parse(data, size, &image, NULL);

	require(r == 0 || (r == -EBADMSG && image.n == 0));
	if (r < 0)
		return;
	check_names(&image);
	text = compat_image_print(&image);
	if (image.n > 0) {
		require(compat_image_parse(text, strlen(text), &again, NULL) == 0 &&
			again.n == image.n);
		second = compat_image_print(&again);
		require(strcmp(text, second) == 0);
	}
	compat_image_done(&again);
	compat_image_done(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct compat_verdict verdict = { 0 };
	auto_free char *text = fuzz_text(data, size);

	fuzz_image(data, size);
	if (compat_verdict_parse(text, &driver, &verdict, NULL) == 0)
		for (size_t i = 0; i < verdict.n; i++)
			require(compatlist_is_name(verdict.links[i].name) &&
				compatlist_is_name(verdict.links[i].file));
	compat_verdict_done(&verdict);
	return 0;
}
