/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_ASAN_H
#define NVFS_FS_ASAN_H

#include <sys/resource.h>

/* ADDRESS_SANITIZER: is this build instrumented? clang says it by a feature, gcc by a macro. */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#endif

/* A limit for RLIMIT_AS, which there is none of then: the shadow memory is 16 TiB of addresses. */
#ifdef ADDRESS_SANITIZER
#define ASAN_MEMORY_MAX(bytes) RLIM_INFINITY
#else
#define ASAN_MEMORY_MAX(bytes) ((rlim_t)(bytes))
#endif

#endif
