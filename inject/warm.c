/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/warm.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define STACK (8 * PAGE) /* of the deepest call of an injection */

/* From ld(1): our first byte, and the end of what is mapped from the file. */
extern const char __executable_start[], edata[];

void warm_code(void)
{
	uintptr_t start = (uintptr_t)__executable_start & ~(PAGE - 1);
	uintptr_t end = ((uintptr_t)edata + PAGE - 1) & ~(PAGE - 1);

	/* Since Linux 5.14; before, and where this fails, each page comes by its fault. */
	(void)madvise((void *)start, end - start, MADV_POPULATE_READ);
}

void __attribute__((noinline)) warm_stack(void)
{
	char room[STACK];

	explicit_bzero(room, sizeof(room));
}
