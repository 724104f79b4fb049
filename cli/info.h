/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INFO_H
#define NVFS_CLI_INFO_H

/** cmd_info() - `nvfs info`: driver and GPUs on one screen; gives the exit status */
int cmd_info(int argc, char **argv);

#endif
