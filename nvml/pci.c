/* SPDX-License-Identifier: Apache-2.0 */
/* "0030\t10de2330\t29\t...": bus and function, vendor and device, in hexadecimal. */
#include "nvml/pci.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/parse.h"

#define VENDOR_NVIDIA 0x10deU

/* Exactly @digits of them. */
static bool parse_hex(const char *s, size_t len, size_t digits, unsigned long *ret)
{
	unsigned long value = 0;

	if (len < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		int c = tolower((unsigned char)s[i]);

		if (!isxdigit(c))
			return false;
		value = value << 4 | (unsigned long)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	*ret = value;
	return true;
}

unsigned int pci_nvidia_device(const char *text, unsigned long long bus_id)
{
	const char *cursor = text, *line;
	unsigned long place, device;
	unsigned int found = 0;
	size_t len;

	while ((line = parse_field(&cursor, '\n', &len))) {
		if (!parse_hex(line, len, 4, &place) || place != (bus_id & 0xffff) ||
		    line[4] != '\t' || !parse_hex(line + 5, len - 5, 8, &device) ||
		    device >> 16 != VENDOR_NVIDIA)
			continue;
		if (found && found != (device & 0xffff))
			return 0;
		found = device & 0xffff;
	}
	return found;
}
