/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swapper FILE PATH PATH [PATH PATH]...: exchange the two paths of each pair as fast as it goes, by
 * renameat2(RENAME_EXCHANGE), until SIGTERM; then write to FILE how often it was done.
 *
 * What is at a path is always one of the two: whoever looks twice may see both.
 *
 * LINK: -static
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

int main(int argc, char **argv)
{
	unsigned long swaps = 0;
	FILE *out;

	if (argc < 4 || argc % 2 || signal(SIGTERM, end) == SIG_ERR) {
		fprintf(stderr, "usage: swapper FILE PATH PATH [PATH PATH]...\n");
		return EXIT_FAILURE;
	}
	while (!ended) {
		for (int i = 2; i < argc; i += 2)
			swaps += renameat2(AT_FDCWD, argv[i], AT_FDCWD, argv[i + 1],
					   RENAME_EXCHANGE) == 0;
	}
	out = fopen(argv[1], "w");
	if (!out || fprintf(out, "%lu\n", swaps) < 0 || fclose(out) != 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
