/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_SERVE_H
#define NVFS_CLI_SERVE_H

/** cmd_serve() - `nvfs serve`: options over configuration, then the daemon; gives the exit status */
int cmd_serve(int argc, char **argv);

/** cmd_keeper() - what a keeper executes in its own place: six arguments, then those of serve */
int cmd_keeper(int argc, char **argv);

/** cmd_daemon() - what the keeper executes: five arguments of its own, then those of serve */
int cmd_daemon(int argc, char **argv);

#endif
