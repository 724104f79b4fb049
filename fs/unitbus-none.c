/* SPDX-License-Identifier: Apache-2.0 */
/* In place of unitbus.c where libsystemd is not to be had. */
#include "fs/unitbus.h"

#include <errno.h>

#include "common/error.h"

int unitbus_new(struct loop *loop, struct unitbus **ret, struct error *err)
{
	(void)loop;
	(void)err;
	*ret = NULL;
	return 0;
}

void unitbus_free(struct unitbus *bus)
{
	(void)bus;
}

int unitbus_change(struct unitbus *bus, const struct unitbus_change *change, unitbus_done_fn *done,
		   void *data, struct error *err)
{
	(void)bus;
	(void)change;
	(void)done;
	(void)data;
	return error_set(err, -EOPNOTSUPP, "built without libsystemd");
}

void unitbus_tick(struct unitbus *bus)
{
	(void)bus;
}
