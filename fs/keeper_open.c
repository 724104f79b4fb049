/* SPDX-License-Identifier: Apache-2.0 */
/* What a keeper holds: how it comes by it, and what it leaves behind. */
#include "fs/keeper_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/adopt.h"
#include "fs/config.h"
#include "fs/mountpoint.h"
#include "fs/sandbox.h"
#include "fs/server.h"
#include "fs/statefile.h"

static int open_signals(struct keeper *k, struct error *err)
{
	static const int asking[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	sigset_t signals;

	(void)signal(SIGPIPE, SIG_IGN); /* who read our messages may go */
	(void)sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_SIZE(asking); i++)
		(void)sigaddset(&signals, asking[i]);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	k->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals < 0 ? error_set(err, -errno, "make a signalfd") : 0;
}

/* proc_pid_exe(5): what another file has replaced under its name */
static void cut_deleted(char *path)
{
	static const char suffix[] = " (deleted)";
	size_t len = strlen(path), cut = strlen(suffix);

	if (len > cut && strcmp(path + len - cut, suffix) == 0)
		path[len - cut] = '\0';
}

int keeper_open_own(struct keeper *k, struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", k->path, sizeof(k->path) - 1);

	k->path[n < 0 ? 0 : n] = '\0';
	cut_deleted(k->path);
	k->program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (n < 0 || k->program < 0)
		return error_set(err, -errno, "open '/proc/self/exe'");
	return open_signals(k, err);
}

static int open_fuse(struct keeper *k, struct error *err)
{
	int r;

	k->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (k->fuse >= 0)
		return 0;
	r = error_set(err, -errno, "open '/dev/fuse'");
	return error_remedy(err, error_classify(err, r, ERROR_MOUNT), "modprobe fuse");
}

/* Of a keeper that was killed, or ended while containers live; its daemon may serve. */
static int adopt(struct keeper *k, struct error *err)
{
	struct adopted fds;
	int r = adopt_stored(&fds, err);

	if (r == 0)
		r = adopt_orphan(k->config->socket, &fds, err);
	if (r <= 0)
		return r;
	k->fuse = fds.fuse;
	k->state = fds.state;
	k->listen = fds.listen;
	k->was_ready = true;
	return 1;
}

int keeper_open(struct keeper *k, struct error *err)
{
	const struct config *config = k->config;
	int r = adopt(k, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = k->state = statefile_open(config->socket, &k->left, err);
	if (r >= 0)
		r = mountpoint_clear(config->mountpoint, err);
	if (r > 0)
		log_warning("'%s' was the mount of a dead daemon, replacing it",
			    config->mountpoint);
	if (r >= 0)
		r = mountpoint_prepare(config->mountpoint, err);
	if (r == 0)
		r = open_fuse(k, err);
	if (r < 0)
		return r;
	k->listen = server_listen(config->socket, err);
	return k->listen < 0 ? k->listen : 0;
}

/* Is the state of no use to anybody? What could not be recovered, or was cut off, may be later. */
static bool is_over(const struct keeper *k)
{
	return (k->done && k->status == 0) || !(k->left || k->was_ready);
}

void keeper_close(struct keeper *k)
{
	if (k->listen >= 0 && !k->leave)
		(void)unlink(k->config->socket);
	if (k->state >= 0 && !k->leave && is_over(k)) {
		statefile_remove(k->config->socket);
		adopt_unstore();
	}
	cleanup_close(&k->listen);
	cleanup_close(&k->fuse);
	/* One that nobody could unmount is dead now. */
	if (k->fuse >= 0 && !k->leave && sandbox_limit_thread(SANDBOX_KEEPER_END) == 0)
		(void)mountpoint_clear(k->config->mountpoint, NULL);
	cleanup_close(&k->state);
	cleanup_close(&k->signals);
	cleanup_close(&k->program);
	cleanup_close(&k->next_program);
	for (size_t i = 0; i < k->n_files; i++)
		cleanup_close(&k->files[i].fd);
	free(k->files);
}
