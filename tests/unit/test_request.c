/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/request.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"

#include "tests/unit/unit.h"

#define ARGS(...) ((char *[]){ "nvinject", __VA_ARGS__, NULL })

static int parse(struct request *req, char *argv[], struct error *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	memset(req, 0, sizeof(*req));
	return request_parse(req, argc, argv, err);
}

static void refuse(char *argv[], const char *what)
{
	struct error err = { 0 };
	struct request req;

	ck_assert_int_eq(parse(&req, argv, &err), -EINVAL);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_msg(strstr(err.text, what) != NULL, "'%s' does not say '%s'", err.text, what);
	request_done(&req);
}

START_TEST(a_whole_command_line_is_read)
{
	struct request req;

	ck_assert_int_eq(
		parse(&req,
		      ARGS("--pid", "42", "--devices=0,1", "--capabilities", "compute", "--id=c1",
			   "--rootfs", "/r", "--target=/opt/nv", "--socket=/s", "--dry-run",
			   "--json", "--no-cgroup", "--cuda-compat-mode=mount", "--classic-paths",
			   "--without=devices,persistenced"),
		      NULL),
		0);
	ck_assert_int_eq(req.action, REQUEST_INJECT);
	ck_assert_int_eq(req.pid, 42);
	ck_assert_str_eq(req.devices, "0,1");
	ck_assert_str_eq(req.driver_caps, "compute");
	ck_assert_str_eq(req.id, "c1");
	ck_assert_str_eq(req.rootfs, "/r");
	ck_assert_str_eq(req.target, "/opt/nv");
	ck_assert_str_eq(req.socket, "/s");
	ck_assert_str_eq(req.source, "arguments");
	ck_assert_str_eq(req.compat_mode, "mount");
	ck_assert_str_eq(req.without, "devices,persistenced");
	ck_assert(req.classic_paths);
	ck_assert(req.dry_run && req.json && !req.cgroup && !req.standalone);
	request_done(&req);
}
END_TEST

START_TEST(requirements_add_up_to_a_limit)
{
	char long_one[REQUEST_REQUIREMENT_BYTES + 2], *many[2 * REQUEST_REQUIREMENTS_MAX + 8] = {
		"nvinject", "--pid", "42", "--devices", "all"
	};
	struct error err = { 0 };
	struct request req;
	int n = 5;

	ck_assert_int_eq(parse(&req,
			       ARGS("--pid=42", "--devices=0", "--require",
				    "cuda>=12.4 brand=tesla", "--require=arch>=7"),
			       NULL),
			 0);
	ck_assert_uint_eq(json_array_size(req.requirements), 2);
	ck_assert_str_eq(json_string_value(json_array_get(req.requirements, 1)), "arch>=7");
	request_done(&req);
	while (n < 5 + 2 * REQUEST_REQUIREMENTS_MAX) {
		many[n++] = "--require";
		many[n++] = "cuda>=1";
	}
	ck_assert_int_eq(parse(&req, many, NULL), 0);
	request_done(&req);
	many[n++] = "--require=cuda>=1";
	ck_assert_int_eq(parse(&req, many, &err), -EINVAL);
	ck_assert_str_eq(err.text, "too many requirements");
	ck_assert_int_eq(err.class, ERROR_REQUIREMENT);
	request_done(&req);
	memset(long_one, '1', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	ck_assert_int_eq(parse(&req, ARGS("--pid=42", "--devices=0", "--require", long_one), NULL),
			 -EINVAL);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--pid=42", "--devices=0", "--require", "\xff"), NULL),
			 -EINVAL);
	request_done(&req);
	refuse(ARGS("--remove", "--pid=42", "--require=cuda>=1"), "--remove takes back all");
	refuse(ARGS("hook", "--require=cuda>=1"), "hook takes container and devices");
	refuse(ARGS("--pid=42", "--devices=0", "--require"), "needs a value");
}
END_TEST

START_TEST(cgroups_and_socket_have_defaults)
{
	struct request req;

	ck_assert_int_eq(parse(&req, ARGS("--pid=1", "--devices=none"), NULL), 0);
	ck_assert(req.cgroup);
	ck_assert_str_eq(req.socket, REQUEST_SOCKET);
	ck_assert_ptr_null(req.driver_caps);
	request_done(&req);
}
END_TEST

START_TEST(only_a_hook_asks_the_configuration_what_to_do_without_a_daemon)
{
	struct request req;

	ck_assert_int_eq(parse(&req, ARGS("--pid=1", "--devices=none"), NULL), 0);
	ck_assert_ptr_null(req.on_daemon_down);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("hook"), NULL), 0);
	ck_assert_str_eq(req.on_daemon_down, REQUEST_DOWN_CONFIG);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("hook", "--on-daemon-down=fail"), NULL), 0);
	ck_assert_str_eq(req.on_daemon_down, "fail");
	request_done(&req);
	ck_assert_int_eq(
		parse(&req, ARGS("--pid=1", "--devices=none", "--on-daemon-down", "config"), NULL),
		0);
	ck_assert_str_eq(req.on_daemon_down, "config");
	request_done(&req);
	refuse(ARGS("hook", "--on-daemon-down=ignore"), "'ignore' is neither fail nor skip");
	refuse(ARGS("hook", "--on-daemon-down="), "'' is neither fail nor skip");
	refuse(ARGS("--remove", "--id=a", "--on-daemon-down=skip"), "takes back all");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--on-daemon-down=skip"), "no other options");
}
END_TEST

START_TEST(an_owners_container_keeps_its_cgroup)
{
	struct request req;

	ck_assert_int_eq(
		parse(&req, ARGS("--pid=1", "--devices=none", "--owner", "4294967294"), NULL), 0);
	ck_assert(req.as_owner);
	ck_assert_uint_eq(req.owner, 4294967294);
	ck_assert(!req.cgroup);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--pid=1", "--devices=none"), NULL), 0);
	ck_assert(!req.as_owner);
	request_done(&req);
	refuse(ARGS("--pid=1", "--devices=none", "--owner=4294967295"), "is not a user id");
	refuse(ARGS("--pid=1", "--devices=none", "--owner=me"), "'me' is not a user id");
	refuse(ARGS("--standalone", "--id=a", "--rootfs=/r", "--devices=none", "--owner=1"),
	       "--owner needs --pid");
	refuse(ARGS("--remove", "--id=a", "--owner=1"), "takes back all");
	refuse(ARGS("hook", "--owner=1"), "from the runtime");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--owner=1"), "no other options");
}
END_TEST

START_TEST(hook_remove_help_and_version_are_told_apart)
{
	struct request req;

	ck_assert_int_eq(parse(&req, ARGS("hook", "--json"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--socket", "/s", "hook"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--remove", "--id", "c1"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_REMOVE);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--heal", "--pid", "1", "--id", "c1"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HEAL);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("--help", "--nonsense"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HELP);
	request_done(&req);
	ck_assert_int_eq(parse(&req, ARGS("hook", "--version"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_VERSION);
	request_done(&req);
}
END_TEST

START_TEST(devices_and_container_must_be_said)
{
	refuse(ARGS("--pid=1", "--devices=all", "--cuda-compat-mode=always"),
	       "invalid option: cuda-compat-mode=always");
	refuse(ARGS("--pid=1", "--devices=all", "--cuda-compat-mode="),
	       "invalid option: cuda-compat-mode=");
	refuse(ARGS("--remove", "--pid=1", "--cuda-compat-mode=auto"), "takes back all");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--cuda-compat-mode=auto"), "no other options");
	refuse(ARGS("--pid=1", "--devices=all", "--swarm-resource=X"), "for hook alone");
	refuse(ARGS("--pid", "1"), "--devices is missing");
	refuse(ARGS("--devices", "all"), "--pid is missing");
	refuse(ARGS("--standalone", "--devices=all", "--rootfs=/r"), "needs --rootfs and --id");
	refuse(ARGS("--standalone", "--pid=1", "--devices=all"), "exclude each other");
	refuse(ARGS("--remove"), "needs --pid or --id");
	refuse(ARGS("--remove", "--pid=1", "--devices=all"), "takes back all");
}
END_TEST

START_TEST(channels_add_up_and_control_of_mig_is_read)
{
	struct request req;

	ck_assert_int_eq(
		parse(&req,
		      ARGS("--pid=1", "--devices=all", "--imex-channel=0", "--imex-channel", "7,8",
			   "--mig-config", "all", "--mig-monitor=all", "--fabric=nvswitch"),
		      NULL),
		0);
	ck_assert_str_eq(req.fabric, "nvswitch");
	ck_assert_str_eq(req.imex_channels, "0,7,8");
	ck_assert_str_eq(req.mig_config, "all");
	ck_assert_str_eq(req.mig_monitor, "all");
	request_done(&req);
	refuse(ARGS("--remove", "--id=c1", "--imex-channel=0"), "--remove takes back all");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--mig-config=all"), "no other options");
	refuse(ARGS("hook", "--mig-monitor=all"), "from the runtime");
}
END_TEST

START_TEST(junk_is_refused_by_name)
{
	refuse(ARGS("--pid", "1x", "--devices=all"), "'1x' is not a process id");
	refuse(ARGS("--pid", "0", "--devices=all"), "'0' is not a process id");
	refuse(ARGS("--pid", "99999999999999999999", "--devices=all"), "is not a process id");
	refuse(ARGS("--nonsense"), "unknown option '--nonsense'");
	refuse(ARGS("--pid"), "'--pid' needs a value");
	refuse(ARGS("--pid=1", "--devices=all", "more"), "surplus argument 'more'");
	refuse(ARGS("hook", "--pid", "3"), "from the runtime");
	refuse(ARGS("hook", "--remove"), "excludes --remove");
	refuse(ARGS("hook", "--heal"), "excludes --remove and --heal");
	refuse(ARGS("--heal", "--id", "c1"), "needs --pid and --id");
	refuse(ARGS("--heal", "--pid=1"), "needs --pid and --id");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--devices=all"), "no other options");
	refuse(ARGS("--heal", "--pid=1", "--id=c1", "--no-cgroup"), "no other options");
}
END_TEST

START_TEST(an_id_that_is_a_path_is_refused)
{
	refuse(ARGS("--pid=1", "--devices=all", "--id=a/b"), "'a/b' cannot be the id");
	refuse(ARGS("--pid=1", "--devices=all", "--id=.."), "'..' cannot be the id");
	refuse(ARGS("--pid=1", "--devices=all", "--id="), "'' cannot be the id");
}
END_TEST

START_TEST(a_target_must_be_a_plain_path)
{
	refuse(ARGS("--pid=1", "--devices=all", "--target=usr"), "not a plain absolute path");
	refuse(ARGS("--pid=1", "--devices=all", "--target=/"), "not a plain absolute path");
	refuse(ARGS("--pid=1", "--devices=all", "--target=/a/../b"), "not a plain absolute path");
	refuse(ARGS("--pid=1", "--devices=all", "--target=/a//b"), "not a plain absolute path");
	refuse(ARGS("--pid=1", "--devices=all", "--rootfs=r"), "is not an absolute path");
}
END_TEST

#define AS(...) ((char *[]){ "/usr/bin/nvidia-container-runtime-hook", __VA_ARGS__, NULL })

START_TEST(nvidias_hook_is_known_by_its_name)
{
	char *toolkit[] = { "nvidia-container-toolkit", "prestart", NULL },
	     *bare[] = { "nvidia-container-toolkit", NULL };
	struct request req;

	ck_assert_int_eq(parse(&req, AS("prestart"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
	ck_assert_int_eq(parse(&req, toolkit, NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
	ck_assert_int_eq(parse(&req, AS("--socket", "/s", "prestart"), NULL), 0);
	ck_assert_str_eq(req.socket, "/s");
	request_done(&req);
	ck_assert_int_eq(parse(&req, AS("poststop"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_NONE);
	request_done(&req);
	refuse(AS("hook"), "surplus argument 'hook'");
	refuse(AS("prestart", "more"), "surplus argument 'more'");
	refuse(bare, "without the word 'prestart'");
	refuse(ARGS("prestart"), "surplus argument 'prestart'");
	refuse(ARGS("--pid", "1", "--devices", "0", "--cdi-device", "0"),
	       "--cdi-device is for hook alone");
}
END_TEST

START_TEST(nvidias_hook_takes_options_as_go_does)
{
	struct request req;

	ck_assert_int_eq(parse(&req, AS("-config=/etc/n.toml", "-debug", "prestart"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	ck_assert_str_eq(req.nvidias_config, "/etc/n.toml");
	request_done(&req);
	ck_assert_int_eq(
		parse(&req, AS("-config", "/etc/n.toml", "-debug=false", "prestart"), NULL), 0);
	ck_assert_str_eq(req.nvidias_config, "/etc/n.toml");
	request_done(&req);
	ck_assert_int_eq(parse(&req,
			       AS("--config=/etc/n.toml", "--debug=T", "-socket=/s", "prestart"),
			       NULL),
			 0);
	ck_assert_str_eq(req.socket, "/s");
	request_done(&req);
	ck_assert_int_eq(parse(&req, AS("-debug", "poststop"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_NONE);
	request_done(&req);
	ck_assert_int_eq(parse(&req, AS("-version"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_VERSION);
	request_done(&req);
	ck_assert_int_eq(parse(&req, AS("-h"), NULL), 0);
	ck_assert_int_eq(req.action, REQUEST_HELP);
	request_done(&req);
	refuse(AS("-debug=perhaps", "prestart"), "'perhaps' is neither true nor false");
	refuse(AS("prestart", "-config"), "'-config' needs a value");
	refuse(AS("-teleport", "prestart"), "unknown option '-teleport'");
	refuse(ARGS("--config=/etc/n.toml", "--pid=1"), "unknown option '--config=/etc/n.toml'");
	refuse(ARGS("-pid=1", "--devices=all"), "unknown option");
}
END_TEST

START_TEST(variations_of_a_plan_belong_to_an_injection)
{
	refuse(ARGS("--remove", "--pid=1", "--classic-paths"), "--remove takes back all");
	refuse(ARGS("--remove", "--pid=1", "--without=devices"), "--remove takes back all");
	refuse(ARGS("--heal", "--pid=1", "--id=x", "--classic-paths"), "--heal permits");
	refuse(ARGS("--heal", "--pid=1", "--id=x", "--without=devices"), "--heal permits");
	refuse(ARGS("--pid=1", "--devices=all", "--without=\xff"), "not UTF-8");
}
END_TEST

UNIT_MAIN("request", nvidias_hook_is_known_by_its_name, nvidias_hook_takes_options_as_go_does,
	  requirements_add_up_to_a_limit, a_whole_command_line_is_read,
	  cgroups_and_socket_have_defaults,
	  only_a_hook_asks_the_configuration_what_to_do_without_a_daemon,
	  an_owners_container_keeps_its_cgroup, hook_remove_help_and_version_are_told_apart,
	  devices_and_container_must_be_said, channels_add_up_and_control_of_mig_is_read,
	  junk_is_refused_by_name, an_id_that_is_a_path_is_refused, a_target_must_be_a_plain_path,
	  variations_of_a_plan_belong_to_an_injection)
