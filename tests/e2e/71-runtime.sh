#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvfs-runtime before runc and crun: a container that asks for GPUs gets one hook and them, one that does not
# keeps its config.json to the byte, every other command is the runtime's own, and no daemon is no container.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ "$(readlink /proc/self/ns/mnt)" != "$(readlink /proc/1/ns/mnt)" ] || skip_all "needs a mount namespace of its own"
# crun refuses to work where both versions of cgroups are to be seen.
if mountpoint -q /sys/fs/cgroup/unified; then
	umount /sys/fs/cgroup/unified
	mount -t tmpfs nvfs-test /sys/fs/cgroup/unified
fi

BELOW=runc
export NVFS_CONFIG=$SCRATCH/nvfs.conf

# lib.sh's containers are made by this.
runc()
{
	NVFS_RUNTIME=$BELOW timeout -k 5 60 "$BUILD/nvfs-runtime" --root "$SCRATCH/$BELOW" "$@" <"$SCRATCH/no-input"
}

ASKS='.process.env += ["NVIDIA_VISIBLE_DEVICES=all"]'

# begin NAME FILTER: status in $STATUS, words in $OUT, config.json before in $SCRATCH/before
begin()
{
	make_rootfs glibc "$1"
	bundle_spec "$1" "$ROOTFS" "$2"
	cp "$SCRATCH/bundle-$1/config.json" "$SCRATCH/before"
	CONTAINERS+=("$1")
	STATUS=0
	runc run --detach --bundle "$SCRATCH/bundle-$1" "$(container_id "$1")" >"$SCRATCH/begun" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/begun")
	[ "$STATUS" != 0 ] || PID=$(container_pid "$1")
}

for BELOW in runc crun; do
	if ! command -v "$BELOW" >/dev/null; then
		skip "$BELOW" "no $BELOW"
		continue
	fi
	[ "$BELOW" != runc ] || host_snapshot
	use_sample_driver "driver-$BELOW"
	write_config "socket = $SOCKET"
	start_daemon --config "$CONFIG"

	begin "$BELOW-asks" "$ASKS"
	is "$BELOW: a container that asks starts" "$STATUS$OUT" 0
	is "$BELOW: it has the GPU" "$(in_container "$BELOW-asks" opendev /dev/nvidia0 2>&1)" "/dev/nvidia0 ENXIO"
	ok "$BELOW: it has the driver" in_container "$BELOW-asks" dlopen libcuda.so.1
	is "$BELOW: config.json has one hook more" \
		"$(jq -S 'del(.hooks)' "$SCRATCH/bundle-$BELOW-asks/config.json")" "$(jq -S . "$SCRATCH/before")"
	is "$BELOW: its program is the one beside" \
		"$(jq -r '.hooks.createRuntime[].path' "$SCRATCH/bundle-$BELOW-asks/config.json")" "$NVINJECT"
	is "$BELOW: nothing else is left in the bundle" "$(ls -A "$SCRATCH/bundle-$BELOW-asks")" config.json
	kill_container "$BELOW-asks"

	begin "$BELOW-void" '.process.env += ["NVIDIA_VISIBLE_DEVICES=void"]'
	is "$BELOW: a container that does not ask starts" "$STATUS" 0
	ok "$BELOW: its config.json is what it was" cmp "$SCRATCH/before" "$SCRATCH/bundle-$BELOW-void/config.json"
	is "$BELOW: it has nothing" "$(mounts_in "$PID" | grep -c fuse.nvfs || true)" 0
	kill_container "$BELOW-void"

	# In two steps, and from within the bundle.
	make_rootfs glibc "$BELOW-two"
	bundle_spec "$BELOW-two" "$ROOTFS" "$ASKS"
	CONTAINERS+=("$BELOW-two")
	in_bundle()
	{
		(cd "$SCRATCH/bundle-$BELOW-two" && runc create "$(container_id "$BELOW-two")" >"$SCRATCH/two" 2>&1)
	}
	ok "$BELOW: create, in the bundle" in_bundle
	ok "$BELOW: start is the runtime's own" runc start "$(container_id "$BELOW-two")"
	is "$BELOW: it has the GPU, too" "$(in_container "$BELOW-two" opendev /dev/nvidia0 2>&1)" "/dev/nvidia0 ENXIO"
	kill_container "$BELOW-two"

	like "$BELOW: --version is the runtime's own" "$(runc --version)" "^$BELOW version"
	fails "$BELOW: and so are its errors" '[1-9]*' 'does not exist|status' runc state nonsense
	stop_daemon

	begin "$BELOW-down" "$ASKS"
	unlike "$BELOW: without a daemon the container does not start" "$STATUS" '^0$'
	why='nvinject: daemon: .*systemctl start nvfs'
	[ "$BELOW" = runc ] || why='nvinject.* \(exit code: 7\)' # crun shows nothing of what a hook says
	like "$BELOW: and why is said, and what helps" "$OUT" "$why"
	begin "$BELOW-down-void" '.process.env += ["NVIDIA_VISIBLE_DEVICES=void"]'
	is "$BELOW: without a daemon one that does not ask starts" "$STATUS" 0
	kill_container "$BELOW-down-void"
done

BELOW=runc
by_itself()
{
	NVFS_RUNTIME=$1 timeout 10 "$BUILD/nvfs-runtime" "${@:2}" <"$SCRATCH/no-input"
}
ln -s "$BUILD/nvfs-runtime" "$SCRATCH/runc-again"
fails "a runtime below that is itself is refused" 2 'nvfs-runtime again' by_itself "$SCRATCH/runc-again" state x
fails "a runtime below that is not there" '[1-9]*' "run '/nonexistent': No such file" by_itself /nonexistent state x
mkdir "$SCRATCH/bad"
fails "a bundle without config.json" 1 "bundle '.*/bad'.*No such file" by_itself runc create -b "$SCRATCH/bad" x
echo '{' >"$SCRATCH/bad/config.json"
fails "a config.json that is none" 2 'config.json is not JSON' by_itself runc create -b "$SCRATCH/bad" x
fails "crun's --config is refused" 2 "reads the bundle's config.json" by_itself crun create -f "$SCRATCH/bad/config.json" x
is "and a bad file is what it was" "$(cat "$SCRATCH/bad/config.json")" '{'
kill_containers
! grep -q '^nvfs-test ' /proc/self/mounts || umount /sys/fs/cgroup/unified
host_compare
for BELOW in runc crun; do
	! command -v "$BELOW" >/dev/null || client "$("$BELOW" --version | sed -n '1s/ version//p')" "nvfs-runtime before it" 0 "run, create and start; daemon down"
done
done_testing
