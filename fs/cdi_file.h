/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CDI_FILE_H
#define NVFS_FS_CDI_FILE_H

#include <jansson.h>

struct client;
struct daemon;
struct error;

#define CDI_FILE "nvfs.json" /* in the configuration's cdi_dir */

/**
 * cdi_file_tick() - every two seconds: is the file in cdi_dir what the GPUs are now? Else it is written anew
 *
 * It is replaced at once and whole. Nothing is written without a driver, and nothing removed: who asks for a
 * device then hears from the hook what is wrong. cdi_dir must not be on a filesystem that may hang.
 * What fails is logged once.
 */
void cdi_file_tick(struct daemon *daemon);

/** cdi_file_done() - what is remembered of it; the file stays */
void cdi_file_done(struct daemon *daemon);

/**
 * cdi_method() - io.nvfs.Cdi: a specification
 * @params: vendor, class: strings, ours where absent; hooks: bool, true where absent
 * @ret:    new object: "spec"
 *
 * Return: 0, -ENOENT (ERROR_DRIVER), or as cdi_spec().
 */
int cdi_method(struct daemon *daemon, const json_t *params, json_t **ret, struct error *err);

#endif
