#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers come and go: create, inject, walk the tree, remove, over and over. Memory and descriptors
# of keeper and daemon, the kernel's inodes of FUSE and the host's mounts stay what they were.
#
# SOAK_CYCLES (60; the full form has 20000): how many. Every third container goes without a word; the
# tree of the others is taken back first. SOAK_LANES (1): how many at a time, each with a root of its own.
# With this machine's driver, where it has one, or else a sample.
#
# ALONE: it counts the kernel's inodes of all FUSE filesystems.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

CYCLES=${SOAK_CYCLES:-60}
LANES=${SOAK_LANES:-1}
TREE=/usr/local/nvidia

worker()
{
	read -r WORKER <"/proc/$DAEMON_PID/task/$DAEMON_PID/children" || true
	echo "${WORKER%% *}"
}

# kilobytes of PID, shared memory (the state) included
rss()
{
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"
}

fds()
{
	find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

# Of all FUSE filesystems of the machine: others may come and go beside us.
fuse_inodes()
{
	awk '$1 == "fuse_inode" { n = $2 } END { print n + 0 }' /proc/slabinfo
}

# sample CYCLE: one line of the table
sample()
{
	local w

	w=$(worker)
	echo "$1 $(rss "$DAEMON_PID") $(rss "$w") $(fds "$DAEMON_PID") $(fds "$w") $(fuse_inodes)" \
		"$(wc -l <"/proc/$DAEMON_PID/mountinfo") $(nvfs status --json | jq .state_bytes)" >>"$SCRATCH/samples"
}

only_the_host_tree()
{
	[ "$(nvfs ls --json | jq '[.trees[] | select(.id != "host")] | length')" = 0 ]
}

walk()
{
	nsenter -t "$1" -m sh -c "find $TREE -ls && cat $TREE/etc/ld.so.cache $TREE/lib64/libcuda.so.1" >/dev/null
}

# cycle NUMBER ROOT
cycle()
{
	local fd pid r=0

	exec {fd}< <(exec "$HELPERS/minict" "$2")
	pid=$!
	read -r -u "$fd" -t 20 || return 1
	"$NVINJECT" --socket "$SOCKET" --pid "$pid" --id "soak-$1" --devices all --no-cgroup \
		>/dev/null 2>>"$SCRATCH/soak.log" && walk "$pid" || r=1
	if [ $(($1 % 3)) != 0 ]; then
		"$NVINJECT" --socket "$SOCKET" --remove --id "soak-$1" >/dev/null 2>>"$SCRATCH/soak.log" || r=1
	fi
	kill -KILL "$pid"
	exec {fd}<&-
	return $r
}

# lane NUMBER FROM TO: every cycle of FROM to TO that is this lane's
lane()
{
	local i

	for ((i = $2 + $1; i <= $3; i += LANES)); do
		cycle "$i" "$SCRATCH/rootfs-lane$1" || { tail -n 3 "$SCRATCH/soak.log"; return 1; }
	done
}

# lanes FROM TO
lanes()
{
	local n pids=() pid r=0

	for ((n = 0; n < LANES; n++)); do
		lane "$n" "$1" "$2" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || r=1
	done
	return $r
}

# What the first containers bring, caches and tables that grow to their size, is not counted.
run_cycles()
{
	local i step=$((CYCLES / (CYCLES < 1000 ? 5 : 20)))

	for ((i = 0; i < CYCLES; i += step)); do
		lanes $((i + 1)) $((i + step)) || return 1
		wait_for 30 only_the_host_tree
		sample $((i + step))
	done
}

# column N: first (after the first part of the cycles) and last value
column()
{
	awk -v n="$1" 'NR == 1 { first = $n } { last = $n } END { print first, last }' "$SCRATCH/samples"
}

# grows_by_less NAME COLUMN LIMIT
grows_by_less()
{
	local first last

	read -r first last <<<"$(column "$2")"
	[ -n "$last" ] || { fail "$1" "no samples"; return 0; }
	ok "$1: $first, and $last at the end" [ $((last - first)) -lt "$3" ]
}

command -v nsenter >/dev/null || skip_all "no nsenter"
host_snapshot
if [ -e /proc/driver/nvidia/version ]; then
	CONFIG=$SCRATCH/nvfs.conf
	printf '%s\n' "grace = 1" "cdi_dir =" >"$CONFIG"
else
	use_sample_driver
	write_config "grace = 1"
fi
start_daemon --config "$CONFIG"
for ((n = 0; n < LANES; n++)); do
	make_rootfs glibc "lane$n"
done
(cd "$ROOTFS" && find . | sort) >"$SCRATCH/root.before"
: >"$SCRATCH/samples"
ok "$CYCLES containers come and go" run_cycles
diag "cycle, keeper kB, daemon kB, keeper fds, daemon fds, fuse_inode, mounts, state bytes"
diag "$(cat "$SCRATCH/samples")"
grows_by_less "memory of the keeper (kB)" 2 256
grows_by_less "memory of the daemon (kB)" 3 1024
grows_by_less "descriptors of the keeper" 4 1
grows_by_less "descriptors of the daemon" 5 1
grows_by_less "inodes of FUSE in the kernel" 6 $((CYCLES / 10 + 1000))
grows_by_less "mounts of the host" 7 1
grows_by_less "bytes of the state" 8 65536
is "the daemon is the one that it was" "$(grep -c 'starting another one' "$SCRATCH/daemon.log" || true)" 0
(cd "$ROOTFS" && find . | sort) >"$SCRATCH/root.after"
diag "in the containers' root: $(diff "$SCRATCH/root.before" "$SCRATCH/root.after" | grep '^[<>]' | head -n 12)"
stop_daemon
host_compare
done_testing
