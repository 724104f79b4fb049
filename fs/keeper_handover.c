/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one program to the next, while containers read on. The successor runs
 * beside the daemon until it has read the state and says that it could serve it;
 * only then is the daemon told to go. Whatever fails before that leaves
 * everything as it was. At the end the keeper executes the new program too.
 */
#include "fs/keeper_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/keeper.h"

#define STANDBY_MS 10000 /* to read the state */
#define GIVE_WAY_MS 5000 /* to finish what it is at */
#define ARGS_MAX 64
#define FILES_TEXT_MAX (16UL * 1024 * 1024)

static void give_up(struct keeper *k, int status)
{
	cleanup_close(&k->next_program);
	k->next_program = -1;
	k->stop_by_ms = 0;
	(void)link_send(k->daemon.link, LINK_FAILED, (uint32_t)status, -1);
}

void handover_begin(struct keeper *k)
{
	struct error err = { 0 };

	if (k->successor.pid || !k->ready) {
		(void)link_send(k->daemon.link, LINK_FAILED, ERROR_AGAIN, -1);
		return;
	}
	k->next_program = open(k->path, O_PATH | O_CLOEXEC);
	if (k->next_program < 0) {
		log_error("hand over to '%s': %s", k->path, strerror(errno));
		give_up(k, ERROR_OTHER);
	} else if (keeper_child_start(k, k->next_program, KEEPER_HAND_OVER, &k->successor, &err) <
		   0) {
		log_error("hand over to '%s': %s", k->path, err.text);
		give_up(k, ERROR_OTHER);
	}
}

static void successor_died(struct keeper *k)
{
	int status = keeper_child_end(&k->successor);

	log_error("'%s' could not take over (%s %d), the daemon before goes on", k->path,
		  WIFSIGNALED(status) ? "signal" : "exit status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	give_up(k, WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : ERROR_OTHER);
}

void handover_message(struct keeper *k, const struct link_message *message, int r)
{
	if (r <= 0) {
		successor_died(k);
		return;
	}
	if (message->fd >= 0)
		(void)close(message->fd);
	if (message->type != LINK_STANDBY || k->stop_by_ms)
		return;
	k->stop_by_ms = clock_ms() + GIVE_WAY_MS;
	(void)link_send(k->daemon.link, LINK_STOP, 0, -1);
}

void handover_check(struct keeper *k)
{
	int64_t now = clock_ms();

	if (!k->successor.pid)
		return;
	if (!k->stop_by_ms && now - k->successor.started_ms > STANDBY_MS) {
		log_error("'%s' did not read the state within %d s", k->path, STANDBY_MS / 1000);
		successor_died(k);
	} else if (k->stop_by_ms && now > k->stop_by_ms) {
		(void)sys_pidfd_send_signal(k->daemon.pidfd, SIGKILL); /* its successor copes with that */
	}
}

bool handover_finish(struct keeper *k)
{
	if (!k->successor.pid)
		return false;
	if (!k->stop_by_ms || k->done) { /* died by itself meanwhile, or all is over: start as always */
		(void)keeper_child_end(&k->successor);
		cleanup_close(&k->next_program);
		k->next_program = -1;
		return false;
	}
	k->daemon = k->successor;
	k->successor = (struct keeper_child)KEEPER_NO_CHILD;
	k->daemon.started_ms = clock_ms();
	cleanup_close(&k->program);
	k->program = k->next_program;
	k->next_program = -1;
	k->stop_by_ms = 0;
	k->renewed = true;
	(void)keeper_give_files(k, k->daemon.link); /* one that is dead already is noticed by its pidfd */
	return true;
}

/* becoming the new program */

static int pass(int fd, char buf[12])
{
	(void)snprintf(buf, 12, "%d", fd);
	return fcntl(fd, F_SETFD, 0);
}

/* "object fd" a line */
static int list_files(const struct keeper *k)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int fd;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_files; i++) {
		fprintf(out, "%u %d\n", k->files[i].object, k->files[i].fd);
		(void)fcntl(k->files[i].fd, F_SETFD, 0);
	}
	fd = fclose(out) == 0 ? file_memfd("files", text, len) : -ENOMEM;
	free(text);
	return fd;
}

void keeper_become(struct keeper *k)
{
	char numbers[KEEPER_RESUME_ARGS][12];
	char *argv[ARGS_MAX + KEEPER_RESUME_ARGS + 3] = { (char[]){ "nvfs" },
							  (char[]){ "keeper" } };
	auto_close int files = list_files(k);

	k->renewed = false;
	if (files < 0 || pass(k->fuse, numbers[0]) < 0 || pass(k->state, numbers[1]) < 0 ||
	    pass(k->listen, numbers[2]) < 0 || pass(k->daemon.link, numbers[3]) < 0 ||
	    pass(files, numbers[5]) < 0) {
		log_warning("the keeper stays the program that it was: %s, ignoring",
			    strerror(errno));
		return;
	}
	(void)snprintf(numbers[4], sizeof(numbers[4]), "%d", k->daemon.pid);
	for (int i = 0; i < KEEPER_RESUME_ARGS; i++)
		argv[2 + i] = numbers[i];
	for (int i = 0; k->argv[i] && i < ARGS_MAX; i++)
		argv[2 + KEEPER_RESUME_ARGS + i] = k->argv[i];
	(void)fexecve(k->program, argv, environ);
	log_warning("the keeper stays the program that it was: execute '%s': %s, ignoring", k->path,
		    strerror(errno));
}

static int parse_files(struct keeper *k, int fd)
{
	auto_free char *text = NULL;
	char *save = NULL;

	if (lseek(fd, 0, SEEK_SET) < 0 || file_read_fd(fd, FILES_TEXT_MAX, &text, NULL, NULL) < 0)
		return -EINVAL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct kept_file *bigger = realloc(k->files, (k->n_files + 1) * sizeof(*bigger));
		struct kept_file file;

		if (!bigger)
			return -ENOMEM;
		k->files = bigger;
		if (sscanf(line, "%u %d", &file.object, &file.fd) != 2)
			return -EINVAL;
		(void)fcntl(file.fd, F_SETFD, FD_CLOEXEC);
		k->files[k->n_files++] = file;
	}
	return 0;
}

int keeper_become_parse(struct keeper *k, char **numbers, struct error *err)
{
	int pid, files, r = 0;
	int *const to[KEEPER_RESUME_ARGS] = { &k->fuse,	       &k->state, &k->listen,
					      &k->daemon.link, &pid,	  &files };

	for (int i = 0; i < KEEPER_RESUME_ARGS && r == 0; i++) {
		uint64_t number;

		r = parse_u64(numbers[i], INT32_MAX, &number);
		*to[i] = r < 0 ? -1 : (int)number;
		if (r == 0 && to[i] != &pid && fcntl(*to[i], F_SETFD, FD_CLOEXEC) < 0)
			r = -errno;
	}
	if (r == 0)
		r = parse_files(k, files);
	if (r < 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "'nvfs keeper' is called by 'nvfs serve' alone");
	(void)close(files);
	k->daemon.pid = pid;
	k->daemon.pidfd = sys_pidfd_open(pid, 0);
	return k->daemon.pidfd < 0 ? error_set(err, k->daemon.pidfd, "find the daemon %d", pid) : 0;
}
