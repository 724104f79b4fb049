/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_EXPLAIN_H
#define NVFS_NVML_EXPLAIN_H

#include <stdbool.h>

#include "nvml/finding.h"

struct driver;
struct driver_file;

#define EXPLANATION_MAX 300

/* Why something is or is not among the driver's files. */
struct explanation {
	const struct driver_file *file; /* it is: this one; the driver's. NULL: it is not */
	enum finding_rule rule;         /* why not */
	char text[EXPLANATION_MAX];     /* why not, in words */
};

/**
 * driver_explain() - what discovery made of a file
 * @driver: from driver_discover(), with its findings
 * @what:   a path below the driver root, links resolved, that starts with '/'; or a name: of a
 *          file, a soname, a name that ends with ".so", or one without that
 *
 * For a name that several findings are about, the first one is told.
 */
void driver_explain(const struct driver *driver, const char *what, struct explanation *ret);

/** driver_file_is_called() - is this name the file's, its soname, or its name up to ".so"? */
bool driver_file_is_called(const struct driver_file *file, const char *name);

/** finding_rule_name() - "version", "machine", ...; static, never NULL */
const char *finding_rule_name(enum finding_rule rule);

#endif
