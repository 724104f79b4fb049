/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_KFUSE_H
#define NVFS_FS_KFUSE_H

/*
 * What linux/fuse.h of Debian 12 (7.38) lacks of the kernel's FUSE ABI. Source:
 * include/uapi/linux/fuse.h of Linux 6.18 (7.45); layouts never change, only
 * grow. All numbers are in the host's byte order.
 */

#include <stdint.h>
#include <sys/ioctl.h>

#define KFUSE_READ 15         /* opcodes */
#define KFUSE_INIT 26
#define KFUSE_NOTIFY_RESEND 7 /* 6.9 */
#define KFUSE_NOTIFY_INC_EPOCH 8 /* 6.16: all names that the kernel knows are asked for again */
#define KFUSE_MINOR_PASSTHROUGH 40 /* of the protocol 7 that knows it, built in or not: Linux 6.9 */
#define KFUSE_MINOR_EPOCH 44 /* of the protocol 7 that has it; there is no flag in INIT */

/* flags and flags2 of INIT are one 64-bit word; bits from 32 on count only with INIT_EXT. */
#define KFUSE_INIT_EXT (1ULL << 30)
#define KFUSE_PASSTHROUGH (1ULL << 37) /* 6.9 */
#define KFUSE_HAS_RESEND (1ULL << 39)  /* 6.9 */
#define KFUSE_ALLOW_IDMAP (1ULL << 40) /* 6.12; needs default_permissions */

#define KFUSE_FOPEN_NOFLUSH (1U << 5)
#define KFUSE_FOPEN_PASSTHROUGH (1U << 7)

struct kfuse_in_header {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid;
	uint16_t total_extlen, padding;
};

struct kfuse_init_in {
	uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};

struct kfuse_read_in {
	uint64_t fh, offset;
	uint32_t size, read_flags;
	uint64_t lock_owner;
	uint32_t flags, padding;
};

struct kfuse_out_header {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

struct kfuse_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
	uint32_t unused[6];
};

struct kfuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

struct kfuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

/* On /dev/fuse, once INIT has been answered; CAP_SYS_ADMIN. OPEN gives an id above 0. */
#define KFUSE_DEV_IOC_BACKING_OPEN _IOW(229, 1, struct kfuse_backing_map)
#define KFUSE_DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

#endif
