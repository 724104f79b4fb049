/* SPDX-License-Identifier: Apache-2.0 */
#include "common/compatlist.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

START_TEST(names_are_those_of_libraries)
{
	char name[COMPATLIST_NAME_MAX + 8];

	ck_assert(compatlist_is_name("libcuda.so"));
	ck_assert(compatlist_is_name("libnvidia-pkcs11-openssl3.so.580.65.06"));
	ck_assert(!compatlist_is_name("libcuda"));
	ck_assert(!compatlist_is_name("libcuda.so2"));
	ck_assert(!compatlist_is_name("lib cuda.so"));
	ck_assert(!compatlist_is_name("lib/cuda.so"));
	ck_assert(!compatlist_is_name("lib\"cuda.so"));
	ck_assert(!compatlist_is_name(""));
	(void)snprintf(name, sizeof(name), "lib%0*d.so", COMPATLIST_NAME_MAX - 7, 0);
	ck_assert_uint_eq(strlen(name), COMPATLIST_NAME_MAX - 1);
	ck_assert(compatlist_is_name(name));
	(void)strcat(name, ".");
	ck_assert(!compatlist_is_name(name));
}
END_TEST

START_TEST(the_file_that_decides_has_a_version_of_two_parts)
{
	ck_assert(compatlist_is_libcuda("libcuda.so.1.1"));
	ck_assert(compatlist_is_libcuda("libcuda.so.580.65.06"));
	ck_assert(!compatlist_is_libcuda("libcuda.so.1"));
	ck_assert(!compatlist_is_libcuda("libcuda.so.580."));
	ck_assert(!compatlist_is_libcuda("libcuda.so"));
	ck_assert(!compatlist_is_libcuda(""));
	ck_assert(!compatlist_is_libcuda("libcudadebugger.so.580.65.06"));
}
END_TEST

UNIT_MAIN("compatlist", names_are_those_of_libraries,
	  the_file_that_decides_has_a_version_of_two_parts)
