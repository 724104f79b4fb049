/* SPDX-License-Identifier: Apache-2.0 */
/* What the socket says of itself. */
#include "fs/methods_impl.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"

/* org.varlink.service: https://varlink.org/Service */

static const char interface_text[] =
	"# Driver trees for containers\n"
	"interface io.nvfs\n"
	"\n"
	"# Trees of containers; who isn't root sees its own. Called with 'more', it answers in pieces, and no\n"
	"# other call waits for all of them\n"
	"method List() -> (trees: []object)\n"
	"method Status() -> (version: string, daemon_pid: int, mountpoint: string, trees: int)\n"
	"# Driver and GPUs, each fact with its source\n"
	"method Node() -> (driver_version: object, cuda_version: object, driver_root: string, "
	"gpus: []object,\n"
	"  nvml: (state: string, took_ms: ?int, findings: []string))\n"
	"# A specification of the Container Device Interface\n"
	"method Cdi(vendor: ?string, class: ?string, hooks: ?bool) -> (spec: object)\n"
	"# The host's files, sockets and device nodes of the driver\n"
	"method Files(devices: ?string) -> (driver_root: string, proc_root: string, "
	"driver_version: string,\n"
	"  has_nvcaps: bool, files: []object, sockets: []object, gpus: ?[]object, migs: ?[]object, "
	"nodes: ?[]string)\n"
	"# Is all well? state is ok or degraded\n"
	"method Check() -> (state: string, reasons: []string, daemon_pid: int, keeper_pid: int, "
	"mode: string)\n"
	"# What the driver was, as far as trees show it: the present one first\n"
	"method Generations() -> (generations: []object, warnings: []string)\n"
	"# What happens, as it happens: to be called with 'more', and answered by each event in "
	"turn\n"
	"method Events() -> (event: string, time_us: int, id: ?string, pid: ?int, uid: ?int)\n"
	"# Look at the driver now\n"
	"method Rescan() -> (result: string)\n"
	"# A tree by id, unique beginning of an id, or pid; Show adds the tree as text. 'serial' names the record, for\n"
	"# Remove: its upper 32 bits the tree, the others count its records, anew in a daemon that takes over.\n"
	"# With 'removing' its permission is not healed for half a minute, and pid is somebody's who is left in it, or 0;\n"
	"# 'pidfd' must be of a process of it\n"
	"method Get(id: ?string, pid: ?int, removing: ?bool, pidfd: ?int)\n"
	"  -> (id: string, pid: int, done: []object, serial: int)\n"
	"method Show(id: ?string, pid: ?int) -> (id: string, pid: int, done: []object, tree: "
	"string)\n"
	"# Why a path is in a tree, or not; kind is tree, container, name or host\n"
	"method Why(path: string, kind: string, id: ?string, pid: ?int, tree: ?string)\n"
	"  -> (in_tree: bool, rule: string, why: string)\n"
	"# Make a tree and a plan; descriptors beside the message: see nvfs(1), PROTOCOL. Where "
	"there is\n"
	"# nothing to do, 'nothing' and 'why' are all of the reply\n"
	"method Inject(id: string, devices: string, driver_capabilities: ?string, target: "
	"?string,\n"
	"  mig_config: ?string, mig_monitor: ?string, imex_channels: ?string, imex_source: "
	"?string,\n"
	"  fabric: ?string,\n"
	"  requirements: ?[]string, source: ?string, privileged: ?bool, standalone: ?bool, cgroup: "
	"?bool,\n"
	"  without: ?string, lib64_at: ?string, lib32_at: ?string, dry_run: ?bool, pid: ?int, "
	"pidfd: ?int,\n"
	"  cache: ?int, compat: ?int, cuda_compat_mode: ?string, client: ?string, fds: ?int)\n"
	"  -> (id: ?string, trace: ?string, token: ?string, state: ?string, warnings: ?[]string,\n"
	"  plan: ?[]object, fds: ?int, nothing: ?bool, why: ?string)\n"
	"method Commit(token: string, done: []object, time_us: ?int) -> ()\n"
	"method Abort(token: string) -> ()\n"
	"method Strip(cache: int, target: string, fds: int) -> (cache: int, fds: int)\n"
	"# With 'permission' that alone has been taken back, and the tree stays\n"
	"method Remove(id: ?string, pid: ?int, serial: ?int, permission: ?bool) -> ()\n"
	"# Take tree, devices and permission away from a living container\n"
	"method Revoke(id: string) -> (id: string, ended: bool)\n"
	"# A container's device cgroups, permitted anew: of nvinject --heal\n"
	"method Heal(id: string, pidfd: int, fds: int) -> (cgroup: ?object, serial: int)\n"
	"method Healed(id: string, serial: int, cgroup: object) -> ()\n"
	"# Give way to the program on the disk; answers when that has read the state\n"
	"method Handover() -> ()\n"
	"method Shutdown(force: ?bool) -> ()\n"
	"\n"
	"error Error (class: string, message: string, remedy: string, errno: int, trace: "
	"?string)\n";

int method_info(struct daemon *daemon, struct client *client, json_t *params,
		struct varlink_message *message, const char *trace, struct method_reply *reply,
		struct error *err)
{
	(void)daemon;
	(void)client;
	(void)params;
	(void)message;
	(void)trace;
	return methods_reply(reply,
			     json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "nvfs",
				       "product", "nvfs", "version", NVFS_VERSION, "url", "",
				       "interfaces", "org.varlink.service", "io.nvfs"),
			     err);
}

int method_description(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	const char *name = varlink_string(params, "interface", "");

	(void)daemon;
	(void)client;
	(void)message;
	(void)trace;
	if (strcmp(name, "io.nvfs") != 0)
		return error_setc(err, ERROR_USAGE, -ENOENT, "no interface '%.64s'", name);
	return methods_reply(reply, json_pack("{s:s}", "description", interface_text), err);
}
