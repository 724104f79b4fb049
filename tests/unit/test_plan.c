/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"
#include "inject/cgroup.h"

#include "tests/unit/unit.h"

/* A reply with these steps, and one descriptor for each of @kinds: 'f' a file, 'm' a sealed memfd.
 */
static int parse(const char *steps, const char *kinds, struct plan *plan, struct error *err)
{
	struct varlink_message reply = { 0 };
	char text[2048];
	int r;

	(void)snprintf(text, sizeof(text), "{\"id\":\"c1\",\"token\":\"t\",\"plan\":[%s]}", steps);
	reply.json = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(reply.json);
	for (; *kinds; kinds++)
		reply.fds[reply.n_fds++] = *kinds == 'm' ? file_memfd("x", "cache", 5)
							 : open("/", O_PATH | O_CLOEXEC);
	memset(plan, 0, sizeof(*plan));
	r = plan_parse(&reply, false, plan, err);
	varlink_message_done(&reply);
	return r;
}

static void refuse(const char *steps, const char *kinds, const char *what)
{
	struct error err = { 0 };
	struct plan plan;

	ck_assert_int_eq(parse(steps, kinds, &plan, &err), -EBADMSG);
	ck_assert_int_eq(err.class, ERROR_DAEMON);
	ck_assert_msg(strstr(err.text, what) != NULL, "'%s' does not say '%s'", err.text, what);
	plan_done(&plan);
}

START_TEST(a_plan_of_every_kind_is_read)
{
	struct plan plan;

	ck_assert_int_eq(
		parse("{\"step\":\"tree\",\"target\":\"/usr/local/nvidia\",\"alternative\":\"/dev/"
		      "nvfs\","
		      "\"fd\":0},{\"step\":\"proc\",\"target\":\"/proc/driver/nvidia\",\"fd\":1},"
		      "{\"step\":\"device\",\"target\":\"/dev/nvidia0\",\"major\":195,\"minor\":0,"
		      "\"access\":\"rw\",\"fd\":2},{\"step\":\"socket\",\"target\":\"/run/"
		      "s\",\"fd\":3},"
		      "{\"step\":\"file\",\"target\":\"/etc/f\",\"content\":\"text\"},"
		      "{\"step\":\"cache\",\"target\":\"/etc/ld.so.cache\",\"fd\":4},"
		      "{\"step\":\"link\",\"target\":\"/usr/bin/x\",\"to\":\"/usr/local/nvidia/bin/"
		      "x\"}",
		      "ffffm", &plan, NULL),
		0);
	ck_assert_uint_eq(plan.n, 7);
	ck_assert_str_eq(plan.steps[0].alternative, "/dev/nvfs");
	ck_assert_uint_eq(plan.steps[2].major, 195);
	ck_assert_uint_eq(plan.steps[2].access, CGROUP_ACCESS_READ | CGROUP_ACCESS_WRITE);
	ck_assert_int_eq(memcmp(plan.steps[4].data, "text", 4), 0);
	ck_assert_uint_eq(plan.steps[5].len, 5);
	ck_assert_str_eq(plan.steps[6].to, "/usr/local/nvidia/bin/x");
	plan_done(&plan);
}
END_TEST

START_TEST(a_conf_d_entry_brings_the_include_that_it_needs)
{
	struct plan plan;

	ck_assert_int_eq(parse("{\"step\":\"file\",\"target\":\"/etc/ld.so.conf.d/00-nvfs.conf\","
			       "\"content\":\"/x\\n\"}",
			       "", &plan, NULL),
			 0);
	ck_assert_uint_eq(plan.n, 2);
	ck_assert_str_eq(plan.steps[1].target, "/etc/ld.so.conf");
	ck_assert(plan.steps[1].only_if_absent);
	plan_done(&plan);
}
END_TEST

START_TEST(an_unknown_step_refuses_the_whole_plan)
{
	refuse("{\"step\":\"dance\",\"target\":\"/x\"}", "", "unknown kind");
	refuse("7", "", "unknown kind");
	refuse("{\"step\":\"link\",\"target\":\"/x\"}", "", "leads nowhere");
	refuse("{\"step\":\"file\",\"target\":\"/x\"}", "", "no content");
}
END_TEST

START_TEST(a_path_that_is_not_plain_is_refused)
{
	refuse("{\"step\":\"tree\",\"fd\":0}", "f", "not a plain path");
	refuse("{\"step\":\"tree\",\"target\":\"usr\",\"fd\":0}", "f", "not a plain path");
	refuse("{\"step\":\"tree\",\"target\":\"/\",\"fd\":0}", "f", "not a plain path");
	refuse("{\"step\":\"tree\",\"target\":\"/a/../b\",\"fd\":0}", "f", "not a plain path");
	refuse("{\"step\":\"tree\",\"target\":\"/a\",\"alternative\":\"/./x\",\"fd\":0}", "f",
	       "not a plain path");
	refuse("{\"step\":\"device\",\"target\":\"/etc/nvidia0\",\"fd\":0}", "f", "outside /dev");
	refuse("{\"step\":\"proc\",\"target\":\"/sys/x\",\"fd\":0}", "f", "outside /proc");
}
END_TEST

START_TEST(a_step_without_its_descriptor_is_refused)
{
	refuse("{\"step\":\"tree\",\"target\":\"/a\"}", "f", "descriptor is missing");
	refuse("{\"step\":\"tree\",\"target\":\"/a\",\"fd\":1}", "f", "descriptor is missing");
	refuse("{\"step\":\"tree\",\"target\":\"/a\",\"fd\":-1}", "f", "descriptor is missing");
	refuse("{\"step\":\"tree\",\"target\":\"/a\",\"fd\":0},{\"step\":\"tree\",\"target\":\"/"
	       "b\","
	       "\"fd\":0}",
	       "f", "'/b'");
	refuse("{\"step\":\"cache\",\"target\":\"/etc/ld.so.cache\",\"fd\":0}", "f",
	       "not a sealed file");
}
END_TEST

START_TEST(a_refusal_by_policy_is_no_error)
{
	struct varlink_message reply = { 0 };
	struct plan plan = { 0 };

	reply.json = json_pack("{s:b, s:s}", "nothing", 1, "why", "not privileged");
	ck_assert_int_eq(plan_parse(&reply, false, &plan, NULL), 0);
	ck_assert_str_eq(plan.nothing, "not privileged");
	varlink_message_done(&reply);
	plan_done(&plan);
}
END_TEST

UNIT_MAIN("plan", a_plan_of_every_kind_is_read, a_conf_d_entry_brings_the_include_that_it_needs,
	  an_unknown_step_refuses_the_whole_plan, a_path_that_is_not_plain_is_refused,
	  a_step_without_its_descriptor_is_refused, a_refusal_by_policy_is_no_error)
