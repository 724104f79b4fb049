/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a corpus through a fuzz target without a fuzzer, as a unit test:
 * each file whole, then cut short at places spread over its length. A target
 * that finds a fault aborts, which prove(1) reports. Prints TAP.
 *
 *   fuzz_X          replays tests/fuzz/corpus/X (run from the top folder)
 *   fuzz_X FILE...  replays these files
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

#define INPUT_MAX (64u << 20)
#define CUTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exact size, so that a sanitizer sees one byte too many. */
static int replay_bytes(const char *data, size_t len)
{
	auto_free uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	return 0;
}

static int replay_file(const char *path, struct error *err)
{
	auto_free char *data = NULL;
	size_t len, step;
	int r;

	r = file_read_at(AT_FDCWD, path, INPUT_MAX, &data, &len, err);
	if (r < 0)
		return r;
	r = replay_bytes(data, len);
	step = len / CUTS + 1;
	for (size_t cut = 0; cut < len && r == 0; cut += step)
		r = replay_bytes(data, cut);
	return r < 0 ? error_set(err, r, "replay '%s'", path) : 0;
}

/* Print one TAP line for one input. */
static int replay(int number, const char *path)
{
	struct error err = { 0 };
	int r;

	printf("# %s\n", path); /* what was running when it aborts */
	(void)fflush(stdout);
	r = replay_file(path, &err);
	if (r < 0)
		printf("not ok %d - %s\n# %s\n", number, path, err.text);
	else
		printf("ok %d - %s\n", number, path);
	return r;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder, int *count)
{
	struct dirent **names = NULL;
	int n, failed = 0;

	n = scandir(folder, &names, not_hidden, alphasort);
	for (int i = 0; i < n; i++) {
		auto_free char *path = NULL;

		if (asprintf(&path, "%s/%s", folder, names[i]->d_name) < 0)
			abort();
		failed |= replay(++*count, path) < 0;
		free(names[i]);
	}
	free(names);
	if (n > 0)
		return failed ? -EIO : 0;
	printf("not ok %d - corpus %s is missing or empty\n", ++*count, folder);
	return -ENOENT;
}

int main(int argc, char **argv)
{
	static const char prefix[] = "fuzz_";
	auto_free char *folder = NULL;
	const char *name = strrchr(argv[0], '/');
	int count = 0, failed = 0;

	name = name ? name + 1 : argv[0];
	if (strncmp(name, prefix, strlen(prefix)) == 0)
		name += strlen(prefix);
	if (asprintf(&folder, "tests/fuzz/corpus/%s", name) < 0)
		return EXIT_FAILURE;
	for (int i = 1; i < argc; i++)
		failed |= replay(++count, argv[i]) < 0;
	if (argc == 1)
		failed |= replay_folder(folder, &count) < 0;
	printf("1..%d\n", count);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
