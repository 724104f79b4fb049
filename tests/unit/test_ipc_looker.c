/* SPDX-License-Identifier: Apache-2.0 */
/* A thread looks; one that hangs takes a filesystem that does: tests/e2e/59-hanging-host.sh. */
#include "fs/ipc_looker.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvml/driver_cap.h"
#include "nvml/finding.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* A host's directory in which MPS has its own; the looker for it. */
static struct ipc_looker *host_new(char root[64])
{
	struct ipc_looker *looker = NULL;
	char path[128];

	scratch_new(root);
	(void)snprintf(path, sizeof(path), "%s/tmp", root);
	ck_assert_int_eq(mkdir(path, 01777), 0);
	(void)snprintf(path, sizeof(path), "%s/tmp/nvidia-mps", root);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(ipc_looker_new(&looker, NULL), 0);
	return looker;
}

START_TEST(each_look_answers_its_own_request)
{
	char root[64];
	struct ipc_looker *looker = host_new(root);
	struct finding_list findings = { 0 };
	struct ipc_request request = { .root = root, .by_root = true };

	scratch_text(root, "run/nvidia-persistenced/socket", "no socket");
	for (int i = 0; i < 100; i++) {
		struct ipc_list list = { 0 };

		request.caps = i % 2 ? DRIVER_CAP_COMPUTE : DRIVER_CAP_UTILITY;
		ck_assert_int_eq(ipc_looker_find(looker, &request, &list, &findings, NULL), 0);
		ck_assert_uint_eq(list.n, i % 2);
		ck_assert(list.n == 0 || strcmp(list.items[0].target, "/tmp/nvidia-mps") == 0);
		ipc_list_done(&list);
	}
	ck_assert_uint_eq(findings.n, 1);
	ck_assert_ptr_nonnull(strstr(findings.items[0].text, "is no socket"));
	finding_list_done(&findings);
	ipc_looker_free(looker);
	scratch_remove(root);
}
END_TEST

/* An injection that failed in between asks, and does not take. */
START_TEST(what_another_one_asked_answers_nobody)
{
	char root[64];
	struct ipc_looker *looker = host_new(root);
	struct ipc_request mps = { .root = root, .by_root = true, .caps = DRIVER_CAP_COMPUTE },
			   none = { .root = root, .by_root = true, .caps = DRIVER_CAP_UTILITY };

	for (int i = 0; i < 100; i++) {
		struct ipc_list list = { 0 };

		ipc_looker_ask(looker, &mps);
		if (i % 3 == 0)
			(void)usleep(1000); /* found, or not yet */
		if (i % 2)
			ipc_looker_ask(looker, &none);
		/* One that is on its way, and is left, is not waited for: then nothing is found. */
		ck_assert_int_eq(ipc_looker_find(looker, &none, &list, NULL, NULL), 0);
		ck_assert_uint_eq(list.n, 0);
		ipc_list_done(&list);
		do {
			ipc_looker_ask(looker, &mps);
			ck_assert_int_eq(ipc_looker_find(looker, &mps, &list, NULL, NULL), 0);
		} while (list.n == 0);
		ck_assert_str_eq(list.items[0].target, "/tmp/nvidia-mps");
		ipc_list_done(&list);
	}
	ipc_looker_free(looker);
	scratch_remove(root);
}
END_TEST

START_TEST(one_that_was_never_asked_is_freed)
{
	struct ipc_looker *looker = NULL;

	ck_assert_int_eq(ipc_looker_new(&looker, NULL), 0);
	ipc_looker_free(looker);
	ipc_looker_free(NULL);
}
END_TEST

UNIT_MAIN("ipc_looker", each_look_answers_its_own_request, what_another_one_asked_answers_nobody,
	  one_that_was_never_asked_is_freed)
