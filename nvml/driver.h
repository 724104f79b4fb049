/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_H
#define NVFS_NVML_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "nvml/driver_cap.h"
#include "nvml/driver_version.h"
#include "nvml/fact.h"
#include "nvml/finding.h"

struct driver_guard;
struct error;

/*
 * What the driver's user space consists of on this host: files that were
 * opened and examined, as plain values.
 */

enum driver_file_kind {
	DRIVER_LIBRARY,
	DRIVER_PROGRAM,
	DRIVER_FIRMWARE,
	DRIVER_MODULE, /* a library of one program, which finds it by path: of the X server */
	DRIVER_DATA,   /* served as it is */
	DRIVER_CONFIG, /* what a loader reads to find a library: icd.h */
};
#define DRIVER_KIND_LAST DRIVER_CONFIG

struct driver_file {
	enum driver_file_kind kind;
	char *name;        /* in the tree: "libcuda.so.535.261.03", "nvidia-smi", "gsp_ga10x.bin" */
	char *path;        /* below the driver root, links resolved, starts with '/' */
	char *soname;      /* libraries: DT_SONAME, a plain file name; NULL for none */
	char *dir;         /* in the tree; NULL: lib64, lib32, bin, firmware/nvidia/VERSION by kind */
	char *text;        /* what containers read in place of the file's own content; NULL: that */
	unsigned int caps; /* enum driver_cap: whoever wants one of these gets it */
	int elf_class;     /* 32, 64; 0 where it is no ELF file (firmware) */
	int elf_machine;   /* EM_*; 0 as above */
	int fd;            /* O_RDONLY | O_CLOEXEC, a regular file; owned by the driver */
	struct stat st;    /* of fd when it was found */
};

struct driver {
	char *root;                       /* the driver root as configured */
	char version[DRIVER_VERSION_MAX]; /* "535.261.03": what all versioned files carry; "" on WSL2 */
	bool version_from_module;         /* else it is the one that most libraries carry */
	char cuda[FACT_CUDA_MAX];         /* the CUDA that it has, "12.2"; "" for unknown: fact_fill() */
	enum fact_source cuda_source;
	char *cuda_note;                  /* text of libcuda's compatibility note; NULL without */
	struct driver_file *files;        /* by kind, then by name, 64 bits first; one at each place */
	size_t n_files;
	struct driver_finding *findings;
	size_t n_findings;
	char **dirs; /* directories that the files lie in, below the root; sorted */
	size_t n_dirs;
};

struct driver_config {
	const char *driver_root; /* NULL for "/" */
	const char *proc_root;   /* NULL for "/proc": where the module's version stands */
	const char *sys_root;    /* NULL for "/sys": where the kernel's path of firmware stands */
	const char *rules_dir;   /* the admin's rules, see rules.h; NULL for none */
	const struct driver_guard *guard; /* NULL for none: see driver_root.h */
};

/**
 * driver_discover() - find the driver's files below a driver root
 * @config: borrowed for the call
 * @ret:    untouched on failure; the caller releases it with driver_free()
 * @err:    message chain, may be NULL
 *
 * Looks in the root's ld.so.cache first, then in the directories that it led
 * to, then in the known ones (driver_places.c). Every lookup is confined to
 * the root by openat2(2) RESOLVE_IN_ROOT, so that absolute links work as they
 * do after a chroot(2). The version of the loaded module counts, or without a
 * module the version that most driver libraries carry; a file of another
 * version, machine or a broken one is left out and told as a finding. A
 * library without version suffix is offered if the table lists it so. 32-bit
 * libraries of the same family count too, beside the native ones.
 * A file that is reached by several ways counts once; of several files with
 * one name or one soname the first one found counts.
 *
 * Privilege: none beyond reading the files. Needs /proc mounted.
 *
 * Return: 0; -ENOENT (ERROR_DRIVER: no driver, or none that fits the module,
 * the text says where it looked; ERROR_USAGE: no such root); -ENOTDIR (the root is no
 * directory); -ENOMEM; the errno of opening the root.
 */
int driver_discover(const struct driver_config *config, struct driver **ret, struct error *err);

/** driver_free() - close the files and free all; NULL is fine */
void driver_free(struct driver *driver);

/** driver_file_kind_name() - "library", "program", "firmware", "module", "data", "configuration" */
const char *driver_file_kind_name(enum driver_file_kind kind);

/** driver_file_same_place() - would both stand at the same place of a tree? */
bool driver_file_same_place(const struct driver_file *a, const struct driver_file *b);

/** driver_find_soname() - the library of this soname for native programs, or NULL */
const struct driver_file *driver_find_soname(const struct driver *driver, const char *soname);

#endif
