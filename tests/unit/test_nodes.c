/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/nodes.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define MAJORS "195 nvidia\n195 nvidiactl\n238 nvidia-uvm\n241 nvidia-caps\n"

static struct nodes check(const char *done, const char *majors)
{
	json_t *json = json_loads(done, 0, NULL);
	int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct nodes nodes = nodes_check(json, majors, dev);

	(void)close(dev);
	json_decref(json);
	return nodes;
}

#define STEP(target, result, device)                                          \
	"{\"step\":\"device\",\"target\":\"" target "\",\"result\":\"" result \
	"\",\"device\":\"" device "\"}"

START_TEST(nodes_of_the_drivers_majors_are_fresh)
{
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia0", "mounted", "195:0") "," STEP(
			      "/dev/nvidia-uvm", "mounted",
			      "238:0") "," STEP("/dev/nvidia-uvm-tools", "already",
						"238:1") "," STEP("/dev/nvidia-caps/nvidia-cap1",
								  "mounted", "241:1") "]",
		      MAJORS)
			.stale,
		0);
}
END_TEST

START_TEST(a_node_of_another_major_is_stale_whoever_made_it)
{
	ck_assert_uint_eq(check("[" STEP("/dev/nvidia-uvm", "mounted", "510:0") "]", MAJORS).stale,
			  1);
	ck_assert_uint_eq(check("[" STEP("/dev/nvidia-uvm", "already", "510:0") "]", MAJORS).stale,
			  1);
	ck_assert_uint_eq(check("[" STEP("/dev/nvidia0", "mounted", "194:0") "," STEP(
					"/dev/nvidia-caps/nvidia-cap1", "mounted", "238:1") "]",
				MAJORS)
				  .stale,
			  2);
}
END_TEST

START_TEST(what_is_no_node_in_the_container_does_not_count)
{
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-uvm", "left", "510:0") "," STEP(
			      "/dev/nvidia-uvm", "omitted",
			      "510:0") "," STEP("/dev/null", "mounted",
						"1:3") "," STEP("nvidia-uvm", "mounted",
								"510:0") ","
									 "{\"step\":\"tree\","
									 "\"target\":\"/dev/"
									 "nvidia-uvm\",\"result\":"
									 "\"mounted\"}," STEP(
										 "/dev/nvidia-uvm",
										 "mounted",
										 "") ", 5, null]",
		      MAJORS)
			.stale,
		0);
	ck_assert_uint_eq(nodes_check(NULL, MAJORS, -1).stale, 0);
}
END_TEST

START_TEST(a_module_that_is_not_loaded_now_tells_nothing)
{
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-uvm", "mounted", "510:0") "]", "195 nvidia\n").stale,
		0);
	ck_assert_uint_eq(check("[" STEP("/dev/nvidia-uvm", "mounted", "510:0") "]", NULL).stale,
			  0);
}
END_TEST

/* A record may be written by anybody, for a tree of its own. */
START_TEST(a_path_that_leads_out_of_dev_is_not_followed)
{
	char majors[64];
	struct stat st;

	ck_assert_int_eq(stat("/dev/null", &st), 0);
	(void)snprintf(majors, sizeof(majors), "%u nvidia-uvm\n", major(st.st_rdev));
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-uvm/../null", "mounted", "510:0") "]", majors).ready,
		0);
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-uvm/../../dev/null", "mounted", "510:0") "]", majors)
			.ready,
		0);
}
END_TEST

START_TEST(a_node_is_ready_when_the_host_has_it)
{
	/* Those of capabilities can be made. */
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-caps/nvidia-cap3", "mounted", "238:3") "," STEP(
			      "/dev/nvidia-caps-imex-channels/channel0", "mounted", "239:0") "]",
		      MAJORS "242 nvidia-caps-imex-channels\n")
			.ready,
		2);
	/* Nobody's nvidia-uvm has the major of /dev/null. */
	ck_assert_uint_eq(
		check("[" STEP("/dev/nvidia-uvm", "mounted", "510:0") "]", "1 nvidia-uvm\n").ready,
		0);
}
END_TEST

UNIT_MAIN("nodes", nodes_of_the_drivers_majors_are_fresh,
	  a_node_of_another_major_is_stale_whoever_made_it,
	  what_is_no_node_in_the_container_does_not_count,
	  a_path_that_leads_out_of_dev_is_not_followed,
	  a_module_that_is_not_loaded_now_tells_nothing, a_node_is_ready_when_the_host_has_it)
