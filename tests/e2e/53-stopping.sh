#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The end of `nvfs serve`: by every signal that asks for it, with and without containers, with a daemon
# that is stuck, and with one that cannot be started any more. Never a hang, and nothing is left.
set -eu
. "$(dirname "$0")/../lib.sh"

TREE=/usr/local/nvidia

start_injected()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all
}

mount_is_gone()
{
	! grep -q " $MOUNTPOINT " /proc/self/mountinfo
}

# ends_within NAME SECONDS STATUS: the keeper ends by itself, and takes mount, socket and state along.
ends_within()
{
	local status=0

	if ! wait_for "$2" daemon_is_gone; then
		fail "$1" "still there after $2 s: $(tail -n 5 "$SCRATCH/daemon.log")"
		kill -KILL "$DAEMON_PID"
	else
		pass "$1"
	fi
	wait "$DAEMON_PID" || status=$?
	DAEMON_PID=
	is "$1: exit status" "$status" "$3"
	ok "$1: the mount is gone" wait_for 5 mount_is_gone
	is "$1: so are socket and state" "$(ls "${SOCKET%/*}")" ""
}

signals()
{
	local signal

	for signal in TERM INT HUP QUIT; do
		start_daemon --config "$CONFIG"
		kill -"$signal" "$DAEMON_PID"
		ends_within "SIG$signal" 5 0
	done
	# Before it is ready.
	"$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SOCKET" \
		</dev/null >"$SCRATCH/daemon.log" 2>&1 &
	DAEMON_PID=$!
	wait_for 10 test -e "${SOCKET%/*}/state"
	kill -TERM "$DAEMON_PID"
	ends_within "SIGTERM on the way up" 10 0
}

# start_on_terminal: in the foreground of a terminal of its own; what is written to $KEYS is typed there
start_on_terminal()
{
	rm -f "$SCRATCH/keys"
	mkfifo "$SCRATCH/keys"
	exec {KEYS}<>"$SCRATCH/keys"
	script -qec "exec '$NVFS' serve --config '$CONFIG' --mountpoint '$MOUNTPOINT' --socket '$SOCKET'" /dev/null \
		<"$SCRATCH/keys" >"$SCRATCH/daemon.log" 2>&1 {KEYS}<&- &
	TERMINAL=$!
	wait_for 20 nvfs status
	DAEMON_PID=$(nvfs status --json | jq .keeper_pid)
}

# interrupted NAME: the program on the terminal ends by itself, as one that was asked to
interrupted()
{
	local status=0

	ok "$1: it ends" wait_for 10 has_ended "$TERMINAL"
	kill -TERM "$TERMINAL" 2>/dev/null || true
	wait "$TERMINAL" || status=$?
	DAEMON_PID=
	exec {KEYS}>&-
	is "$1: exit status" "$status" 0
	ok "$1: the mount is gone" wait_for 5 mount_is_gone
	is "$1: so are socket and state" "$(ls "${SOCKET%/*}")" ""
}

ctrl_c()
{
	if ! command -v script >/dev/null; then
		skip "Ctrl-C" "no script(1)"
		return 0
	fi
	start_on_terminal
	printf '\003' >&"$KEYS"
	interrupted "Ctrl-C"
	start_on_terminal
	start_injected typed >/dev/null
	printf '\003' >&"$KEYS"
	ok "Ctrl-C with a container is answered" \
		wait_for 5 grep -q "1 container uses a driver tree, going on until the last one ends" "$SCRATCH/daemon.log"
	ok "and does not reach the daemon: it goes on" in_container typed dlopen libcuda.so.1
	unlike "nobody was killed" "$(cat "$SCRATCH/daemon.log")" 'killed|starting another'
	kill_containers
	interrupted "Ctrl-C, when the last container has ended"
}

in_use_by_others()
{
	start_daemon --config "$CONFIG"
	(cd "$MOUNTPOINT/host" && exec sleep 300) &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 10 sh -c "readlink /proc/$CHILD/cwd | grep -q '^$MOUNTPOINT/host'"
	kill -TERM "$DAEMON_PID"
	ends_within "SIGTERM while a shell stands in the mount" 5 0
	kill -KILL "$CHILD"
}

with_containers()
{
	start_daemon --config "$CONFIG"
	start_injected one >/dev/null
	kill -TERM "$DAEMON_PID"
	ok "SIGTERM with a container is answered" \
		wait_for 5 grep -q "1 container uses a driver tree, going on until the last one ends" "$SCRATCH/daemon.log"
	ok "and it goes on" in_container one dlopen libcuda.so.1
	kill -KILL "$(worker_pid)"
	ok "also with another daemon" wait_for 10 in_container one dlopen libcuda.so.1
	kill_containers
	ends_within "it ends when the last container has ended, without waiting for the grace" 10 0

	start_daemon --config "$CONFIG"
	start_injected two >/dev/null
	kill_containers
	ok "a container that has ended does not keep it" nvfs shutdown
	ends_within "shutdown" 5 0
}

by_force()
{
	start_daemon --config "$CONFIG"
	start_injected reader >/dev/null
	in_container reader sh -c "while :; do cat $TREE/.nvfs/manifest.json; done" >/dev/null 2>&1 &
	CHILD=$!
	sleep 0.5
	fails "shutdown is refused while a container lives" 1 "1 container uses" nvfs shutdown
	ok "shutdown --force" nvfs shutdown --force
	ends_within "shutdown --force with a reader" 5 0
	not_ok "the container's tree is dead" in_container reader ls $TREE/lib64
	ok "but its processes can be killed" kill_container reader
	wait "$CHILD" || true
	CONTAINERS=()
}

stuck()
{
	local worker

	start_daemon --config "$CONFIG"
	worker=$(worker_pid)
	kill -STOP "$worker"
	kill -TERM "$DAEMON_PID"
	ends_within "SIGTERM while the daemon is stopped" 10 0
	not_ok "the stopped one is gone" test -e "/proc/$worker/exe"
}

# No daemon can go on with this state: every one that is started ends at once.
hopeless()
{
	start_daemon --config "$CONFIG"
	printf '\115' | dd of="${SOCKET%/*}/state" bs=1 seek=4 conv=notrunc 2>/dev/null
	kill -KILL "$(worker_pid)"
	wait_for 20 sh -c "[ \$(grep -c 'starting another one' $SCRATCH/daemon.log) -gt 5 ]"
	kill -TERM "$DAEMON_PID"
	ok "SIGTERM while no daemon can be started" wait_for 15 daemon_is_gone
	wait "$DAEMON_PID" || STATUS=$?
	DAEMON_PID=
	is "is an error" "$STATUS" 1
	ok "but leaves no mount" mount_is_gone
	rm -f "${SOCKET%/*}/state"
}

use_sample_driver
host_snapshot
signals
ctrl_c
in_use_by_others
with_containers
by_force
stuck
hopeless
host_compare
done_testing
