/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_RUNTIME_CONFIG_H
#define NVFS_CLI_RUNTIME_CONFIG_H

#include <stddef.h>

#include "common/whendown.h"

struct error;

/* The hook that a container gets. All borrowed. */
struct runtime_hook {
	const char *nvinject; /* the program, absolute */
	const char *socket;
	enum when_down on_daemon_down; /* always told: without it the hook reads nvfs.conf, which the caller may have elsewhere */
	const char *swarm; /* comma list of variables that count more; NULL for none */
};

/**
 * runtime_config_change() - config.json with our createRuntime hook
 * @text: of config.json, @len bytes
 * @ret:  new text, which the caller frees; NULL where config.json may stay as it is: the container asks for
 *        no GPU, has the driver from elsewhere, or has a hook of ours already
 *
 * Everything else is kept: order, and integers that do not fit in 64 bits with a sign.
 *
 * Return: 0, -EINVAL (ERROR_USAGE, ERROR_REQUIREMENT: as hook_config_parse()) or -ENOMEM.
 */
int runtime_config_change(const char *text, size_t len, const struct runtime_hook *hook, char **ret,
			  struct error *err);

/**
 * runtime_config_apply() - the same to a bundle's file, which is replaced at once and whole
 *
 * Mode and owner stay. Return: likewise, -EFBIG, or the errno of open(2), rename(2) and the like.
 */
int runtime_config_apply(const char *bundle, const struct runtime_hook *hook, struct error *err);

#endif
