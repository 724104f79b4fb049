#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon dies with a request: read, and not yet answered. For every kind of request that the kernel
# makes of it the next daemon answers, by RESEND and by the journal; who waits can be killed; and
# a request that kills one daemon after another is given up, while others are served.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
HOST=$MOUNTPOINT/host
NAMES=0

is_replaced()
{
	local now=

	read -r now <"/proc/$DAEMON_PID/task/$DAEMON_PID/children" || true
	[ -n "$now" ] && [ "${now%% *}" != "$1" ]
}

current_worker()
{
	read -r WORKER <"/proc/$DAEMON_PID/task/$DAEMON_PID/children" || true
	WORKER=${WORKER%% *}
}

# start_killer OPCODE TIMES
start_killer()
{
	: >"$SCRATCH/killer"
	current_worker
	timeout -k 1 $((30 * SLOW)) "$HELPERS/killread" "$DAEMON_PID" "$1" "$2" >"$SCRATCH/killer" 2>&1 &
	KILLER=$!
	wait_for 5 grep -q ready "$SCRATCH/killer"
}

deaths()
{
	grep -c '^killed' "$SCRATCH/killer" || true
}

# A request of this kind has not come, where none has died; the killer is ended then.
stop_killer()
{
	wait_for 2 is_replaced "$WORKER" || true
	kill -TERM "$KILLER" 2>/dev/null || true
	wait "$KILLER" 2>/dev/null || true
}

# A name that nobody has asked for: NAME
new_name()
{
	NAMES=$((NAMES + 1))
	NAME=missing-$NAMES
}

# dies_with NAME OPCODE OPERATION PATH: with this operation in work, which succeeds.
dies_with()
{
	start_killer "$2" 1
	ok "$1: the daemon dies with it, and it succeeds" "$HELPERS/fuseop" "$3" "$4"
	stop_killer
	is "$1: one daemon died" "$(deaths)" 1
}

# Whether this kernel is Linux $1 or later.
is_since()
{
	printf '%s\n' "$1" "$(uname -r)" | sort -V -C
}

# What a connection is asked once in its life comes first. FLUSH is not asked for at all where the kernel
# knows FOPEN_NOFLUSH, and STATX before Linux 6.6 not.
asked_once()
{
	dies_with OPENDIR 27 list "$MOUNTPOINT/host/bin"
	if is_since 6.6; then
		dies_with STATX 52 statx "$HOST"
	else
		diag "STATX: not on Linux $(uname -r)"
	fi
	dies_with GETXATTR 22 getxattr "$HOST"
	dies_with LISTXATTR 23 listxattr "$HOST"
	dies_with FSYNC 20 fsync "$HOST/.nvfs/manifest.json"
	dies_with FSYNCDIR 30 fsync "$HOST/lib64"
	dies_with POLL 40 poll "$HOST/.nvfs/manifest.json"
	dies_with LSEEK 46 lseek "$HOST/.nvfs/manifest.json"
	if is_since 5.16; then
		start_killer 25 1
		ok "FLUSH: is not asked for" "$HELPERS/fuseop" open "$HOST/.nvfs/manifest.json"
		stop_killer
		is "FLUSH: no daemon died" "$(deaths)" 0
	else
		dies_with FLUSH 25 open "$HOST/.nvfs/manifest.json"
	fi
}

asked_always()
{
	local library=$1

	new_name
	dies_with LOOKUP 1 lookup "$HOST/$NAME"
	dies_with GETATTR 3 getattr "$HOST/lib64"
	dies_with READLINK 5 readlink "$HOST/lib64/libcuda.so.1"
	dies_with STATFS 17 statfs "$HOST"
	dies_with IOCTL 39 ioctl "$HOST/.nvfs/manifest.json"
	dies_with "OPEN of a text" 14 open "$HOST/.nvfs/manifest.json"
	dies_with "OPEN of a library" 14 open "$library"
	dies_with "READ of a text" 15 read "$HOST/.nvfs/manifest.json"
	dies_with RELEASE 18 open "$library"
	dies_with READDIRPLUS 44 list "$HOST/etc"
	dies_with READDIR 28 list "$HOST/lib64"
	new_name
	dies_with INTERRUPT 36 interrupt "$HOST/$NAME"
}

# The kernel forgets inodes when a tree goes: nobody waits for that.
forget()
{
	local id

	make_rootfs busybox "$1"
	run_container "$1" "$ROOTFS"
	id=$(container_id "$1")
	nvinject --pid "$PID" --id "$id" --devices none >/dev/null
	find "$MOUNTPOINT/$id" >/dev/null
	start_killer 2 1
	nvinject --remove --id "$id" >/dev/null 2>&1 || true
	kill_container "$1"
	wait_for 10 grep -q killed "$SCRATCH/killer" || true
	stop_killer
	is "FORGET: one daemon died" "$(deaths)" 1
	new_name
	ok "and the next one answers" "$HELPERS/fuseop" lookup "$HOST/$NAME"
	CONTAINERS=()
}

state_of()
{
	sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null || echo gone
}

is_gone()
{
	[ "$(state_of "$1")" = gone ]
}

# With the daemon dead, and its keeper stopped, whoever waits may not be killable; later it must be.
caller_is_killed()
{
	new_name
	start_killer 1 1
	kill -STOP "$DAEMON_PID" # before there is a death that it could answer with another daemon
	"$HELPERS/fuseop" lookup "$HOST/$NAME" >/dev/null 2>&1 &
	CALLER=$!
	wait_for 5 grep -q killed "$SCRATCH/killer"
	kill -KILL "$CALLER"
	diag "$1: after SIGKILL, without a daemon, the caller is in state $(state_of "$CALLER")"
	kill -CONT "$DAEMON_PID"
	wait "$CALLER" 2>/dev/null || true
	ok "a caller that is killed meanwhile is gone" wait_for 5 is_gone "$CALLER"
	stop_killer
}

# Three in a row; the fourth daemon gives the request up, and says which one. A read that failed ahead
# of need is asked for again by the kernel: its caller may see no error.
request_that_kills()
{
	local before

	new_name
	start_killer "$2" 3
	before=$(grep -c 'answering EIO' "$SCRATCH/daemon.log" || true)
	if [ "$1" = READ ]; then
		like "READ: one that kills three daemons is answered" "$("$HELPERS/fuseop" "$3" "$4")" '^(EIO|ok)$'
	else
		fails "$1: a request that kills three daemons is answered EIO" 1 EIO "$HELPERS/fuseop" "$3" "$4"
	fi
	is "three daemons died with it" "$(deaths)" 3
	stop_killer
	like "the log says what it was" "$(grep 'answering EIO' "$SCRATCH/daemon.log" | tail -n 1)" \
		"FUSE opcode $2, nodeid 0x[0-9a-f]+: $5.* has killed 3 daemons"
	is "and says it once" "$(($(grep -c 'answering EIO' "$SCRATCH/daemon.log") - before))" 1
	ok "the same asked later is served" "$HELPERS/fuseop" "$3" "$4"
}

# In our mount namespace, which others do not have.
tasks_that_hang()
{
	local dir ours

	ours=$(readlink /proc/self/ns/mnt)
	for dir in /proc/[0-9]*; do
		[ "$(state_of "${dir#/proc/}")" = D ] && [ "$(readlink "$dir/ns/mnt")" = "$ours" ] || continue
		grep -q fuse "$dir/stack" && echo "$dir"
	done
}

setting()
{
	local library

	diag "NVFS_DISABLE=$1"
	NVFS_DISABLE=$1 start_daemon --config "$CONFIG"
	MODE=$(nvfs status --json | jq -r .mode)
	library=$HOST/lib64/libcuda.so.$(driver_version "$DRIVER_ROOT")
	asked_once
	asked_always "$library"
	case $1 in
	*passthrough*)
		dies_with "READ of a library" 15 read "$library"
		request_that_kills READ 15 read "$library" "file '.*libcuda.*' of all trees"
		;;
	esac
	forget "forget-${1//,/-}"
	caller_is_killed "${1:-resend}"
	new_name
	request_that_kills LOOKUP 1 lookup "$HOST/$NAME" "tree 'host'"
	request_that_kills OPEN 14 open "$library" "file '.*libcuda.*' of all trees"
	is "no task waits in the kernel for an answer" "$(tasks_that_hang 2>/dev/null || true)" ""
	stop_daemon
}

# The first request of all: no other daemon can go on from there, since the kernel asks once. The start fails,
# says of what, and leaves nothing in the way of the next one, which a service manager makes at once.
init_kills()
{
	local status=0

	mkdir -p "$MOUNTPOINT" "${SOCKET%/*}"
	rm -f "$SCRATCH/go"
	mkfifo "$SCRATCH/go"
	# shellcheck disable=SC2016
	sh -c 'read -r word <"$0"; exec "$@"' "$SCRATCH/go" "$NVFS" serve --config "$CONFIG" \
		--mountpoint "$MOUNTPOINT" --socket "$SOCKET" >"$SCRATCH/init.log" 2>&1 </dev/null &
	DAEMON_PID=$!
	start_killer 26 1
	echo go >"$SCRATCH/go"
	wait "$DAEMON_PID" || status=$?
	stop_killer
	is "INIT: the daemon died with it" "$(deaths)" 1
	is "INIT: the start fails" "$status" 1
	like "INIT: and says of what" "$(cat "$SCRATCH/init.log")" "daemon \\(pid [0-9]+\\) was killed by signal 9"
	unlike "INIT: nothing is mounted" "$(cat /proc/self/mountinfo)" "$MOUNTPOINT"
	start_daemon --config "$CONFIG"
	ok "INIT: the next start serves" ls "$HOST/lib64/libcuda.so.1"
	stop_daemon
}

host_snapshot
use_sample_driver
write_config "grace = 1"
setting ""
FIRST_MODE=$MODE
setting passthrough,resend
if [ "$FIRST_MODE" = passthrough ]; then
	setting resend
	setting passthrough
fi
init_kills
host_compare
done_testing
