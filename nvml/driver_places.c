/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where drivers lie. Debian's packages unpack to nvidia/current and link from
 * there when they are configured, so a root that was only unpacked has nothing
 * in the usual directories. vdpau/ is never in the ld.so.cache. NVIDIA's driver
 * container shows its root at /run/nvidia/driver.
 */
#include "nvml/driver_places.h"

#include <stddef.h>

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#elif defined(__i386__)
#define MULTIARCH "i386-linux-gnu"
#elif defined(__arm__)
#define MULTIARCH "arm-linux-gnueabihf"
#else
#error "name the multiarch tuple of this architecture here"
#endif

#define DRIVER_CONTAINER "/run/nvidia/driver"

static const char *const library_places[] = {
	"/usr/lib/" MULTIARCH,
	"/usr/lib/" MULTIARCH "/nvidia/current",
	"/usr/lib/" MULTIARCH "/vdpau",
	"/usr/lib64",
	"/usr/lib64/vdpau",
	"/usr/lib",
	"/usr/lib/vdpau",
	"/lib/" MULTIARCH,
	"/lib64",
	"/usr/local/nvidia/lib64",
	"/usr/local/nvidia/lib",
	DRIVER_CONTAINER "/usr/lib/" MULTIARCH,
	DRIVER_CONTAINER "/usr/lib64",
	DRIVER_CONTAINER "/usr/lib",
	NULL,
};

static const char *const program_places[] = {
	"/usr/bin",
	"/usr/sbin",
	"/usr/lib/nvidia/current",
	"/usr/local/nvidia/bin",
	"/usr/local/nvidia/sbin",
	"/usr/local/bin",
	"/bin",
	"/sbin",
	DRIVER_CONTAINER "/usr/bin",
	DRIVER_CONTAINER "/usr/sbin",
	NULL,
};

static const char *const firmware_places[] = {
	"/lib/firmware/nvidia",
	"/usr/lib/firmware/nvidia",
	"/usr/local/nvidia/firmware/nvidia",
	DRIVER_CONTAINER "/lib/firmware/nvidia",
	NULL,
};

const char *const *driver_library_places(void)
{
	return library_places;
}

const char *const *driver_program_places(void)
{
	return program_places;
}

const char *const *driver_firmware_places(void)
{
	return firmware_places;
}
