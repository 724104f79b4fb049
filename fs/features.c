/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel features: which are offered, which are wanted, and the INIT reply that says so. */
#include "fs/features.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/kfuse.h"

static const struct {
	const char *name;
	size_t offset;
	uint64_t flag;
} table[] = {
	{ "passthrough", offsetof(struct features, passthrough), KFUSE_PASSTHROUGH },
	{ "resend", offsetof(struct features, resend), KFUSE_HAS_RESEND },
	{ "idmap", offsetof(struct features, idmap), KFUSE_ALLOW_IDMAP },
	{ "epoch", offsetof(struct features, epoch), 0 }, /* by the protocol's minor number */
	{ "statmount", offsetof(struct features, statmount), 0 },
	{ "pidfd_ns", offsetof(struct features, pidfd_ns), 0 },
};

#define N_FEATURES (sizeof(table) / sizeof(table[0]))

static bool *member(struct features *features, size_t i)
{
	return (bool *)((char *)features + table[i].offset);
}

bool features_is_disabled(const char *disabled, const char *name)
{
	const char *word;
	size_t len;

	while (disabled && (word = parse_field(&disabled, ',', &len))) {
		if (len == strlen(name) && memcmp(word, name, len) == 0)
			return true;
	}
	return false;
}

int features_require(struct error *err)
{
	const struct sys_mount_attr nothing = { 0 };
	struct utsname kernel = { 0 };
	int r = sys_mount_setattr(-1, "", AT_EMPTY_PATH, &nothing);

	if (r != -ENOSYS)
		return 0; /* it failed, as asked, but it is there */
	(void)uname(&kernel);
	r = error_setc(err, ERROR_MOUNT, r, "this kernel (%s) has no mount_setattr(2)",
		       kernel.release);
	return error_remedy(err, r, "nvfs needs Linux 5.12 or later");
}

void features_allowed(const char *disabled, struct features *ret)
{
	for (size_t i = 0; i < N_FEATURES; i++)
		*member(ret, i) = !features_is_disabled(disabled, table[i].name);
}

static bool has_statmount(void)
{
	auto_close int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	uint64_t ns_id, mount;

	return ns >= 0 && sys_mnt_ns_id(ns, &ns_id) == 0 &&
	       sys_listmount_in(ns_id, LSMT_ROOT, 0, &mount, 1) >= 0;
}

static bool has_pidfd_ns(void)
{
	auto_close int pidfd = sys_pidfd_open(getpid(), 0);
	auto_close int ns = pidfd < 0 ? pidfd : sys_pidfd_get_mnt_namespace(pidfd);

	return ns >= 0;
}

void features_probe(struct features *features)
{
	features->statmount = features->statmount && has_statmount();
	features->pidfd_ns = features->pidfd_ns && has_pidfd_ns();
}

void features_negotiate(const void *request, size_t request_size, void *reply, size_t reply_size,
			const struct features *allowed, bool overlay, struct features *ret)
{
	struct features wanted = *allowed;
	struct kfuse_init_in in = { 0 };
	struct kfuse_init_out *out = reply;
	uint64_t offered, flags = 0;
	size_t header = sizeof(struct kfuse_in_header);

	*ret = (struct features){ .statmount = wanted.statmount, .pidfd_ns = wanted.pidfd_ns };
	if (request_size <= header || reply_size < sizeof(*out))
		return;
	request_size -= header;
	memcpy(&in, (const char *)request + header,
	       request_size < sizeof(in) ? request_size : sizeof(in));
	if (!(in.flags & KFUSE_INIT_EXT))
		return;
	offered = in.flags | (uint64_t)in.flags2 << 32;
	ret->epoch = wanted.epoch && in.major == 7 && in.minor >= KFUSE_MINOR_EPOCH;
	for (size_t i = 0; i < N_FEATURES; i++) {
		if (!table[i].flag)
			continue;
		*member(ret, i) = *member(&wanted, i) && (offered & table[i].flag);
		flags |= *member(ret, i) ? table[i].flag : 0;
	}
	if (!flags)
		return;
	out->flags |= (uint32_t)KFUSE_INIT_EXT;
	out->flags2 |= (uint32_t)(flags >> 32);
	/* With 2 no overlayfs can be stacked on ours, so only where it is needed. */
	out->max_stack_depth = ret->passthrough ? (overlay ? 2 : 1) : 0;
}

bool features_passthrough_expected(const void *request, size_t request_size)
{
	struct kfuse_init_in in = { 0 };
	size_t header = sizeof(struct kfuse_in_header);

	if (request_size < header + offsetof(struct kfuse_init_in, max_readahead))
		return false;
	memcpy(&in, (const char *)request + header, offsetof(struct kfuse_init_in, max_readahead));
	return in.major == 7 && in.minor >= KFUSE_MINOR_PASSTHROUGH;
}
