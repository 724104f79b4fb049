/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_TOML_H
#define NVFS_CLI_INTEGRATE_TOML_H

struct error;
struct integrate_paths;

/**
 * toml_add() - containerd's config.toml with a runtime "nvidia"
 * @text:     of the file; NULL: there is none
 * @template: our lines, of integrate_client.h
 * @ret:      the new text, NULL where nothing is to be changed; @ret_block: the lines as they are in it
 *
 * The reader is the judge: a text is given out only if `containerd config dump` knows the runtime in it and all
 * runtimes that it knew before. (Before version 2.0 a file that names one runtime forgets the default "runc", which is
 * then named too.)
 *
 * Return: 0, -EINVAL (a version other than 2 and 3, or the lines are not understood there), -EEXIST (a runtime
 * "nvidia" of somebody's), -ENOENT (containerd is not to be found), -ENOMEM, or the errno of posix_spawnp(3).
 */
int toml_add(const char *text, const char *template, const struct integrate_paths *paths,
	     char **ret, char **ret_block, struct error *err);

#endif
