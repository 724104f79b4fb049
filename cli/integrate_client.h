/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_CLIENT_H
#define NVFS_CLI_INTEGRATE_CLIENT_H

#include <limits.h>
#include <stddef.h>

/*
 * Which files make a client use nvfs, and what is to stand in them: one table. In texts @BIN@ and @LIBEXEC@ stand for
 * the directories of nvfs's programs, and @PLUGIN@ for containerd's plugin of Kubernetes. contrib/ has the same texts
 * as examples; tests/e2e/84-integrate.sh compares them.
 */

enum integrate_kind {
	INTEGRATE_END,
	INTEGRATE_FILE,	 /* a file of its own */
	INTEGRATE_LINK,	 /* a symbolic link: text is what it says */
	INTEGRATE_JSON,	 /* "runtimes" of daemon.json: text is the program */
	INTEGRATE_LINES, /* lines in a file that must be there */
	INTEGRATE_TOML,	 /* the same, and containerd must still understand the file */
};

struct integrate_part {
	enum integrate_kind kind;
	const char *path, *text;
	const char *program;   /* that it makes the client run: must be installed */
	const char *directive; /* INTEGRATE_LINES: nobody else may have given it a value; NULL */
};

#define INTEGRATE_PARTS_MAX 2

struct integrate_client {
	const char *name;
	struct integrate_part parts[INTEGRATE_PARTS_MAX + 1]; /* the last is INTEGRATE_END */
	const char *then; /* command after which the client knows; NULL: it reads the file each time */
};

/** integrate_client() - the @i-th client; NULL behind the last */
const struct integrate_client *integrate_client(size_t i);

/** integrate_client_by_name() - NULL: there is none */
const struct integrate_client *integrate_client_by_name(const char *name);

/* Directories of nvfs's programs, as seen from within the root. */
struct integrate_paths {
	char bin[PATH_MAX], libexec[PATH_MAX];
};

/** integrate_expand() - a text of the table with its words replaced; new string or NULL (no memory) */
char *integrate_expand(const char *text, const struct integrate_paths *paths, const char *plugin);

#endif
