/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_RIGHTS_H
#define NVFS_FS_RIGHTS_H

#include <string.h>
#include <sys/socket.h>

/* One descriptor beside a message: SCM_RIGHTS of unix(7), cmsg(3). */

union rights {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/** rights_put() - let a message carry a descriptor; -1: none. @rights must live as long as @msg */
static inline void rights_put(struct msghdr *msg, union rights *rights, int fd)
{
	if (fd < 0)
		return;
	memset(rights, 0, sizeof(*rights));
	rights->align.cmsg_level = SOL_SOCKET;
	rights->align.cmsg_type = SCM_RIGHTS;
	rights->align.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&rights->align), &fd, sizeof(fd));
	msg->msg_control = rights->buf;
	msg->msg_controllen = sizeof(rights->buf);
}

#endif
