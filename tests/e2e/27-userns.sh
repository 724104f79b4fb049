#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container in a user namespace of its own: it gets the driver, and its root, with every capability
# there, cannot clear a flag of what it was given.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
BASE=100000
# The root is not to be given /sys and cgroups by the runtime: a user namespace may not mount these.
USERNS='.linux.namespaces += [{ type: "user" }]
	| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
	| .linux.gidMappings = .linux.uidMappings
	| .process.noNewPrivileges = false
	| .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_CHOWN", "CAP_FOWNER"])'

# run_in_userns NAME: files belong to the container's own ids, as user-namespaced runtimes arrange it
run_in_userns()
{
	make_rootfs glibc "$1"
	find "$ROOTFS" -xdev -exec chown -h "$BASE:$BASE" {} +
	chmod 4755 "$ROOTFS/usr/local/bin/dlopen-setuid" # chown takes the bit away
	run_container "$1" "$ROOTFS" "$USERNS"
}

injected()
{
	is "the container has its own user namespace" \
		"$(awk '{ print $1, $2 }' "/proc/$PID/uid_map")" "0 $BASE"
	ok "nvinject succeeds" nvinject --pid "$PID" --id "$(container_id user)" --devices all
	ok "libcuda.so.1 loads" in_container user dlopen libcuda.so.1
	like "and comes from the tree" "$OUT" "$TREE/"
	ok "for a setuid program too" in_container_as 1000 user dlopen-setuid libcuda.so.1
	like "ldconfig -p lists the driver" "$(in_container user ldconfig -p)" 'libcuda\.so\.1'
	ok "nvidia-smi is found by name" in_container user sh -c 'command -v nvidia-smi'
	ok "ldconfig in the container succeeds" in_container user ldconfig
	is "what was made in the root is the container's" \
		"$(stat -c %u "$ROOTFS/usr/local/nvidia" "$ROOTFS/etc/ld.so.cache" "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf" | sort -u)" \
		"$BASE"
	ok "again changes nothing" nvinject --pid "$PID" --id "$(container_id user)" --devices all
	is "the tree is one mount" "$(mounts_in "$PID" | grep -c "^$TREE ")" 1
	is "every device node is read-only, nosuid and noexec" \
		"$(mounts_in "$PID" | grep '^/dev/nvidia' | grep -vc 'ro,nosuid,noexec')" 0
}

# Mount flags that were not set when the namespace was crossed could be cleared.
locked()
{
	local node flag on

	in_container user sh -c 'mkdir /tmp/d; : >/tmp/f'
	for node in "$TREE" /dev/nvidiactl /dev/nvidia0; do
		on=/tmp/f
		[ "$node" != "$TREE" ] || on=/tmp/d
		for flag in rw suid; do
			fails "root may not clear a flag of $node: $flag" 1 EPERM in_container user remount "$node" $flag
			fails "nor of another mount of it" 1 EPERM in_container user remount -b $on "$node" $flag
		done
	done
	fails "root may not make the tree's devices work" 1 EPERM in_container user remount "$TREE" dev
	fails "nor run programs from a node's mount" 1 EPERM in_container user remount /dev/nvidia0 exec
	not_ok "root may not change the mode of a node" in_container user chmod 600 /dev/nvidiactl
	fails "nobody writes to the tree" 1 'Read-only file system' in_container user touch "$TREE/x"
}

taken_back()
{
	ok "nvinject --remove succeeds" nvinject --remove --pid "$PID" --id "$(container_id user)"
	is "no mount of ours is left" "$(mounts_in "$PID" | grep -c nvidia)" 0
	not_ok "nor a library" in_container user dlopen libcuda.so.1
	kill_container user
}

host_snapshot
use_sample_driver
write_config
start_daemon --config "$CONFIG"
run_in_userns user
injected
locked
taken_back
kill_containers
stop_daemon
host_compare
done_testing
