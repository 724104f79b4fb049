/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/uevent.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define IS(text) uevent_is_drivers(text, sizeof(text) - 1)

START_TEST(what_the_kernel_tells_of_the_driver_is_known)
{
	ck_assert(IS("add@/module/nvidia\0ACTION=add\0DEVPATH=/module/"
		     "nvidia\0SUBSYSTEM=module\0SEQNUM=1\0"));
	ck_assert(IS("remove@/module/nvidia_uvm\0DEVPATH=/module/nvidia_uvm\0"));
	ck_assert(IS("bind@/devices/pci0000:00/"
		     "0000:00:06.0\0ACTION=bind\0SUBSYSTEM=pci\0DRIVER=nvidia\0"));
	ck_assert(IS("remove@/devices/pci0000:00/0000:00:06.0\0PCI_ID=10DE:2330\0"));
	ck_assert(IS("add@/bus/pci/drivers/nvidia\0DEVPATH=/bus/pci/drivers/nvidia\0"));
	/* the last field has no end */
	ck_assert(IS("x@/y\0PCI_ID=10DE:2330"));
}
END_TEST

START_TEST(what_it_tells_of_others_is_not)
{
	ck_assert(!IS(""));
	ck_assert(!IS("\0\0\0"));
	ck_assert(!IS("add@/module/nvme\0ACTION=add\0DEVPATH=/module/nvme\0"));
	ck_assert(!IS("bind@/devices/pci\0PCI_ID=8086:10DE\0DRIVER=e1000\0"));
	ck_assert(!IS("add@/x\0NAME=DRIVER=nvidia\0"));
	/* cut in the middle of a sign */
	ck_assert(!uevent_is_drivers("DRIVER=nvidia", 10));
}
END_TEST

START_TEST(nothing_told_is_nothing)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	ck_assert(!uevent_receive(pair[0]));
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

UNIT_MAIN("uevent", what_the_kernel_tells_of_the_driver_is_known, what_it_tells_of_others_is_not,
	  nothing_told_is_nothing)
