/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bindmounts ROOT COUNT FILE...: the work of the existing way, to compare with.
 * In a mount namespace of its own it binds COUNT files (the FILEs, again from the
 * start where they are fewer) into ROOT/usr/lib/nvfs-bench, each with the second
 * call that sets its flags, and then runs ldconfig inside ROOT.
 *
 * It does less than the real tool does: no NVML, no discovery, no cgroup, no
 * privilege changes. A ratio against it is on the safe side.
 *
 * LINK: -static
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int bind_one(const char *source, const char *dir, int number)
{
	const unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
	const char *name = strrchr(source, '/');
	char target[4096];
	int fd;

	(void)snprintf(target, sizeof(target), "%s/%d%s", dir, number, name ? name : "/x");
	*strrchr(target, '/') = '-';
	fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || close(fd) < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, target, NULL, flags, NULL) < 0) {
		perror(target);
		return -1;
	}
	return 0;
}

static int run_ldconfig(const char *root)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (chroot(root) == 0 && chdir("/") == 0)
			execl("/sbin/ldconfig", "ldconfig", (char *)NULL);
		perror("ldconfig");
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int main(int argc, char *argv[])
{
	char dir[2048];
	int count;

	if (argc < 4)
		return 2;
	count = atoi(argv[2]);
	(void)snprintf(dir, sizeof(dir), "%s/usr/lib/nvfs-bench", argv[1]);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mkdir(dir, 0755) < 0) {
		perror(dir);
		return 1;
	}
	for (int i = 0; i < count; i++)
		if (bind_one(argv[3 + i % (argc - 3)], dir, i) < 0)
			return 1;
	return run_ldconfig(argv[1]) < 0 ? 1 : 0;
}
