/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minict ROOT: the least that is a container: a mount namespace of its own with ROOT as its root, /proc, and
 * a tmpfs on /dev. Prints "ready" and waits; a thousand of them take the time of one of a runtime's.
 *
 * LINK: -static
 */
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static int enter(const char *root)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(root, root, NULL, MS_BIND, NULL) < 0 || chdir(root) < 0)
		return -1;
	if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k") < 0 ||
	    mount("proc", "proc", "proc", 0, NULL) < 0)
		return -1;
	/* The old root comes to lie on top of the new one, and goes. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -1;
	return chdir("/");
}

int main(int argc, char *argv[])
{
	if (argc != 2)
		return 2;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter(argv[1]) < 0) {
		perror(argv[1]);
		return 1;
	}
	puts("ready");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
