/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes of capabilities: which of them a selection needs, and whether the host has them. Whoever
 * may open one has the instance that it stands for, so that nothing is given that was not chosen; and
 * a node that is another device than the module says is refused, made or not.
 */
#include "nvml/devnode_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "nvml/gpu.h"
#include "nvml/imex.h"
#include "nvml/mig_name.h"
#include "nvml/nvcap.h"
#include "nvml/select.h"

#define IMEX_MODE 0666 /* nvidia-modprobe's, and the module's own for channel 0 */

/* @what needs it, for the message. */
static int add_node(struct devnode_gathering *g, struct devnode *node, const char *what,
		    const char *driver, int major, struct error *err)
{
	enum devnode_state state;
	char why[96];

	if (major < 0) {
		(void)error_setc(err, ERROR_DEVICE, -ENODEV,
				 "%s: the module has no %s in /proc/devices", what, driver);
		return error_remedy(err, -ENODEV, "load a module that has; see `nvfs devices`");
	}
	node->major = (unsigned int)major;
	node->access = DEVNODE_READ | DEVNODE_WRITE;
	state = devnode_check(g->dev_fd, node, why, sizeof(why));
	node->is_made = state == DEVNODE_MISSING && g->request->may_make;
	if (state != DEVNODE_RIGHT && !node->is_made) {
		(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%s: device node %s %s", what,
				 node->path, why);
		return error_remedy(err, -ENODEV,
				    state == DEVNODE_WRONG
					    ? "remove it, and nvidia-modprobe makes the right one"
					    : "make it with nvidia-modprobe; for root it is made");
	}
	g->nodes[g->n++] = *node;
	return 0;
}

static bool is_there(const struct devnode_gathering *g, const char *path)
{
	for (size_t i = 0; i < g->n; i++)
		if (strcmp(g->nodes[i].path, path) == 0)
			return true;
	return false;
}

static int add_nvcap(struct devnode_gathering *g, const struct nvcap *cap, const char *what,
		     struct error *err)
{
	struct devnode node = { .minor = cap->minor, .mode = cap->mode };

	(void)snprintf(node.path, sizeof(node.path), "nvidia-caps/nvidia-cap%u", cap->minor);
	if (is_there(g, node.path)) /* of a GPU instance with several MIG devices */
		return 0;
	return add_node(g, &node, what, "nvidia-caps", g->majors.caps, err);
}

static int add_by_name(struct devnode_gathering *g, enum nvcap_kind kind,
		       const struct mig_device *mig, const char *what, struct error *err)
{
	const struct nvcap_list *nvcaps = g->request->nvcaps;
	struct nvcap wanted = { .kind = kind };
	const struct nvcap *cap;
	char name[NVCAP_NAME_MAX];

	if (mig) {
		wanted.gpu = g->request->gpus->gpus[mig->gpu].minor;
		wanted.gi = mig->gi;
		wanted.ci = kind == NVCAP_CI ? mig->ci : 0;
	}
	cap = nvcaps ? nvcap_find(nvcaps, kind, wanted.gpu, wanted.gi, wanted.ci) : NULL;
	if (cap)
		return add_nvcap(g, cap, what, err);
	nvcap_file_name(&wanted, name);
	(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%s: the module has no capability %s", what,
			 name);
	return error_remedy(err, -ENODEV, "if GPUs were divided just now: nvfs rescan");
}

static int add_mig(struct devnode_gathering *g, const struct mig_device *mig, struct error *err)
{
	char what[MIG_NAME_MAX];
	int r;

	mig_name(g->request->gpus, mig, what);
	r = add_by_name(g, NVCAP_GI, mig, what, err);
	return r ? r : add_by_name(g, NVCAP_CI, mig, what, err);
}

static bool is_selected(const struct devnode_request *request, unsigned int gpu_minor)
{
	const struct gpu_selection *selection = request->selection;

	for (size_t i = 0; i < selection->n; i++)
		if (request->gpus->gpus[selection->at[i]].minor == gpu_minor)
			return true;
	return false;
}

/* Who divides or watches GPUs has all that is on them, GPU instances without a MIG device too. */
static int add_control(struct devnode_gathering *g, struct error *err)
{
	const struct devnode_request *request = g->request;
	int r = 0;

	if (request->mig_config)
		r = add_by_name(g, NVCAP_CONFIG, NULL, "mig-config", err);
	if (r == 0 && request->mig_monitor)
		r = add_by_name(g, NVCAP_MONITOR, NULL, "mig-monitor", err);
	for (size_t i = 0; request->nvcaps && i < request->nvcaps->n && r == 0; i++) {
		const struct nvcap *cap = &request->nvcaps->caps[i];

		if ((cap->kind == NVCAP_GI || cap->kind == NVCAP_CI) &&
		    is_selected(request, cap->gpu))
			r = add_nvcap(g, cap, request->mig_config ? "mig-config" : "mig-monitor",
				      err);
	}
	return r;
}

int devnode_add_nvcaps(struct devnode_gathering *g, struct error *err)
{
	const struct devnode_request *request = g->request;
	const struct gpu_selection *selection = request->selection;
	int r = 0;

	for (size_t i = 0; i < selection->n_migs && r == 0; i++)
		r = add_mig(g, &request->gpus->migs[selection->migs[i]], err);
	if (r == 0 && (request->mig_config || request->mig_monitor))
		r = add_control(g, err);
	if (r == 0 && request->imex_mgmt)
		r = add_by_name(g, NVCAP_FABRIC, NULL, "fabric-imex-mgmt", err);
	return r;
}

int devnode_add_imex(struct devnode_gathering *g, struct error *err)
{
	const struct imex_channels *imex = g->request->imex;
	char what[64];
	int r = 0;

	for (size_t i = 0; imex && i < imex->n && r == 0; i++) {
		struct devnode node = { .minor = imex->ids[i], .mode = IMEX_MODE };

		(void)snprintf(what, sizeof(what), "IMEX channel %u", imex->ids[i]);
		(void)snprintf(node.path, sizeof(node.path), "nvidia-caps-imex-channels/channel%u",
			       imex->ids[i]);
		r = add_node(g, &node, what, "nvidia-caps-imex-channels", g->majors.imex, err);
	}
	return r;
}

/* NVSwitches */

#define NVSWITCH "nvidia-nvswitch"
#define NVSWITCH_CONTROL 255 /* minor; switches are counted from 0 */

static int compare(const void *a, const void *b)
{
	const unsigned int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Those that the host has: the module tells of them in no other place that is for everybody. */
static size_t find_nvswitches(int dev_fd, unsigned int minors[DEVNODE_NVSWITCHES_MAX])
{
	int fd = openat(dev_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint64_t number;
	size_t n = 0;

	if (!dir && fd >= 0)
		(void)close(fd);
	while (dir && n < DEVNODE_NVSWITCHES_MAX && (entry = readdir(dir)))
		if (strncmp(entry->d_name, NVSWITCH, strlen(NVSWITCH)) == 0 &&
		    parse_u64(entry->d_name + strlen(NVSWITCH), NVSWITCH_CONTROL - 1, &number) == 0)
			minors[n++] = (unsigned int)number;
	qsort(minors, n, sizeof(*minors), compare);
	return n;
}

/* Of the host alone: what a switch is to be, nothing in /proc says. */
static int add_nvswitch(struct devnode_gathering *g, const char *name, unsigned int minor,
			struct error *err)
{
	struct devnode node = { .minor = minor };
	struct devnode_request request = *g->request;
	struct devnode_gathering of_host = *g;
	int r;

	request.may_make = false;
	of_host.request = &request;
	(void)snprintf(node.path, sizeof(node.path), "%s", name);
	r = add_node(&of_host, &node, "NVSwitch", NVSWITCH, g->majors.nvswitch, err);
	g->n = of_host.n;
	return r;
}

int devnode_add_nvswitches(struct devnode_gathering *g, struct error *err)
{
	unsigned int minors[DEVNODE_NVSWITCHES_MAX];
	char name[32];
	size_t n;
	int r;

	if (!g->request->nvswitch)
		return 0;
	r = add_nvswitch(g, NVSWITCH "ctl", NVSWITCH_CONTROL, err);
	n = find_nvswitches(g->dev_fd, minors);
	for (size_t i = 0; i < n && r == 0; i++) {
		(void)snprintf(name, sizeof(name), NVSWITCH "%u", minors[i]);
		r = add_nvswitch(g, name, minors[i], err);
	}
	return r;
}
