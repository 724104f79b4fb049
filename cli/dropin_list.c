/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvidia-container-cli list`: paths on the host, one a line, for who mounts or copies them by itself. The
 * order is that program's, kind by kind and name by name; what the driver has besides, and that program does not
 * know of, follows within its kind.
 */
#include "cli/dropin.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "nvml/imex.h"
#include "nvml/nvcap.h"

#define MINORS_MAX (1024 * 1024) /* bytes */
#define CAPS_DIR "/dev/nvidia-caps"
#define CAPABILITIES "/proc/driver/nvidia/capabilities"

static const char usage[] =
	"Usage: " DROPIN_NAME " list [OPTION...]\n"
	"List driver components\n\n"
	"  -b, --binaries             List driver binaries\n"
	"      --compat32             Enable 32bits compatibility\n"
	"  -d, --device=ID            Device UUID(s) or index(es) to list\n"
	"  -f, --firmwares            List driver firmwares\n"
	"  -i, --ipcs                 List driver ipcs\n"
	"      --imex-channel=CHANNEL IMEX channel ID(s) to list\n"
	"  -l, --libraries            List driver libraries\n"
	"      --mig-config=ID        MIG devices to list config capabilities for\n"
	"      --mig-monitor=ID       MIG devices to list monitor capabilities for\n"
	"      --no-fabricmanager     Don't include the nvidia-fabricmanager socket\n"
	"      --no-persistenced      Don't include the nvidia-persistenced socket\n"
	"  -?, --help                 Give this help list\n"
	"      --usage                Give a short usage message\n";

/* libnvidia-container 1.17 and 1.19, src/nvc_info.c: each by the beginning of its file name. */
static const char *const binaries[] = {
	"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nv-fabricmanager",
	"nvidia-cuda-mps-control", "nvidia-cuda-mps-server",
};

static const char *const libraries[] = {
	"libnvidia-ml.so", "libnvidia-cfg.so", "libnvidia-nscq.so",
	/* compute */
	"libcuda.so", "libcudadebugger.so", "libnvidia-opencl.so", "libnvidia-gpucomp.so",
	"libnvidia-ptxjitcompiler.so", "libnvidia-fatbinaryloader.so", "libnvidia-allocator.so",
	"libnvidia-compiler.so", "libnvidia-pkcs11.so", "libnvidia-pkcs11-openssl3.so", "libnvidia-nvvm.so",
	"libnvidia-tileiras.so",
	/* ngx, video */
	"libnvidia-ngx.so", "libvdpau_nvidia.so", "libnvidia-encode.so", "libnvidia-opticalflow.so", "libnvcuvid.so",
	/* graphics, and those that GLVND loads */
	"libnvidia-eglcore.so", "libnvidia-glcore.so", "libnvidia-tls.so", "libnvidia-glsi.so", "libnvidia-fbc.so",
	"libnvidia-ifr.so", "libnvidia-rtcore.so", "libnvoptix.so", "libGLX_nvidia.so", "libEGL_nvidia.so",
	"libGLESv2_nvidia.so", "libGLESv1_CM_nvidia.so", "libnvidia-glvkspirv.so", "libnvidia-cbl.so",
	/* WSL2 */
	"libdxcore.so",
};

struct wanted {
	struct dropin_devices devices;
	bool libraries, binaries, ipcs, firmwares, compat32, no_persistenced, no_fabricmanager;
};

enum {
	OPT_COMPAT32 = 256,
	OPT_MIG_CONFIG,
	OPT_MIG_MONITOR,
	OPT_IMEX,
	OPT_NO_PERSISTENCED,
	OPT_NO_FABRICMANAGER,
	OPT_HELP,
};

static const struct option options[] = {
	{ "device", required_argument, NULL, 'd' },
	{ "libraries", no_argument, NULL, 'l' },
	{ "binaries", no_argument, NULL, 'b' },
	{ "ipcs", no_argument, NULL, 'i' },
	{ "firmwares", no_argument, NULL, 'f' },
	{ "compat32", no_argument, NULL, OPT_COMPAT32 },
	{ "mig-config", required_argument, NULL, OPT_MIG_CONFIG },
	{ "mig-monitor", required_argument, NULL, OPT_MIG_MONITOR },
	{ "imex-channel", required_argument, NULL, OPT_IMEX },
	{ "no-persistenced", no_argument, NULL, OPT_NO_PERSISTENCED },
	{ "no-fabricmanager", no_argument, NULL, OPT_NO_FABRICMANAGER },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "usage", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int put_option(struct wanted *wanted, int option, const char *value)
{
	switch (option) {
	case 'd':
		return dropin_append(&wanted->devices.list, value);
	case OPT_IMEX:
		return dropin_append(&wanted->devices.imex, value);
	case OPT_MIG_CONFIG:
		wanted->devices.mig_config = value;
		return 0;
	case OPT_MIG_MONITOR:
		wanted->devices.mig_monitor = value;
		return 0;
	case 'l':
		wanted->libraries = true;
		return 0;
	case 'b':
		wanted->binaries = true;
		return 0;
	case 'i':
		wanted->ipcs = true;
		return 0;
	case 'f':
		wanted->firmwares = true;
		return 0;
	case OPT_COMPAT32:
		wanted->compat32 = true;
		return 0;
	case OPT_NO_PERSISTENCED:
		wanted->no_persistenced = true;
		return 0;
	case OPT_NO_FABRICMANAGER:
		wanted->no_fabricmanager = true;
		return 0;
	}
	return -EINVAL;
}

/* No word but IMEX channels: everything. */
static int want_everything(struct wanted *wanted)
{
	wanted->devices.mig_config = wanted->devices.mig_monitor = NULL;
	wanted->libraries = wanted->binaries = wanted->ipcs = wanted->firmwares = wanted->compat32 =
		true;
	return dropin_append(&wanted->devices.list, "all");
}

/* Return: 0, 1 (an error, which has been told) or -1 (help was given). */
static int parse(const struct dropin *dropin, int argc, char **argv, struct wanted *wanted)
{
	int option, r = 0;
	bool any = false;

	optind = 0;
	while (r == 0 && (option = getopt_long(argc, argv, "d:lbif", options, NULL)) != -1) {
		if (option == OPT_HELP)
			return fputs(usage, stdout) < 0 ? 1 : -1;
		any |= option != OPT_IMEX;
		r = put_option(wanted, option, optarg);
		if (r == -EINVAL)
			return dropin_usage_error();
	}
	if (optind < argc) {
		(void)fputs(DROPIN_NAME ": Too many arguments\n", stderr);
		return dropin_usage_error();
	}
	if (r == 0 && !any)
		r = want_everything(wanted);
	return r < 0 ? dropin_fail(dropin, DROPIN_INPUT, "memory allocation failed") :
		       dropin_check_devices(dropin, &wanted->devices);
}

static bool is_all(const char *word)
{
	return word && strcmp(word, "all") == 0;
}

/* Of the nodes that a container may get, the control nodes and GPUs. */
static bool is_device(const char *path)
{
	return strncmp(path, "/dev/nvidia-caps", strlen("/dev/nvidia-caps")) != 0 &&
	       strncmp(path, "/dev/nvidia-nv", strlen("/dev/nvidia-nv")) != 0;
}

static void print_nodes(const json_t *files)
{
	const json_t *node;
	size_t i;

	json_array_foreach(json_object_get(files, "nodes"), i, node) {
		if (is_device(json_string_value(node)))
			(void)puts(json_string_value(node));
	}
}

static void print_nvcap(int minor)
{
	if (minor >= 0)
		(void)printf(CAPS_DIR "/nvidia-cap%d\n", minor);
}

static void print_migs(const json_t *files, const struct nvcap_list *caps)
{
	const json_t *mig;
	size_t i;

	json_array_foreach(json_object_get(files, "migs"), i, mig) {
		unsigned int gpu = (unsigned int)query_number(mig, "gpu");
		unsigned int gi = (unsigned int)query_number(mig, "gi"),
			     ci = (unsigned int)query_number(mig, "ci");

		(void)printf(CAPABILITIES "/gpu%u/mig/gi%u/access\n", gpu, gi);
		(void)printf(CAPABILITIES "/gpu%u/mig/gi%u/ci%u/access\n", gpu, gi, ci);
		print_nvcap(nvcap_minor(caps, NVCAP_GI, gpu, gi, 0));
		print_nvcap(nvcap_minor(caps, NVCAP_CI, gpu, gi, ci));
	}
}

static void print_imex(const char *list)
{
	auto_free struct imex_channels *channels = calloc(1, sizeof(*channels));

	if (!list || !channels || imex_channels_parse(list, channels, NULL) < 0)
		return;
	for (size_t i = 0; i < channels->n; i++)
		(void)printf("/dev/nvidia-caps-imex-channels/channel%u\n", channels->ids[i]);
}

static int compare_minors(const void *a, const void *b)
{
	const struct nvcap *x = a, *y = b;

	return x->minor < y->minor ? -1 : x->minor > y->minor;
}

/* All that there is of a GPU's instances, in the order of the module's list. */
static void print_gpu_nvcaps(const struct nvcap_list *caps, unsigned int gpu)
{
	auto_free struct nvcap *sorted = calloc(caps->n + 1, sizeof(*sorted));

	if (!sorted)
		return;
	memcpy(sorted, caps->caps, caps->n * sizeof(*sorted));
	qsort(sorted, caps->n, sizeof(*sorted), compare_minors);
	for (size_t i = 0; i < caps->n; i++) {
		if ((sorted[i].kind == NVCAP_GI || sorted[i].kind == NVCAP_CI) &&
		    sorted[i].gpu == gpu)
			print_nvcap((int)sorted[i].minor);
	}
}

static void print_mig_control(const json_t *files, const struct nvcap_list *caps,
			      enum nvcap_kind kind, const char *name)
{
	const json_t *gpu;
	size_t i;

	(void)printf(CAPABILITIES "/mig/%s\n", name);
	print_nvcap(nvcap_minor(caps, kind, 0, 0, 0));
	json_array_foreach(json_object_get(files, "gpus"), i, gpu) {
		unsigned int minor = (unsigned int)query_number(gpu, "minor");

		if (!json_is_true(json_object_get(gpu, "mig_capable")))
			continue;
		(void)printf(CAPABILITIES "/gpu%u\n" CAPS_DIR "\n", minor);
		print_gpu_nvcaps(caps, minor);
	}
}

static bool is_of_kind(const json_t *file, const char *kind, int class)
{
	if (strcmp(varlink_string(file, "kind", ""), kind) != 0)
		return false;
	return !class || query_number(file, "class") == class;
}

/* As a list has it: "libcuda.so" is "libcuda.so.1", and "nvidia-smi" itself. */
static bool is_known(const char *name, const char *const *known, size_t n, size_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(known[i]);

		if (strncmp(name, known[i], len) == 0 && (name[len] == '\0' || name[len] == '.')) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void print_known(const json_t *list, const char *kind, int class, const char *const *known,
			size_t n)
{
	const json_t *file;
	size_t i, at;

	for (size_t row = 0; row < n; row++) {
		json_array_foreach(list, i, file) {
			if (is_of_kind(file, kind, class) &&
			    is_known(varlink_string(file, "name", ""), known, n, &at) && at == row)
				(void)puts(varlink_string(file, "path", ""));
		}
	}
	json_array_foreach(list, i, file) {
		if (is_of_kind(file, kind, class) &&
		    !is_known(varlink_string(file, "name", ""), known, n, &at))
			(void)puts(varlink_string(file, "path", ""));
	}
}

static void print_sockets(const json_t *files, const struct wanted *wanted)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(files, "sockets"), i, item) {
		const char *path = varlink_string(item, "path", "");

		if ((wanted->no_persistenced && strstr(path, "/nvidia-persistenced/")) ||
		    (wanted->no_fabricmanager && strstr(path, "/nvidia-fabricmanager/")))
			continue;
		(void)puts(path);
	}
}

static void print_files(const json_t *files, const struct wanted *wanted)
{
	const json_t *list = json_object_get(files, "files");

	if (wanted->binaries)
		print_known(list, "program", 0, binaries, ARRAY_SIZE(binaries));
	if (wanted->libraries)
		print_known(list, "library", 64, libraries, ARRAY_SIZE(libraries));
	if (wanted->libraries && wanted->compat32)
		print_known(list, "library", 32, libraries, ARRAY_SIZE(libraries));
	if (wanted->ipcs)
		print_sockets(files, wanted);
	if (wanted->firmwares)
		print_known(list, "firmware", 0, NULL, 0);
}

/* Not there: no MIG, or a module whose capabilities are files of /proc alone. */
static void read_nvcaps(const json_t *files, struct nvcap_list *ret)
{
	auto_free char *path = NULL, *text = NULL;

	if (asprintf(&path, "%s/driver/nvidia-caps/mig-minors",
		     varlink_string(files, "proc_root", "/proc")) < 0)
		path = NULL;
	if (path && file_read_at(AT_FDCWD, path, MINORS_MAX, &text, NULL, NULL) == 0)
		(void)nvcap_list_parse(text, ret, NULL);
}

static int check_mig_control(const struct dropin *dropin, const json_t *files,
			     const struct wanted *wanted)
{
	bool single = json_array_size(json_object_get(files, "migs")) &&
		      strcasecmp(wanted->devices.list, "all") != 0;

	if (single && is_all(wanted->devices.mig_config))
		return dropin_fail(dropin, DROPIN_MIG_CONFIG,
				   "cannot enable mig-config with specific MIG devices selected");
	if (single && is_all(wanted->devices.mig_monitor))
		return dropin_fail(dropin, DROPIN_MIG_MONITOR,
				   "cannot enable mig-monitor with specific MIG devices selected");
	return 0;
}

static void print(const json_t *files, const struct wanted *wanted)
{
	bool config = is_all(wanted->devices.mig_config),
	     monitor = is_all(wanted->devices.mig_monitor);
	struct nvcap_list caps = { 0 };

	/* thousands of lines, of which nobody else needs one */
	if (config || monitor || json_array_size(json_object_get(files, "migs")))
		read_nvcaps(files, &caps);
	print_nodes(files);
	if (!config && !monitor)
		print_migs(files, &caps);
	print_imex(wanted->devices.imex);
	if (config)
		print_mig_control(files, &caps, NVCAP_CONFIG, "config");
	if (monitor)
		print_mig_control(files, &caps, NVCAP_MONITOR, "monitor");
	print_files(files, wanted);
	nvcap_list_done(&caps);
}

static int list(const struct dropin *dropin, const struct wanted *wanted)
{
	json_t *params = wanted->devices.list ? json_pack("{s:s}", "devices", wanted->devices.list)
					      : json_object();
	json_t *files = NULL;
	int r;

	if (!params)
		return dropin_fail(dropin, DROPIN_DEVICE, "the devices are not UTF-8");
	if (dropin_check_root(dropin)) {
		json_decref(params);
		return EXIT_FAILURE;
	}
	r = dropin_ask(dropin, "io.nvfs.Files", params, &files);
	r = r ? r : check_mig_control(dropin, files, wanted);
	if (r == 0)
		print(files, wanted);
	json_decref(files);
	return r;
}

int dropin_list(struct dropin *dropin, int argc, char **argv)
{
	struct wanted wanted = { 0 };
	int r;

	argv[0] = dropin_name;
	r = parse(dropin, argc, argv, &wanted);
	r = r ? r : list(dropin, &wanted);
	dropin_devices_done(&wanted.devices);
	return r < 0 ? EXIT_SUCCESS : r;
}
