/* SPDX-License-Identifier: Apache-2.0 */
/* See uevent.h. */
#include "fs/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

#define GROUP_KERNEL 1 /* 2 is udev's, which anybody with a capability may send to */

int uevent_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL };
	auto_close int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				   NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

static bool begins(const char *text, size_t len, const char *with)
{
	return len >= strlen(with) && strncasecmp(text, with, strlen(with)) == 0;
}

bool uevent_is_drivers(const char *text, size_t size)
{
	static const char *const signs[] = {
		"DEVPATH=/module/nvidia",
		"DEVPATH=/bus/pci/drivers/nvidia",
		"DRIVER=nvidia",
		"PCI_ID=10DE:", /* devices that have no driver yet, or any more */
	};

	while (size > 0) {
		size_t len = strnlen(text, size);

		for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
			if (begins(text, len, signs[i]))
				return true;
		if (len == size)
			break;
		text += len + 1;
		size -= len + 1;
	}
	return false;
}

bool uevent_receive(int fd)
{
	struct sockaddr_nl from;
	char buf[8192];
	bool found = false;

	for (;;) {
		socklen_t from_size = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_size);

		if (n < 0 && errno == ENOBUFS) {
			found = true; /* some were lost: who knows which */
			continue;
		}
		if (n <= 0)
			return found;
		if (from.nl_pid == 0 && uevent_is_drivers(buf, (size_t)n))
			found = true;
	}
}
