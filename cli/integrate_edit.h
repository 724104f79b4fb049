/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_EDIT_H
#define NVFS_CLI_INTEGRATE_EDIT_H

struct error;

/*
 * What `nvfs integrate` makes of the text of a client's configuration: text in, text out, no files.
 *
 * Every function leaves *ret NULL where nothing is to be changed; else it is a new string, the caller's.
 * What is not understood is refused with the line that is meant.
 */

/**
 * edit_runtime_add() - Docker's daemon.json with "runtimes": { "nvidia": { "path": RUNTIME } }
 * @text:    of the file; NULL or blank: an empty object
 * @runtime: path of the program
 *
 * A runtime "nvidia" whose program is NVIDIA's own, nvidia-container-runtime, is replaced; of any other one nothing
 * is known, and it is refused. Source: dockerd(8), --add-runtime; NVIDIA's own entry is what `nvidia-ctk runtime
 * configure` writes.
 *
 * Return: 0, -EINVAL (no JSON object, or of another form), -EEXIST (a runtime "nvidia" of somebody's), -ENOMEM.
 */
int edit_runtime_add(const char *text, const char *runtime, char **ret, struct error *err);

/**
 * edit_runtime_remove() - the same without our runtime, or with the one that was there before
 * @original: text before edit_runtime_add(); NULL: there was no file
 *
 * Where the runtime is not ours any more there is nothing to take back.
 *
 * Return: 0, -EINVAL (no JSON object), -ENOMEM.
 */
int edit_runtime_remove(const char *text, const char *original, const char *runtime, char **ret,
			struct error *err);

/**
 * edit_block_add() - a text with our lines at its end, between two comments that mark them
 * @text:  may be NULL: an empty one
 * @block: our lines, each ended by a newline
 *
 * Lines of ours that stand there already are left where they are, or replaced if they are others.
 *
 * Return: 0, -EINVAL (a mark without its partner), -ENOMEM.
 */
int edit_block_add(const char *text, const char *block, char **ret, struct error *err);

/**
 * edit_block_remove() - the text without our lines
 *
 * Return: 0, -EINVAL (a mark without its partner), -EEXIST (lines between the marks that are not @block), -ENOMEM.
 */
int edit_block_remove(const char *text, const char *block, char **ret, struct error *err);

/**
 * edit_find_directive() - the line that gives a directive of apptainer.conf a value
 * @name: "nvidia-container-cli path"
 *
 * Of several the first counts, and empty values don't. Source: apptainer pkg/util/apptainerconf/parser.go.
 *
 * Return: the line's number, from 1; 0: there is none.
 */
int edit_find_directive(const char *text, const char *name);

/**
 * edit_toml_version() - the version that a configuration of containerd says it has
 *
 * A line "version = N" before the first table; no more of TOML is read.
 *
 * Return: N, or 0 where there is no such line.
 */
int edit_toml_version(const char *text);

#endif
