/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_TESTS_UNIT_H
#define NVFS_TESTS_UNIT_H

/* One suite, one binary: UNIT_MAIN("ldcache", add_a, add_b) lists the test cases' functions. */

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(name, ...)                                                      \
	int main(void)                                                            \
	{                                                                         \
		const TTest *const unit_tests[] = { __VA_ARGS__ };         \
		Suite *suite = suite_create(name);                                \
		TCase *tcase = tcase_create(name);                                \
		SRunner *runner;                                                  \
		int failed;                                                       \
									      \
		for (size_t i = 0; i < sizeof(unit_tests) / sizeof(*unit_tests); i++) \
			tcase_add_test(tcase, unit_tests[i]);                     \
		tcase_set_timeout(tcase, 60);                                     \
		suite_add_tcase(suite, tcase);                                    \
		runner = srunner_create(suite);                                   \
		srunner_run_all(runner, CK_ENV);                                  \
		failed = srunner_ntests_failed(runner);                           \
		srunner_free(runner);                                             \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                      \
	}

#endif
