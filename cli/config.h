/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_CONFIG_H
#define NVFS_CLI_CONFIG_H

/** cmd_config() - `nvfs config`: what nvfs.conf says, and what it leaves as it is; gives the exit status */
int cmd_config(int argc, char **argv);

#endif
