/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treestorm SOCKET N [CACHES]: makes N trees, each for a process with a mount namespace of
 * its own, by the daemon's own protocol (connect, Inject, Commit), and prints
 * "N MEDIAN_NS" of the last ten: the cost of one more tree where N are there. The
 * processes end with this program, so the trees do too in the end.
 *
 * With CACHES each tree is made with one of so many distinct image caches, a process has 100 trees, the
 * line has the median of the ten after the first CACHES too, and the program ends with its input.
 *
 * The replies are not taken apart beyond the token and "error": a JSON library
 * would be more than this needs.
 *
 * LINK: -static
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LAST 10
#define FDS_MAX 64
#define TREES_PER_PROCESS 100

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A container's first process, as far as the daemon can tell; it is ready once the pipe closes. */
static pid_t start_init(void)
{
	int fds[2];
	char c;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)unshare(CLONE_NEWNS);
		(void)syscall(SYS_close_range, 3, ~0U, 0); /* Linux 5.9; ready */
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	(void)!read(fds[0], &c, 1);
	(void)close(fds[0]);
	return pid;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		perror(path);
		(void)close(sock);
		return -1;
	}
	return sock;
}

/* @fds: one, or two where the second is not -1; NULL for none */
static int send_message(int sock, const char *text, const int *fds)
{
	size_t size = fds && fds[1] >= 0 ? 2 * sizeof(int) : sizeof(int);
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)text, strlen(text) + 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(size);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(c), fds, size);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : -1;
}

static void close_received(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[FDS_MAX];

		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			(void)close(fds[i]);
	}
}

static int receive_message(int sock, char *buf, size_t size)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	size_t len = 0;

	while (len < size) {
		struct iovec iov = { buf + len, size - len };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

		if (n <= 0)
			return -1;
		close_received(&msg);
		len += (size_t)n;
		if (buf[len - 1] == '\0')
			return strstr(buf, "\"error\"") ? -1 : 0;
	}
	return -1;
}

static int call(int sock, const char *request, const int *fds, char *reply, size_t size)
{
	reply[0] = '\0';
	if (send_message(sock, request, fds) == 0 && receive_message(sock, reply, size) == 0)
		return 0;
	fprintf(stderr, "treestorm: %s -> %s\n", request, reply);
	return -1;
}

/* The value of "token":"..."; the daemon may put a blank after the colon. */
static int commit(int sock, const char *reply, char *buf, size_t size)
{
	const char *token = strstr(reply, "\"token\"");
	char request[512];
	int len;

	token = token ? strchr(token + 7, '"') : NULL;
	if (!token)
		return -1;
	len = (int)strcspn(token + 1, "\"");
	(void)snprintf(request, sizeof(request),
		       "{\"method\":\"io.nvfs.Commit\",\"parameters\":{\"token\":\"%.*s\","
		       "\"done\":[],\"time_us\":1}}",
		       len, token + 1);
	return call(sock, request, NULL, buf, size);
}

/*
 * An ld.so.cache of some image: this machine's with another directory in it, which stands in no name
 * that the entries are sorted by.
 */
static int image_cache(int number)
{
	static const char dir[] = "-linux-gnu/";
	static char buf[1 << 20];
	static ssize_t len = -1;
	char name[16], *at;
	int fd;

	if (len < 0) {
		fd = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
		len = fd < 0 ? 0 : read(fd, buf, sizeof(buf));
		(void)close(fd);
	}
	at = memmem(buf, (size_t)len, dir, strlen(dir));
	if (!at)
		return -1;
	at += strlen("-linux-");
	(void)snprintf(name, sizeof(name), "%03d", number % 1000);
	memcpy(at, name, 3);
	fd = memfd_create("cache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (write(fd, buf, (size_t)len) != len)
		perror("memfd");
	memcpy(at, "gnu", 3);
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return fd;
}

/* @cache: -1 for none */
static long long make_tree(const char *path, pid_t pid, int number, int cache)
{
	static char reply[1 << 20], rest[1 << 16];
	char request[1024];
	long long start;
	int sock, r, fds[2] = { (int)syscall(SYS_pidfd_open, pid, 0), cache };

	(void)snprintf(request, sizeof(request),
		       "{\"method\":\"io.nvfs.Inject\",\"parameters\":{\"fds\":%d,\"pidfd\":0,%s"
		       "\"id\":\"storm-%d-%d\",\"pid\":%d,\"devices\":\"none\","
		       "\"driver_capabilities\":\"\",\"target\":\"/usr/local/nvidia\","
		       "\"source\":\"arguments\",\"privileged\":false,\"standalone\":false,"
		       "\"cgroup\":false,\"dry_run\":false}}",
		       cache < 0 ? 1 : 2, cache < 0 ? "" : "\"cache\":1,", getpid(), number, pid);
	start = now_ns();
	sock = connect_to(path);
	r = sock < 0 ? -1 : call(sock, request, fds, reply, sizeof(reply));
	if (r == 0)
		r = commit(sock, reply, rest, sizeof(rest));
	start = now_ns() - start;
	(void)close(fds[0]);
	if (sock >= 0)
		(void)close(sock);
	return r < 0 ? -1 : start;
}

static int compare(const void *a, const void *b)
{
	const long long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static long long median(const long long *ns)
{
	long long sorted[LAST];

	memcpy(sorted, ns, sizeof(sorted));
	qsort(sorted, LAST, sizeof(*sorted), compare);
	return sorted[LAST / 2];
}

int main(int argc, char *argv[])
{
	long long last[LAST] = { 0 }, early = 0;
	int n = argc >= 3 ? atoi(argv[2]) : 0, caches = argc == 4 ? atoi(argv[3]) : 0, fds[1000];
	pid_t pid = 0;

	if (n < LAST || caches < 0 || caches > 1000)
		return 2;
	for (int i = 0; i < caches; i++)
		fds[i] = image_cache(i);
	for (int i = 0; i < n; i++) {
		long long ns;

		/* 10,000 processes would be a storm of another kind. */
		if (!caches || i % TREES_PER_PROCESS == 0)
			pid = start_init();
		ns = pid < 0 ? -1 : make_tree(argv[1], pid, i, caches ? fds[i % caches] : -1);
		if (ns < 0)
			return 1;
		last[i % LAST] = ns;
		if (caches && i == caches + LAST - 1)
			early = median(last);
	}
	printf("%d %lld %lld\n", n, median(last), early);
	(void)fflush(stdout);
	if (caches)
		(void)getchar();
	return 0;
}
