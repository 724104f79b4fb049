/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixsock listen PATH   a daemon's socket: says "ready", then answers every caller with PATH
 * unixsock ask PATH      prints the answer, or PATH and the error's name: exit status 1
 *
 * LINK: -static
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *path)
{
	printf("%s %s\n", path, strerrorname_np(errno));
	return 1;
}

static int serve(int sock, const struct sockaddr_un *addr)
{
	const char *path = addr->sun_path;

	(void)unlink(path);
	if (bind(sock, (const struct sockaddr *)addr, sizeof(*addr)) < 0 || chmod(path, 0666) < 0 ||
	    listen(sock, 8) < 0)
		return fail(path);
	puts("ready");
	(void)fflush(stdout);
	for (;;) {
		int caller = accept(sock, NULL, NULL);

		if (caller < 0 || write(caller, path, strlen(path)) < 0)
			return fail(path);
		(void)close(caller);
	}
}

static int ask(int sock, const struct sockaddr_un *addr)
{
	char answer[256];
	ssize_t n = -1;

	if (connect(sock, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		n = read(sock, answer, sizeof(answer));
	if (n < 0)
		return fail(addr->sun_path);
	printf("%.*s\n", (int)n, answer);
	return 0;
}

int main(int argc, char *argv[])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 3 || sock < 0 || strlen(argv[2]) >= sizeof(addr.sun_path)) {
		fputs("usage: unixsock listen|ask PATH\n", stderr);
		return 2;
	}
	strcpy(addr.sun_path, argv[2]);
	return strcmp(argv[1], "listen") == 0 ? serve(sock, &addr) : ask(sock, &addr);
}
