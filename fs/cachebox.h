/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CACHEBOX_H
#define NVFS_FS_CACHEBOX_H

/*
 * The box in which a container's ld.so.cache is parsed and merged, and the note in
 * its libcuda for forward compatibility is read. The image
 * is hostile, the daemon is root: it never looks into such a file itself. For
 * each merge a process is made, confined, used once and thrown away, so that
 * one image can neither touch the daemon nor the result of another container.
 *
 *   daemon --socketpair--> zygote --fork--> parser
 *
 * The zygote is this program, executed anew as `nvfs cachebox FD`: a small
 * single-threaded process without privilege, from which a fork is cheap and
 * safe (the daemon has threads). It never looks at what it passes on.
 *
 * Threads: one thread of the daemon uses a cachebox at a time.
 */

#include <stddef.h>

struct cachebox;
struct compat_host;
struct error;
struct ldcache_add;

/**
 * cachebox_new() - start a zygote
 * @ret: new box on success, untouched on failure; release with cachebox_free()
 * @err: message chain, may be NULL
 *
 * The program must run cachebox_main() when it is called as "cachebox FD".
 * The zygote gets an empty environment but for LD_LIBRARY_PATH, /dev/null as
 * stdin and stdout, a process group of its own, and no descriptor but its
 * socket and stderr.
 *
 * Return: 0 or the errno of socketpair(2) or posix_spawn(3).
 */
int cachebox_new(struct cachebox **ret, struct error *err);

/**
 * cachebox_new_exec() - cachebox_new() with another program, for tests
 * @exe:  program to execute; borrowed for the life of the box
 * @word: its first argument in place of "cachebox"; borrowed likewise
 */
int cachebox_new_exec(const char *exe, const char *word, struct cachebox **ret, struct error *err);

/** cachebox_free() - kill and reap the zygote, release the box; NULL is fine */
void cachebox_free(struct cachebox *box);

/**
 * cachebox_merge() - ldcache_parse() and ldcache_merge(), confined
 * @box:          a zygote that died between two merges is replaced
 * @image_memfd:  fully sealed memfd with the container's cache, or -1 for
 *                none; stays the caller's
 * @add, @n_add, @drop_prefix: as for ldcache_merge(); trusted
 * @ret:          new file content on success, untouched on failure; the caller
 *                frees it. As hostile as the image: for that container only,
 *                not to be parsed outside of a box.
 * @ret_len:      its size, 1 to LDCACHE_SIZE_MAX bytes
 * @err:          message chain, may be NULL; may quote the confined process,
 *                in printable characters
 *
 * Takes as long as the parser, at most about a second. After a failure go
 * on with ldcache_merge(NULL, add, ...): the driver's entries alone.
 *
 * Return: 0; -EBADMSG (the parser refused the image, died, or took too long);
 * -EINVAL or -EFBIG (@image_memfd is not sealed, or too large); -ENOMEM;
 * otherwise the errno of what failed on the way to the zygote.
 */
int cachebox_merge(struct cachebox *box, int image_memfd, const struct ldcache_add *add,
		   size_t n_add, const char *drop_prefix, void **ret, size_t *ret_len,
		   struct error *err);

/**
 * cachebox_choose() - compat_image_parse() and compat_choose(), confined
 * @image_memfd: fully sealed memfd with a block of common/compatlist.h; stays the caller's
 * @mode:        enum compat_mode
 * @host:        trusted
 * @ret:         lines of text as cachebox_wire.h tells them, NUL-terminated; the caller
 *               frees it. As hostile as the image: for compat_verdict_parse().
 *
 * Otherwise as cachebox_merge().
 */
int cachebox_choose(struct cachebox *box, int image_memfd, unsigned int mode,
		    const struct compat_host *host, char **ret, struct error *err);

/**
 * cachebox_main() - the zygote: serve jobs until the daemon closes its end
 * @sock_fd: descriptor named on the command line
 *
 * For main(), before anything else is set up: no threads, no state.
 *
 * Return: exit status, 0 when the daemon has gone.
 */
int cachebox_main(int sock_fd);

/* What a parser is given: both mapped read-only. */
struct cachebox_input {
	const char *request;
	size_t request_len;
	const void *image; /* NULL: none */
	size_t image_len;
};

/* What a confined process does: a new buffer, or a negative errno. */
typedef int cachebox_work(const struct cachebox_input *input, void **ret, size_t *ret_len,
			  struct error *err);

/** cachebox_serve() - cachebox_main() with other work, so that tests can try the walls */
int cachebox_serve(int sock_fd, cachebox_work *work);

#endif
