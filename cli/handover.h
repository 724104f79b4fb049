/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_HANDOVER_H
#define NVFS_CLI_HANDOVER_H

/** cmd_handover() - `nvfs handover`: returns when the new daemon answers; gives the exit status */
int cmd_handover(int argc, char **argv);

#endif
