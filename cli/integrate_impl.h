/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_IMPL_H
#define NVFS_CLI_INTEGRATE_IMPL_H

/* What apply and revert share; see integrate_change.h. */

#include "cli/integrate_change.h"

struct integrate_file;

/** integrate_report() - a line of the report; @ours may be NULL */
void integrate_report(struct integrate_run *run, const char *path, const char *what,
		      const char *ours);

/** integrate_kind_name() - as records have it */
const char *integrate_kind_name(enum integrate_kind kind);

/** integrate_read_link() - what a link says: new string, NULL where nothing is there. Return: 0, -EINVAL (no link), ... */
int integrate_read_link(const struct integrate_file *place, char **ret, struct error *err);

#endif
