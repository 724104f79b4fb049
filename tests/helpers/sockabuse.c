/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockabuse SOCKET OP...: a client of the daemon that keeps to no rule. What
 * the daemon answers is printed, one message a line; "closed" where it ended
 * the connection, "timeout" where it said nothing for 15 s.
 *
 *   send=TEXT     a message: the text and its NUL, with the descriptors queued so far; @TOKEN@ in
 * it becomes the last token that the daemon told part=TEXT     the text alone split=TEXT    a
 * message, byte by byte file=PATH     the bytes of a file fd=KIND       queue a descriptor:
 * pidfd:PID pipe dir:PATH file:PATH memfd:PATH (sealed) unsealed:PATH null fds=N         queue N of
 * /dev/null race=A:B      queue a sealed memfd that holds the files A and B, one behind the other,
 * and set its offset, which the daemon shares, to B as soon as the daemon sets it to 0 recv wait
 * for one message ended         wait until the daemon ends the connection, whatever it says before
 *   connect       another connection; those before stay open
 *   flood=N       N connections with half a message each; prints how many the daemon kept
 *   hoard=N       N connections, and then half a message with 120 descriptors on each, one at a time
 *   leave         a child goes on with the connections, and we end: then no process has the pid of
 *                 who connected
 *   shut          no more bytes from us, but replies are read
 *   wait=MS       how long recv and ended wait from now on, instead of 15 s
 *   sleep=MS      run=COMMAND
 *
 * Exit status: 0 said all, 1 something of our own failed, 2 usage.
 *
 * LINK: -static -pthread
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 253 /* SCM_MAX_FD */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct abuse {
	const char *path;
	int sock;
	int fds[FDS_MAX];
	size_t n_fds;
	char *got; /* bytes after the last message */
	size_t n_got;
	char token[32];
	int wait_ms;
};

struct race {
	int fd;
	off_t to;
	atomic_bool over;
};

static void die(const char *what)
{
	fprintf(stderr, "sockabuse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int number(const char *s)
{
	int n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

static int try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path) || sock < 0)
		die("socket");
	strcpy(addr.sun_path, path);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return sock;
	(void)close(sock);
	return -1;
}

/* sending */

/* The descriptors go with the first byte. A daemon that hung up is seen by recv. */
static void send_bytes(struct abuse *a, const char *bytes, size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;

	while (len) {
		struct iovec iov = { .iov_base = (void *)(unsigned long)bytes, .iov_len = len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (a->n_fds) {
			struct cmsghdr *c = &control.align;

			memset(&control, 0, sizeof(control));
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * a->n_fds);
			memcpy(CMSG_DATA(c), a->fds, sizeof(int) * a->n_fds);
			msg.msg_control = control.buf;
			msg.msg_controllen = CMSG_SPACE(sizeof(int) * a->n_fds);
		}
		n = sendmsg(a->sock, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno != EPIPE && errno != ECONNRESET)
			die("send");
		if (n < 0)
			return;
		a->n_fds = 0;
		bytes += n;
		len -= (size_t)n;
	}
}

static void send_text(struct abuse *a, const char *text)
{
	const char *at = strstr(text, "@TOKEN@");

	if (at) {
		send_bytes(a, text, (size_t)(at - text));
		send_bytes(a, a->token, strlen(a->token));
		text = at + strlen("@TOKEN@");
	}
	send_bytes(a, text, strlen(text) + 1);
}

static void send_split(struct abuse *a, const char *text)
{
	for (size_t i = 0; i <= strlen(text); i++) {
		send_bytes(a, text + i, 1);
		if (i % 16 == 0)
			(void)usleep(1000);
	}
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	char *bytes = NULL;
	size_t room = 0, n;

	if (!file)
		die(path);
	*ret_len = 0;
	do {
		room += 1 << 20;
		bytes = realloc(bytes, room);
		if (!bytes)
			die("realloc");
		n = fread(bytes + *ret_len, 1, room - *ret_len, file);
		*ret_len += n;
	} while (n);
	(void)fclose(file);
	return bytes;
}

static void send_file(struct abuse *a, const char *path)
{
	size_t len;
	char *bytes = read_file(path, &len);

	send_bytes(a, bytes, len);
	free(bytes);
}

/* descriptors */

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			die("write a memfd");
		bytes += n;
		len -= (size_t)n;
	}
}

static int memfd_of(const char *path, const char *more, bool seal, size_t *ret_first)
{
	int fd = memfd_create("abuse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t len;
	char *bytes = read_file(path, &len);

	write_all(fd, bytes, len);
	free(bytes);
	if (ret_first)
		*ret_first = len;
	if (more) {
		bytes = read_file(more, &len);
		write_all(fd, bytes, len);
		free(bytes);
	}
	if (seal && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		die("seal");
	return fd;
}

static int make_fd(const char *kind)
{
	const char *arg = strchr(kind, ':');
	int pipes[2];

	arg = arg ? arg + 1 : "";
	if (strncmp(kind, "pidfd:", 6) == 0)
		return (int)syscall(SYS_pidfd_open, number(arg), 0);
	if (strncmp(kind, "dir:", 4) == 0)
		return open(arg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (strncmp(kind, "file:", 5) == 0)
		return open(arg, O_RDONLY | O_CLOEXEC);
	if (strncmp(kind, "memfd:", 6) == 0)
		return memfd_of(arg, NULL, true, NULL);
	if (strncmp(kind, "unsealed:", 9) == 0)
		return memfd_of(arg, NULL, false, NULL);
	if (strcmp(kind, "null") == 0)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	if (strcmp(kind, "pipe") == 0)
		return pipe2(pipes, O_CLOEXEC) < 0 ? -1 : pipes[0];
	errno = EINVAL;
	return -1;
}

static void queue_fd(struct abuse *a, int fd)
{
	if (fd < 0 || a->n_fds == FDS_MAX)
		die("make a descriptor");
	a->fds[a->n_fds++] = fd;
}

/* The offset tells what the daemon does: 1 it is ours, 0 it will read next, else it has read. */
static void *race_main(void *arg)
{
	struct race *race = arg;
	bool won = false;

	while (!won && !atomic_load(&race->over)) {
		if (lseek(race->fd, 0, SEEK_CUR) != 0)
			continue;
		(void)lseek(race->fd, race->to, SEEK_SET);
		won = true;
	}
	return NULL;
}

static void start_race(struct abuse *a, char *files)
{
	struct race *race = calloc(1, sizeof(*race));
	char *second = strchr(files, ':');
	pthread_t thread;
	size_t first = 0;

	if (!race || !second)
		die("race");
	*second++ = '\0';
	race->fd = memfd_of(files, second, true, &first);
	race->to = (off_t)first;
	(void)lseek(race->fd, 1, SEEK_SET);
	queue_fd(a, race->fd);
	if (pthread_create(&thread, NULL, race_main, race) != 0)
		die("thread");
}

/* receiving */

/* 1: more bytes are there, 0: the end, -1: time is up */
static int fill(struct abuse *a)
{
	struct pollfd p = { .fd = a->sock, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, a->wait_ms) != 1)
		return -1;
	a->got = realloc(a->got, a->n_got + 65536);
	if (!a->got)
		die("realloc");
	n = recv(a->sock, a->got + a->n_got, 65536,
		 0); /* descriptors that come along are dropped */
	if (n <= 0)
		return 0;
	a->n_got += (size_t)n;
	return 1;
}

static void keep_token(struct abuse *a, const char *text)
{
	const char *at = strstr(text, "\"token\":\"");

	if (at)
		(void)snprintf(a->token, sizeof(a->token), "%.16s", at + strlen("\"token\":\""));
}

/* 1: a message was printed; 0 and -1 as above */
static int print_message(struct abuse *a)
{
	char *end;
	int r = 1;

	while (!(end = a->n_got ? memchr(a->got, '\0', a->n_got) : NULL)) {
		r = fill(a);
		if (r <= 0)
			break;
	}
	if (!end) {
		puts(r == 0 ? "closed" : "timeout");
		return r;
	}
	puts(a->got);
	keep_token(a, a->got);
	a->n_got -= (size_t)(end - a->got) + 1;
	memmove(a->got, end + 1, a->n_got);
	return 1;
}

static void flood(const char *path, int n)
{
	int socks[4096], kept = 0, opened = 0;
	char byte;

	for (int i = 0; i < n && i < 4096; i++) {
		int sock = try_connect(path);

		if (sock >= 0 && send(sock, "{\"method\":", 10, MSG_NOSIGNAL) >= 0)
			socks[opened++] = sock;
	}
	(void)usleep(500000);
	for (int i = 0; i < opened; i++)
		kept += recv(socks[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	printf("kept %d of %d\n", kept, n);
}

static void hoard(struct abuse *a, int n)
{
	int socks[4096], opened = 0;

	for (int i = 0; i < n && i < 4096; i++) {
		socks[opened] = try_connect(a->path);
		opened += socks[opened] >= 0;
	}
	(void)usleep(500000);
	for (int i = 0; i < opened * 120; i++) {
		int fd = make_fd("null");

		a->sock = socks[i % opened];
		a->n_fds = 0;
		queue_fd(a, fd);
		send_bytes(a, i < opened ? "{" : " ", 1);
		(void)close(fd);
	}
}

static void leave(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		_exit(0);
}

static bool run(struct abuse *a, char *op)
{
	char *arg = strchr(op, '=');

	arg = arg ? arg + 1 : op + strlen(op);
	if (strncmp(op, "send=", 5) == 0)
		send_text(a, arg);
	else if (strncmp(op, "part=", 5) == 0)
		send_bytes(a, arg, strlen(arg));
	else if (strncmp(op, "split=", 6) == 0)
		send_split(a, arg);
	else if (strncmp(op, "file=", 5) == 0)
		send_file(a, arg);
	else if (strncmp(op, "fd=", 3) == 0)
		queue_fd(a, make_fd(arg));
	else if (strncmp(op, "fds=", 4) == 0)
		for (int i = number(arg); i > 0; i--)
			queue_fd(a, make_fd("null"));
	else if (strncmp(op, "race=", 5) == 0)
		start_race(a, arg);
	else if (strcmp(op, "recv") == 0)
		(void)print_message(a);
	else if (strcmp(op, "ended") == 0)
		while (print_message(a) > 0)
			;
	else if (strcmp(op, "connect") == 0)
		a->sock = try_connect(a->path);
	else if (strncmp(op, "hoard=", 6) == 0)
		hoard(a, number(arg));
	else if (strcmp(op, "leave") == 0)
		leave();
	else if (strncmp(op, "flood=", 6) == 0)
		flood(a->path, number(arg));
	else if (strcmp(op, "shut") == 0)
		(void)shutdown(a->sock, SHUT_WR);
	else if (strncmp(op, "wait=", 5) == 0)
		a->wait_ms = number(arg);
	else if (strncmp(op, "sleep=", 6) == 0)
		(void)usleep((useconds_t)number(arg) * 1000);
	else if (strncmp(op, "run=", 4) == 0)
		return system(arg) != -1;
	else
		return false;
	return true;
}

int main(int argc, char *argv[])
{
	struct abuse a = { .wait_ms = 15000 };

	if (argc < 3) {
		fputs("usage: sockabuse SOCKET OP...\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	a.path = argv[1];
	a.sock = try_connect(a.path);
	if (a.sock < 0)
		die("connect");
	for (int i = 2; i < argc; i++) {
		if (!run(&a, argv[i])) {
			fprintf(stderr, "sockabuse: what is '%s'?\n", argv[i]);
			return 2;
		}
		if (a.sock < 0)
			die("connect");
	}
	return 0;
}
