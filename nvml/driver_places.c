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
#define MULTIARCH32 "i386-linux-gnu"
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
	"/usr/lib/wsl/lib",
	NULL,
};

static const char *const firmware_places[] = {
	"/lib/firmware",
	"/usr/lib/firmware",
	"/usr/local/nvidia/firmware",
	DRIVER_CONTAINER "/lib/firmware",
	NULL,
};

/* 32-bit libraries; places of both worlds (/usr/lib) stand above. */
static const char *const library32_places[] = {
#if defined(__x86_64__)
	"/usr/lib/" MULTIARCH32,
	"/usr/lib/" MULTIARCH32 "/nvidia/current",
	"/usr/lib/" MULTIARCH32 "/vdpau",
	"/usr/lib32",
	"/usr/lib32/vdpau",
	"/lib/" MULTIARCH32,
	"/lib32",
	"/usr/local/nvidia/lib32",
	DRIVER_CONTAINER "/usr/lib/" MULTIARCH32,
	DRIVER_CONTAINER "/usr/lib32",
#endif
	NULL,
};

/* What is configuration or data stands below one of these by its place in the tree without share/ or etc/. */
static const char *const data_bases[] = {
	"/etc",
	"/usr/share",
	"/usr/local/etc",
	"/usr/local/share",
	"/usr/local/nvidia/etc",
	"/usr/local/nvidia/share",
	DRIVER_CONTAINER "/etc",
	DRIVER_CONTAINER "/usr/share",
	NULL,
};

/* Modules of X, and what packages keep beside their libraries. */
static const char *const module_places[] = {
	"/usr/lib/xorg/modules/drivers",
	"/usr/lib/xorg/modules/extensions",
	"/usr/lib64/xorg/modules/drivers",
	"/usr/lib64/xorg/modules/extensions",
	"/usr/lib64/nvidia/xorg",
	"/usr/lib/" MULTIARCH "/nvidia/xorg",
	"/usr/lib/nvidia/xorg",
	"/usr/lib/nvidia/current",
	"/usr/lib/" MULTIARCH "/nvidia/current",
	"/usr/lib/" MULTIARCH "/nvidia/wine",
	"/usr/lib64/nvidia/wine",
	"/usr/lib/nvidia/wine",
	"/usr/local/nvidia/lib64/xorg/modules/drivers",
	"/usr/local/nvidia/lib64/xorg/modules/extensions",
	DRIVER_CONTAINER "/usr/lib/xorg/modules/drivers",
	DRIVER_CONTAINER "/usr/lib/xorg/modules/extensions",
	DRIVER_CONTAINER "/usr/lib/" MULTIARCH "/nvidia/wine",
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

const char *const *driver_library32_places(void)
{
	return library32_places;
}

const char *const *driver_data_bases(void)
{
	return data_bases;
}

const char *const *driver_module_places(void)
{
	return module_places;
}
