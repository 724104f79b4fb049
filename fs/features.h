/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FEATURES_H
#define NVFS_FS_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

/* What the kernel can do for the filesystem: offered by it, and not turned off. */
struct features {
	bool passthrough; /* reads and faults go to the host's own file */
	bool resend;      /* requests of a dead daemon come again */
	bool idmap;       /* idmapped mounts of the superblock */
	bool epoch;       /* all cached names can be made to be asked for again in one step */
	bool statmount;   /* statmount(2) and listmount(2) of another mount namespace, Linux 6.11 */
	bool pidfd_ns;    /* namespaces of a process by its pidfd, Linux 6.11 */
};

struct error;

/**
 * features_require() - refuse a kernel that lacks what nothing can replace
 *
 * That is mount_setattr(2), Linux 5.12: without it no detached mount can be made
 * read-only before it appears in a container. Privilege: none.
 *
 * Return: 0 or -ENOSYS (ERROR_MOUNT).
 */
int features_require(struct error *err);

/**
 * features_allowed() - all features but those that a comma list names
 * @disabled: value of $NVFS_DISABLE, "passthrough,resend,idmap,epoch,statmount,pidfd_ns"; NULL for none;
 *            words that are no feature here belong to other parts and are skipped
 *
 * Turning features off is for tests and for odd kernels.
 */
void features_allowed(const char *disabled, struct features *ret);

/**
 * features_probe() - turn off what this kernel's system calls cannot do: statmount, pidfd_ns
 * @features: what may be used; the rest of it is the kernel's word at INIT
 */
void features_probe(struct features *features);

/** features_is_disabled() - does such a list name this word? */
bool features_is_disabled(const char *disabled, const char *word);

/**
 * features_negotiate() - ask for features in the reply to INIT
 * @request:       the kernel's INIT, header included
 * @request_size:  bytes
 * @reply:         payload of libfuse's reply, changed in place
 * @reply_size:    bytes
 * @allowed:       what may be used
 * @overlay:       the host's files are on overlayfs themselves: one more layer
 * @ret:           what is in use from now on
 *
 * libfuse before 3.17 knows none of these: its reply is completed on its way
 * to the kernel. Whatever the kernel does not offer stays off.
 */
void features_negotiate(const void *request, size_t request_size, void *reply, size_t reply_size,
			const struct features *allowed, bool overlay, struct features *ret);

/**
 * features_passthrough_expected() - is the kernel of an age that has passthrough?
 * @request: the kernel's INIT, header included
 *
 * If it doesn't offer it then, it was built without.
 */
bool features_passthrough_expected(const void *request, size_t request_size);

#endif
