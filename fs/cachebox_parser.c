/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parser: a child of the zygote that walls itself in, reads one hostile
 * ld.so.cache, writes one file, and is gone. When the first hostile byte is
 * looked at it has no privilege, one descriptor (its output), and five system
 * calls; a call that is not on the list kills it.
 *
 * The inputs are sealed memfds and are mapped before the walls close, so that
 * no read() is needed and nothing can change or vanish under the reader.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "fs/asan.h"
#include "fs/cachebox_wire.h"
#include "fs/sandbox.h"

#define FILTER_SIZE_MAX (4096 * 8) /* bytes: BPF_MAXINSNS instructions */
#define OUTPUT_FD 0		   /* the only descriptor of a confined parser */

#define MEMORY_MAX ASAN_MEMORY_MAX(192u << 20) /* the image twice, entries, the result, and ourselves */

/* Soft and hard: SIGXCPU says what happened, SIGKILL follows where it is held up. */
static const struct {
	int resource;
	struct rlimit limit;
} limits[] = {
	{ RLIMIT_AS, { MEMORY_MAX, MEMORY_MAX } },
	{ RLIMIT_CPU, { 1, 2 } }, /* seconds */
	{ RLIMIT_FSIZE, { 32u << 20, 32u << 20 } },
	{ RLIMIT_CORE, { 0, 0 } },
	{ RLIMIT_NOFILE, { 0, 0 } }, /* no new ones; ours is open */
};

/* Calls allowed with any argument: what malloc(), free() and _exit() make. */
static const int plain_calls[] = {
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(exit_group),
#ifdef ADDRESS_SANITIZER
	SCMP_SYS(sigaltstack), /* in front of every _exit() */
#endif
};

static int filter_fill(scmp_filter_ctx filter)
{
	int r;

	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_SIZE(plain_calls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	if (r < 0)
		return r;
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
			     SCMP_A0(SCMP_CMP_EQ, OUTPUT_FD));
	if (r < 0)
		return r;
	/* Memory, never code, and of no file. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
}

/* libseccomp writes the compiled filter to a file only. */
static int filter_compile(scmp_filter_ctx rules, struct box_filter *filter)
{
	auto_close int fd = memfd_create("nvfs-filter", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(rules, fd);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return file_read_fd(fd, FILTER_SIZE_MAX, &filter->code, &filter->size, NULL);
}

int box_filter_init(struct box_filter *filter)
{
	scmp_filter_ctx rules = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!rules)
		return -ENOMEM;
	r = filter_fill(rules);
	r = r < 0 ? r : filter_compile(rules, filter);
	seccomp_release(rules);
	return r;
}

void box_filter_done(struct box_filter *filter)
{
	free(filter->code);
	filter->code = NULL;
}

static int filter_load(const struct box_filter *filter)
{
	struct sock_fprog program = {
		.len = (unsigned short)(filter->size / sizeof(struct sock_filter)),
		.filter = (void *)filter->code, /* of malloc(): aligned for anything */
	};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

static int map(int fd, const void **ret, size_t *ret_len, struct error *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "input of the cache parser");
	if (st.st_size == 0) {
		*ret = ""; /* there, but empty: mmap() refuses that */
		*ret_len = 0;
		return 0;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return error_set(err, -errno, "map input of the cache parser");
	*ret = p;
	*ret_len = (size_t)st.st_size;
	return 0;
}

static int map_inputs(const int fds[BOX_FD_MAX], struct cachebox_input *input, struct error *err)
{
	const void *request;
	int r;

	r = map(fds[BOX_FD_REQUEST], &request, &input->request_len, err);
	if (r < 0)
		return r;
	input->request = request;
	return fds[BOX_FD_IMAGE] < 0
		       ? 0
		       : map(fds[BOX_FD_IMAGE], &input->image, &input->image_len, err);
}

/*
 * Descriptors first, since close is not in the filter; then the limits, for the
 * same reason; the filter last. Privilege went when the zygote started.
 */
static int confine(int output, const struct box_filter *filter, struct error *err)
{
	int r;

	if (dup2(output, OUTPUT_FD) < 0)
		return error_set(err, -errno, "output of the cache parser");
	r = sys_close_range(OUTPUT_FD + 1, ~0U, 0);
	if (r < 0)
		return error_set(err, r, "close descriptors of the cache parser");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		r = sandbox_limit_resource(limits[i].resource, limits[i].limit.rlim_cur,
					   limits[i].limit.rlim_max);
		if (r < 0)
			return error_set(err, r, "limits of the cache parser");
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(err, -errno, "confine the cache parser");
	r = filter_load(filter);
	return r < 0 ? error_set(err, r, "seccomp filter of the cache parser") : 0;
}

static _Noreturn void fail(int output, enum box_exit status, const struct error *err)
{
	(void)file_write_all(output, err->text, strlen(err->text));
	_exit(status);
}

void box_parser_run(const int fds[BOX_FD_MAX], const struct box_filter *filter, cachebox_work *work)
{
	struct cachebox_input input = { 0 };
	struct error err = { 0 };
	void *result = NULL;
	size_t result_len = 0;

	if (map_inputs(fds, &input, &err) < 0)
		fail(fds[BOX_FD_OUTPUT], BOX_EXIT_UNCONFINED, &err);
	if (confine(fds[BOX_FD_OUTPUT], filter, &err) < 0)
		fail(OUTPUT_FD, BOX_EXIT_UNCONFINED, &err);
	if (work(&input, &result, &result_len, &err) < 0)
		fail(OUTPUT_FD, BOX_EXIT_REFUSED, &err);
	/* Nothing is freed: the process is. */
	if (file_write_all(OUTPUT_FD, result, result_len) < 0)
		_exit(BOX_EXIT_UNWRITTEN);
	_exit(BOX_EXIT_DONE);
}
