#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container whose process exchanges directories and files for links while something is injected into
# it and taken away again, over and over: whatever each run says, nothing outside of the container's
# root is mounted on, made, changed or removed.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -x "$HELPERS/swapper" ] || skip_all "swapper is not built"
TRY_TIMEOUT=20
RUNS=${RUNS:-10}
SWAPS_WANTED=${SWAPS_WANTED:-1000000}
OUTSIDE=$SCRATCH/outside

outside()
{
	find "$OUTSIDE" -printf '%p %y %m %s %T@ %C@ %l\n' | sort
}

# What the links lead to, if they were followed on the host
for dir in local/nvidia bin etc/ld.so.conf.d lib64; do
	mkdir -p "$OUTSIDE/$dir"
done
echo secret >"$OUTSIDE/etc/ld.so.cache"
echo secret >"$OUTSIDE/nvidia0"

# swap PATH PATH...: in the container, in pairs, until end_swaps
swap()
{
	in_container c1 /bin/swapper /swaps "$@" &
	SWAPPING=$!
	wait_for 10 swapper_pid || fail "the swapper runs"
}

# The swapper's process, which is the container's and not a child of ours
swapper_pid()
{
	local proc

	for proc in /proc/[0-9]*; do
		if [ "$(cat "$proc/comm" 2>/dev/null)" = swapper ] &&
			[ "$(readlink "$proc/ns/mnt")" = "$(readlink "/proc/$PID/ns/mnt")" ]; then
			echo "${proc#/proc/}"
			return
		fi
	done
	return 1
}

end_swaps()
{
	kill -TERM "$(swapper_pid)" || kill -KILL "$SWAPPING"
	wait "$SWAPPING" || true
	SWAPS=$((SWAPS + $(cat "$ROOTFS/swaps")))
}

# storm NAME PATH PATH...: inject and take away while these are exchanged
storm()
{
	local name=$1 odd='' done=0 refused=0

	shift
	swap "$@"
	for _ in $(seq "$RUNS"); do
		try nvinject --pid "$PID" --id c1 --devices all
		case $STATUS in
		0) done=$((done + 1)) ;;
		6 | 75) refused=$((refused + 1)) ;;
		*) odd+="$STATUS: $OUT"$'\n' ;;
		esac
		try nvinject --remove --id c1
	done
	end_swaps
	diag "$name: $(cat "$ROOTFS/swaps") exchanges"
	is "$name: each run is done or refused (done $done, refused $refused)" "$odd" ""
	outside >"$SCRATCH/outside.after"
	ok "$name: nothing outside was touched" diff -U0 "$SCRATCH/outside.before" "$SCRATCH/outside.after"
	is "$name: nothing was mounted outside" "$(cat /proc/self/mountinfo)" "$MOUNTS"
	try nvinject --remove --id c1
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
# An overlay does not exchange directories of its lower layer.
make_rootfs busybox
mkdir "$SCRATCH/plain"
mount -t tmpfs -o mode=755 tmpfs "$SCRATCH/plain"
cp -a "$ROOTFS/." "$SCRATCH/plain"
ROOTFS=$SCRATCH/plain
cp "$HELPERS/swapper" "$ROOTFS/bin/swapper" # /usr/local is going to be exchanged
mkdir -p "$ROOTFS/usr/local/nvidia" "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/swap"
echo cache >"$ROOTFS/etc/ld.so.cache"
ln -s "$OUTSIDE/local/nvidia" "$ROOTFS/swap/tree"
ln -s /proc/1/root/etc "$ROOTFS/swap/etc"
ln -s "../../../../../../../..$OUTSIDE/local" "$ROOTFS/swap/local"
ln -s "$OUTSIDE/etc/ld.so.cache" "$ROOTFS/swap/cache"
outside >"$SCRATCH/outside.before"
run_container c1 "$ROOTFS"
MOUNTS=$(cat /proc/self/mountinfo)
SWAPS=0

storm "the target and a link to outside" /usr/local/nvidia /swap/tree
storm "the directory above it" /usr/local /swap/local
storm "ld.so.cache and its directory" /etc/ld.so.cache /swap/cache /etc /swap/etc
ln -s "$OUTSIDE/nvidia0" "/proc/$PID/root/dev/swap"
mknod "/proc/$PID/root/dev/nvidia0" c 1 3
storm "a device node and a link" /dev/nvidia0 /dev/swap

rm -f "/proc/$PID/root/dev/nvidia0" "/proc/$PID/root/dev/swap"

# More of it, until there were enough
while [ "$SWAPS" -lt "$SWAPS_WANTED" ] && [ "$SECONDS" -lt $((150 * SLOW)) ]; do
	storm "again" /usr/local/nvidia /swap/tree /etc/ld.so.cache /swap/cache /usr/local /swap/local
done
ok "there were $SWAPS exchanges" test "$SWAPS" -ge "$SWAPS_WANTED"
ok "the daemon answers" nvfs status
kill_containers
stop_daemon
host_compare
done_testing
