#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every kind of container, by every runtime that makes it: the driver loads, the GPU's node may be
# opened, and it is all taken back. Prints a table of kind by runtime.
#
# Where the machine has cgroup2 beside version 1, a tmpfs hides it in this script's own mount namespace:
# crun refuses to work with both. (tests/e2e/30-cgroup.sh has version 2.)
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ "$(readlink /proc/self/ns/mnt)" != "$(readlink /proc/1/ns/mnt)" ] || skip_all "needs a mount namespace of its own"
if mountpoint -q /sys/fs/cgroup/unified; then
	umount /sys/fs/cgroup/unified
	mount -t tmpfs nvfs-test /sys/fs/cgroup/unified
fi

umask 022
chmod 755 "$SCRATCH"
BASE=100000
USERNS='.linux.namespaces += [{ type: "user" }]
	| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
	| .linux.gidMappings = .linux.uidMappings'
declare -A CELLS
KINDS=()
RUNTIME=runc
RUNTIMES=(runc)
! command -v crun >/dev/null || RUNTIMES+=(crun)
# hook_at STAGE: a filter
hook_at()
{
	printf '.hooks.%s = [{ path: "%s", args: ["nvinject", "hook", "--socket", "%s"],
		env: ["PATH=/usr/bin:/bin"], timeout: 30 }] | .process.env += ["NVIDIA_VISIBLE_DEVICES=all"]' \
		"$1" "$NVINJECT" "$SOCKET"
}
HOOK=$(hook_at createRuntime)

# lib.sh's containers are made by this.
runc()
{
	timeout -k 5 60 "$RUNTIME" --root "$SCRATCH/$RUNTIME" "$@" <"$SCRATCH/no-input"
}

# cell KIND FAILED [WORD]: the checks since FAILED was $TEST_FAILED; WORD for good ones, "yes" unless said
cell()
{
	printf '%s\n' "${KINDS[@]-}" | grep -Fxq "$1" || KINDS+=("$1")
	CELLS[$1/$RUNTIME]=${3:-yes}
	[ "$TEST_FAILED" = "$2" ] || CELLS[$1/$RUNTIME]=no
}

# What it is all for, in the container NAME; the tree is where the injection says it is.
has_gpu()
{
	local target

	target=$(mounts_in "$PID" | sed -n 's/ fuse\.nvfs .*//p' | grep -v ^/proc | sed -n 1p)
	[ -n "$target" ] || { echo "no tree"; return 1; }
	[ "${TREE_AT:-$target}" = "$target" ] || { echo "the tree is at '$target'"; return 1; }
	in_container "$1" ls "$target/lib64/libcuda.so.1" >/dev/null || return 1
	if [ -e "/proc/$PID/root/lib64/ld-linux-x86-64.so.2" ]; then
		in_container "$1" dlopen libcuda.so.1 | grep "$target/" || return 1
	fi
	in_container "$1" opendev /dev/nvidia0 | grep ENXIO || return 1
	# Nothing that is mounted below one of ours goes elsewhere.
	! grep -E ' - fuse\.nvfs | /dev/nvidia' "/proc/$PID/mountinfo" | grep shared:
}

# The image's own node, or its own mount, may stay.
has_nothing()
{
	! mounts_in "$PID" | grep -E 'fuse\.nvfs|^/dev/nvidia' || return 1
	is_what_was "$(in_container "$1" opendev /dev/nvidia0 || true)"
}

is_what_was()
{
	[ "$1" = "/dev/nvidia0 ${NODE_AFTER:-ENOENT}" ] || { echo "$1"; return 1; }
}

# check_running KIND NAME: inject, look, remove
check_running()
{
	local failed=$TEST_FAILED

	ok "$1, $RUNTIME: inject" nvinject --pid "$PID" --id "$(container_id "$2")" --devices all
	ok "$1, $RUNTIME: it has the GPU" has_gpu "$2"
	ok "$1, $RUNTIME: remove" nvinject --remove --pid "$PID" --id "$(container_id "$2")"
	ok "$1, $RUNTIME: nothing is left" has_nothing "$2"
	cell "$1" "$failed"
	kill_container "$2"
}

check_hook()
{
	local failed=$TEST_FAILED

	ok "$1, $RUNTIME: it has the GPU" has_gpu "$2"
	cell "$1" "$failed"
	kill_container "$2"
}

# start NAME ROOTFS-KIND FILTER; PREPARE is called with the root before
PREPARE=true
start()
{
	make_rootfs "$2" "$1"
	"$PREPARE" "$ROOTFS" || return 1
	run_container "$1" "$ROOTFS" "$3"
}

shifted()
{
	find "$1" -xdev -exec chown -h "$BASE:$BASE" {} +
}

both_stages()
{
	local kind=$1 name rootfs=$2 filter=$3 failed=$TEST_FAILED

	name=$RUNTIME-$(tr -cs 'a-z\n' - <<<"$kind")
	if start "$name" "$rootfs" "$filter"; then
		check_running "$kind" "$name"
	else
		fail "$kind, $RUNTIME: starts"
		cell "$kind" "$failed"
	fi
	failed=$TEST_FAILED
	if start "$name-hook" "$rootfs" "$filter | $HOOK"; then
		check_hook "$kind, hook" "$name-hook"
	else
		fail "$kind, hook, $RUNTIME: starts"
		cell "$kind, hook" "$failed"
	fi
}

# by_stage STAGE: the hook in another one than createRuntime
by_stage()
{
	local kind="plain, hook of $1" name=$RUNTIME-$1 failed=$TEST_FAILED

	if start "$name" glibc "$(hook_at "$1")"; then
		check_hook "$kind" "$name"
	else
		fail "$kind, $RUNTIME: starts"
		cell "$kind" "$failed"
	fi
}

link_usr_local()
{
	mkdir "$1/opt/local"
	mv "$1"/usr/local/* "$1/opt/local/"
	rmdir "$1/usr/local"
	ln -s /opt/local "$1/usr/local"
}

# A flag that the mount has when the namespace is made is locked in there.
read_only_before()
{
	shifted "$1"
	mount -o remount,bind,ro "$1"
}

# A program and nothing else: no /etc, no /usr.
scratch_image()
{
	find "$1" -mindepth 1 -maxdepth 1 ! -name bin -exec rm -rf --one-file-system {} +
	[ ! -L "$1/bin" ] || rm "$1/bin"
	mkdir -p "$1/bin"
	cp /bin/busybox "$1/bin/sleep"
	cp /bin/busybox "$1/bin/ls"
	cp "$HELPERS/opendev" "$1/bin/"
}

oci_kinds()
{
	both_stages "plain" glibc .
	by_stage prestart
	PREPARE=shifted both_stages "user namespace" glibc "$USERNS"
	TREE_AT=/usr/local/nvidia both_stages "read-only rootfs" glibc '.root.readonly = true'
	PREPARE=shifted TREE_AT=/usr/local/nvidia both_stages "read-only rootfs, user namespace" glibc \
		"$USERNS | .root.readonly = true"
	PREPARE=read_only_superblock TREE_AT=/dev/nvfs both_stages "read-only filesystem" glibc '.root.readonly = true'
	PREPARE=read_only_before TREE_AT=/dev/nvfs both_stages "read-only before its user namespace" glibc \
		"$USERNS | .root.readonly = true"
	PREPARE=link_usr_local both_stages "/usr/local a link" glibc .
	both_stages "/usr/local a volume" glibc \
		"$(printf '.mounts += [{ type: "tmpfs", source: "tmpfs", destination: "/usr/local/share", options: ["rw"] },
			{ type: "bind", source: "%s", destination: "/usr/local", options: ["rbind", "rw"] }]' "$SCRATCH/volume")"
	both_stages "own mount at the target" glibc \
		'.mounts += [{ type: "tmpfs", source: "tmpfs", destination: "/usr/local/nvidia", options: ["rw"] }]'
	PREPARE=scratch_image both_stages "nothing but a program" busybox .
	both_stages "musl or busybox" busybox .
	both_stages "no linker cache" nocache .
	both_stages "shared propagation" glibc '.linux.rootfsPropagation = "shared"'
	NODE_AFTER=ENXIO both_stages "nodes given by the runtime" glibc \
		'.linux.devices = [{ path: "/dev/nvidia0", type: "c", major: 195, minor: 0, fileMode: 438, uid: 0, gid: 0 }]
		| .linux.resources.devices += [{ allow: true, type: "c", major: 195, minor: 0, access: "rwm" }]'
}

# A runtime that is itself started in a user namespace, as rootless podman does it: uid 100000 of the
# machine is root there. Its process in $USERNS_PID; enter it by inside.
start_userns()
{
	unshare --user --mount --propagation private sleep 300 </dev/null >/dev/null 2>&1 &
	USERNS_PID=$!
	at_exit kill -KILL "$USERNS_PID"
	wait_for 5 in_other_userns "$USERNS_PID"
	echo "0 $BASE 65536" >"/proc/$USERNS_PID/uid_map"
	echo "0 $BASE 65536" >"/proc/$USERNS_PID/gid_map"
}

in_other_userns()
{
	[ "$(readlink "/proc/$1/ns/user")" != "$(readlink /proc/self/ns/user)" ]
}

inside()
{
	timeout -k 5 60 nsenter -t "$USERNS_PID" -U -m -S 0 -G 0 "$@" <"$SCRATCH/no-input"
}

rootless_oci()
{
	local id state=$SCRATCH/rootless-$RUNTIME failed=$TEST_FAILED kind="runtime in a user namespace, hook"

	make_rootfs glibc "rootless-$RUNTIME"
	shifted "$ROOTFS"
	bundle_spec "rootless-$RUNTIME" "$ROOTFS" "$HOOK | del(.linux.resources)
		| .mounts |= map(select(.type != \"cgroup\" and .type != \"sysfs\"))"
	mkdir -p "$state"
	chown -R "$BASE:$BASE" "$state" "$SCRATCH/bundle-rootless-$RUNTIME"
	start_userns
	id=$RUN_ID-rootless-$RUNTIME
	# Not a pipe: the container keeps it.
	if inside "$RUNTIME" --root "$state" run --detach --bundle "$SCRATCH/bundle-rootless-$RUNTIME" "$id" \
		>"$SCRATCH/rootless.log" 2>&1; then
		ok "$kind, $RUNTIME: the driver loads" inside "$RUNTIME" --root "$state" exec "$id" dlopen libcuda.so.1
		like "$kind, $RUNTIME: from the tree" "$OUT" /usr/local/nvidia/
		fails "$kind, $RUNTIME: the GPU may be opened" 1 ENXIO \
			inside "$RUNTIME" --root "$state" exec "$id" opendev /dev/nvidia0
		inside "$RUNTIME" --root "$state" delete --force "$id" >/dev/null 2>&1 || true
	else
		fail "$kind, $RUNTIME: starts" "$(cat "$SCRATCH/rootless.log")"
	fi
	cell "$kind" "$failed"
	kill -KILL "$USERNS_PID"
}

# Kinds that podman makes, as its hook; its state, locks and temporary files are this script's own.
podman_kinds()
{
	local what='ls /usr/local/nvidia/lib64/libcuda.so.1 && /usr/local/bin/opendev /dev/nvidia0' hooks=$SCRATCH/hooks.d
	local podman=(podman --root "$SCRATCH/podman" --runroot "$SCRATCH/podman-run" --tmpdir "$SCRATCH/podman-tmp"
		--storage-driver vfs --cgroup-manager cgroupfs --hooks-dir "$hooks")
	local run=(run --rm --network none --env NVIDIA_VISIBLE_DEVICES=all)

	mkdir "$hooks"
	jq -n --arg path "$NVINJECT" --arg socket "$SOCKET" '{ version: "1.0.0", hook: { $path, env: ["PATH=/usr/bin:/bin"],
		args: ["nvinject", "hook", "--socket", $socket] }, when: { always: true }, stages: ["createRuntime"] }' \
		>"$hooks/10.json"
	printf '%s\n' '[containers]' 'log_driver="k8s-file"' pids_limit=0 \
		'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' '[network]' 'network_backend="netavark"' \
		'[engine]' 'events_logger="none"' >"$SCRATCH/containers.conf"
	export CONTAINERS_CONF=$SCRATCH/containers.conf
	mount -t tmpfs nvfs-test-shm /dev/shm # podman's locks
	# Podman gives its standard input to the container's root: not the machine's /dev/null.
	mkdir "$SCRATCH/null"
	mount -t tmpfs nvfs-test-null "$SCRATCH/null"
	mknod -m 666 "$SCRATCH/null/null" c 1 3
	mount --bind "$SCRATCH/null/null" /dev/null
	make_rootfs busybox podman
	tar -C "$ROOTFS" -cf "$SCRATCH/image.tar" .
	timeout 60 "${podman[@]}" import -q "$SCRATCH/image.tar" localhost/image:1 >/dev/null
	for RUNTIME in "${RUNTIMES[@]}"; do
		podman_cell "plain, podman's hook" .
		podman_cell "read-only rootfs, podman's hook" --read-only
		# Podman runs this one's hook in a mount namespace of its own, a copy of the host's.
		podman_cell "user namespace, podman's hook" --uidmap 0:$BASE:65536 --gidmap 0:$BASE:65536
	done
	umount /dev/null "$SCRATCH/null" /dev/shm
}

podman_cell()
{
	local kind=$1 failed=$TEST_FAILED

	shift
	[ "$1" != . ] || shift
	fails "$kind, $RUNTIME: it has the GPU" 1 'libcuda\.so\.1.*ENXIO' timeout -k 5 100 "${podman[@]}" \
		--runtime "$RUNTIME" "${run[@]}" "$@" localhost/image:1 sh -c "$what"
	cell "$kind" "$failed"
}

print_table()
{
	local kind runtime line

	printf '# %-46s' "kind of container"
	printf ' %-8s' "${RUNTIMES[@]}"
	echo
	for kind in "${KINDS[@]}"; do
		line=$(printf '# %-46s' "$kind")
		for runtime in "${RUNTIMES[@]}"; do
			line+=$(printf ' %-8s' "${CELLS[$kind/$runtime]:--}")
		done
		echo "$line"
	done
}

host_snapshot
use_sample_driver
write_config "grace = 1"
start_daemon --config "$CONFIG"
mkdir -p "$SCRATCH/volume/bin"
cp "$HELPERS"/* "$SCRATCH/volume/bin/"
for RUNTIME in "${RUNTIMES[@]}"; do
	oci_kinds
	rootless_oci
done
command -v podman >/dev/null && podman_kinds || skip "podman" "no podman"
stop_daemon
! grep -q '^nvfs-test ' /proc/self/mounts || umount /sys/fs/cgroup/unified # with what crun has left in it
host_compare
print_table
for RUNTIME in "${RUNTIMES[@]}"; do
	version=$("$RUNTIME" --version | sed -n '1s/ version//p')
	client "$version" "hooks prestart, createRuntime" 0 "${#KINDS[@]} kinds of containers: the table of 28-matrix"
done
done_testing
