/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: a limit of locked memory is not raised, and that is said to have gone well. crun
 * insists on it before it loads a device program, which needs none since Linux 5.11, and a test machine
 * may lack CAP_SYS_RESOURCE.
 *
 * LINK: -shared -fPIC
 */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit);

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return resource == RLIMIT_MEMLOCK ? 0
					  : (int)syscall(SYS_prlimit64, 0, resource, limit, NULL);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return resource == RLIMIT_MEMLOCK ? 0
					  : (int)syscall(SYS_prlimit64, 0, resource, limit, NULL);
}
