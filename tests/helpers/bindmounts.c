/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bindmounts [--nvml LIBRARY] ROOT COUNT FILE...: the work of the existing way, to compare with.
 * Where it is given an NVML it starts that one in a child and asks for each GPU's number and UUID. Then, in a
 * mount namespace of its own, it binds COUNT files (the FILEs, again from the
 * start where they are fewer) into ROOT/usr/lib/nvfs-bench, each with the second
 * call that sets its flags, and runs ldconfig inside ROOT.
 *
 * It does less than the real tool does: no discovery, no cgroup, no
 * privilege changes. A ratio against it is on the safe side.
 *
 * LINK: -ldl
 */
#include <dlfcn.h>
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

/* nvml.h, of the deployment kit: 0 is NVML_SUCCESS, a device is a pointer. */
static int ask_nvml(const char *library)
{
	void *lib = dlopen(library, RTLD_NOW);
	int (*init)(void), (*count)(unsigned int *), (*handle)(unsigned int, void **);
	int (*minor)(void *, unsigned int *), (*uuid)(void *, char *, unsigned int), (*end)(void);
	unsigned int n = 0, number;
	void *device;
	char text[96];

	if (!lib)
		return -1;
	init = (int (*)(void))dlsym(lib, "nvmlInit_v2");
	count = (int (*)(unsigned int *))dlsym(lib, "nvmlDeviceGetCount_v2");
	handle = (int (*)(unsigned int, void **))dlsym(lib, "nvmlDeviceGetHandleByIndex_v2");
	minor = (int (*)(void *, unsigned int *))dlsym(lib, "nvmlDeviceGetMinorNumber");
	uuid = (int (*)(void *, char *, unsigned int))dlsym(lib, "nvmlDeviceGetUUID");
	end = (int (*)(void))dlsym(lib, "nvmlShutdown");
	if (!init || !count || !handle || !minor || !uuid || !end || init() || count(&n))
		return -1;
	for (unsigned int i = 0; i < n; i++)
		if (handle(i, &device) || minor(device, &number) ||
		    uuid(device, text, sizeof(text)))
			return -1;
	return end();
}

/* Of a child that did it: 0, or -1 */
static int wait_for(pid_t pid, const char *what)
{
	int status;

	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0)
		return 0;
	(void)fprintf(stderr, "bindmounts: %s failed\n", what);
	return -1;
}

static int run_nvml(const char *library)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(ask_nvml(library) ? 1 : 0);
	return wait_for(pid, library);
}

static int run_ldconfig(const char *root)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (chroot(root) == 0 && chdir("/") == 0)
			execl("/sbin/ldconfig", "ldconfig", (char *)NULL);
		perror("ldconfig");
		_exit(127);
	}
	return wait_for(pid, "ldconfig");
}

int main(int argc, char *argv[])
{
	char dir[2048];
	int count;

	if (argc > 2 && strcmp(argv[1], "--nvml") == 0) {
		if (run_nvml(argv[2]) < 0)
			return 1;
		argc -= 2;
		argv += 2;
	}
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
