/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_QUERY_H
#define NVFS_CLI_QUERY_H

/*
 * Commands that ask the daemon one thing and print the answer: text for
 * people, the daemon's JSON with --json. Each takes --socket PATH. argv[0] is
 * the command; each gives the exit status.
 */

int cmd_status(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_generations(int argc, char **argv);
int cmd_rescan(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);

#endif
