/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_H
#define NVFS_CLI_INTEGRATE_H

/** cmd_integrate() - make a container engine or runtime use nvfs, or take that back; gives the exit status */
int cmd_integrate(int argc, char **argv);

#endif
