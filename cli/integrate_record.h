/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_RECORD_H
#define NVFS_CLI_INTEGRATE_RECORD_H

#include <jansson.h>

struct error;

/* RECORDS/CLIENT.json of integrate_change.h: {"files": [{"kind", "path", "written", "ours", "existed", "made"}]}. */

/**
 * integrate_record_read() - what was done for a client
 * @ret: new reference to the array of files; NULL: nothing
 *
 * Return: 0, -EINVAL (no record of ours), -ENOMEM, or the errno of a system call.
 */
int integrate_record_read(int root, const char *client, json_t **ret, struct error *err);

/** integrate_record_write() - @files is borrowed; an empty array removes the record and directories that are empty then */
int integrate_record_write(int root, const char *client, json_t *files, struct error *err);

/** integrate_record_has() - is a file among them? NULL is none */
int integrate_record_has(const json_t *files, const char *path);

/** integrate_record_elsewhere() - has another client's record this file? */
int integrate_record_elsewhere(int root, const char *client, const char *path);

#endif
