/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_DEVICES_H
#define NVFS_CLI_DEVICES_H

/** cmd_devices() - `nvfs devices`; gives the exit status */
int cmd_devices(int argc, char **argv);

#endif
