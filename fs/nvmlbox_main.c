/* SPDX-License-Identifier: Apache-2.0 */
/* The process that asks NVML: see nvmlbox.h. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/nvmlbox.h"
#include "fs/sandbox.h"
#include "nvml/answer.h"
#include "nvml/ask.h"
#include "nvml/nvml_api.h"

/* Nobody listens any more: nothing is left to do, and a GPU's driver need not go on. */
static void tell(void *data, const struct answer_message *message)
{
	(void)data;
	if (send(NVMLBOX_SOCKET, message, sizeof(*message), MSG_NOSIGNAL) < 0)
		_exit(EXIT_FAILURE);
}

static void tell_call(enum answer_type type, const char *function, const char *text)
{
	struct answer_message message = { .type = type, .gpu = ANSWER_NO_GPU };

	(void)snprintf(message.call.function, sizeof(message.call.function), "%s", function);
	(void)snprintf(message.call.text, sizeof(message.call.text), "%s", text);
	for (char *c = message.call.text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	tell(NULL, &message);
}

/* What was told is whole, in so far as there is nothing more to come. */
static int give_up(const char *function, const char *text)
{
	struct answer_message end = { .type = ANSWER_END, .gpu = ANSWER_NO_GPU };

	tell_call(ANSWER_FAILED, function, text);
	tell(NULL, &end);
	return EXIT_SUCCESS;
}

struct arguments {
	const char *library;
	uint64_t uid, gid, limit_s;
	uint32_t skipped[NVMLBOX_SKIPPED_MAX];
	size_t n_skipped;
};

static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
	uint64_t index;

	if (argc < 5 || argc > 5 + NVMLBOX_SKIPPED_MAX)
		return -EINVAL;
	ret->library = argv[1];
	if (parse_u64(argv[2], UINT32_MAX - 1, &ret->uid) < 0 ||
	    parse_u64(argv[3], UINT32_MAX - 1, &ret->gid) < 0 ||
	    parse_u64(argv[4], 86400, &ret->limit_s) < 0 || ret->uid == 0 || ret->gid == 0)
		return -EINVAL;
	for (int i = 5; i < argc; i++) {
		if (parse_u64(argv[i], ANSWER_GPUS_MAX - 1, &index) < 0)
			return -EINVAL;
		ret->skipped[ret->n_skipped++] = (uint32_t)index;
	}
	return 0;
}

/* What NVML says to people, nobody is to hear. */
static int silence(void)
{
	auto_close int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i <= STDERR_FILENO; i++)
		if (dup2(fd, i) < 0)
			return -errno;
	return fd < 0 ? -errno : 0;
}

/*
 * Descriptors first; then who we are; the death signal after that, since a change of ids takes it off;
 * what the environment could tell the library, last before the walls.
 */
static int confine(const struct arguments *args, struct error *err)
{
	int r = sys_close_range(NVMLBOX_FD_END, ~0U, 0);

	r = r ? r : silence();
	r = r ? r : sandbox_become((uid_t)args->uid, (gid_t)args->gid);
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	r = r < 0 ? error_set(err, r, "confine the process that asks NVML") : 0;
	/* The daemon ends it first, and knows then what it was at. */
	r = r ? r : nvmlbox_wall_in((unsigned int)args->limit_s + 2, err);
	(void)clearenv();
	return r;
}

static int ask(const struct arguments *args)
{
	struct nvml_api api;
	char path[300];
	void *library;
	struct ask questions = {
		.api = &api, .skipped = args->skipped, .n_skipped = args->n_skipped, .tell = tell
	};

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", NVMLBOX_ROOT, args->library);
	tell_call(ANSWER_STEP, "dlopen", "");
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return give_up("dlopen", dlerror());
	if (nvml_api_load(library, &api) < 0)
		return give_up("dlsym", "the library has no functions of NVML");
	nvml_ask(&questions);
	return EXIT_SUCCESS;
}

int nvmlbox_main(int argc, char **argv)
{
	struct arguments args = { 0 };
	struct error err = { 0 };

	if (parse_arguments(argc, argv, &args) < 0)
		return ERROR_USAGE;
	(void)prctl(PR_SET_NAME, "nvfs-nvml");
	if (confine(&args, &err) < 0)
		return give_up("confine", err.text);
	/* Not by return: the library's destructors have nothing to do for us. */
	_exit(ask(&args));
}
