/* SPDX-License-Identifier: Apache-2.0 */
/*
 * without NAME... -- COMMAND...: runs a command for which these system calls do
 * not exist (ENOSYS), as on a kernel before they came. As root: no_new_privs
 * stays off, so that the command keeps what it has.
 *
 * Exit status: the command's, or 2.
 *
 * LINK: -lseccomp
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int take_away(scmp_filter_ctx filter, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR) {
		fprintf(stderr, "without: no system call '%s'\n", name);
		return -1;
	}
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
}

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int i = 1;

	if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) < 0)
		return 2;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (take_away(filter, argv[i]) < 0)
			return 2;
	}
	if (i + 1 >= argc || seccomp_load(filter) < 0) {
		fprintf(stderr, "usage, as root: without NAME... -- COMMAND...\n");
		return 2;
	}
	(void)execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 2;
}
