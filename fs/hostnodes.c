/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes of the host by the rules that the driver has for them. The module itself makes none, and
 * says by its parameters whether somebody else is to.
 */
#include "fs/hostnodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "fs/kmods.h"
#include "nvml/devnode.h"
#include "nvml/devparams.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"

#define TEXT_MAX (256UL * 1024)
#define CAPS_DIR "nvidia-caps"

struct maker {
	const char *proc_root;
	int dev_fd;
	char *devices; /* the driver's lines of /proc/devices */
	struct devparams params;
	struct hostnodes_report report;
	/* Instead of making anything; NULL: make. */
	void (*tell)(void *data, const char *path, enum hostnodes_fault fault);
	void *data;
};

static char *proc_text(const struct maker *m, const char *name)
{
	auto_free char *path = NULL;
	char *text = NULL;

	if (asprintf(&path, "%s/%s", m->proc_root, name) < 0)
		path = NULL;
	if (path)
		(void)file_read_at(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL);
	return text;
}

/* Ours while its mode is set: who does not own a file may not change that. */
static int dress(int dev_fd, const char *path, const struct devparams *params)
{
	if (fchownat(dev_fd, path, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dev_fd, path, params->mode, 0) < 0 ||
	    fchownat(dev_fd, path, params->uid, params->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* Nobody else's before it is what it is to be: without permission at first. */
static int make(int dev_fd, const char *path, dev_t rdev, const struct devparams *params)
{
	if (mknodat(dev_fd, path, S_IFCHR, rdev) < 0)
		return -errno;
	return dress(dev_fd, path, params);
}

static bool is_dressed(const struct stat *st, const struct devparams *params)
{
	return (st->st_mode & 07777) == params->mode && st->st_uid == params->uid &&
	       st->st_gid == params->gid;
}

/* "char/195:0" for a node "nvidia0": by which who has a number finds its name */
static bool links_here(int dev_fd, dev_t rdev, const char *path, char ret_name[32],
		       char ret_target[160])
{
	char now[160];
	ssize_t n;

	(void)snprintf(ret_name, 32, "char/%u:%u", major(rdev), minor(rdev));
	(void)snprintf(ret_target, 160, "../%s", path);
	n = readlinkat(dev_fd, ret_name, now, sizeof(now));
	return n >= 0 && (size_t)n == strlen(ret_target) && memcmp(now, ret_target, (size_t)n) == 0;
}

static void unlink_number(int dev_fd, dev_t rdev, const char *path)
{
	char name[32], target[160];

	if (links_here(dev_fd, rdev, path, name, target))
		(void)unlinkat(dev_fd, name, 0);
}

/* nvidia-ctk makes such links, too, and absolute ones. */
static bool leads_to(int dev_fd, const char *name, dev_t rdev)
{
	struct stat st;
	bool yes = fstatat(dev_fd, name, &st, 0) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == rdev;

	errno = EEXIST;
	return yes;
}

/*
 * udev makes such links for what is in /sys, where these devices are not; runc and systemd look for the
 * devices of a container's unit by them.
 */
static int link_number(int dev_fd, dev_t rdev, const char *path)
{
	char name[32], target[160];

	if (links_here(dev_fd, rdev, path, name, target))
		return 0;
	(void)mkdirat(dev_fd, "char", 0755);
	if (symlinkat(target, dev_fd, name) == 0 ||
	    (errno == EEXIST && leads_to(dev_fd, name, rdev)))
		return 0;
	return -errno;
}

/* 1 made, 2 mended, 0 it was right, or a negative errno */
static int settle(int dev_fd, const char *path, dev_t rdev, const struct devparams *params)
{
	struct stat st;
	int r;

	if (fstatat(dev_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = errno == ENOENT ? make(dev_fd, path, rdev, params) : -errno;
		return r < 0 ? r : 1;
	}
	if (!S_ISCHR(st.st_mode))
		return -EEXIST;
	if (st.st_rdev == rdev && is_dressed(&st, params))
		return 0;
	if (st.st_rdev == rdev)
		r = dress(dev_fd, path, params);
	else
		r = unlinkat(dev_fd, path, 0) < 0 ? -errno : make(dev_fd, path, rdev, params);
	if (r == 0 && st.st_rdev != rdev)
		unlink_number(dev_fd, st.st_rdev, path);
	return r < 0 ? r : 2;
}

static enum hostnodes_fault fault_of(int dev_fd, const char *path, dev_t rdev,
				     const struct devparams *params)
{
	struct stat st;

	if (fstatat(dev_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return HOSTNODES_MISSING;
	if (!S_ISCHR(st.st_mode))
		return HOSTNODES_NO_DEVICE;
	if (st.st_rdev != rdev)
		return HOSTNODES_NUMBER;
	return is_dressed(&st, params) || !params->may_modify ? HOSTNODES_RIGHT : HOSTNODES_MODE;
}

static void add(struct maker *m, const char *path, unsigned int minor_number,
		const struct devparams *params)
{
	int number = devnode_major_of(m->devices, path);
	dev_t rdev = makedev((unsigned int)number, minor_number);
	int r, linked;

	if (number >= 0 && m->tell)
		m->tell(m->data, path, fault_of(m->dev_fd, path, rdev, params));
	if (number < 0 || !params->may_modify || m->tell)
		return;
	r = settle(m->dev_fd, path, rdev, params);
	linked = r < 0 ? 0 : link_number(m->dev_fd, rdev, path);
	if (r < 0)
		log_warning("device node '%s': %s, ignoring", path,
			    r == -EEXIST ? "something else stands there" : strerror(-r));
	if (linked < 0)
		log_warning("link 'char/%u:%u' to device node '%s': %s, ignoring", major(rdev),
			    minor(rdev), path, strerror(-linked));
	m->report.made += r == 1;
	m->report.mended += r == 2;
	m->report.refused += r < 0;
}

static void add_nvcap(struct maker *m, const struct nvcap *cap)
{
	auto_free char *text = NULL;
	struct devparams params;
	char name[NVCAP_NAME_MAX], path[128];

	nvcap_file_name(cap, name);
	(void)snprintf(path, sizeof(path), "driver/nvidia/capabilities/%s", name);
	text = proc_text(m, path);
	params = devparams_parse(text);
	params.mode = cap->mode;
	if ((!params.may_modify && !m->tell) || devnode_major_of(m->devices, CAPS_DIR "/") < 0)
		return;
	if (!m->tell)
		(void)mkdirat(m->dev_fd, CAPS_DIR, 0755);
	(void)snprintf(path, sizeof(path), CAPS_DIR "/nvidia-cap%u", cap->minor);
	add(m, path, cap->minor, &params);
}

static int add_gpus(struct maker *m, struct error *err)
{
	struct gpu_list *gpus = NULL;
	struct nvcap_list nvcaps = { 0 };
	char path[32];
	int r = gpu_list_new(m->proc_root, &gpus, err);

	if (r == 0)
		r = nvcap_list_read(m->proc_root, gpus, &nvcaps, err);
	for (size_t i = 0; r == 0 && i < gpus->n; i++) {
		if (!gpus->gpus[i].usable)
			continue;
		(void)snprintf(path, sizeof(path), "nvidia%u", gpus->gpus[i].minor);
		add(m, path, gpus->gpus[i].minor, &m->params);
	}
	for (size_t i = 0; r == 0 && i < nvcaps.n; i++)
		add_nvcap(m, &nvcaps.caps[i]);
	nvcap_list_done(&nvcaps);
	gpu_list_free(gpus);
	return r;
}

static int all_nodes(struct maker *m, struct error *err)
{
	auto_free char *version = proc_text(m, "driver/nvidia/version"),
		       *params = proc_text(m, "driver/nvidia/params");

	if (!version)
		return error_setc(err, ERROR_DRIVER, -ENODEV, "the module nvidia is not loaded");
	m->devices = proc_text(m, "devices");
	if (!m->devices)
		return error_set(err, -ENOENT, "read '%s/devices'", m->proc_root);
	m->params = devparams_parse(params);
	add(m, "nvidiactl", 255, &m->params);
	if (kmods_is_loaded(m->proc_root, "nvidia-modeset"))
		add(m, "nvidia-modeset", 254, &m->params);
	add(m, "nvidia-uvm", 0, &m->params);
	add(m, "nvidia-uvm-tools", 1, &m->params);
	return add_gpus(m, err);
}

int hostnodes_make(const char *dev_root, const char *proc_root, struct hostnodes_report *ret,
		   struct error *err)
{
	struct maker maker = { .proc_root = proc_root };
	auto_close int dev_fd = open(dev_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	mode_t mask;
	int r;

	*ret = (struct hostnodes_report){ 0 };
	if (dev_fd < 0)
		return error_set(err, -errno, "open '%s'", dev_root);
	maker.dev_fd = dev_fd;
	mask = umask(0);
	r = all_nodes(&maker, err);
	(void)umask(mask);
	free(maker.devices);
	*ret = maker.report;
	return r;
}

int hostnodes_check(const char *dev_root, const char *proc_root,
		    void (*tell)(void *data, const char *path, enum hostnodes_fault fault),
		    void *data, struct error *err)
{
	struct maker maker = { .proc_root = proc_root, .tell = tell, .data = data };
	auto_close int dev_fd = open(dev_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dev_fd < 0)
		return error_set(err, -errno, "open '%s'", dev_root);
	maker.dev_fd = dev_fd;
	r = all_nodes(&maker, err);
	free(maker.devices);
	return r;
}
