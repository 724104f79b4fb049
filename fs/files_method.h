/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FILES_METHOD_H
#define NVFS_FS_FILES_METHOD_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct daemon;
struct error;

/**
 * method_files() - io.nvfs.Files: the host's files and device nodes that make up the driver
 * @params: "devices", as gpu_select() has it; absent: no nodes are told
 * @uid:    who asks
 * @is_root: whether that is root in the daemon's own namespaces
 * @ret:    new object: driver_root, proc_root, driver_version; files: as node_file_json() has them;
 *          sockets: [path, driver_capabilities]; gpus: [minor, mig_capable], migs: [gpu (its minor), gi, ci], those chosen;
 *          nodes: paths; has_nvcaps: are MIG devices used by device nodes?
 *
 * What everybody on the host can find out; sockets only as far as the caller could reach them. With no
 * GPU at all any list of devices is none.
 *
 * Return: 0, -ENOENT (ERROR_DRIVER: no driver yet), what gpu_select() and devnode_list() say, or -ENOMEM.
 */
int method_files(struct daemon *daemon, const json_t *params, uid_t uid, bool is_root, json_t **ret,
		 struct error *err);

#endif
