/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_RENEWAL_H
#define NVFS_FS_RENEWAL_H

/*
 * What happens when the driver changes while containers run.
 *
 * Its packages are changed: nothing. The loaded module is still the old one, and
 * so are the files that it needs, which are kept open. New containers get them
 * too, until the module is loaded anew. Files that only come in addition, of the
 * same version, are for new containers.
 *
 * Its module is loaded anew: every tree gets the driver that fits it, since no
 * process can have gone on with the old one. The configuration's "pin" says no.
 *
 * A change is looked at when the driver's directories have been quiet for the
 * configuration's "settle".
 */

#include <jansson.h>

#include "nvml/finding.h"

struct daemon;
struct error;
struct renewal;

/** renewal_new() - begin to watch; the daemon's generation may be there or not */
int renewal_new(struct daemon *daemon, struct renewal **ret, struct error *err);
void renewal_free(struct renewal *renewal);

/** renewal_tick() - every two seconds: has something changed, and has it settled? */
void renewal_tick(struct renewal *renewal);

/**
 * renewal_check() - before a container gets anything
 *
 * Return: 0: the daemon's generation fits the loaded module; -ENOENT, -ELIBBAD
 * (ERROR_DRIVER: no driver; none that fits) or -EAGAIN (ERROR_AGAIN: it is being
 * changed, or looked at still: after 1.5 s nobody waits for that any more).
 */
int renewal_check(struct renewal *renewal, struct error *err);

/**
 * renewal_majors() - the driver's lines of /proc/devices, after renewal_check() has returned 0
 *
 * Return: the generation's text, which was compared just now; NULL without a module, whose majors may be
 * somebody else's by now.
 */
const char *renewal_majors(const struct renewal *renewal);

/**
 * renewal_rescan() - look now, settled or not
 * @ret: what came of it, in words: "unchanged", ...
 *
 * Return: 0, or what discovery says; nothing has changed then. -EAGAIN
 * (ERROR_AGAIN): it goes on, and some path does not answer.
 */
int renewal_rescan(struct renewal *renewal, const char **ret, struct error *err);

/** renewal_poke() - something of the driver has changed: look when it has settled */
void renewal_poke(struct renewal *renewal);

/** renewal_resume() - give the trees of a daemon that died in the middle of a change the rest of it */
void renewal_resume(struct renewal *renewal);

/** renewal_note() - why there is no driver, or none that fits, what does not answer; "" when all is well */
const char *renewal_note(const struct renewal *renewal);

/**
 * renewal_status() - "count", of looks at the driver that came to an end, and "last", the time of day of the
 * last one in seconds, 0 without
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *renewal_status(const struct renewal *renewal);

/** renewal_findings() - files of the host that were rewritten in place, while a container may have them */
const struct finding_list *renewal_findings(const struct renewal *renewal);

#endif
