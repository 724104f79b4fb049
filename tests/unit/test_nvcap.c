/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/nvcap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "tests/unit/unit.h"

START_TEST(minors_of_mig_are_found_whatever_their_order)
{
	static const char text[] =
		"config 1\nmonitor 2\n"
		"gpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu0/gi0/ci7/access 11\n"
		"gpu7/gi13/ci1/access\t900\n"
		"gpu1/gi2/access   77\n"
		"gpu0/gi14/access 129\n";
	struct nvcap_list list;

	ck_assert_int_eq(nvcap_list_parse(text, &list, NULL), 0);
	ck_assert_uint_eq(list.n, 8);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CONFIG, 0, 0, 0), 1);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_MONITOR, 0, 0, 0), 2);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_GI, 0, 0, 0), 3);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CI, 0, 0, 0), 4);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CI, 0, 0, 7), 11);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CI, 7, 13, 1), 900);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_GI, 1, 2, 0), 77);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_GI, 0, 14, 0), 129); /* holes before it */
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_GI, 0, 1, 0), -ENOENT);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CI, 1, 2, 0), -ENOENT);
	nvcap_list_done(&list);
}
END_TEST

START_TEST(lines_of_other_shapes_are_skipped)
{
	static const char text[] =
		"\nfabric-imex-mgmt 5\nconfig\nconfig x\nmonitor 2 3\nmonitor2\n"
		"gpu/gi0/access 3\ngpu0/gi/access 3\ngpu0/gi0/ci/access 3\n"
		"gpu0/gi0/acces 3\ngpu0/gi0/access3\ngpu0/gi0/access -3\n"
		"gpu0/gi0/access 1048576\ngpu99999999999/gi0/access 3\n"
		"gpu0/gi0/ci0/ci0/access 3\ngpu0/gi0/access 9 \ngpu0/gi0/access 8";
	struct nvcap_list list;

	ck_assert_int_eq(nvcap_list_parse(text, &list, NULL), 0);
	ck_assert_uint_eq(list.n, 1);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_GI, 0, 0, 0), 8); /* the lower of two */
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CONFIG, 0, 0, 0), -ENOENT);
	nvcap_list_done(&list);
	ck_assert_int_eq(nvcap_list_parse("", &list, NULL), 0);
	ck_assert_uint_eq(list.n, 0);
	ck_assert_int_eq(nvcap_minor(&list, NVCAP_CONFIG, 0, 0, 0), -ENOENT);
	nvcap_list_done(&list);
	nvcap_list_done(&list);
}
END_TEST

START_TEST(a_hundred_thousand_lines_are_read_at_once)
{
	struct nvcap_list list;
	struct timespec from, to;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (unsigned int i = 100000; i-- > 0;)
		fprintf(out, "gpu%u/gi%u/ci%u/access %u\n", i / 1024, i / 8 % 128, i % 8, i);
	ck_assert_int_eq(fclose(out), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	ck_assert_int_eq(nvcap_list_parse(text, &list, NULL), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_uint_eq(list.n, 100000);
	for (unsigned int i = 0; i < 100000; i += 77)
		ck_assert_int_eq(nvcap_minor(&list, NVCAP_CI, i / 1024, i / 8 % 128, i % 8),
				 (int)i);
	ck_assert_int_lt(to.tv_sec - from.tv_sec, 5);
	nvcap_list_done(&list);
	free(text);
}
END_TEST

START_TEST(a_capability_file_names_its_minor)
{
	static const struct {
		const char *text;
		int minor;
	} samples[] = {
		{ "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n", 1 },
		{ "DeviceFileMode: 256\nDeviceFileMinor: 1048575", 1048575 },
		{ "DeviceFileMinor:7\n", 7 },
		{ "DeviceFileMinor: \n", -EBADMSG },
		{ "DeviceFileMinor: -1\n", -EBADMSG },
		{ "DeviceFileMinor: 1048576\n", -EBADMSG },
		{ "DeviceFileMinor: 1 2\n", -EBADMSG },
		{ "DeviceFileMinors: 1\n", -EBADMSG },
		{ "", -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct nvcap cap = { .minor = 4711 };
		int r = nvcap_file_parse(samples[i].text, &cap);

		ck_assert_int_eq(r < 0 ? r : (int)cap.minor, samples[i].minor);
		ck_assert(r == 0 || cap.minor == 4711);
	}
}
END_TEST

UNIT_MAIN("nvcap", minors_of_mig_are_found_whatever_their_order, lines_of_other_shapes_are_skipped,
	  a_hundred_thousand_lines_are_read_at_once, a_capability_file_names_its_minor)
