/* SPDX-License-Identifier: Apache-2.0 */
/* See renewal_judge.h. */
#include "fs/renewal_judge.h"

#include <stdio.h>
#include <string.h>

bool renewal_wants_look(const struct renewal_facts *facts)
{
	if (!facts->version)
		return true;
	if (!facts->is_quiet)
		return false;
	if (facts->module_changed)
		return facts->is_changed || facts->since_look_ms >= RENEWAL_RETRY_MS ||
		       !facts->is_noted;
	return facts->is_changed;
}

void renewal_verdict(const struct renewal_facts *facts, char *const *left_out, size_t n_left_out,
		     char *ret, size_t size)
{
	size_t len;

	ret[0] = '\0';
	if (!facts->version || (facts->result < 0 && facts->module_changed))
		(void)snprintf(ret, size, "%s", facts->error);
	else if (facts->module_changed)
		(void)snprintf(
			ret, size,
			"the loaded module is another one, and files of driver %s are missing",
			facts->version);
	else if (facts->result < 0 || facts->change == GENERATION_LESS)
		(void)snprintf(ret, size,
			       "driver files on the disk no longer fit the loaded module %s, "
			       "using those that were there",
			       facts->version);
	for (size_t i = 0; i < n_left_out; i++) {
		len = strlen(ret);
		(void)snprintf(ret + len, size - len, "%s'%s' does not answer, left out",
			       len ? "; " : "", left_out[i]);
	}
}
