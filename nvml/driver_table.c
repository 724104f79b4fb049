/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to a driver, in one table: libraries, programs, firmware, modules
 * of other programs, data and what loaders read, by driver capability. A file is served to a container that wants one of its
 * row's capabilities; the libraries of compute also name video, whose codecs
 * load CUDA, while the programs of compute don't. A library that no row knows
 * is served under a guess (driver_library_guess()), so a row is needed only to
 * say better, to expect a file, or to keep it out.
 *
 * The loaders themselves (libGL, libEGL, libvulkan, libOpenCL, ...) are the image's: those of the
 * host may want another libc.
 *
 * Sources: the driver's README.txt, chapter "Installed Components"; the
 * packages of Debian 535.261.03 and 550.163.01, and how other distributions name
 * and place the same files; a 580.159.04 installation.
 */
#include "nvml/driver_table.h"

#include <fnmatch.h>
#include <string.h>

#include "common/cleanup.h"

#define COMPUTE_LIBS (DRIVER_CAP_COMPUTE | DRIVER_CAP_VIDEO)
#define UTILITY DRIVER_CAP_UTILITY
#define VIDEO DRIVER_CAP_VIDEO
#define GRAPHICS DRIVER_CAP_GRAPHICS /* display brings it along: driver_caps_expand() */
#define DISPLAY DRIVER_CAP_DISPLAY
#define NGX DRIVER_CAP_NGX

#define ESSENTIAL (DRIVER_ROW_EXPECTED | DRIVER_ROW_ESSENTIAL)
#define EXPECTED DRIVER_ROW_EXPECTED
#define UNVERSIONED DRIVER_ROW_UNVERSIONED
#define NEVER DRIVER_ROW_NEVER
#define VERSION_INSIDE DRIVER_ROW_VERSION_INSIDE

#define XORG "lib64/xorg/modules"

static const struct driver_row rows[] = {
	/* utility */
	{ DRIVER_LIBRARY, "libnvidia-ml.so", UTILITY, ESSENTIAL, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-cfg.so", UTILITY, EXPECTED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-nscq.so", UTILITY, 0, 0, NULL }, /* NVSwitch machines only */
	{ DRIVER_LIBRARY, "libnvidia-sandboxutils.so", UTILITY, 0, 0, NULL },

	/* compute */
	{ DRIVER_LIBRARY, "libcuda.so", COMPUTE_LIBS, ESSENTIAL, 0, NULL },
	{ DRIVER_LIBRARY, "libcudadebugger.so", COMPUTE_LIBS, EXPECTED, 535, NULL },
	{ DRIVER_LIBRARY, "libnvidia-opencl.so", COMPUTE_LIBS, EXPECTED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-ptxjitcompiler.so", COMPUTE_LIBS, EXPECTED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-allocator.so", COMPUTE_LIBS | GRAPHICS, EXPECTED, 535, NULL },
	{ DRIVER_LIBRARY, "libnvidia-nvvm.so", COMPUTE_LIBS, EXPECTED, 535, NULL },
	{ DRIVER_LIBRARY, "libnvidia-nvvm70.so", COMPUTE_LIBS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-gpucomp.so", COMPUTE_LIBS | GRAPHICS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-fatbinaryloader.so", COMPUTE_LIBS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-compiler.so", COMPUTE_LIBS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-pkcs11.so", COMPUTE_LIBS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-pkcs11-openssl3.so", COMPUTE_LIBS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-tileiras.so", COMPUTE_LIBS, 0, 0, NULL },

	/* video */
	{ DRIVER_LIBRARY, "libnvcuvid.so", VIDEO, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-encode.so", VIDEO, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-opticalflow.so", VIDEO, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libvdpau_nvidia.so", VIDEO, 0, 0, NULL },

	/* ngx */
	{ DRIVER_LIBRARY, "libnvidia-ngx.so", NGX, 0, 0, NULL },

	/* graphics: libraries with a version of their own; the others are guessed well */
	{ DRIVER_LIBRARY, "libnvidia-egl-gbm.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-egl-wayland.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-egl-wayland2.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-egl-xcb.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-egl-xlib.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-api.so", GRAPHICS, UNVERSIONED, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-vksc-core.so", GRAPHICS, 0, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-wfb.so", DISPLAY, 0, 0, NULL },

	/* loaders: the image's own, never the host's */
	{ DRIVER_LIBRARY, "libGL.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libGLX.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libGLdispatch.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libOpenGL.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libEGL.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libGLESv1_CM.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libGLESv2.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libOpenCL.so", 0, NEVER, 0, NULL },

	/* parts of nvidia-settings, and tools that share the name */
	{ DRIVER_LIBRARY, "libnvidia-gtk2.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-gtk3.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-wayland-client.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-container.so", 0, NEVER, 0, NULL },
	{ DRIVER_LIBRARY, "libnvidia-container-go.so", 0, NEVER, 0, NULL },

	/* programs */
	{ DRIVER_PROGRAM, "nvidia-smi", UTILITY, EXPECTED, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-debugdump", UTILITY, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-persistenced", UTILITY, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nv-fabricmanager", UTILITY, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-imex", UTILITY, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-imex-ctl", UTILITY, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-cuda-mps-control", DRIVER_CAP_COMPUTE, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-cuda-mps-server", DRIVER_CAP_COMPUTE, 0, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-pcc", GRAPHICS, 0, 0,
	  NULL }, /* compiles pipelines for Vulkan SC */
	{ DRIVER_PROGRAM, "nvidia-modprobe", 0, NEVER, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-settings", 0, NEVER, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-xconfig", 0, NEVER, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-powerd", 0, NEVER, 0, NULL },
	{ DRIVER_PROGRAM, "nvidia-ngx-updater", 0, NEVER, 0, NULL },

	/* firmware: for every container, as user space asks for it by path */
	{ DRIVER_FIRMWARE, "gsp*.bin", DRIVER_CAP_ALL, EXPECTED, 535, NULL },

	/* modules: libraries of one program that finds them by path */
	{ DRIVER_MODULE, "nvidia_drv.so", DISPLAY, UNVERSIONED, 0, XORG "/drivers" },
	{ DRIVER_MODULE, "libglxserver_nvidia.so", DISPLAY, 0, 0, XORG "/extensions" },

	/* data */
	{ DRIVER_DATA, "nvoptix.bin", GRAPHICS, 0, 0, "share/nvidia" },
	{ DRIVER_DATA, "nvidia-application-profiles-*-rc", GRAPHICS, VERSION_INSIDE, 0,
	  "share/nvidia" },
	{ DRIVER_DATA, "sandboxutils-filelist.json", UTILITY, 0, 0, "share/nvidia/files.d" },
	{ DRIVER_DATA, "*nvngx*.dll", NGX, 0, 0, "lib64/nvidia/wine" },

	/*
	 * What loaders read: each names a library. Fedora has one file for each machine and an absolute
	 * path in it; by soname the one for 64 bits does for both.
	 */
	{ DRIVER_CONFIG, "nvidia_icd.i[36]86.json", 0, NEVER, 0, "share/vulkan/icd.d" },
	{ DRIVER_CONFIG, "nvidia_icd*.json", GRAPHICS, 0, 0, "share/vulkan/icd.d" },
	{ DRIVER_CONFIG, "nvidia_layers*.json", GRAPHICS, 0, 0, "share/vulkan/implicit_layer.d" },
	{ DRIVER_CONFIG, "nvidia_icd*.json", GRAPHICS, 0, 0, "share/vulkansc/icd.d" },
	{ DRIVER_CONFIG, "[0-9][0-9]_nvidia.json", GRAPHICS, 0, 0, "share/glvnd/egl_vendor.d" },
	{ DRIVER_CONFIG, "[0-9][0-9]_nvidia_*.json", GRAPHICS, 0, 0,
	  "share/egl/egl_external_platform.d" },
	{ DRIVER_CONFIG, "nvidia*.icd", COMPUTE_LIBS, 0, 0, "etc/OpenCL/vendors" },
};

/*
 * Words in names of libraries that no row knows; the first hit counts. What
 * most drivers have for graphics stands here and not above, as nothing more
 * than its driver capability is to be said of it.
 */
static const struct {
	const char *word;
	unsigned int caps;
} guesses[] = {
	{ "encode", VIDEO },
	{ "decode", VIDEO },
	{ "cuvid", VIDEO },
	{ "vdpau", VIDEO },
	{ "opticalflow", VIDEO },
	{ "ngx", NGX },
	{ "opencl", COMPUTE_LIBS },
	{ "EGL", GRAPHICS },
	{ "egl", GRAPHICS },
	{ "GL", GRAPHICS },   /* libGLX_nvidia, libGLESv2_nvidia, libOpenGL */
	{ "-gl", GRAPHICS },  /* glcore, glsi, glvkspirv */
	{ "-tls", GRAPHICS }, /* thread-local storage of the GL libraries */
	{ "-cbl", GRAPHICS }, /* Vulkan ray tracing */
	{ "rtcore", GRAPHICS },
	{ "optix", GRAPHICS },
	{ "vulkan", GRAPHICS },
	{ "vk", GRAPHICS },
	{ "gbm", GRAPHICS },
	{ "-fbc", GRAPHICS }, /* frame buffer capture */
	{ "-ifr", GRAPHICS },
	{ "present", GRAPHICS },
	{ "wfb", GRAPHICS },
};

const struct driver_row *driver_table(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(rows);
	return rows;
}

bool driver_row_matches(const struct driver_row *row, const char *name)
{
	size_t len = strlen(row->name);

	switch (row->kind) {
	case DRIVER_LIBRARY:
	case DRIVER_MODULE:
		return !strncmp(name, row->name, len) && (name[len] == '\0' || name[len] == '.');
	case DRIVER_PROGRAM:
		return !strcmp(name, row->name);
	case DRIVER_FIRMWARE:
	case DRIVER_DATA:
	case DRIVER_CONFIG:
		return fnmatch(row->name, name, FNM_PERIOD) == 0;
	}
	return false;
}

const struct driver_row *driver_table_find(enum driver_file_kind kind, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == kind && driver_row_matches(&rows[i], name))
			return &rows[i];
	return NULL;
}

unsigned int driver_library_guess(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(guesses); i++)
		if (strstr(name, guesses[i].word))
			return guesses[i].caps;
	return COMPUTE_LIBS;
}
