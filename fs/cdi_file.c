/* SPDX-License-Identifier: Apache-2.0 */
/* The file that engines read, kept as the GPUs are. */
#include "fs/cdi_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/cdi.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/ident.h"
#include "fs/reinject_command.h"
#include "fs/renewal.h"
#include "nvml/gpu.h"

struct asked {
	const char *vendor, *class;
	bool hooks;
};

/* Once: it lies on a filesystem of the host's, which later may not answer. */
static int find_nvinject(struct daemon *daemon, struct error *err)
{
	char path[PATH_MAX];
	int r = daemon->cdi.nvinject ? 0 : reinject_program(daemon->config.nvinject, path, err);

	if (r < 0 || daemon->cdi.nvinject)
		return r;
	daemon->cdi.nvinject = strdup(path);
	return daemon->cdi.nvinject ? 0 : error_set(err, -ENOMEM, "copy a path");
}

static int make_spec(struct daemon *daemon, const struct asked *asked, json_t **ret,
		     struct error *err)
{
	char tree[PATH_MAX];
	struct cdi_request request = { .gpus = daemon->generation->gpus,
				       .nvcaps = &daemon->generation->nvcaps,
				       .dev_root = daemon->config.dev_root,
				       .proc_root = daemon->config.proc_root,
				       .vendor = asked->vendor,
				       .class = asked->class,
				       .socket = daemon->config.socket };
	int r = find_nvinject(daemon, err);

	if (r < 0)
		return r;
	request.nvinject = daemon->cdi.nvinject;
	if (!asked->hooks) {
		(void)snprintf(tree, sizeof(tree), "%s/" IDENT_HOST, daemon->config.mountpoint);
		request.tree = tree;
	}
	return cdi_spec(&request, ret, err);
}

int cdi_method(struct daemon *daemon, const json_t *params, json_t **ret, struct error *err)
{
	const json_t *hooks = json_object_get(params, "hooks");
	const struct asked asked = { .vendor = varlink_string(params, "vendor", CDI_VENDOR),
				     .class = varlink_string(params, "class", CDI_CLASS),
				     .hooks = !hooks || json_is_true(hooks) };
	json_t *spec = NULL;
	int r;

	if (!daemon->generation)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s",
				  renewal_note(daemon->renewal));
	r = make_spec(daemon, &asked, &spec, err);
	if (r == 0)
		*ret = json_pack("{s:o}", "spec", spec);
	return r;
}

static int write_file(const char *dir_path, const char *text, struct error *err)
{
	auto_close int dir = -1;

	if (mkdir(dir_path, 0755) < 0 && errno != EEXIST)
		return error_set(err, -errno, "make '%.80s'", dir_path);
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, -errno, "open '%.80s'", dir_path);
	return file_replace_at(dir, CDI_FILE, NULL, text, strlen(text), err);
}

static bool is_there(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/" CDI_FILE, dir);
	return lstat(path, &st) == 0;
}

static int refresh(struct daemon *daemon, struct error *err)
{
	const struct asked asked = { .vendor = CDI_VENDOR, .class = CDI_CLASS, .hooks = true };
	auto_free char *text = NULL;
	json_t *spec = NULL;
	int r = make_spec(daemon, &asked, &spec, err);

	if (r < 0)
		return r;
	text = cdi_text(spec, false);
	json_decref(spec);
	if (!text)
		return error_set(err, -ENOMEM, "write a specification");
	if (daemon->cdi.text && strcmp(daemon->cdi.text, text) == 0 &&
	    is_there(daemon->config.cdi_dir))
		return 0;
	r = write_file(daemon->config.cdi_dir, text, err);
	if (r < 0)
		return r;
	log_info("CDI: '%s/" CDI_FILE "' is written", daemon->config.cdi_dir);
	free(daemon->cdi.text);
	daemon->cdi.text = take_ptr(&text);
	return 0;
}

void cdi_file_tick(struct daemon *daemon)
{
	struct error err = { 0 };
	bool failed;

	if (!*daemon->config.cdi_dir || !daemon->generation)
		return;
	/* Who is to end when its containers have, or has no keeper, may outlive its package: that has removed the file. */
	if ((daemon->ends || daemon->link < 0) && !is_there(daemon->config.cdi_dir))
		return;
	/* Until NVML has told of them anew, MIG devices have no index: who starts on another GPU keeps his names. */
	if (daemon->generation->gpus->provisional && daemon->cdi.text &&
	    is_there(daemon->config.cdi_dir))
		return;
	failed = refresh(daemon, &err) < 0;
	if (failed && !daemon->cdi.failed)
		log_warning("CDI: %s, ignoring", err.text);
	daemon->cdi.failed = failed;
}

void cdi_file_done(struct daemon *daemon)
{
	free(daemon->cdi.text);
	free(daemon->cdi.nvinject);
	daemon->cdi.text = daemon->cdi.nvinject = NULL;
}
