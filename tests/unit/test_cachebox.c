/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The box end to end: this program is its own zygote (see main() at the end).
 * Zygotes of bad character and parsers that try each wall are run for real;
 * as root the walls include the change of uid.
 */
#include "fs/cachebox.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "common/parse.h"
#include "nvml/compat.h"

#define PREFIX "/usr/local/nvidia"
#define SELF "/proc/self/exe"
#define H100 "tests/data/ld.so.cache.h100"

static const struct ldcache_add driver[] = {
	{ "libcuda.so.1", PREFIX "/lib64/libcuda.so.1", LDCACHE_FLAGS_X86_64 },
	{ "libnvidia-ml.so.1", PREFIX "/lib64/libnvidia-ml.so.1", LDCACHE_FLAGS_X86_64 },
	{ "libcuda.so.1", PREFIX "/lib32/libcuda.so.1", LDCACHE_FLAGS_I386 },
};

/* --- what a parser under the image's control could try --- */

#define EVIL(name)                                                                  \
	static int name(const struct cachebox_input *input __attribute__((unused)), \
			void **ret __attribute__((unused)),                         \
			size_t *ret_len __attribute__((unused)),                    \
			struct error *err __attribute__((unused)))

EVIL(open_a_file)
{
	return open("/dev/null", O_RDONLY);
}

EVIL(make_a_socket)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

EVIL(fork_a_child)
{
	return fork();
}

EVIL(execute)
{
	return execl("/bin/true", "true", NULL);
}

EVIL(kill_everybody)
{
	return kill(getppid(), SIGKILL);
}

EVIL(map_code)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

EVIL(map_a_file)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED;
}

EVIL(write_elsewhere)
{
	return (int)write(STDERR_FILENO, "x", 1);
}

#define X32_BIT 0x40000000 /* asm/unistd.h of x86-64: the x32 ABI; elsewhere no call at all */

EVIL(use_a_foreign_abi)
{
	return (int)syscall(X32_BIT + SYS_brk, 0);
}

EVIL(crash)
{
	__builtin_trap();
}

EVIL(spin)
{
	for (volatile unsigned int i = 0;; i++)
		;
	return 0;
}

#ifndef __SANITIZE_ADDRESS__ /* which needs all the memory itself */
EVIL(take_all_memory)
{
	for (;;) {
		char *p = malloc(16u << 20);

		if (!p)
			return error_set(err, -ENOMEM, "memory");
	}
}
#endif

EVIL(fill_the_output)
{
	*ret_len = 40u << 20;
	*ret = mmap(NULL, *ret_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

EVIL(give_too_much)
{
	*ret_len = LDCACHE_SIZE_MAX + 1;
	*ret = mmap(NULL, *ret_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

EVIL(give_nothing)
{
	*ret = NULL;
	*ret_len = 0;
	return 0;
}

EVIL(lie)
{
	_exit(write(0, "a\033[31m\nb", 8) == 8 ? 1 : 2);
}

EVIL(exit_strangely)
{
	_exit(77);
}

static const struct {
	const char *word;
	cachebox_work *work;
	const char *reason;
} evil[] = {
	{ "open_a_file", open_a_file, "killed by SIGSYS" },
	{ "make_a_socket", make_a_socket, "killed by SIGSYS" },
	{ "fork_a_child", fork_a_child, "killed by SIGSYS" },
	{ "execute", execute, "killed by SIGSYS" },
	{ "kill_everybody", kill_everybody, "killed by SIGSYS" },
	{ "map_code", map_code, "killed by SIGSYS" },
	{ "map_a_file", map_a_file, "killed by SIGSYS" },
	{ "write_elsewhere", write_elsewhere, "killed by SIGSYS" },
	{ "use_a_foreign_abi", use_a_foreign_abi, "killed by SIGSYS" },
	{ "crash", crash, "killed by SIGILL" },
	{ "spin", spin, "took over 700 ms" },
#ifndef __SANITIZE_ADDRESS__
	{ "take_all_memory", take_all_memory, "memory: Cannot allocate memory" },
#endif
	{ "fill_the_output", fill_the_output, "killed by SIGXFSZ" },
	{ "give_too_much", give_too_much, "empty or too large" },
	{ "give_nothing", give_nothing, "empty or too large" },
	{ "lie", lie, "a?[31m?b" },
	{ "exit_strangely", exit_strangely, "status 77" },
};

/* --- helpers --- */

static struct cachebox *box_new(const char *word)
{
	struct error err = { 0 };
	struct cachebox *box;

	ck_assert_msg(cachebox_new_exec(SELF, word, &box, &err) == 0, "%s", err.text);
	return box;
}

static int memfd_of(const char *path)
{
	auto_free char *data = NULL;
	size_t len;
	int fd;

	ck_assert_int_eq(file_read_at(AT_FDCWD, path, LDCACHE_SIZE_MAX, &data, &len, NULL), 0);
	fd = file_memfd("image", data, len);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static int merge(struct cachebox *box, int image, struct error *err)
{
	auto_free void *data = NULL;
	size_t len;

	return cachebox_merge(box, image, driver, ARRAY_SIZE(driver), PREFIX, &data, &len, err);
}

/* A process whose parent is @parent, waited for; 0 when there is none in a second. */
static pid_t child_of(pid_t parent)
{
	char path[64];
	int pid;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	for (int i = 0; i < 1000; i++) {
		auto_fclose FILE *f = fopen(path, "re");

		if (f && fscanf(f, "%d", &pid) == 1)
			return pid;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return 0;
}

static char *proc_text(pid_t pid, const char *name)
{
	char path[64], *text = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	ck_assert_int_eq(file_read_at(AT_FDCWD, path, 1 << 20, &text, NULL, NULL), 0);
	return text;
}

/* --- tests --- */

START_TEST(the_box_gives_what_a_merge_without_it_gives)
{
	auto_close int fd = memfd_of(H100);
	auto_free char *data = NULL;
	auto_free void *inside = NULL, *outside = NULL;
	auto_ldcache struct ldcache *image = NULL;
	struct cachebox *box = box_new("cachebox");
	size_t len, inside_len, outside_len;
	struct error err = { 0 };
	int r;

	r = cachebox_merge(box, fd, driver, ARRAY_SIZE(driver), PREFIX, &inside, &inside_len, &err);
	ck_assert_msg(r == 0, "%s", err.text);
	cachebox_free(box);
	ck_assert_int_eq(file_read_at(AT_FDCWD, H100, LDCACHE_SIZE_MAX, &data, &len, NULL), 0);
	ck_assert_int_eq(ldcache_parse(data, len, &image, NULL), 0);
	ck_assert_int_eq(ldcache_merge(image, driver, ARRAY_SIZE(driver), PREFIX, &outside,
				       &outside_len, NULL),
			 0);
	ck_assert_uint_eq(inside_len, outside_len);
	ck_assert_mem_eq(inside, outside, inside_len);
}
END_TEST

START_TEST(no_image_gives_the_driver_alone_and_no_prefix_drops_nothing)
{
	auto_free void *data = NULL;
	auto_ldcache struct ldcache *cache = NULL;
	struct cachebox *box = box_new("cachebox");
	size_t len;

	ck_assert_int_eq(
		cachebox_merge(box, -1, driver, ARRAY_SIZE(driver), NULL, &data, &len, NULL), 0);
	ck_assert_int_eq(ldcache_parse(data, len, &cache, NULL), 0);
	ck_assert_uint_eq(ldcache_count(cache), ARRAY_SIZE(driver));
	cachebox_free(box);
}
END_TEST

START_TEST(nothing_to_add_and_no_image_is_an_empty_cache)
{
	auto_free void *data = NULL;
	struct cachebox *box = box_new("cachebox");
	size_t len;

	ck_assert_int_eq(cachebox_merge(box, -1, NULL, 0, NULL, &data, &len, NULL), 0);
	ck_assert_uint_gt(len, 48);
	cachebox_free(box);
}
END_TEST

START_TEST(the_note_of_an_images_libcuda_is_read_in_the_box)
{
	static const char *const samples[] = { "tests/fuzz/corpus/compat/elf-whole",
					       "tests/fuzz/corpus/compat/elf-gap" };
	const struct compat_host host = { .driver = "535.261.03", .cuda = "12.2" },
				 newer = { .driver = "590.1", .cuda = "13.1" };
	struct cachebox *box = box_new("cachebox");

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		auto_close int fd = memfd_of(samples[i]);
		auto_free char *text = NULL, *other = NULL;
		struct error err = { 0 };

		ck_assert_msg(cachebox_choose(box, fd, COMPAT_AUTO, &host, &text, &err) == 0, "%s",
			      err.text);
		ck_assert_ptr_nonnull(strstr(
			text, "why the image's libcuda is newer, and works on the host's branch\n"
			      "use libcuda.so.580.65.06\nuse libcuda.so.1\n\n"));
		ck_assert_ptr_nonnull(
			strstr(text, "\nnote {\"format\":1,\"CUDA version\":\"13.0\""));
		ck_assert_int_eq(cachebox_choose(box, fd, COMPAT_AUTO, &newer, &other, NULL), 0);
		ck_assert_ptr_nonnull(strstr(
			other, "why the image's libcuda does not work on the host's branch\n\n"));
	}
	cachebox_free(box);
}
END_TEST

START_TEST(a_list_that_is_none_is_refused_and_the_box_goes_on)
{
	auto_close int junk = file_memfd("compat", "junk\n\n", 6),
		       empty = file_memfd("compat", "", 0);
	auto_close int good = memfd_of("tests/fuzz/corpus/compat/loop");
	const struct compat_host host = { .driver = "535.1", .cuda = "" };
	struct cachebox *box = box_new("cachebox");
	auto_free char *text = NULL;

	ck_assert_int_eq(cachebox_choose(box, junk, COMPAT_AUTO, &host, &text, NULL), -EBADMSG);
	ck_assert_int_eq(cachebox_choose(box, empty, COMPAT_AUTO, &host, &text, NULL), -EBADMSG);
	ck_assert_int_eq(cachebox_choose(box, -1, COMPAT_AUTO, &host, &text, NULL), -EINVAL);
	ck_assert_ptr_null(text);
	ck_assert_int_eq(cachebox_choose(box, good, COMPAT_LDCONFIG, &host, &text, NULL), 0);
	ck_assert_ptr_nonnull(strstr(text, "\nuse libcuda.so.580.1\n\n"));
	cachebox_free(box);
}
END_TEST

START_TEST(one_box_serves_many_images_good_and_bad)
{
	auto_close int good = memfd_of(H100);
	auto_close int bad = file_memfd("image", "nonsense", 8);
	auto_close int empty = file_memfd("image", "", 0);
	struct cachebox *box = box_new("cachebox");

	for (int i = 0; i < 20; i++) {
		struct error err = { 0 };

		ck_assert_int_eq(merge(box, bad, &err), -EBADMSG);
		ck_assert_str_eq(err.text, "ld.so.cache: not a cache of glibc");
		ck_assert_int_eq(merge(box, empty, NULL), -EBADMSG);
		ck_assert_int_eq(merge(box, good, NULL), 0);
	}
	cachebox_free(box);
}
END_TEST

START_TEST(an_image_that_could_change_is_refused)
{
	auto_close int unsealed = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	auto_close int large = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct cachebox *box = box_new("cachebox");

	ck_assert_int_eq(ftruncate(large, LDCACHE_SIZE_MAX + 1), 0);
	ck_assert_int_eq(file_memfd_seal(large), 0);
	ck_assert_int_eq(merge(box, unsealed, NULL), -EINVAL);
	ck_assert_int_eq(merge(box, null, NULL), -EINVAL);
	ck_assert_int_eq(merge(box, large, NULL), -EFBIG);
	cachebox_free(box);
}
END_TEST

/* On a busy machine a parser may meet its time limit before the wall that is looked for: three tries. */
static int merge_in_time(struct cachebox *box, struct error *err)
{
	int r = 0;

	for (int i = 0; i < 3; i++) {
		r = merge(box, -1, err);
		if (!strstr(err->text, "took over"))
			break;
	}
	return r;
}

/* An emulated processor is not through with so many bytes before the time is: another wall, and it holds. */
static bool is_too_slow(const char *text)
{
	return getenv("CK_TIMEOUT_MULTIPLIER") && strstr(text, "took over 700 ms");
}

START_TEST(each_wall_holds_and_the_box_goes_on)
{
	struct error err = { 0 };
	struct cachebox *box = box_new(evil[_i].word);

	for (int i = 0; i < 2; i++) {
		int r = merge_in_time(box, &err);

		ck_assert_msg(r == -EBADMSG && (strstr(err.text, evil[_i].reason) ||
						is_too_slow(err.text)),
			      "%s: %d %s", evil[_i].word, r, err.text);
	}
	cachebox_free(box);
}
END_TEST

static void *merge_in_thread(void *arg)
{
	static __thread struct error err;

	(void)merge(arg, -1, &err);
	return strdup(err.text);
}

/* Run a spinning parser and give its pid and the thread that waits for it. */
static pid_t start_spinning(struct cachebox *box, pthread_t *thread)
{
	pid_t zygote, parser;

	zygote = child_of(getpid());
	ck_assert_int_gt(zygote, 0);
	ck_assert_int_eq(pthread_create(thread, NULL, merge_in_thread, box), 0);
	parser = child_of(zygote);
	ck_assert_int_gt(parser, 0);
	(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	return parser;
}

START_TEST(a_parser_has_no_privilege)
{
	struct cachebox *box = box_new("spin");
	pthread_t thread;
	pid_t parser = start_spinning(box, &thread);
	auto_free char *status = proc_text(parser, "status");
	auto_free char *limits = proc_text(parser, "limits");
	auto_free void *text = NULL;
	char fds[64];
	DIR *dir;
	int n = 0;

	ck_assert_ptr_nonnull(strstr(status, "\nNoNewPrivs:\t1\n"));
	ck_assert_ptr_nonnull(strstr(status, "\nSeccomp:\t2\n"));
	ck_assert_ptr_nonnull(strstr(status, "\nCapPrm:\t0000000000000000\n"));
	ck_assert_ptr_nonnull(strstr(status, "\nCapEff:\t0000000000000000\n"));
	ck_assert_ptr_nonnull(strstr(status, "\nCapAmb:\t0000000000000000\n"));
	ck_assert_ptr_nonnull(strstr(limits, "Max open files            0                    0"));
	ck_assert_ptr_nonnull(strstr(limits, "Max core file size        0                    0"));
	if (geteuid() == 0) {
		ck_assert_ptr_nonnull(strstr(status, "\nUid:\t65531\t65531\t65531\t65531\n"));
		ck_assert_ptr_nonnull(strstr(status, "\nGid:\t65531\t65531\t65531\t65531\n"));
		ck_assert_ptr_nonnull(strstr(status, "\nGroups:\t \n"));
		(void)snprintf(fds, sizeof(fds), "/proc/%d/fd", parser);
		dir = opendir(fds);
		for (struct dirent *e; dir && (e = readdir(dir));)
			n += e->d_name[0] != '.';
		if (dir)
			ck_assert_int_eq(n, 1);
		(void)closedir(dir);
	}
	(void)pthread_join(thread, &text);
	cachebox_free(box);
}
END_TEST

START_TEST(a_parser_that_stands_still_is_killed)
{
	struct cachebox *box = box_new("spin");
	auto_free void *text = NULL;
	pthread_t thread;
	pid_t parser = start_spinning(box, &thread);

	ck_assert_int_eq(kill(parser, SIGSTOP), 0);
	(void)pthread_join(thread, &text);
	ck_assert_str_eq(text, "the cache parser took over 700 ms");
	ck_assert_int_eq(kill(parser, 0), -1);
	cachebox_free(box);
}
END_TEST

START_TEST(a_zygote_that_died_idle_is_replaced)
{
	auto_close int fd = memfd_of(H100);
	struct cachebox *box = box_new("cachebox");
	pid_t zygote;

	ck_assert_int_eq(merge(box, fd, NULL), 0);
	zygote = child_of(getpid());
	ck_assert_int_eq(kill(zygote, SIGKILL), 0);
	while (kill(zygote, 0) == 0) {
		auto_free char *status = proc_text(zygote, "status");

		if (strstr(status, "State:\tZ"))
			break;
	}
	ck_assert_int_eq(merge(box, fd, NULL), 0);
	ck_assert_int_ne(child_of(getpid()), zygote);
	cachebox_free(box);
}
END_TEST

START_TEST(a_zygote_that_dies_at_work_fails_this_merge_and_is_replaced)
{
	struct cachebox *box = box_new("zygote-dies");
	struct error err = { 0 };

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(merge(box, -1, &err), -EBADMSG);
		ck_assert_str_eq(err.text, "the cache parser died");
	}
	cachebox_free(box);
}
END_TEST

START_TEST(a_zygote_that_is_silent_or_talks_nonsense_fails_the_merge)
{
	struct cachebox *silent = box_new("zygote-silent"), *liar = box_new("zygote-lies");
	struct error err = { 0 };

	ck_assert_int_eq(merge(silent, -1, &err), -EBADMSG);
	ck_assert_str_eq(err.text, "the cache parser does not answer");
	ck_assert_int_eq(merge(liar, -1, &err), -EBADMSG);
	cachebox_free(silent);
	cachebox_free(liar);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_an_error)
{
	struct cachebox *box = NULL;
	struct error err = { 0 };

	ck_assert_int_eq(cachebox_new_exec("/nonexistent", "cachebox", &box, &err), -ENOENT);
	ck_assert_ptr_null(box);
	ck_assert_ptr_nonnull(strstr(err.text, "'/nonexistent'"));
	cachebox_free(NULL);
}
END_TEST

START_TEST(a_freed_box_leaves_no_process_and_no_descriptor)
{
	int before, after;

	before = dup(0);
	(void)close(before);
	for (int i = 0; i < 10; i++) {
		struct cachebox *box = box_new("cachebox");

		ck_assert_int_eq(merge(box, -1, NULL), 0);
		cachebox_free(box);
	}
	after = dup(0);
	(void)close(after);
	ck_assert_int_eq(before, after);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
}
END_TEST

/* --- zygotes --- */

static int zygote_of_bad_character(const char *word, int sock)
{
	char byte;

	if (recv(sock, &byte, 1, 0) <= 0 || strcmp(word, "zygote-dies") == 0)
		return EXIT_FAILURE;
	if (strcmp(word, "zygote-lies") == 0)
		(void)send(sock, "xyz", 3, 0);
	(void)pause();
	return EXIT_FAILURE;
}

static int zygote_main(const char *word, int sock)
{
	if (strcmp(word, "cachebox") == 0)
		return cachebox_main(sock);
	for (size_t i = 0; i < ARRAY_SIZE(evil); i++) {
		if (strcmp(word, evil[i].word) == 0)
			return cachebox_serve(sock, evil[i].work);
	}
	return zygote_of_bad_character(word, sock);
}

static Suite *suite(void)
{
	Suite *s = suite_create("cachebox");
	TCase *tcase = tcase_create("cachebox");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, the_box_gives_what_a_merge_without_it_gives);
	tcase_add_test(tcase, no_image_gives_the_driver_alone_and_no_prefix_drops_nothing);
	tcase_add_test(tcase, nothing_to_add_and_no_image_is_an_empty_cache);
	tcase_add_test(tcase, the_note_of_an_images_libcuda_is_read_in_the_box);
	tcase_add_test(tcase, a_list_that_is_none_is_refused_and_the_box_goes_on);
	tcase_add_test(tcase, one_box_serves_many_images_good_and_bad);
	tcase_add_test(tcase, an_image_that_could_change_is_refused);
	tcase_add_loop_test(tcase, each_wall_holds_and_the_box_goes_on, 0, ARRAY_SIZE(evil));
	tcase_add_test(tcase, a_parser_has_no_privilege);
	tcase_add_test(tcase, a_parser_that_stands_still_is_killed);
	tcase_add_test(tcase, a_zygote_that_died_idle_is_replaced);
	tcase_add_test(tcase, a_zygote_that_dies_at_work_fails_this_merge_and_is_replaced);
	tcase_add_test(tcase, a_zygote_that_is_silent_or_talks_nonsense_fails_the_merge);
	tcase_add_test(tcase, a_program_that_is_not_there_is_an_error);
	tcase_add_test(tcase, a_freed_box_leaves_no_process_and_no_descriptor);
	suite_add_tcase(s, tcase);
	return s;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	uint64_t sock;
	int failed;

	if (argc == 3 && parse_u64(argv[2], 1000, &sock) == 0)
		return zygote_main(argv[1], (int)sock);
	runner = srunner_create(suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
