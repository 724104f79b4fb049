#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container's own FUSE mount that never answers, on each path that an injection looks at: nvinject
# ends in time, says what it left out or why it gave up, and no process of it stays. A request that
# a FUSE server has taken holds its caller in D state, and SIGKILL does not end that; so the rule is
# that none is ever sent to a mount that is not the container's root.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -c /dev/fuse ] || skip_all "no /dev/fuse"

LIMIT=$((6 * SLOW)) # seconds that a run may take here, where the machine may be busy; nvinject's own limit is 3

# Processes of nvinject that belong to this test, by the socket that they were told.
leftovers()
{
	local proc

	grep -slzxF "$SOCKET" /proc/[0-9]*/cmdline | while IFS=/ read -r _ _ proc _; do
		[ "$(readlink "/proc/$proc/exe")" != "$NVINJECT" ] ||
			echo "$proc $(awk '/^State/ { print $2 }' "/proc/$proc/status")"
	done
}

# timed COMMAND...: like try, and how long it took in $TOOK, in seconds. Not by $(...): a process that
# stays behind would hold the pipe.
timed()
{
	local start=$SECONDS

	STATUS=0
	timeout -k 1 $((20 * SLOW)) "$NVINJECT" --socket "$SOCKET" "$@" >"$SCRATCH/said" 2>&1 </dev/null || STATUS=$?
	TOOK=$((SECONDS - start))
	OUT=$(cat "$SCRATCH/said")
}

# ends_in_time NAME
ends_in_time()
{
	ok "$1: within $LIMIT s (took $TOOK)" [ "$TOOK" -le "$LIMIT" ]
	is "$1: nothing of it stays" "$(leftovers)" ""
}

# hang KIND PATH: cover it in the container; its server's pid in $SERVER
hang()
{
	: >"$SCRATCH/ready"
	nsenter -t "$PID" -m -- /cachefuse "$@" </dev/null >"$SCRATCH/ready" 2>&1 &
	SERVER=$!
	at_exit kill -KILL "$SERVER"
	wait_for 5 grep -q ready "$SCRATCH/ready"
}

# The mount goes with its server's end, which also frees whoever waits for it.
unhang()
{
	kill -KILL "$SERVER" 2>/dev/null || true
	wait "$SERVER" 2>/dev/null || true
	[ -z "${1:-}" ] || nsenter -t "$PID" -m -- /cachefuse gone "$1"
}

# covered PATH STATUS REGEX: inject and remove while PATH never answers
covered()
{
	local path=$1 status=$2 regex=$3 kind

	for kind in mute stone silent; do
		hang "$kind" "$path"
		timed --pid "$PID" --id c1 --devices all --timeout 3 --json
		is "$kind $path: exit status" "$STATUS" "$status"
		like "$kind $path: what is said" "$OUT" "$regex"
		ends_in_time "$kind $path"
		if [ "$status" = 0 ]; then
			timed --remove --id c1 --timeout 3
			is "$kind $path, remove: exit status" "$STATUS" 0
			ends_in_time "$kind $path, remove"
		fi
		unhang "$path"
	done
}

# What the container holds, without what a run leaves of a directory's time.
state()
{
	mounts_in "$PID" | sort
	find "$ROOTFS" ! -type d -printf '%P %y %m %s %l\n' | grep -v '^etc/ld\.so\.cache ' | sort
	find "$ROOTFS" -type d -printf '%P %m\n' | sort
	find "/proc/$PID/root/dev" -xdev -printf '%P %y %m %l\n' | sort
}

host_snapshot
use_sample_driver
write_config 'grace = 1'
start_daemon --config "$CONFIG"
make_rootfs glibc
run_container c1 "$ROOTFS"
cp "$HELPERS/cachefuse" "$ROOTFS/"
mknod -m 666 "/proc/$PID/root/dev/fuse" c 10 229
mkdir -p "$ROOTFS/usr/local/nvidia" "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/usr/local/cuda/compat"
touch "$ROOTFS/usr/local/cuda/compat/libcuda.so.590.1.1"
touch "$ROOTFS/usr/bin/nvidia-smi" "/proc/$PID/root/dev/nvidia0"
state >"$SCRATCH/before"

omitted='"result": "omitted"'
covered /usr/local/nvidia 0 'using ./dev/nvfs.'
covered /usr/local 0 'using ./dev/nvfs.'
covered /etc 0 "$omitted"
covered /etc/ld.so.conf.d 0 "$omitted"
covered /etc/ld.so.cache 0 '"result": "bound"'
covered /usr/bin 0 "$omitted"
covered /usr/bin/nvidia-smi 0 '"result": "kept"'
covered /usr/local/cuda/compat 0 'CUDA compatibility libraries of the container: .*, using the driver'
covered /usr/local/cuda/compat/libcuda.so.590.1.1 0 '"result": "done"'
covered /run 0 '"result": "done"'
covered /proc 0 "$omitted"
covered /dev 6 "mount: .*'/dev' of the container is not a tmpfs"
covered /dev/nvidia0 6 "mount: .*'/dev/nvidia0' is there and is something else"
state >"$SCRATCH/after"
ok "the container is what it was" diff -U0 "$SCRATCH/before" "$SCRATCH/after"

# Links of the image that lead through such a mount.
mkdir "$ROOTFS/fuse"
hang mute /fuse
for dir in usr/bin etc/ld.so.conf.d usr/local; do
	mv "$ROOTFS/$dir" "$ROOTFS/$dir.real"
	ln -s /fuse/x/y "$ROOTFS/$dir"
	timed --pid "$PID" --id c1 --devices all --timeout 3
	is "$dir leads through it: exit status" "$STATUS" 0
	ends_in_time "$dir leads through it"
	rm "$ROOTFS/$dir"
	mv "$ROOTFS/$dir.real" "$ROOTFS/$dir"
done
ok "and it is taken back" nvinject --remove --id c1
unhang /fuse

# The root itself is such a mount: there is no way round it, so the time limit counts.
hang mute /fuse chroot
timed --pid "$(sed -n 's/^ready //p' "$SCRATCH/ready")" --id c2 --devices all --timeout 1 --no-cgroup
is "a mute root: exit status" "$STATUS" 6
like "a mute root: the error names path, time, process and way out" "$OUT" \
	"^nvinject: mount: '/[^']*': no answer .* in [0-9]+ ms, process [0-9]+ waits on; .*--timeout"
ok "a mute root: within $LIMIT s (took $TOOK)" [ "$TOOK" -le "$LIMIT" ]
unlike "a mute root: whatever SIGKILL ends has ended" "$(leftovers)" ' [^DZ]$'
is "a mute root: no tree stays" "$(nvfs ls --json | jq '[.trees[] | select(.id == "c2")] | length')" 0
unhang /fuse
nothing_left()
{
	[ -z "$(leftovers)" ]
}
ok "a mute root: nothing stays once its server has ended" wait_for 5 nothing_left

ok "the container gets its GPU now" nvinject --pid "$PID" --id c1 --devices all
ok "and loads libcuda" in_container c1 dlopen libcuda.so.1

# A daemon ended for good leaves a dead tree at the target. It is known by its type alone.
stop_daemon
start_daemon --config "$CONFIG"
ok "a dead tree of an earlier daemon is covered" nvinject --pid "$PID" --id c1 --devices all
ok "and libcuda loads again" in_container c1 dlopen libcuda.so.1
kill_container c1
stop_daemon
host_compare
done_testing
