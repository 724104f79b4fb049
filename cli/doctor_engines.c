/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else gives GPUs to containers on this host, and whether two are asked for one: CDI files, hooks of
 * podman and CRI-O, runtimes of Docker and containerd. Read from their files; no engine is asked.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cdi.h"
#include "cli/doctor.h"
#include "common/cleanup.h"
#include "common/varlink.h"
#include "fs/cdi.h"
#include "fs/cdi_file.h"

#define NVIDIA_KIND "nvidia.com/gpu"
#define NVIDIA_RUNTIME "nvidia-container-runtime"
#define DOCKER_HOOK "nvidia-container-runtime-hook"
#define DROPIN "nvidia-container-cli"

/* CDI */

struct claims {
	size_t n;
	char path[PATH_MAX]; /* of one of them */
};

static struct claims claims_of(const struct doctor *doctor, const char *kind)
{
	static const char *const dirs[] = { "/etc/cdi", CDI_DIR };
	struct claims claims = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char dir[PATH_MAX], found[PATH_MAX];
		size_t n;

		(void)snprintf(dir, sizeof(dir), "%s%s", doctor->root, dirs[i]);
		n = cdi_claimed_by(dir, kind, NULL, found);
		if (n && !claims.n)
			memcpy(claims.path, found, sizeof(found));
		claims.n += n;
	}
	return claims;
}

static void check_cdi(const struct doctor *doctor, json_t *report)
{
	const struct claims ours = claims_of(doctor, CDI_VENDOR "/" CDI_CLASS);
	const struct claims theirs = claims_of(doctor, NVIDIA_KIND);

	if (ours.n > 1)
		doctor_say(report, "engines", DOCTOR_FAIL, "remove all but " CDI_DIR "/" CDI_FILE,
			   "%zu CDI files have " CDI_VENDOR "/" CDI_CLASS
			   ", '%s' and others: engines take none",
			   ours.n, ours.path);
	else if (ours.n == 1)
		doctor_say(report, "engines", DOCTOR_OK, NULL,
			   "CDI: '%s' has " CDI_VENDOR "/" CDI_CLASS, ours.path);
	if (theirs.n > 1)
		doctor_say(report, "engines", DOCTOR_FAIL, "remove all but one",
			   "%zu CDI files have " NVIDIA_KIND ", '%s' and others: engines take none",
			   theirs.n, theirs.path);
	else if (theirs.n == 1)
		doctor_say(report, "engines", DOCTOR_OK, NULL, "CDI: '%s' has " NVIDIA_KIND,
			   theirs.path);
}

/* programs by name */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Where links lead, too: nvfs answers to NVIDIA's names by links. @ret is PATH_MAX bytes. */
static const char *program_of(const struct doctor *doctor, const char *path, char *ret)
{
	char whole[PATH_MAX];

	(void)snprintf(whole, sizeof(whole), "%s%s", doctor->root, path);
	return last_part(realpath(whole, ret) ? ret : path);
}

static bool is_ours(const char *program)
{
	return strcmp(program, "nvinject") == 0 || strcmp(program, "nvfs-runtime") == 0;
}

static bool is_nvidias(const char *program)
{
	return strncmp(program, "nvidia-container-", 17) == 0 ||
	       strncmp(program, "nvidia-ctk", 10) == 0 ||
	       strncmp(program, "nvidia-cdi-hook", 15) == 0;
}

/* directories */

typedef void file_fn(const struct doctor *doctor, const char *path, void *data);

/* Those of a directory below the root that end so, each by its path there. */
static void each_file(const struct doctor *doctor, const char *dir, const char *end, file_fn *fn,
		      void *data)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *list;

	(void)snprintf(path, sizeof(path), "%s%s", doctor->root, dir);
	list = opendir(path);
	while (list && (entry = readdir(list))) {
		const char *last = strrchr(entry->d_name, '.');

		if (!last || strcmp(last, end) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		fn(doctor, path, data);
	}
	if (list)
		(void)closedir(list);
}

/* hooks.d: oci-hooks(5) of podman and CRI-O */

struct hooks {
	size_t ours, theirs;
	char our_path[PATH_MAX], their_path[PATH_MAX];
};

static void look_at_hook(const struct doctor *doctor, const char *path, void *data)
{
	struct hooks *hooks = data;
	auto_free char *text = doctor_read(doctor, path);
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;
	const char *program = varlink_string(json_object_get(json, "hook"), "path", "");
	char target[PATH_MAX];

	program = program_of(doctor, program, target);
	if (is_ours(program) && hooks->ours++ == 0)
		(void)snprintf(hooks->our_path, sizeof(hooks->our_path), "%s", path);
	else if (is_nvidias(program) && hooks->theirs++ == 0)
		(void)snprintf(hooks->their_path, sizeof(hooks->their_path), "%s", path);
	json_decref(json);
}

static void check_hooks(const struct doctor *doctor, json_t *report)
{
	static const char *const dirs[] = { "/usr/share/containers/oci/hooks.d",
					    "/etc/containers/oci/hooks.d",
					    "/run/containers/oci/hooks.d" };
	struct hooks hooks = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		each_file(doctor, dirs[i], ".json", look_at_hook, &hooks);
	if (hooks.ours && hooks.theirs)
		doctor_say(report, "engines", DOCTOR_FAIL, "remove one of the two",
			   "hooks: '%s' is nvfs's, and '%s' NVIDIA's: which one gives the GPU "
			   "depends on their order",
			   hooks.our_path, hooks.their_path);
	else if (hooks.theirs)
		doctor_say(report, "engines", DOCTOR_WARN, "remove it, where nvfs is to give GPUs",
			   "hooks: '%s' runs NVIDIA's own tool", hooks.their_path);
	else if (hooks.ours > 1)
		doctor_say(report, "engines", DOCTOR_WARN, "remove all but one",
			   "hooks: %zu files run nvinject, '%s' and others", hooks.ours,
			   hooks.our_path);
	else if (hooks.ours)
		doctor_say(report, "engines", DOCTOR_OK, NULL, "hooks: '%s' runs nvinject",
			   hooks.our_path);
}

/* Docker */

static void check_docker_runtimes(const struct doctor *doctor, json_t *report)
{
	auto_free char *text = doctor_read(doctor, "/etc/docker/daemon.json");
	json_error_t where;
	json_t *json = text ? json_loads(text, 0, &where) : NULL, *runtime;
	const char *name, *usual = varlink_string(json, "default-runtime", "runc");
	char target[PATH_MAX];

	if (text && !json)
		doctor_say(report, "engines", DOCTOR_FAIL, "mend it: dockerd does not start so",
			   "'/etc/docker/daemon.json' line %d: %s", where.line, where.text);
	json_object_foreach(json_object_get(json, "runtimes"), name, runtime) {
		const char *path = varlink_string(runtime, "path", ""),
			   *program = program_of(doctor, path, target);
		const char *note = strcmp(name, usual) == 0 ? ", the default," : "";

		if (is_ours(program))
			doctor_say(report, "engines", DOCTOR_OK, NULL,
				   "docker: runtime '%s'%s is '%s'", name, note, path);
		else if (is_nvidias(program))
			doctor_say(report, "engines", DOCTOR_WARN,
				   "nvfs integrate docker, where nvfs is to give GPUs",
				   "docker: runtime '%s'%s is NVIDIA's own: '%s'", name, note,
				   path);
	}
	json_decref(json);
}

/* names in PATH */

/* The drop-in has NVIDIA's name, and a directory of its own. */
static bool is_ours_at(const char *target)
{
	return is_ours(last_part(target)) || strstr(target, "/libexec/nvfs/");
}

/* The first in the PATH that systemd gives to daemons. @who runs it, where it is there at all. */
static void check_name(const struct doctor *doctor, json_t *report, const char *name,
		       const char *who)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					    "/usr/bin",        "/sbin",          "/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char path[PATH_MAX], whole[PATH_MAX], target[PATH_MAX], remedy[200];

		(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		(void)snprintf(whole, sizeof(whole), "%s%s", doctor->root, path);
		if (!realpath(whole, target))
			continue;
		(void)snprintf(remedy, sizeof(remedy),
			       "the package nvfs-compat, or a link to nvfs's %s in a directory "
			       "before it in PATH, where nvfs is to give GPUs",
			       name);
		if (is_ours_at(target))
			doctor_say(report, "engines", DOCTOR_OK, NULL, "%s: '%s' is nvfs's", who,
				   path);
		else
			doctor_say(report, "engines", DOCTOR_WARN, remedy,
				   "%s: '%s' is NVIDIA's own", who, path);
		return;
	}
}

/* TOML: its words are enough. */
struct words {
	json_t *report;
	const char *client; /* of nvfs integrate */
};

static void check_words(const struct doctor *doctor, const char *path, void *data)
{
	const struct words *words = data;
	auto_free char *text = doctor_read(doctor, path);
	bool theirs = text && strstr(text, NVIDIA_RUNTIME),
	     ours = text && strstr(text, "nvfs-runtime");
	char remedy[100];

	(void)snprintf(remedy, sizeof(remedy), "nvfs integrate %s, where nvfs is to give GPUs",
		       words->client);
	if (theirs)
		doctor_say(words->report, "engines", DOCTOR_WARN, remedy,
			   "%s: '%s' names " NVIDIA_RUNTIME "%s", words->client, path,
			   ours ? " and nvfs-runtime" : "");
	else if (ours)
		doctor_say(words->report, "engines", DOCTOR_OK, NULL, "%s: '%s' names nvfs-runtime",
			   words->client, path);
}

void doctor_engines(const struct doctor *doctor, json_t *report)
{
	struct words containerd = { report, "containerd" }, crio = { report, "crio" };

	check_cdi(doctor, report);
	check_hooks(doctor, report);
	check_docker_runtimes(doctor, report);
	check_name(doctor, report, DOCKER_HOOK, "docker run --gpus");
	check_name(doctor, report, DROPIN, "LXC, Incus, enroot and apptainer");
	check_words(doctor, "/etc/containerd/config.toml", &containerd);
	each_file(doctor, "/etc/containerd/conf.d", ".toml", check_words, &containerd);
	each_file(doctor, "/etc/crio/crio.conf.d", ".conf", check_words, &crio);
	if (json_array_size(report) == 0)
		doctor_say(report, "engines", DOCTOR_OK, NULL,
			   "none is told of GPUs in a file that is known here");
}
