/* SPDX-License-Identifier: Apache-2.0 */
/* Texts changed and changed back; then files below a scratch root. containerd's file is tried where containerd is. */
#include "cli/integrate_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/integrate_edit.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define OURS "/usr/bin/nvfs-runtime"
#define LINE "path = here\n"

/* texts */

static void becomes(int r, char *got, const char *wanted)
{
	ck_assert_int_eq(r, 0);
	if (wanted)
		ck_assert_str_eq(got, wanted);
	else
		ck_assert_ptr_null(got);
	free(got);
}

static void is_refused(int r, int code, const struct error *err, const char *word)
{
	ck_assert_int_eq(r, code);
	ck_assert_msg(strstr(err->text, word), "%s", err->text);
}

START_TEST(a_runtime_is_added_and_the_rest_stays)
{
	char *got;
	int r = edit_runtime_add(NULL, OURS, &got, NULL);

	becomes(r, got,
		"{\n  \"runtimes\": {\n    \"nvidia\": {\n      \"path\": \"" OURS
		"\"\n    }\n  }\n}\n");
	r = edit_runtime_add("{\n \"a\": 1.5,\n \"runtimes\": {\"x\": {\"path\": \"/x\"}}\n}", OURS,
			     &got, NULL);
	becomes(r, got,
		"{\n \"a\": 1.5,\n \"runtimes\": {\n  \"x\": {\n   \"path\": \"/x\"\n  },\n  "
		"\"nvidia\": {\n"
		"   \"path\": \"" OURS "\"\n  }\n }\n}\n");
	r = edit_runtime_add("{\"runtimes\": {\"nvidia\": {\"path\": \"" OURS
			     "\", \"runtimeArgs\": []}}}",
			     OURS, &got, NULL);
	becomes(r, got, NULL);
}
END_TEST

START_TEST(nvidias_own_runtime_is_replaced_and_another_one_is_not)
{
	static const char nvidias[] = "{\"runtimes\": {\"nvidia\": {\"args\": [], \"path\": "
				      "\"nvidia-container-runtime\"}}}";
	struct error err = { 0 };
	char *got, *back;
	int r = edit_runtime_add(nvidias, OURS, &got, NULL);

	ck_assert_int_eq(r, 0);
	r = edit_runtime_remove(got, nvidias, OURS, &back, NULL);
	free(got);
	ck_assert_ptr_nonnull(strstr(back, "\"nvidia-container-runtime\""));
	free(back);
	r = edit_runtime_add("{\n\"runtimes\":\n{ \"nvidia\": {\"path\": \"/opt/x\"}}}", OURS, &got,
			     &err);
	is_refused(r, -EEXIST, &err, "line 3: a runtime 'nvidia' of another kind, '/opt/x'");
}
END_TEST

START_TEST(what_is_no_json_object_is_refused_with_its_line)
{
	static const struct {
		const char *text, *word;
	} cases[] = { { "{\n\"a\": 1,\n}", "line 3" },
		      { "[]", "not a JSON object" },
		      { "{\"a\": 1,\n \"a\": 2}", "line 2: duplicate" },
		      { "{\"runtimes\": []}", "'runtimes' is no object" },
		      { "{\"a\": \"\xff\"}", "line 1" } };
	char *got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error err = { 0 };

		is_refused(edit_runtime_add(cases[i].text, OURS, &got, &err), -EINVAL, &err,
			   cases[i].word);
	}
}
END_TEST

START_TEST(only_our_runtime_is_taken_back)
{
	static const char both[] = "{\"runtimes\": {\"nvidia\": {\"path\": \"" OURS
				   "\"}, \"x\": {\"path\": \"/x\"}}}";
	char *got;
	int r = edit_runtime_remove(both, NULL, OURS, &got, NULL);

	becomes(r, got,
		"{\n  \"runtimes\": {\n    \"x\": {\n      \"path\": \"/x\"\n    }\n  }\n}\n");
	r = edit_runtime_remove("{\"b\": 1, \"runtimes\": {\"nvidia\": {\"path\": \"" OURS "\"}}}",
				"{}", OURS, &got, NULL);
	becomes(r, got, "{\n  \"b\": 1\n}\n");
	r = edit_runtime_remove("{\"runtimes\": {\"nvidia\": {\"path\": \"/other\"}}}", NULL, OURS,
				&got, NULL);
	becomes(r, got, NULL);
}
END_TEST

START_TEST(lines_go_to_the_end_and_are_cut_out_again)
{
	static const char rest[] = "a = 1\n";
	char *got, *more = NULL, *back;
	int r = edit_block_add("a = 1", LINE, &got, NULL);

	ck_assert_int_eq(r, 0);
	ck_assert_msg(strncmp(got, rest, strlen(rest)) == 0 && strstr(got, LINE), "%s", got);
	r = edit_block_add(got, LINE, &back, NULL);
	becomes(r, back, NULL);
	ck_assert_int_gt(asprintf(&more, "%sb = 2\n", got), 0);
	r = edit_block_remove(more, LINE, &back, NULL);
	becomes(r, back, "a = 1\nb = 2\n");
	r = edit_block_remove(rest, LINE, &back, NULL);
	becomes(r, back, NULL);
	free(more);
	free(got);
}
END_TEST

START_TEST(lines_that_somebody_has_changed_are_not_cut_out)
{
	struct error err = { 0 };
	char *got, *back;

	ck_assert_int_eq(edit_block_add("a = 1\n", LINE, &got, NULL), 0);
	is_refused(edit_block_remove(got, "other = 1\n", &back, &err), -EEXIST, &err,
		   "line 2: the lines of nvfs were changed");
	*strstr(got, "integrate: end") = 'I';
	err = (struct error){ 0 };
	is_refused(edit_block_remove(got, LINE, &back, &err), -EINVAL, &err,
		   "line 2: a mark of nvfs without the other");
	err = (struct error){ 0 };
	is_refused(edit_block_add(got, LINE, &back, &err), -EINVAL, &err, "line 2");
	free(got);
}
END_TEST

START_TEST(directives_and_versions_are_found_where_their_readers_find_them)
{
	ck_assert_int_eq(edit_find_directive("# x path = a\nx path =\n  x path \t= b\n", "x path"),
			 3);
	ck_assert_int_eq(edit_find_directive("x pathology = b\nx path\n", "x path"), 0);
	ck_assert_int_eq(edit_toml_version("# version = 1\nversion = 2\n"), 2);
	ck_assert_int_eq(edit_toml_version("version=3"), 3);
	ck_assert_int_eq(edit_toml_version("[a]\nversion = 2\n"), 0);
	ck_assert_int_eq(edit_toml_version("version = \"2\"\n"), 0);
}
END_TEST

/* files */

static char root[64];
static const struct integrate_paths paths = { .bin = "/usr/bin", .libexec = "/usr/libexec/nvfs" };

static void begin(void)
{
	static const char *const programs[] = { "usr/bin/nvfs-runtime", "usr/bin/nvinject",
						"usr/libexec/nvfs/nvidia-container-cli",
						"usr/libexec/nvfs/nvidia-container-runtime-hook",
						"usr/local/bin/x" };

	scratch_new(root);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		scratch_text(root, programs[i], "");
}

static bool tells_by_hand; /* the last run: what to add where nothing was changed */

static int run(const char *client, bool revert, struct error *err)
{
	const struct integrate_client *which = integrate_client_by_name(client);
	struct integrate_run run = { .root = open(root, O_RDONLY | O_DIRECTORY),
				     .paths = &paths,
				     .report = json_array() };
	int r = revert ? integrate_revert(&run, which, err) : integrate_apply(&run, which, err);

	tells_by_hand = run.by_hand;
	(void)close(run.root);
	json_decref(run.report);
	free(run.by_hand);
	return r;
}

static void works(const char *client, bool revert)
{
	struct error err = { 0 };
	int r = run(client, revert, &err);

	ck_assert_msg(r == 0, "%s: %s", client, err.text);
}

static void refused(const char *client, bool revert, int code, const char *word)
{
	struct error err = { 0 };

	is_refused(run(client, revert, &err), code, &err, word);
}

static struct stat stat_of(const char *name)
{
	char path[512];
	struct stat st;

	scratch_path(path, root, name);
	if (lstat(path, &st) < 0)
		st = (struct stat){ 0 };
	return st;
}

static void has(const char *name, const char *text)
{
	char path[512], *got;

	scratch_path(path, root, name);
	ck_assert_int_eq(file_read_at(AT_FDCWD, path, 65536, &got, NULL, NULL), 0);
	ck_assert_str_eq(got, text);
	free(got);
}

#define DAEMON_JSON "etc/docker/daemon.json"
#define HOOK_LINK "usr/local/bin/nvidia-container-runtime-hook"
#define CLI_LINK "usr/local/bin/nvidia-container-cli"

START_TEST(a_file_comes_back_as_the_very_file_it_was)
{
	struct stat before, after;
	char path[512], value[8];

	begin();
	scratch_text(root, DAEMON_JSON, "{ \"a\":   1 }");
	scratch_path(path, root, DAEMON_JSON);
	ck_assert_int_eq(chmod(path, 0640), 0);
	(void)setxattr(path, "user.nvfs", "x", 1, 0);
	before = stat_of(DAEMON_JSON);
	works("docker", false);
	after = stat_of(DAEMON_JSON);
	ck_assert_uint_ne(before.st_ino, after.st_ino);
	ck_assert_uint_eq(after.st_mode & 07777, 0640);
	if (getxattr(path, "user.nvfs", value, sizeof(value)) < 0)
		ck_assert_int_eq(errno, EOPNOTSUPP);
	works("docker", false);
	ck_assert_uint_eq(after.st_ino, stat_of(DAEMON_JSON).st_ino);
	works("docker", true);
	has(DAEMON_JSON, "{ \"a\":   1 }");
	ck_assert_uint_eq(before.st_ino, stat_of(DAEMON_JSON).st_ino);
	ck_assert_uint_eq(stat_of(DAEMON_JSON ".nvfs-backup").st_ino, 0);
	ck_assert_uint_eq(stat_of(HOOK_LINK).st_ino, 0);
	ck_assert_uint_eq(stat_of("var/lib/nvfs").st_ino, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(files_and_directories_that_were_made_go_again)
{
	static const char *const clients[] = { "docker", "podman", "crio", "lxc" };

	begin();
	for (size_t i = 0; i < 4; i++)
		works(clients[i], false);
	ck_assert_uint_ne(stat_of("usr/share/containers/oci/hooks.d/90-nvfs.json").st_ino, 0);
	for (size_t i = 4; i-- > 0;)
		works(clients[i], true);
	ck_assert_uint_eq(stat_of("etc").st_ino, 0);
	ck_assert_uint_eq(stat_of("usr/share").st_ino, 0);
	ck_assert_uint_eq(stat_of(CLI_LINK).st_ino, 0);
	works("docker", true);
	scratch_remove(root);
}
END_TEST

START_TEST(what_somebody_has_changed_since_stays)
{
	begin();
	scratch_text(root, DAEMON_JSON, "{}");
	works("docker", false);
	scratch_text(root, DAEMON_JSON,
		     "{\"b\": 2, \"runtimes\": {\"nvidia\": {\"path\": \"" OURS "\"}}}");
	works("docker", true);
	has(DAEMON_JSON, "{\n  \"b\": 2\n}\n");
	ck_assert_uint_eq(stat_of(DAEMON_JSON ".nvfs-backup").st_ino, 0);
	works("podman", false);
	scratch_text(root, "usr/share/containers/oci/hooks.d/90-nvfs.json", "{}");
	refused("podman", true, -EEXIST, "hooks.d/90-nvfs.json': it was changed since");
	has("usr/share/containers/oci/hooks.d/90-nvfs.json", "{}");
	refused("podman", false, -EEXIST, "somebody else's");
	scratch_remove(root);
}
END_TEST

START_TEST(a_link_goes_with_the_last_client_that_has_it)
{
	begin();
	works("lxc", false);
	works("enroot", false);
	works("lxc", true);
	ck_assert_uint_ne(stat_of(CLI_LINK).st_ino, 0);
	works("enroot", true);
	ck_assert_uint_eq(stat_of(CLI_LINK).st_ino, 0);
	scratch_link(root, CLI_LINK, "/opt/other");
	refused("lxc", false, -EEXIST, "somebody else's");
	scratch_remove(root);
}
END_TEST

START_TEST(where_one_file_is_refused_none_is_written)
{
	begin();
	scratch_link(root, HOOK_LINK, "/opt/other");
	refused("docker", false, -EEXIST, "nvidia-container-runtime-hook': it is there");
	ck_assert_uint_eq(stat_of("etc").st_ino, 0);
	ck_assert_uint_eq(stat_of("var").st_ino, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(a_link_to_the_file_stays_a_link_and_none_leads_outside)
{
	begin();
	scratch_text(root, "srv/daemon.json", "{}\n");
	scratch_link(root, DAEMON_JSON, "/srv/daemon.json");
	works("docker", false);
	ck_assert(S_ISLNK(stat_of(DAEMON_JSON).st_mode));
	ck_assert_int_gt(stat_of("srv/daemon.json").st_size, 3);
	works("docker", true);
	has("srv/daemon.json", "{}\n");
	ck_assert(S_ISLNK(stat_of(DAEMON_JSON).st_mode));
	scratch_remove(root);
	begin();
	scratch_link(root, DAEMON_JSON, "daemon.json");
	refused("docker", false, -ELOOP, "follow");
	scratch_remove(root);
}
END_TEST

START_TEST(a_directory_that_others_may_write_to_is_refused)
{
	char path[512];

	begin();
	scratch_text(root, DAEMON_JSON, "{}");
	scratch_path(path, root, "etc/docker");
	ck_assert_int_eq(chmod(path, 0777), 0);
	refused("docker", false, -EPERM, "others than root may write to");
	has(DAEMON_JSON, "{}");
	scratch_remove(root);
}
END_TEST

START_TEST(what_is_no_text_file_is_refused)
{
	char path[512];

	begin();
	scratch_write(root, DAEMON_JSON, "{}\0", 3);
	refused("docker", false, -EINVAL, "has a NUL byte");
	scratch_path(path, root, DAEMON_JSON);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	refused("docker", false, -EINVAL, "is no regular file");
	scratch_remove(root);
}
END_TEST

START_TEST(without_its_program_a_client_is_not_changed)
{
	char path[512];

	begin();
	scratch_path(path, root, "usr/bin/nvfs-runtime");
	ck_assert_int_eq(unlink(path), 0);
	refused("docker", false, -ENOENT, "find '/usr/bin/nvfs-runtime'");
	refused("apptainer", false, -ENOENT, "is the client installed?");
	scratch_text(root, "etc/apptainer/apptainer.conf",
		     "nvidia-container-cli path = /usr/bin/x\n");
	refused("apptainer", false, -EEXIST,
		"line 1: 'nvidia-container-cli path' has a value already");
	scratch_remove(root);
}
END_TEST

START_TEST(a_run_that_was_cut_off_is_taken_back_or_goes_on)
{
	char path[512];

	begin();
	scratch_text(root, DAEMON_JSON, "{}");
	works("docker", false);
	scratch_path(path, root, HOOK_LINK); /* as if it had ended before the link */
	ck_assert_int_eq(unlink(path), 0);
	works("docker", false);
	ck_assert_uint_ne(stat_of(HOOK_LINK).st_ino, 0);
	scratch_text(root, DAEMON_JSON, "{}"); /* as if before the file; or somebody has put it back by hand */
	works("docker", true);
	has(DAEMON_JSON, "{}");
	ck_assert_uint_eq(stat_of(HOOK_LINK).st_ino, 0);
	ck_assert_uint_eq(stat_of(DAEMON_JSON ".nvfs-backup").st_ino, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(a_file_that_no_record_can_hold_is_not_changed)
{
	static const char latin1[] = "# gr\xfc\xdf\n";

	begin();
	scratch_text(root, "etc/apptainer/apptainer.conf", latin1);
	refused("apptainer", false, -EINVAL, "'/etc/apptainer/apptainer.conf' is not UTF-8");
	ck_assert(tells_by_hand);
	has("etc/apptainer/apptainer.conf", latin1);
	ck_assert_uint_eq(stat_of("var").st_ino, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(where_an_older_integration_is_gone_it_is_said)
{
	static const char mine[] = "{\"runtimes\": {\"nvidia\": {\"path\": \"/opt/mine\"}}}";
	char path[512];

	begin();
	scratch_text(root, DAEMON_JSON, "{}");
	works("docker", false);
	scratch_path(path, root, HOOK_LINK); /* a part of it is missing: it is made anew */
	ck_assert_int_eq(unlink(path), 0);
	scratch_text(root, DAEMON_JSON ".nvfs-backup", mine);
	refused("docker", false, -EEXIST,
		"the earlier integration is taken back, the new one fails: '/etc/docker");
	ck_assert(!tells_by_hand);
	has(DAEMON_JSON, mine);
	refused("docker", false, -EEXIST, "a runtime 'nvidia' of another kind");
	ck_assert(tells_by_hand);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("integrate", a_runtime_is_added_and_the_rest_stays,
	  nvidias_own_runtime_is_replaced_and_another_one_is_not,
	  what_is_no_json_object_is_refused_with_its_line, only_our_runtime_is_taken_back,
	  lines_go_to_the_end_and_are_cut_out_again,
	  lines_that_somebody_has_changed_are_not_cut_out,
	  directives_and_versions_are_found_where_their_readers_find_them,
	  a_file_comes_back_as_the_very_file_it_was, files_and_directories_that_were_made_go_again,
	  what_somebody_has_changed_since_stays, a_link_goes_with_the_last_client_that_has_it,
	  where_one_file_is_refused_none_is_written,
	  a_link_to_the_file_stays_a_link_and_none_leads_outside,
	  a_directory_that_others_may_write_to_is_refused, what_is_no_text_file_is_refused,
	  without_its_program_a_client_is_not_changed,
	  a_run_that_was_cut_off_is_taken_back_or_goes_on,
	  a_file_that_no_record_can_hold_is_not_changed,
	  where_an_older_integration_is_gone_it_is_said)
