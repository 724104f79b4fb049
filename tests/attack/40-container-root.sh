#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Root of a container without a user namespace turns on what it was given: it writes, remounts, changes
# modes, unmounts. First with the capabilities that runtimes give by default, then with CAP_SYS_ADMIN
# besides, to which mounts belong: the driver's files and the other containers' trees stay what they are.
# (tests/e2e/27-userns.sh has the container in a user namespace.)
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
# What Docker and Podman give a container unless told otherwise
USUAL='["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
	"CAP_AUDIT_WRITE"]'

# capabilities MORE: a filter
capabilities()
{
	echo ".process.capabilities |= map_values($USUAL + $1) | .process.noNewPrivileges = false"
}

# Files of the driver and nodes of devices, as the host has them
host_files()
{
	find "$DRIVER_ROOT" -type f -exec sha256sum {} + | sort -k 2
	find "$DRIVER_ROOT" "$DEV_ROOT" -printf '%p %y %m %U:%G %s\n' | sort
	grep -v -e "$SCRATCH/rootfs-" /proc/self/mountinfo
}

untouched()
{
	host_files >"$SCRATCH/after"
	ok "$1: the host's files and nodes are what they were" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
	ok "$1: the neighbour's libcuda loads" in_container neighbour dlopen libcuda.so.1
	ok "$1: the daemon answers" nvfs status
}

# attack_writes NAME ERROR: nothing of the tree can be opened to write, made, removed or changed
attack_writes()
{
	local lib=$TREE/lib64/libcuda.so.999.10.01 what

	for what in "echo x >$lib" "echo x >>$lib" "dd if=/dev/zero of=$lib bs=1 count=1 conv=notrunc" \
		"echo x 1<>$lib" "echo x >$TREE/etc/ld.so.cache" "echo x >$TREE/proc/driver/nvidia/version" "rm $lib" "mv $lib $lib.x" \
		"touch $TREE/new" "mkdir $TREE/new" "ln -s /etc $TREE/new" "ln $lib $TREE/new" "mknod $TREE/new c 1 3" \
		"chmod 777 $lib" "chown 1:1 $lib" "truncate -s 0 $lib" "touch $lib"; do
		fails "$1: $what" '[1-9]*' "$2" in_container attacker sh -c "$what"
	done
}

# with_busybox NAME: a root with its mount and umount
with_busybox()
{
	make_rootfs glibc "$1"
	cp /bin/busybox "$ROOTFS/bin/"
}

host_snapshot
use_sample_driver
write_config 'grace = 1'
start_daemon --config "$CONFIG"
make_rootfs glibc neighbour
run_container neighbour "$ROOTFS"
ok "a neighbour has the driver" nvinject --pid "$PID" --id neighbour --devices all
host_files >"$SCRATCH/before"

# ---- the usual capabilities ----------------------------------------------------------------------

with_busybox attacker
run_container attacker "$ROOTFS" "$(capabilities '[]')"
ok "the container is injected" nvinject --pid "$PID" --id attacker --devices all
attack_writes "usual capabilities" 'Read-only file system|Operation not permitted'
for node in nvidia0 nvidiactl; do
	fails "usual capabilities: chmod of /dev/$node" 1 'Read-only file system' in_container attacker chmod 000 "/dev/$node"
	fails "usual capabilities: chown of /dev/$node" 1 'Read-only file system' in_container attacker chown 1:1 "/dev/$node"
	not_ok "usual capabilities: removal of /dev/$node" in_container attacker rm "/dev/$node"
done
for mount in "$TREE" /dev/nvidia0; do
	fails "usual capabilities: $mount writable" 1 EPERM in_container attacker remount "$mount" rw
	not_ok "usual capabilities: unmount $mount" in_container attacker /bin/busybox umount "$mount"
	not_ok "usual capabilities: unmount $mount, lazily" in_container attacker /bin/busybox umount -l "$mount"
done
not_ok "usual capabilities: the superblock writable" in_container attacker /bin/busybox mount -o remount,rw "$TREE"
untouched "usual capabilities"
kill_container attacker

# ---- with CAP_SYS_ADMIN --------------------------------------------------------------------------

with_busybox admin
run_container attacker "$ROOTFS" "$(capabilities '["CAP_SYS_ADMIN"]')"
ok "a container with CAP_SYS_ADMIN is injected" nvinject --pid "$PID" --id admin --devices all
ok "it may make its own mount writable" in_container attacker remount "$TREE" rw
attack_writes "writable mount" 'Read-only file system|Operation not permitted'
# mount(2): a remount without MS_BIND is the superblock's, and there is one for all.
ok "it may make the superblock writable" in_container attacker /bin/busybox mount -o remount,rw "$TREE"
attack_writes "writable superblock" 'Read-only file system|Operation not permitted|Function not implemented'
ok "it makes it read-only again" in_container attacker /bin/busybox mount -o remount,ro "$TREE"
untouched "with CAP_SYS_ADMIN"
ok "it may unmount its own tree" in_container attacker /bin/busybox umount -l "$TREE"
untouched "with CAP_SYS_ADMIN, unmounted"
ok "injected again it has its tree" nvinject --pid "$PID" --id admin --devices all
ok "which is one" in_container attacker dlopen libcuda.so.1

# umount2(2), MNT_FORCE: it ends the connection of the superblock, which is everybody's. The kernel gives
# no say in it: the daemon ends and says why, and the next one gives every container its tree again.
ok "it may end the connection by force" in_container attacker /bin/busybox umount -f "$TREE"
ok "the daemon ends" wait_for 10 daemon_is_gone
like "and says why" "$(cat "$SCRATCH/daemon.log")" 'was unmounted by somebody else'
stop_daemon
start_daemon --config "$CONFIG"
neighbour_loads()
{
	in_container neighbour dlopen libcuda.so.1
}
ok "the next daemon gives the neighbour its tree again" wait_for 20 neighbour_loads
kill_containers
stop_daemon
host_compare
done_testing
