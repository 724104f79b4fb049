/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floorbench CGROUP WORK FUSE: what the kernel alone takes for each of the things that an injection is
 * made of, as "NAME NS" lines, medians. CGROUP is a directory of cgroup v2, in which one
 * cgroup is made and removed; WORK an empty directory where roots of containers lie; FUSE a directory of
 * a FUSE mount, in which names are looked up that are not there. Root.
 *
 *   exec     a static program that ends at once: posix_spawn to waitpid
 *   fork     a child with a copy of a small memory that ends at once, and is waited for
 *   enter    what setns(2) to another mount namespace adds to that
 *   wake     one process wakes another one that waits for an eventfd
 *   bind     one file: open_tree, mount_setattr, move_mount and closing
 *   copy-up  a link in a directory of an overlay that has no change of its own yet
 *   link     another one beside it
 *   filter   a seccomp filter of 58 instructions, with arithmetic
 *   load     a device program like a runtime's, of 74 instructions
 *   attach   replacing a cgroup's device program by another one
 *   lookup   a name that FUSE does not know yet
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 101
#define CLONE_TREE 1 /* OPEN_TREE_CLONE */
#define BOTH_EMPTY 0x44 /* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */

static const char *work_dir, *fuse_dir;
static char cgroup_path[4096];
static int cgroup = -1, other_ns = -1;
static long long *shared; /* what a child measures */

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "floorbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int compare(const void *a, const void *b)
{
	const long long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What @once returns is one time. */
static void measure(const char *name, long long (*once)(int i))
{
	long long ns[RUNS];

	for (int i = 0; i < RUNS; i++)
		ns[i] = once(i);
	qsort(ns, RUNS, sizeof(*ns), compare);
	printf("%s %lld\n", name, ns[RUNS / 2]);
	(void)fflush(stdout);
}

static long long exec_once(int i)
{
	char *argv[] = { (char[]){ "floorbench" }, NULL };
	long long start = now_ns();
	pid_t pid;

	(void)i;
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0 ||
	    waitpid(pid, NULL, 0) < 0)
		die("posix_spawn");
	return now_ns() - start;
}

static long long child(void (*inside)(void))
{
	long long start = now_ns();
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);

	if (pid == 0) {
		if (inside)
			inside();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		die("clone");
	return now_ns() - start;
}

static long long fork_once(int i)
{
	(void)i;
	return child(NULL);
}

static void timed(int (*call)(void))
{
	long long start = now_ns();

	if (call() < 0)
		die("in a child");
	*shared = now_ns() - start;
}

static int enter(void)
{
	return setns(other_ns, CLONE_NEWNS);
}

static void enter_timed(void)
{
	timed(enter);
}

static long long enter_once(int i)
{
	(void)i;
	(void)child(enter_timed);
	return *shared;
}

/* There and back, halved. */
static long long wake_once(int i)
{
	static int there = -1, back = -1;
	eventfd_t n;
	long long start;

	if (i == 0) {
		there = eventfd(0, 0);
		back = eventfd(0, 0);
		if (fork() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (eventfd_read(there, &n) == 0 && n == 1 &&
			       eventfd_write(back, 1) == 0)
				;
			_exit(0);
		}
	}
	(void)usleep(1000); /* it sleeps */
	start = now_ns();
	if (eventfd_write(there, 1) < 0 || eventfd_read(back, &n) < 0)
		die("eventfd");
	start = (now_ns() - start) / 2;
	if (i == RUNS - 1)
		(void)eventfd_write(there, 2);
	return start;
}

static long long bind_once(int i)
{
	const struct {
		uint64_t set, clear, propagation, userns;
	} attr = { .set = 1 | 2 | 8, .propagation = MS_PRIVATE }; /* MOUNT_ATTR_RDONLY, NOSUID, NOEXEC */
	int target = open("tmpfs/target", O_PATH | O_CLOEXEC), fd;
	long long start = now_ns();

	(void)i;
	fd = (int)syscall(428 /* open_tree */, AT_FDCWD, "tmpfs/source", CLONE_TREE | O_CLOEXEC);
	if (fd < 0 || syscall(442 /* mount_setattr */, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    syscall(429 /* move_mount */, fd, "", target, "", BOTH_EMPTY) < 0)
		die("bind");
	(void)close(fd);
	start = now_ns() - start;
	(void)close(target);
	(void)umount2("tmpfs/target", MNT_DETACH);
	return start;
}

static long long link_in(int directory, const char *name)
{
	char path[64];
	long long start;

	(void)snprintf(path, sizeof(path), "overlay/%d/%s", directory, name);
	start = now_ns();
	if (symlink("/usr/local/nvidia/bin/nvidia-smi", path) < 0)
		die(path);
	return now_ns() - start;
}

static long long copy_up_once(int i)
{
	return link_in(i, "first");
}

static long long link_once(int i)
{
	return link_in(i, "second");
}

static int put_filter(void)
{
	struct sock_filter code[58];
	struct sock_fprog prog = { .len = 58, .filter = code };

	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	code[1] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 5);
	for (unsigned int i = 2; i < 57; i++)
		code[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i,
						       (unsigned char)(56 - i), 0);
	code[57] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

static void filter_timed(void)
{
	timed(put_filter);
}

static long long filter_once(int i)
{
	(void)i;
	(void)child(filter_timed);
	return *shared;
}

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

/* Nine rules of a runtime's default; no two programs are alike. */
static int load(int salt)
{
	struct bpf_insn p[96];
	union bpf_attr attr;
	size_t n = 0;
	int fd;

	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
	p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 0, 0);
	p[n++] = INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
	for (int rule = 0; rule < 9; rule++) {
		p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 6, BPF_DEVCG_DEV_CHAR);
		p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 5, rule + salt);
		p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 4, rule);
		p[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, 6);
		p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
		p[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	p[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)p;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		die("load a device program");
	return fd;
}

static long long load_once(int i)
{
	long long start = now_ns();
	int fd = load(i);

	start = now_ns() - start;
	(void)close(fd);
	return start;
}

static void attach(int fd, int old)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI | (old < 0 ? 0 : BPF_F_REPLACE);
	attr.replace_bpf_fd = old < 0 ? 0 : (uint32_t)old;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		die("attach a device program");
}

static long long attach_once(int i)
{
	static int old = -1;
	int fd = load(i);
	long long start;

	if (old < 0) {
		old = load(i + 1);
		attach(old, -1);
	}
	start = now_ns();
	attach(fd, old);
	start = now_ns() - start;
	(void)close(old);
	old = fd;
	return start;
}

static long long lookup_once(int i)
{
	char path[4096];
	struct stat st;
	long long start;

	(void)snprintf(path, sizeof(path), "%s/floorbench-%d-%d", fuse_dir, (int)getpid(), i);
	(void)usleep(1000); /* who serves it sleeps */
	start = now_ns();
	(void)stat(path, &st);
	return now_ns() - start;
}

static void make(const char *name)
{
	if (mkdir(name, 0755) < 0)
		die(name);
}

/* In the working directory, and in a mount namespace that ends with us. */
static void make_mounts(void)
{
	static const char *const names[] = { "tmpfs", "lower", "upper", "work", "overlay" };
	char name[64];

	if (chdir(work_dir) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die(work_dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		make(names[i]);
	for (int i = 0; i < RUNS; i++) {
		(void)snprintf(name, sizeof(name), "lower/%d", i);
		make(name);
	}
	if (mount("floorbench", "tmpfs", "tmpfs", 0, NULL) < 0 ||
	    mount("floorbench", "overlay", "overlay", 0,
		  "lowerdir=lower,upperdir=upper,workdir=work") < 0)
		die("mount");
	(void)close(open("tmpfs/source", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	(void)close(open("tmpfs/target", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
}

static void prepare(const char *cgroups)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	make_mounts();
	other_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNS) < 0)
		die("unshare");
	(void)snprintf(cgroup_path, sizeof(cgroup_path), "%s/floorbench-%d", cgroups,
		       (int)getpid());
	make(cgroup_path);
	cgroup = open(cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int main(int argc, char *argv[])
{
	if (argc < 2) /* the program that ends at once */
		return 0;
	if (argc != 4)
		return 2;
	work_dir = argv[2];
	fuse_dir = argv[3];
	prepare(argv[1]);
	measure("exec", exec_once);
	measure("fork", fork_once);
	measure("enter", enter_once);
	measure("wake", wake_once);
	measure("bind", bind_once);
	measure("copy-up", copy_up_once);
	measure("link", link_once);
	measure("filter", filter_once);
	measure("load", load_once);
	measure("attach", attach_once);
	measure("lookup", lookup_once);
	(void)rmdir(cgroup_path);
	return 0;
}
