/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device nodes a container gets. Two tables say it: what a driver
 * capability needs, and which names a major goes by in /proc/devices. The rule:
 * a node is given only if it is the device that the loaded module says, since
 * majors move when a module is loaded again and a stale node may by then be
 * another driver's door.
 */
#include "nvml/devnode_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "nvml/driver_cap.h"
#include "nvml/finding.h"
#include "nvml/gpu.h"
#include "nvml/imex.h"
#include "nvml/nvcap.h"
#include "nvml/select.h"

#define DEVICES_MAX_BYTES (64 * 1024)
/* The driver's own major since ever: Documentation/admin-guide/devices.txt, and its nv-linux.h. */
#define NVIDIA_MAJOR 195
#define NVIDIA_UVM "nvidia-uvm"

struct control_node {
	const char *name;
	bool is_uvm; /* its major is dynamic */
	unsigned int minor;
	unsigned int caps; /* whoever has one of these gets it; 0: everybody */
};

static const struct control_node control_nodes[] = {
	{ "nvidiactl", false, 255, 0 },
	{ "nvidia-uvm", true, 0, DRIVER_CAP_COMPUTE | DRIVER_CAP_VIDEO },
	{ "nvidia-uvm-tools", true, 1, DRIVER_CAP_COMPUTE | DRIVER_CAP_VIDEO },
	{ "nvidia-modeset", false, 254, DRIVER_CAP_GRAPHICS | DRIVER_CAP_DISPLAY },
};

/* Names of the driver's own major: one of them stands in /proc/devices. */
static const char *const nvidia_names[] = { "nvidia", "nvidia-frontend", "nvidiactl" };

/* Whose major a node has: by its name, or by its folder. */
static const struct {
	const char *prefix, *driver;
} owners[] = {
	{ NVIDIA_UVM, NVIDIA_UVM },
	{ "nvidia-caps/", "nvidia-caps" },
	{ "nvidia-caps-imex-channels/", "nvidia-caps-imex-channels" },
	{ "nvidia-nvswitch", "nvidia-nvswitch" },
	{ "nvidia-nvlink", "nvidia-nvlink" },
	{ "nvidia", NULL },
};

/* WSL2's way to the GPUs of its host, a misc device: drivers/hv/dxgkrnl of Microsoft's kernel. */
#define DXG "dxg"
#define MISC_MAJOR 10 /* linux/major.h */

/* "195 nvidia" */
static int parse_device_line(const char *line, size_t len, const char *name)
{
	const char *blank = memchr(line, ' ', len);
	char number[16];
	uint64_t major;
	size_t digits;

	if (!blank)
		return -ENOENT;
	digits = (size_t)(blank - line);
	if (digits >= sizeof(number) || strlen(name) != len - digits - 1 ||
	    memcmp(blank + 1, name, strlen(name)) != 0)
		return -ENOENT;
	memcpy(number, line, digits);
	number[digits] = '\0';
	if (parse_u64(number, 0xfff, &major) < 0)
		return -ENOENT;
	return (int)major;
}

int devnode_major(const char *text, const char *name)
{
	const char *lines = text, *line;
	bool in_character = false;
	size_t len;
	int major;

	while ((line = parse_field(&lines, '\n', &len))) {
		if (len > 0 && line[len - 1] == ':') {
			in_character = len == strlen("Character devices:") &&
				       !memcmp(line, "Character devices:", len);
			continue;
		}
		major = in_character ? parse_device_line(line, len, name) : -ENOENT;
		if (major >= 0)
			return major;
	}
	return -ENOENT;
}

static int major_in_lines(const char *lines, const char *name)
{
	const char *line;
	int found = -ENOENT;
	size_t len;

	while (found < 0 && (line = parse_field(&lines, '\n', &len)))
		found = parse_device_line(line, len, name);
	return found;
}

int devnode_major_of(const char *lines, const char *path)
{
	int found = -ENOENT;
	size_t row = 0;

	while (row < ARRAY_SIZE(owners) &&
	       strncmp(path, owners[row].prefix, strlen(owners[row].prefix)) != 0)
		row++;
	if (row == ARRAY_SIZE(owners))
		return -EINVAL;
	if (owners[row].driver)
		return major_in_lines(lines, owners[row].driver);
	for (size_t i = 0; i < ARRAY_SIZE(nvidia_names) && found < 0; i++)
		found = major_in_lines(lines, nvidia_names[i]);
	return found < 0 ? NVIDIA_MAJOR : found;
}

/* " 58 dxg" in /proc/misc */
static int read_dxg(const char *proc_root)
{
	auto_free char *path = NULL, *text = NULL;

	if (asprintf(&path, "%s/misc", proc_root ? proc_root : "/proc") < 0)
		path = NULL;
	if (!path || file_read_at(AT_FDCWD, path, DEVICES_MAX_BYTES, &text, NULL, NULL) < 0)
		return -ENOENT;
	return major_in_lines(text, DXG);
}

static void fill_majors(int (*major_of)(const char *text, const char *name), const char *text,
			struct devnode_majors *ret)
{
	ret->nvidia = -ENOENT;
	ret->uvm = major_of(text, NVIDIA_UVM);
	ret->caps = major_of(text, "nvidia-caps");
	ret->imex = major_of(text, "nvidia-caps-imex-channels");
	ret->nvswitch = major_of(text, "nvidia-nvswitch");
	for (size_t i = 0; i < ARRAY_SIZE(nvidia_names) && ret->nvidia < 0; i++)
		ret->nvidia = major_of(text, nvidia_names[i]);
	if (ret->nvidia < 0)
		ret->nvidia = NVIDIA_MAJOR;
}

static int read_majors(const struct devnode_request *request, struct devnode_majors *ret,
		       struct error *err)
{
	const char *proc_root = request->proc_root;
	auto_free char *path = NULL, *text = NULL;
	int r;

	*ret = (struct devnode_majors){ .dxg = read_dxg(proc_root) };
	if (request->majors) {
		fill_majors(major_in_lines, request->majors, ret);
		return 0;
	}
	if (asprintf(&path, "%s/devices", proc_root ? proc_root : "/proc") < 0) {
		path = NULL;
		return error_set(err, -ENOMEM, "list device nodes");
	}
	r = file_read_at(AT_FDCWD, path, DEVICES_MAX_BYTES, &text, NULL, err);
	if (r < 0)
		return error_wrap(err, r, "list device nodes");
	fill_majors(devnode_major, text, ret);
	return 0;
}

enum devnode_state devnode_check(int dev_fd, struct devnode *node, char *why, size_t size)
{
	struct stat st;

	why[0] = '\0';
	if (fstatat(dev_fd, node->path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		(void)snprintf(why, size, "%s",
			       errno == ENOENT ? "does not exist" : strerror(errno));
		return errno == ENOENT ? DEVNODE_MISSING : DEVNODE_WRONG;
	}
	node->mode = st.st_mode & 0777;
	if (!S_ISCHR(st.st_mode))
		(void)snprintf(why, size, "is no character device");
	else if (major(st.st_rdev) != node->major || minor(st.st_rdev) != node->minor)
		(void)snprintf(why, size, "is device %u:%u, the module's is %u:%u",
			       major(st.st_rdev), minor(st.st_rdev), node->major, node->minor);
	return why[0] ? DEVNODE_WRONG : DEVNODE_RIGHT;
}

static int add_control_nodes(struct devnode_gathering *g, unsigned int caps,
			     struct finding_list *findings)
{
	char why[96];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(control_nodes); i++) {
		const struct control_node *row = &control_nodes[i];
		struct devnode node = { .minor = row->minor,
					.access = DEVNODE_READ | DEVNODE_WRITE };
		int number = row->is_uvm ? g->majors.uvm : g->majors.nvidia;

		if (row->caps && !(row->caps & caps))
			continue;
		(void)snprintf(node.path, sizeof(node.path), "%s", row->name);
		if (number < 0) {
			(void)snprintf(why, sizeof(why), "the module " NVIDIA_UVM " is not loaded");
		} else {
			node.major = (unsigned int)number;
			(void)devnode_check(g->dev_fd, &node, why, sizeof(why));
		}
		if (!why[0])
			g->nodes[g->n++] = node;
		else if (r == 0)
			r = finding_add(findings, true, "device node %s: %s, left out", row->name,
					why);
	}
	return r;
}

/* It stands for all of the host's GPUs, and there is no other node. */
static int add_dxg(struct devnode_gathering *g, struct finding_list *findings)
{
	struct devnode node = { .path = DXG,
				.major = MISC_MAJOR,
				.minor = (unsigned int)g->majors.dxg,
				.access = DEVNODE_READ | DEVNODE_WRITE };
	char why[96];

	(void)devnode_check(g->dev_fd, &node, why, sizeof(why));
	if (why[0])
		return finding_add(findings, true, "device node " DXG ": %s, left out", why);
	g->nodes[g->n++] = node;
	return 0;
}

static int add_gpu_node(struct devnode_gathering *g, const struct gpu *gpu, struct error *err)
{
	struct devnode node = { .major = (unsigned int)g->majors.nvidia,
				.minor = gpu->minor,
				.access = DEVNODE_READ | DEVNODE_WRITE };
	char why[96];

	(void)snprintf(node.path, sizeof(node.path), "nvidia%u", gpu->minor);
	(void)devnode_check(g->dev_fd, &node, why, sizeof(why));
	if (why[0]) {
		(void)error_setc(err, ERROR_DEVICE, -ENODEV, "GPU %u (%s): device node %s %s",
				 gpu->index, gpu->bus_id, node.path, why);
		return error_remedy(err, -ENODEV, "make it with `nvidia-modprobe -c %u`",
				    gpu->minor);
	}
	g->nodes[g->n++] = node;
	return 0;
}

static int open_dev(const char *dev_root, struct error *err)
{
	const char *path = dev_root ? dev_root : "/dev";
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set(err, -errno, "open '%s'", path) : fd;
}

int devnode_list(const struct devnode_request *request, struct devnode **ret, size_t *ret_n,
		 struct finding_list *findings, struct error *err)
{
	const struct gpu_selection *selection = request->selection;
	auto_free struct devnode *nodes = NULL;
	auto_close int dev_fd = -1;
	struct devnode_gathering g = { .request = request };
	int r;

	if (!selection->wanted) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	dev_fd = open_dev(request->dev_root, err);
	if (dev_fd < 0)
		return dev_fd;
	r = read_majors(request, &g.majors, err);
	if (r < 0)
		return r;
	g.room = ARRAY_SIZE(control_nodes) + selection->n +
		 (request->nvcaps ? request->nvcaps->n : 0) +
		 (request->imex ? request->imex->n : 0) + DEVNODE_NVSWITCHES_MAX + 1;
	nodes = calloc(g.room, sizeof(*nodes));
	if (!nodes)
		return error_set(err, -ENOMEM, "list device nodes");
	g.dev_fd = dev_fd;
	g.nodes = nodes;
	r = g.majors.dxg >= 0 ? add_dxg(&g, findings)
			      : add_control_nodes(&g, request->caps, findings);
	if (r < 0)
		return error_set(err, -ENOMEM, "list device nodes");
	for (size_t i = 0; i < selection->n; i++) {
		r = add_gpu_node(&g, &request->gpus->gpus[selection->at[i]], err);
		if (r < 0)
			return r;
	}
	r = devnode_add_nvcaps(&g, err);
	r = r ? r : devnode_add_imex(&g, err);
	r = r ? r : devnode_add_nvswitches(&g, err);
	if (r < 0)
		return r;
	*ret_n = g.n;
	*ret = take_ptr(&nodes);
	return 0;
}
