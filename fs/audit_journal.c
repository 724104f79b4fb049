/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/audit.h"

#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#define FIELDS_MAX 16

bool audit_to_journal(const char *const *fields, size_t n)
{
	struct iovec iov[FIELDS_MAX];

	if (n > FIELDS_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)fields[i],
					 .iov_len = strlen(fields[i]) };
	return sd_journal_sendv(iov, (int)n) == 0;
}
