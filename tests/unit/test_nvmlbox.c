/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/nvmlbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/answer.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* How the process that asks behaves: by the name of the library that it is to load. */
static void misbehave(const char *library)
{
	struct answer_message message = { .type = ANSWER_STEP,
					  .gpu = 3,
					  .call = { .function = "nvmlX" } };

	if (strcmp(library, "babble") == 0)
		(void)!write(NVMLBOX_SOCKET, "?", 1);
	if (strcmp(library, "long") == 0)
		(void)!write(NVMLBOX_SOCKET, &(char[2 * sizeof(message)]){ 0 },
			     2 * sizeof(message));
	if (strcmp(library, "die") != 0 && strcmp(library, "hang") != 0)
		return;
	(void)!write(NVMLBOX_SOCKET, &message, sizeof(message));
	if (strcmp(library, "die") == 0)
		(void)raise(SIGKILL);
	for (;;)
		(void)pause();
}

/* That process is this program, executed anew. */
__attribute__((constructor)) static void be_asker(int argc, char **argv)
{
	if (argc < 3 || strcmp(argv[1], "nvml") != 0)
		return;
	misbehave(argv[2]);
	_exit(nvmlbox_main(argc - 1, argv + 1));
}

static struct nvmlbox *box;

static enum nvmlbox_state run(const char *root, const char *library)
{
	auto_close int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct nvmlbox_request request = {
		.root_fd = fd, .library = library, .uid = 65531, .gid = 65531, .limit_s = 20
	};
	enum nvmlbox_state state = NVMLBOX_ASKS;
	struct error err = { 0 };

	ck_assert_msg(nvmlbox_start(&request, &box, &err) == 0, "%s", err.text);
	while (state == NVMLBOX_ASKS) {
		struct pollfd p = { .fd = nvmlbox_fd(box), .events = POLLIN };

		if (poll(&p, 1, strcmp(library, "hang") == 0 ? 500 : 20000) != 1)
			break;
		state = nvmlbox_receive(box);
	}
	return state;
}

static void ck_end(const char *wanted)
{
	struct pollfd p = { .fd = nvmlbox_pidfd(box), .events = POLLIN };
	char how[80] = "";

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert(nvmlbox_reap(box, how, sizeof(how)));
	ck_assert_str_eq(how, wanted);
	nvmlbox_free(box);
}

START_TEST(a_library_that_is_not_there_is_told)
{
	char root[64];

	scratch_new(root);
	ck_assert_int_eq(run(root, "lib/libnvidia-ml.so.1"), NVMLBOX_DONE);
	ck_assert_uint_eq(nvmlbox_answer(box)->n_failures, 1);
	ck_assert_str_eq(nvmlbox_answer(box)->failures[0].function, "dlopen");
	ck_assert_ptr_nonnull(strstr(nvmlbox_answer(box)->failures[0].text, "cannot open"));
	ck_end("ended with status 0");
	/* A library, and no NVML. */
	scratch_text(root, "text", "no library");
	ck_assert_int_eq(run(root, "text"), NVMLBOX_DONE);
	ck_assert_uint_eq(nvmlbox_answer(box)->n_failures, 1);
	ck_end("ended with status 0");
	scratch_remove(root);
}
END_TEST

START_TEST(a_death_is_told_and_where)
{
	ck_assert_int_eq(run("/", "die"), NVMLBOX_ENDED);
	ck_assert(!nvmlbox_answer(box)->whole);
	ck_assert_str_eq(nvmlbox_answer(box)->step, "nvmlX");
	ck_assert_uint_eq(nvmlbox_answer(box)->step_gpu, 3);
	ck_end("was killed by signal 9 (Killed)");
}
END_TEST

START_TEST(who_hangs_can_be_killed)
{
	char how[80] = "";

	ck_assert_int_eq(run("/", "hang"), NVMLBOX_ASKS);
	ck_assert_str_eq(nvmlbox_answer(box)->step, "nvmlX");
	ck_assert(!nvmlbox_reap(box, how, sizeof(how)));
	nvmlbox_kill(box);
	ck_end("was killed by signal 9 (Killed)");
	/* and is, by who forgets it */
	ck_assert_int_eq(run("/", "hang"), NVMLBOX_ASKS);
	nvmlbox_free(box);
	ck_assert(waitpid(-1, NULL, 0) > 0 || errno == ECHILD); /* it may have been quick */
}
END_TEST

START_TEST(what_is_no_message_is_babble)
{
	ck_assert_int_eq(run("/", "babble"), NVMLBOX_BABBLES);
	nvmlbox_free(box);
	ck_assert_int_eq(run("/", "long"), NVMLBOX_BABBLES);
	nvmlbox_free(box);
	while (waitpid(-1, NULL, 0) > 0)
		;
}
END_TEST

START_TEST(it_is_called_by_the_daemon_alone)
{
	char *none[] = { (char[]){ "nvml" }, NULL };
	char *root[] = { (char[]){ "nvml" }, (char[]){ "x" }, (char[]){ "0" },
			 (char[]){ "1" },    (char[]){ "1" }, NULL };
	char *junk[] = { (char[]){ "nvml" },
			 (char[]){ "x" },
			 (char[]){ "1" },
			 (char[]){ "1" },
			 (char[]){ "1" },
			 (char[]){ "x" },
			 NULL };

	ck_assert_int_eq(nvmlbox_main(1, none), ERROR_USAGE);
	ck_assert_int_eq(nvmlbox_main(5, root), ERROR_USAGE);
	ck_assert_int_eq(nvmlbox_main(6, junk), ERROR_USAGE);
}
END_TEST

UNIT_MAIN("nvmlbox", a_library_that_is_not_there_is_told, a_death_is_told_and_where,
	  who_hangs_can_be_killed, what_is_no_message_is_babble, it_is_called_by_the_daemon_alone)
