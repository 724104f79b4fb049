/* SPDX-License-Identifier: Apache-2.0 */
/* See nodemaker.h. One at a time; what has changed meanwhile the next one finds. */
#include "fs/nodemaker.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/hostnodes.h"

#define LIMIT_S 60

static pid_t spawn(const struct config *config)
{
	const char *argv[] = { "nvfs", "nodes", config->dev_root, config->proc_root, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid = 0;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	/* Not our path: the package may have been upgraded since. */
	r = posix_spawn(&pid, "/proc/self/exe", NULL, &attr, (char *const *)(uintptr_t)argv,
			environ);
	(void)posix_spawnattr_destroy(&attr);
	return r ? -r : pid;
}

void nodemaker_start(struct daemon *daemon)
{
	pid_t pid;

	if (!daemon->config.load_kmods)
		return;
	nodemaker_tick(daemon);
	if (daemon->nodemaker) {
		daemon->nodemaker_again = true;
		return;
	}
	pid = spawn(&daemon->config);
	if (pid < 0)
		log_warning("make device nodes: %s, ignoring", strerror(-pid));
	daemon->nodemaker = pid > 0 ? pid : 0;
	daemon->nodemaker_again = false;
}

void nodemaker_tick(struct daemon *daemon)
{
	int status = 0;

	if (!daemon->nodemaker || waitpid(daemon->nodemaker, &status, WNOHANG) == 0)
		return;
	if (WIFSIGNALED(status))
		log_warning("make device nodes: signal %d, ignoring", WTERMSIG(status));
	daemon->nodemaker = 0;
	if (daemon->nodemaker_again)
		nodemaker_start(daemon);
}

int nodemaker_main(const char *dev_root, const char *proc_root)
{
	struct hostnodes_report report;
	struct error err = { 0 };
	int r;

	log_open("nvfs", LOG_LEVEL_INFO);
	(void)alarm(LIMIT_S); /* a GPU that is lost may not answer in /proc */
	r = hostnodes_make(dev_root, proc_root, &report, &err);
	if (r < 0)
		log_warning("device nodes in '%s': %s, ignoring", dev_root, err.text);
	else if (report.made || report.mended)
		log_info("device nodes in '%s': %u made, %u mended", dev_root, report.made,
			 report.mended);
	return r < 0 ? error_exit_status(&err) : 0;
}
