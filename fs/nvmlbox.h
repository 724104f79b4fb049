/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NVMLBOX_H
#define NVFS_FS_NVMLBOX_H

/*
 * NVML in a process of its own. The library is closed code that opens devices, starts
 * threads, and hangs or crashes with a GPU that does; so the daemon never loads it. It starts
 * this program anew as `nvfs nvml`, which becomes nobody, walls itself in, loads the library
 * of the generation, asks (nvml/ask.h) and ends: no device is open afterwards.
 *
 *   daemon --- the mount, O_PATH ---> nvfs nvml --answer_message, SOCK_SEQPACKET--> daemon
 *
 * The library is loaded from the reference tree, by a descriptor of the mount: that is the
 * generation's own file, also where the disk has another one by now, and the host's search
 * path is not asked.
 *
 * Threads: the control thread's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct answer;
struct error;
struct nvmlbox;

#define NVMLBOX_SKIPPED_MAX 8

struct nvmlbox_request {
	int root_fd;         /* a directory */
	const char *library; /* path below it */
	uid_t uid;           /* whom the process becomes; not 0 */
	gid_t gid;
	unsigned int limit_s; /* for all of it */
	const uint32_t *skipped; /* GPUs, by NVML's index, that it is not to touch; at most NVMLBOX_SKIPPED_MAX */
	size_t n_skipped;
};

/**
 * nvmlbox_start() - start to ask
 * @request: borrowed for the call
 * @ret:     release with nvmlbox_free()
 *
 * Return: 0, -ENOMEM, or the errno of socketpair(2), posix_spawn(3) or pidfd_open(2).
 */
int nvmlbox_start(const struct nvmlbox_request *request, struct nvmlbox **ret, struct error *err);

/** nvmlbox_fd() - readable (poll(2)) when nvmlbox_receive() has something */
int nvmlbox_fd(const struct nvmlbox *box);

/** nvmlbox_pidfd() - readable (poll(2)) when the process has ended */
int nvmlbox_pidfd(const struct nvmlbox *box);

enum nvmlbox_state {
	NVMLBOX_ASKS,   /* nothing is to be done yet */
	NVMLBOX_DONE,   /* it has told all */
	NVMLBOX_ENDED,  /* before it has told all: see nvmlbox_ended() */
	NVMLBOX_BABBLES, /* what it says is no answer */
};

/** nvmlbox_receive() - take in what it has told */
enum nvmlbox_state nvmlbox_receive(struct nvmlbox *box);

/** nvmlbox_answer() - what it has told so far; the box's */
const struct answer *nvmlbox_answer(const struct nvmlbox *box);

/** nvmlbox_since_ms() - how long it has been asking */
int64_t nvmlbox_since_ms(const struct nvmlbox *box);

/** nvmlbox_kill() - end it; that may take as long as a device's driver likes */
void nvmlbox_kill(struct nvmlbox *box);

/**
 * nvmlbox_reap() - has it ended?
 * @ret_how: in words: "killed by signal 11 (Segmentation fault)"; untouched where it has not
 */
bool nvmlbox_reap(struct nvmlbox *box, char *ret_how, size_t size);

/** nvmlbox_free() - killed, and not waited for; NULL is fine */
void nvmlbox_free(struct nvmlbox *box);

/* the process itself */

/* Descriptors that it starts with. */
enum nvmlbox_fd {
	NVMLBOX_SOCKET = 3,
	NVMLBOX_ROOT,
	NVMLBOX_FD_END,
};

/** nvmlbox_main() - as `nvfs nvml LIBRARY UID GID SECONDS [SKIPPED...]`; gives the exit status */
int nvmlbox_main(int argc, char **argv);

/**
 * nvmlbox_wall_in() - limits, and the system calls that NVML needs
 * @limit_s: for all of it, by SIGALRM; and of processor time
 *
 * After sandbox_become(). A call that is not on the list fails with EPERM: to make device nodes, to
 * start programs, to write files.
 */
int nvmlbox_wall_in(unsigned int limit_s, struct error *err);

#endif
