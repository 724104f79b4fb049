/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen SONAME...: loads each library the way any program does and prints the
 * path that it came from. A copy with the setuid bit shows what is left of that
 * where the loader ignores LD_LIBRARY_PATH (AT_SECURE, ld.so(8)); the first
 * line says which case it was.
 *
 * Dynamic on purpose, and without calls newer than glibc 2.34: it runs in the
 * container's own libc.
 *
 * LINK: -ldl
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

static int load(const char *name)
{
	void *handle = dlopen(name, RTLD_NOW);
	struct link_map *map = NULL;
	char *real;

	if (!handle) {
		fprintf(stderr, "dlopen: %s\n", dlerror());
		return -1;
	}
	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0) {
		fprintf(stderr, "dlinfo: %s\n", dlerror());
		return -1;
	}
	real = realpath(map->l_name, NULL);
	printf("%s %s %s\n", name, map->l_name, real ? real : "?");
	free(real);
	return 0;
}

int main(int argc, char *argv[])
{
	int failed = 0;

	printf("secure %d\n", getauxval(AT_SECURE) ? 1 : 0);
	for (int i = 1; i < argc; i++)
		failed |= load(argv[i]) < 0;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
