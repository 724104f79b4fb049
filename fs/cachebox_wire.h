/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CACHEBOX_WIRE_H
#define NVFS_FS_CACHEBOX_WIRE_H

/*
 * Between the daemon and its zygote, over SOCK_SEQPACKET: one job, one answer.
 * Both ends are one program file, so that there is no version.
 *
 * Request file: struct box_request; to merge, n_add x int32_t flags, then strings
 * ended by NUL: drop prefix ("": none), and soname and path of each addition; to
 * choose, the driver's version and its CUDA.
 *
 * What comes back of a merge is the new cache, and of a choice lines of text:
 *
 *   why WORDS
 *   use NAME   each name of the image's directory that goes before the driver's
 *              an empty line, and what the image has: compat_image_print()
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/cachebox.h"

/* A job is this byte with its descriptors. */
#define BOX_JOB 'j'

enum box_fd {
	BOX_FD_REQUEST, /* sealed memfd */
	BOX_FD_OUTPUT,	/* empty memfd: the result, or the text of an error */
	BOX_FD_IMAGE,	/* sealed memfd; may be missing */
	BOX_FD_MAX,
};

enum box_work {
	BOX_MERGE,  /* an image's ld.so.cache */
	BOX_CHOOSE, /* among an image's libraries for forward compatibility */
};

struct box_request {
	uint32_t work;
	uint32_t n_add;	 /* merge */
	uint32_t mode;	 /* choose: enum compat_mode */
	uint32_t brands; /* of struct compat_host */
};

enum box_outcome {
	BOX_EXITED,    /* value: exit status */
	BOX_KILLED,    /* value: signal */
	BOX_TIMED_OUT, /* and was killed */
	BOX_FAILED,    /* no process could be made; value: errno */
};

struct box_answer {
	int32_t outcome;
	int32_t value;
};

/* Exit status of a parser. */
enum box_exit {
	BOX_EXIT_DONE = 0,
	BOX_EXIT_REFUSED = 1,	 /* the output is the reason */
	BOX_EXIT_UNCONFINED = 2, /* a wall could not be built: nothing was parsed; likewise */
	BOX_EXIT_UNWRITTEN = 3,
};

/* The daemon waits meanwhile, and its keeper takes two seconds of silence for death. */
#define BOX_PARSER_TIMEOUT_MS 700  /* the zygote kills the parser */
#define BOX_ZYGOTE_TIMEOUT_MS 1200 /* the daemon kills the zygote */

/* The system call filter of a parser, compiled. */
struct box_filter {
	char *code;  /* struct sock_filter[] */
	size_t size; /* bytes */
};

/**
 * box_filter_init() - compile the filter
 * @filter: empty; release with box_filter_done(), also after a failure
 *
 * Once in the zygote: loading it is then one system call in each parser, where
 * compiling it there would cost as much as a fork.
 *
 * Return: 0 or a negative errno, of libseccomp or memfd_create(2).
 */
int box_filter_init(struct box_filter *filter);

/** box_filter_done() - release what box_filter_init() made */
void box_filter_done(struct box_filter *filter);

/**
 * box_parser_run() - in a fresh child of the zygote: build the walls, work, exit
 * @fds:    of the job, -1 for no image; taken over
 * @filter: from box_filter_init()
 * @work:   runs confined
 */
_Noreturn void box_parser_run(const int fds[BOX_FD_MAX], const struct box_filter *filter,
			      cachebox_work *work);

/** box_work() - the work of a real parser: what the request says */
cachebox_work box_work;

#endif
