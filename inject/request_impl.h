/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_REQUEST_IMPL_H
#define NVFS_INJECT_REQUEST_IMPL_H

/* What request.c and request_check.c share; nobody else includes this. */

#include <errno.h>

#include "common/error.h"
#include "inject/request.h"

#define usage(err, ...) \
	error_remedy(err, error_setc(err, ERROR_USAGE, -EINVAL, __VA_ARGS__), "see nvinject --help")

/** request_is_text() - what is not UTF-8 is no JSON string, and could not be said to the daemon */
bool request_is_text(const char *value);

/*
 * Do the options of a command line go together? The first for every action, then one for each.
 * Return: 0 or -EINVAL (ERROR_USAGE).
 */
int request_check_places(const struct request *req, struct error *err);
int request_check_inject(const struct request *req, struct error *err);
int request_check_remove(const struct request *req, struct error *err);
int request_check_heal(const struct request *req, struct error *err);
int request_check_hook(const struct request *req, struct error *err);

#endif
