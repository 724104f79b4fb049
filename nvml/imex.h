/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_IMEX_H
#define NVFS_NVML_IMEX_H

#include <stddef.h>

struct error;

#define IMEX_CHANNELS_MAX 2048 /* the module's ImexChannelCount, by default */

/* IMEX channels, by which GPUs of several nodes share memory:
 * /dev/nvidia-caps-imex-channels/channel<id>. */
struct imex_channels {
	unsigned short ids[IMEX_CHANNELS_MAX]; /* in the order asked for, no one twice */
	size_t n;
};

/**
 * imex_channels_parse() - a comma list as in NVIDIA_IMEX_CHANNELS
 * @list: decimal ids from 0 to 2047; blanks, empty items and duplicates do no harm, and an item
 *        "all", with which old images ask for whatever there is, asks for nothing; borrowed
 * @ret:  untouched on failure
 *
 * Source: the toolkit, which validates and skips so; libnvidia-container, --imex-channel.
 *
 * Return: 0, or -EINVAL (ERROR_DEVICE: the item is named).
 */
int imex_channels_parse(const char *list, struct imex_channels *ret, struct error *err);

#endif
