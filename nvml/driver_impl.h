/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_IMPL_H
#define NVFS_NVML_DRIVER_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "nvml/driver.h"
#include "nvml/driver_candidate.h"
#include "nvml/driver_root.h"
#include "nvml/elf.h"
#include "nvml/rules.h"

/* Between the files that make up discovery: driver.c and its neighbours. */

struct discovery {
	struct driver_root root;
	const struct driver_config *config;
	struct driver *driver; /* being built */
	struct rules rules;
	struct finding_list findings;
	struct driver_candidates candidates;
	size_t n_versioned; /* native libraries accepted that carry the driver's version */
};

/** driver_file_done() - close and free one file that no driver owns */
void driver_file_done(struct driver_file *file);
#define auto_driver_file __attribute__((cleanup(driver_file_done)))

/** discovery_take() - hand the file over to the driver; the caller's forgets it. 0 or -ENOMEM */
int discovery_take(struct discovery *d, struct driver_file *file);

/** discovery_find() - the file that has this one's place already, or NULL */
const struct driver_file *discovery_find(const struct discovery *d, const struct driver_file *file);

/**
 * discovery_excludes() - does a rule of the admin's leave this file out?
 * @path: links resolved
 * @name: in the tree
 * @r:    0 or -ENOMEM; it is told as a finding
 */
bool discovery_excludes(struct discovery *d, const char *path, const char *name, int *r);

/**
 * discovery_read_elf() - is an open file a library (or a program) for here?
 * @file:    its class and machine are set; 32-bit libraries of the same family are for here too
 * @library: else a program, which is native
 * @r:       0 or -ENOMEM; what is wrong is told as a finding
 */
bool discovery_read_elf(struct discovery *d, struct driver_file *file, bool library,
			struct elf_info *info, int *r);

/* All return 0 or -ENOMEM: what is wrong with a file is a finding. */

/** driver_find_libraries() - the candidates that fit; also counts those of the driver's version */
int driver_find_libraries(struct discovery *d);
int driver_find_programs(struct discovery *d);
/** driver_find_firmware() - where the kernel would look for it, below the driver root */
int driver_find_firmware(struct discovery *d);
/** driver_find_extras() - modules, data and configuration; after the libraries, which these name */
int driver_find_extras(struct discovery *d);
/** driver_is_wsl() - no module is loaded, and the root is one of WSL2 */
bool driver_is_wsl(const struct discovery *d);
/** driver_find_wsl() - in place of libraries: those of WSL2, and the store of the Windows driver */
int driver_find_wsl(struct discovery *d);
/** driver_find_added() - what the admin's rules add; first of all, so that it counts */
int driver_find_added(struct discovery *d);

#endif
