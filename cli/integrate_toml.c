/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for containerd's config.toml. No TOML is parsed here: containerd itself is asked what it makes of them. */
#include "cli/integrate_toml.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/integrate_client.h"
#include "cli/integrate_edit.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

#define DUMP_MAX (1024 * 1024) /* bytes */
#define RUNC                                            \
	"[plugins.\"@PLUGIN@\".containerd.runtimes.runc]\n" \
	"  runtime_type = \"io.containerd.runc.v2\"\n"

/* Its name is another one from version 3 on. */
static const char *plugin_of(int version)
{
	return version == 3 ? "io.containerd.cri.v1.runtime" : "io.containerd.grpc.v1.cri";
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

/* Descriptor 3 is the text, the next one takes what is said. */
static int spawn_dump(int text, int out, pid_t *ret)
{
	static const char *const argv[] = { "containerd", "--config", "/proc/self/fd/3",
					    "config",	  "dump",     NULL };
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
	};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	r = r ? r
	      : posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = r ? r : posix_spawn_file_actions_adddup2(&actions, text, 3);
	r = r ? r : posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
				 (char *const *)(uintptr_t)env);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* What containerd makes of a text. -EINVAL: it does not take it. */
static int dump(const char *text, char **ret, struct error *err)
{
	auto_close int content = memfd_create("config.toml", MFD_CLOEXEC);
	auto_close int out = memfd_create("dump", MFD_CLOEXEC);
	pid_t pid;
	int r = content < 0 || out < 0 ? -errno : file_write_all(content, text, strlen(text));

	r = r ? r : spawn_dump(content, out, &pid);
	r = r ? r : wait_for(pid);
	if (r == 0 && lseek(out, 0, SEEK_SET) < 0)
		r = -errno;
	return r ? r : file_read_fd(out, DUMP_MAX, ret, NULL, err);
}

/* Every "...runtimes.NAME]" of one dump stands in the other one. Quotes differ by version, names do not. */
static bool has_runtimes_of(const char *dumped, const char *before)
{
	static const char word[] = ".containerd.runtimes.";

	for (const char *at = strstr(before, word); at; at = strstr(at + 1, word)) {
		auto_free char *name = strndup(at, strcspn(at, "]\n") + 1);

		if (!name || !strstr(dumped, name))
			return false;
	}
	return true;
}

static bool has_program(const char *dumped, const char *program)
{
	const char *runtime = strstr(dumped, ".containerd.runtimes.nvidia.options]");
	const char *value = runtime ? strstr(runtime, "BinaryName = ") : NULL;

	value = value ? value + strlen("BinaryName = ") : NULL;
	return value && strncmp(value + 1, program, strlen(program)) == 0 &&
	       value[1 + strlen(program)] == *value;
}

/* Return: 1 if it is understood so, 0 if not. */
static int try(const char *text, const char *block, const char *program, const char *before,
	       char **ret, struct error *err)
{
	auto_free char *changed = NULL, *dumped = NULL;
	int r = edit_block_add(text, block, &changed, err);

	if (r < 0 || !changed)
		return r < 0 ? r : 1;
	r = dump(changed, &dumped, err);
	if (r == -EINVAL)
		return 0;
	if (r < 0 || !has_program(dumped, program) || !has_runtimes_of(dumped, before))
		return r;
	*ret = take_ptr(&changed);
	return 1;
}

static int check_before(const char *before, const char *text, struct error *err)
{
	if (strstr(before, ".containerd.runtimes.nvidia]") &&
	    !strstr(text, "nvfs integrate: begin"))
		return error_setc(err, ERROR_USAGE, -EEXIST, "it has a runtime 'nvidia' already");
	return 0;
}

/* The two texts that may be right, and the one that containerd takes. */
static int choose(const char *text, const char *template, const struct integrate_paths *paths,
		  int version, const char *before, char **ret, char **ret_block, struct error *err)
{
	static const char *const first[] = { RUNC, "" };
	auto_free char *program = integrate_expand("@BIN@/nvfs-runtime", paths, NULL);
	int r = program ? 0 : error_set(err, -ENOMEM, "read config.toml");

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(first); i++) {
		auto_free char *lines = NULL, *block = NULL;

		if (asprintf(&lines, "%s%s", first[i], template) < 0)
			return error_set(err, -ENOMEM, "read config.toml");
		block = integrate_expand(lines, paths, plugin_of(version));
		r = block ? try(text, block, program, before, ret, err)
			  : error_set(err, -ENOMEM, "read config.toml");
		if (r == 1)
			*ret_block = take_ptr(&block);
	}
	if (r == 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "containerd does not take it with our lines at the end");
	return r < 0 ? r : 0;
}

int toml_add(const char *text, const char *template, const struct integrate_paths *paths,
	     char **ret, char **ret_block, struct error *err)
{
	auto_free char *before = NULL;
	const char *base = text ? text : "version = 2\n";
	int version = edit_toml_version(base), r;

	*ret = *ret_block = NULL;
	if (version == 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "line 1: it does not begin with 'version = 2', or 3");
	if (version != 2 && version != 3)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "line 1: version %d is not known, 2 and 3 are", version);
	r = dump(base, &before, err);
	if (r == -ENOENT)
		return error_setc(err, ERROR_USAGE, r,
				  "no program 'containerd' is there to check the file with");
	if (r == -EINVAL)
		return error_setc(err, ERROR_USAGE, r,
				  "containerd does not take it as it is: containerd config dump");
	r = r ? r : check_before(before, base, err);
	return r ? r : choose(base, template, paths, version, before, ret, ret_block, err);
}
