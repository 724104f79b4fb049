/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_EVENTS_H
#define NVFS_CLI_EVENTS_H

#include <jansson.h>
#include <stdio.h>

/** cmd_events() - `nvfs events`: until it is interrupted; gives the exit status */
int cmd_events(int argc, char **argv);

/** events_print() - one event as a line for people: time, event, and its other members as key=value */
void events_print(FILE *out, const json_t *event);

#endif
