#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Two files of the driver root lie on a filesystem that does not answer: from the start, or from some
# moment on. Whoever needs one of them waits; all else goes on, is told why, and can be ended.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
VERSION=999.10.01
FIRST=libnvidia-ngx.so.$VERSION
SECOND=libnvidia-encode.so.$VERSION
COLD=libcudadebugger.so.$VERSION # answers, and nobody has read it
HANGING=()

# hang MODE NAME: this library of the driver root is served by a program of ours.
hang()
{
	local file

	file=$(find "$DRIVER_ROOT" -name "$2" -type f)
	cp "$file" "$SCRATCH/$2.source"
	truncate -s 8M "$SCRATCH/$2.source" # so that there are pages that nobody has read
	in_background "$HELPERS/hangfuse" "$1" "$file" "$SCRATCH/$2.source" >"$SCRATCH/$2.log"
	HANGING+=("$CHILD")
	wait_for 10 grep -q ready "$SCRATCH/$2.log"
}

# all_hanging SIGNAL
all_hanging()
{
	kill "-$1" "${HANGING[@]}"
}

# Who waits there can be ended only now.
end_hanging()
{
	all_hanging KILL
	HANGING=()
	unmount_below "$DRIVER_ROOT"
}

has_driver()
{
	nvfs status --json | jq -e .driver_version
}

# status_names NAME...: status says that these do not answer
status_names()
{
	local name text

	text=$(nvfs status)
	for name in "$@"; do
		[[ $text == *"$name"* ]] || return 1
	done
}

# millis COMMAND...: run it; how long it took in $MILLIS
millis()
{
	local before

	before=$(date +%s%3N)
	"$@"
	MILLIS=$(($(date +%s%3N) - before))
}

start_injected()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all
}

# page FILE N: a page that nobody else reads
page()
{
	dd "if=$1" bs=4096 "skip=$((500 + $2 * 400))" count=1 2>/dev/null
}

# read_in_background NAME N: processes that read this library of the host's tree, whose nodes are those of all
read_in_background()
{
	local i

	for ((i = 0; i < $2; i++)); do
		in_background page "$MOUNTPOINT/host/lib64/$1" "$i" >"$SCRATCH/read-$1-$i"
		READERS+=("$CHILD")
	done
}

all_readers_are_done()
{
	local pid

	for pid in "${READERS[@]}"; do
		! kill -0 "$pid" 2>/dev/null || return 1
	done
}

# Whatever else a daemon does, within a time.
all_else_goes_on()
{
	local name=$1 pid

	millis nvfs status >/dev/null
	ok "$name: status answers in ${MILLIS} ms" test "$MILLIS" -lt 1000
	make_rootfs glibc "$name"
	run_container "$name" "$ROOTFS"
	ok "$name: an injection works" nvinject --pid "$PID" --id "$(container_id "$name")" --devices all
	ok "$name: a library loads" in_container "$name" dlopen libcuda.so.1
	ok "$name: a library that nobody has read is read" \
		cmp "$MOUNTPOINT/host/lib64/$COLD" "$(find "$DRIVER_ROOT" -name "$COLD")"
	pid=$(worker_pid)
	kill -KILL "$pid"
	ok "$name: a killed daemon is replaced" wait_for 15 worker_is_not "$pid"
	ok "$name: and the library still loads" in_container "$name" dlopen libcuda.so.1
	pid=$(worker_pid)
	kill -STOP "$pid"
	ok "$name: a silent daemon is replaced" wait_for 15 worker_is_not "$pid"
	ok "$name: removal works" nvinject --remove --id "$(container_id "$name")"
	kill_container "$name"
}

# SIGTERM, as nobody has a tree.
ends_at_sigterm()
{
	local pid=$DAEMON_PID

	kill_containers
	wait_for 30 nvfs_has_no_tree || true
	kill -TERM "$pid"
	ok "$1: SIGTERM ends the daemon" wait_for 15 daemon_is_gone
	DAEMON_PID=
	wait "$pid" 2>/dev/null && STATUS=0 || STATUS=$?
	is "$1: with success" "$STATUS" 0
	unlike "$1: and the mount is gone" "$(cat /proc/self/mountinfo)" " $MOUNTPOINT "
}

nvfs_has_no_tree()
{
	[ "$(nvfs status --json | jq .containers)" = 0 ]
}

from_the_start()
{
	use_sample_driver start
	write_config "grace = 1"
	hang mute "$FIRST"
	hang silent "$SECOND"
	millis start_daemon --config "$CONFIG"
	ok "the daemon is ready in ${MILLIS} ms though two files do not answer" test "$MILLIS" -lt 5000
	fails "meanwhile a caller is told to come again" 75 "looked at.*/libnvidia" nvfs rescan
	ok "the driver is there without them" wait_for 20 has_driver
	ok "and status names both" wait_for 5 status_names "$FIRST" "$SECOND"
	ok "the others are served" test -e "$MOUNTPOINT/host/lib64/libcuda.so.$VERSION"
	not_ok "these are not" test -e "$MOUNTPOINT/host/lib64/$FIRST"
	all_else_goes_on start
	ends_at_sigterm start
	end_hanging
}

# later DISABLED: the files answer while the driver is found, and then no more.
later()
{
	local name=later${1:+-without-${1//,/-}}

	use_sample_driver "$name"
	write_config "grace = 1"
	hang good "$FIRST"
	hang good "$SECOND"
	NVFS_DISABLE=$1 start_daemon --config "$CONFIG"
	start_injected "$name-waits" >/dev/null
	ok "$name: both files are served" test -e "$MOUNTPOINT/host/lib64/$FIRST" -a -e "$MOUNTPOINT/host/lib64/$SECOND"
	all_hanging USR1
	READERS=()
	read_in_background "$FIRST" 3
	read_in_background "$SECOND" 3
	[ -z "$1" ] || ok "$name: status names both" wait_for 10 status_names "$FIRST" "$SECOND"
	all_else_goes_on "$name"
	not_ok "$name: who reads them still waits" all_readers_are_done
	fails "$name: rescan says where it hangs" 75 "looked at.*/lib" nvfs rescan
	ok "$name: and then goes on without them" wait_for 20 status_names "$FIRST" "$SECOND"
	all_hanging USR2
	ok "$name: they answer again: all readers get on" wait_for 20 all_readers_are_done
	ok "$name: and have read what is there" \
		cmp "$SCRATCH/read-$FIRST-1" <(page "$SCRATCH/$FIRST.source" 1)
	all_hanging USR1
	ends_at_sigterm "$name"
	end_hanging
}

# shellcheck disable=SC2317 # called by wait_for
is_back()
{
	grep -q "injected '$(container_id "$1")' anew" "$SCRATCH/daemon.log"
}

# Daemon and keeper are dead, and when a new one opens the driver's files again two do not answer.
revived()
{
	local worker

	use_sample_driver revived
	write_config "grace = 1"
	hang good "$FIRST"
	hang good "$SECOND"
	start_daemon --config "$CONFIG"
	start_injected revived >/dev/null
	ok "revived: both files are served" test -e "$MOUNTPOINT/host/lib64/$FIRST" -a -e "$MOUNTPOINT/host/lib64/$SECOND"
	all_hanging USR1
	worker=$(worker_pid)
	kill -KILL "$DAEMON_PID" "$worker"
	wait "$DAEMON_PID" 2>/dev/null || true
	DAEMON_PID=
	wait_for 10 has_ended "$worker"
	millis start_daemon --config "$CONFIG"
	ok "revived: a new daemon is ready in ${MILLIS} ms, though two files do not answer" test "$MILLIS" -lt $((15000 * SLOW))
	like "revived: which it says" "$(cat "$SCRATCH/daemon.log")" "2 of [0-9]+ files were .*, or do not answer"
	ok "revived: the container gets its tree back" wait_for 30 is_back revived
	ok "revived: with the files that answer" in_container revived dlopen libcuda.so.1
	not_ok "revived: without the others" in_container revived ls "$TREE/lib64/$FIRST"
	all_else_goes_on revived-too
	all_hanging USR2
	nvfs rescan >/dev/null
	ok "revived: when they answer they are served again" wait_for 20 test -e "$MOUNTPOINT/host/lib64/$FIRST"
	all_hanging USR1
	ends_at_sigterm revived
	end_hanging
}

# /run of the host does not answer, where sockets of the driver's daemons may be.
sockets()
{
	IPC_ROOT=$SCRATCH/sockets
	mkdir -p "$IPC_ROOT"/{run,tmp}
	use_sample_driver sockets
	write_config "grace = 1"
	in_background "$HELPERS/hangfuse" mute "$IPC_ROOT/run" "$IPC_ROOT/tmp" >"$SCRATCH/sockets.log"
	HANGING+=("$CHILD")
	wait_for 10 grep -q ready "$SCRATCH/sockets.log"
	start_daemon --config "$CONFIG"
	make_rootfs glibc sockets
	run_container sockets "$ROOTFS"
	millis nvinject --pid "$PID" --id "$(container_id sockets)" --devices all 2>"$SCRATCH/sockets.said"
	ok "sockets: an injection is done in ${MILLIS} ms" test "$MILLIS" -lt $((1500 * SLOW))
	like "sockets: and says why there are none" "$(cat "$SCRATCH/sockets.said")" \
		"'$IPC_ROOT' of the host the sockets of the driver's daemons cannot be looked for"
	all_else_goes_on sockets-too
	kill_container sockets
	kill -KILL "${HANGING[@]}"
	HANGING=()
	unmount_below "$IPC_ROOT"
	stop_daemon
}

host_snapshot
sockets
IPC_ROOT=$SCRATCH/ipc
revived
from_the_start
later ""
later passthrough
later passthrough,resend
host_compare
done_testing
