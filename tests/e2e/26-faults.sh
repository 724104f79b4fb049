#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A fault at every step of an injection. A step is a system call of nvinject that changes something
# or hands something on (helpers/stepfault.c); the program is the one that is shipped. For each:
#
#   error   the step fails: nvinject says so, and container and host are as they were; or the step
#           was one that a container may do without, and --remove leaves them as they were
#   die     the child inside the container is killed after it: the same
#   end     nvinject is killed after it, with no chance to undo: the next nvinject gives the
#           container its GPU, and --remove then leaves it as it was
#   daemon  the daemon is killed after it, and its keeper makes another: the injection succeeds
#   remove  the same while all of it is taken back
#   other   the container is killed while all of it is taken back, and another one gets its id: that one keeps its GPU
#   dies    the container is killed after it: an error, or too late for one; nothing stays
#
# The first three once more with a container whose root is read-only, and which has nobody else to write to it.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ "$(uname -m)" = x86_64 ] || skip_all "the fault injector knows x86-64 only"

# All that an injection may touch: mounts, names, contents, and the device cgroups' lists.
container_state()
{
	mounts_in "$PID" | sort
	(cd "$ROOTFS" && find etc run tmp usr/bin usr/local ! -name ld.so.cache -printf '%p %y %m %U:%G %l\n' | sort
		find etc -type f ! -name ld.so.cache -exec md5sum {} + | sort -k 2)
	ldconfig -p -C "$ROOTFS/etc/ld.so.cache" | grep -F "=>"
	find "/proc/$PID/root/dev" -xdev -printf '%P %y %m %s %l\n' | sort
	cat "$CGROUP/devices.list" 2>/dev/null || true
}

before()
{
	container_state >"$SCRATCH/before"
}

# Prints what differs.
differs()
{
	container_state >"$SCRATCH/now"
	diff -U0 "$SCRATCH/before" "$SCRATCH/now" || true
}

inject()
{
	timeout -k 1 20 "$@" "$NVINJECT" --socket "$SOCKET" --pid "$PID" --id "$ID" --devices all \
		>"$SCRATCH/said" 2>&1 </dev/null
}

# inject_faulty MODE N. A reply comes in more pieces at one time than at another: a step that was counted
# may be missing, which is tried anew a few times and then noted.
inject_faulty()
{
	local status tries

	for tries in 1 2 3 4 5; do
		status=0
		inject "$HELPERS/stepfault" "$1" "$2" || status=$?
		[ "$status" = 99 ] || return "$status"
		taken_back || return 99
	done
	echo "$1 $2 ($tries times)" >>"$SCRATCH/missed"
	status=0
	inject || status=$?
	return "$status"
}

taken_back()
{
	nvinject --remove --id "$ID" >"$SCRATCH/removed" 2>&1
}

trees()
{
	nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length'
}

# A killed one's child dies a moment after it, and may still make a directory that the next run has not seen.
injectors_are_gone()
{
	local pid ns

	for pid in $(pgrep -x nvinject); do
		for ns in "/proc/$$/ns/mnt" "/proc/$PID/ns/mnt"; do
			! [ "/proc/$pid/ns/mnt" -ef "$ns" ] || return 1
		done
	done
}

# fault MODE N: prints what is wrong, if anything
fault()
{
	local status=0

	inject_faulty "$1" "$2" || status=$?
	case $status in
	0) taken_back || echo "exit status 0, and --remove: $(cat "$SCRATCH/removed")" ;;
	137) [ "$1" != error ] || echo "killed: $(cat "$SCRATCH/said")" ;;
	97 | 98 | 99 | 124) echo "exit status $status: $(cat "$SCRATCH/said")" ;;
	*) grep -q '^nvinject: [a-z]*: ' "$SCRATCH/said" || echo "no error is said: $(cat "$SCRATCH/said")" ;;
	esac
	if [ "$status" = 137 ]; then
		wait_for 5 injectors_are_gone || echo "a process of the killed run lives"
		inject || echo "the next run: $(cat "$SCRATCH/said")"
		gpu_is_there
		taken_back || echo "--remove after the next run: $(cat "$SCRATCH/removed")"
	fi
	differs
	[ "$(trees)" = 0 ] || echo "a tree stays"
}

gpu_is_there()
{
	[ "$(mounts_in "$PID" | grep -c '^/usr/local/nvidia ')" = 1 ] || echo "not one mount of the tree"
	[ "$(mounts_in "$PID" | grep -c '^/dev/nvidia0 ')" = 1 ] || echo "not one mount of the GPU"
	ldconfig -p -C "$ROOTFS/etc/ld.so.cache" | grep -q 'libcuda.so.1.*=> /usr/local/nvidia' ||
		echo "libcuda is not in the cache"
	[ "$(mounts_in "$PID" | grep -Ec '^/(run|tmp)/nvidia-')" = 3 ] || echo "not three sockets"
	[ -L "$ROOTFS/usr/bin/nvidia-smi" ] || echo "no link to nvidia-smi"
}

# every_step MODE: one assertion a step
every_step()
{
	local mode=$1 n wrong

	for n in "${STEPS[@]}"; do
		wrong=$(fault "$mode" "$n")
		is "$mode at step $n" "$wrong" ""
		[ -z "$wrong" ] || fresh
	done
}

# A container without a trace of what was done to the last one.
fresh()
{
	kill_container c1 || true
	wait_for 10 no_tree || true
	make_rootfs glibc "c$((++FRESH))"
	run_container c1 "$ROOTFS" "$FILTER"
	CGROUP=/sys/fs/cgroup/devices$(sed -n 's/^[0-9]*:devices://p' "/proc/$PID/cgroup")
	before
}

ID=c1
host_snapshot
use_sample_driver
write_config 'grace = 0'
use_sample_sockets
start_daemon --config "$CONFIG"
FRESH=0
: >"$SCRATCH/missed"
FILTER=.

# All that it does, in $STEPS; those of the child inside the container have a "c": see stepfault.
count_steps()
{
	local own inside

	inject "$HELPERS/stepfault" count 0
	read -r own inside <<<"$(sed -n 's/^steps: //p' "$SCRATCH/said")"
	mapfile -t STEPS < <(seq "${own:-0}"; seq -f c%.0f "${inside:-0}")
	ok "an injection has steps (${own:-0} outside, ${inside:-0} inside)" [ "${#STEPS[@]}" -gt 20 ]
	is "without a fault the GPU is there" "$(gpu_is_there)" ""
	ok "and is taken back" taken_back
	is "wholly" "$(differs)" ""
}

fresh
count_steps

# The daemon that works at this moment; its keeper lives.
kill_daemon="$NVFS status --socket $SOCKET --json | jq .daemon_pid | xargs kill -KILL"

# The container lives on with its GPU, whichever daemon said so.
daemon_fault()
{
	inject_faulty "call:$kill_daemon" "$1" || echo "exit status $?: $(cat "$SCRATCH/said")"
	gpu_is_there
	taken_back || echo "--remove: $(cat "$SCRATCH/removed")"
	differs
	[ "$(trees)" = 0 ] || echo "a tree stays"
}

# The removal goes on with the next daemon; a step that it does not come to counts for one that succeeded.
remove_fault()
{
	local status=0 worker

	inject || echo "exit status $?: $(cat "$SCRATCH/said")"
	worker=$(worker_pid)
	timeout -k 1 20 "$HELPERS/stepfault" "call:$kill_daemon" "$1" "$NVINJECT" --socket "$SOCKET" --remove --id "$ID" \
		>"$SCRATCH/removed" 2>&1 </dev/null || status=$?
	[ "$status" = 0 ] || [ "$status" = 99 ] || echo "exit status $status: $(cat "$SCRATCH/removed")"
	if [ "$status" = 99 ]; then
		echo "$1 of a removal" >>"$SCRATCH/missed"
	elif [ "$(worker_pid)" = "$worker" ]; then
		echo "no daemon died"
	fi
	differs
	[ "$(trees)" = 0 ] || echo "a tree stays"
}

start_other()
{
	local first=$PID

	make_rootfs glibc other
	run_container other "$ROOTFS"
	OTHER=$PID PID=$first
	ROOTFS=$SCRATCH/rootfs-c$FRESH
}

# The id is not to be had while somebody is in the first one's namespaces, nvinject's child for one. Says so in
# $SCRATCH/given, by the step.
other_fault()
{
	local status=0 give="$NVINJECT --socket $SOCKET --pid $OTHER --id $ID --devices none --no-cgroup"

	inject || echo "exit status $?: $(cat "$SCRATCH/said")"
	timeout -k 1 20 "$HELPERS/stepfault" \
		"call:kill -KILL $PID; for i in 1 2 3; do $give 2>$SCRATCH/refused && echo $1 >>$SCRATCH/given && break; sleep 0.1; done" \
		"$1" "$NVINJECT" --socket "$SOCKET" --remove --id "$ID" >"$SCRATCH/removed" 2>&1 </dev/null || status=$?
	case $status in
	0 | 5 | 6 | 75) ;;
	*) echo "exit status $status: $(cat "$SCRATCH/removed")" ;;
	esac
	if ! grep -qx "$1" "$SCRATCH/given"; then
		grep -q 'is the live container' "$SCRATCH/refused" || echo "the other got nothing: $(cat "$SCRATCH/refused")"
		return 0
	fi
	[ "$(nvfs show "$ID" --json | jq .pid)" = "$OTHER" ] || echo "the other's tree is gone: $(cat "$SCRATCH/removed")"
	[ "$(mounts_in "$OTHER" | grep -c '^/usr/local/nvidia ')" = 1 ] || echo "the other has no tree mounted"
	taken_back || echo "--remove of the other: $(cat "$SCRATCH/removed")"
}

count_removal_steps()
{
	local own inside

	inject
	timeout -k 1 20 "$HELPERS/stepfault" count 0 "$NVINJECT" --socket "$SOCKET" --remove --id "$ID" \
		>"$SCRATCH/said" 2>&1 </dev/null || true
	read -r own inside <<<"$(sed -n 's/^steps: //p' "$SCRATCH/said")"
	mapfile -t STEPS < <(seq "${own:-0}"; seq -f c%.0f "${inside:-0}")
	ok "a removal has steps (${own:-0} outside, ${inside:-0} inside)" [ "${#STEPS[@]}" -gt 10 ]
}

container_fault()
{
	local status=0 ID=dies-$1 # a mount namespace's number comes back soon

	inject_faulty "call:kill -KILL $PID" "$1" || status=$?
	case $status in
	0 | 5 | 6) ;;
	# What has just died is in the cgroup "/".
	75) grep -q 'is not in its cgroup' "$SCRATCH/said" || echo "exit status 75: $(cat "$SCRATCH/said")" ;;
	*) echo "exit status $status: $(cat "$SCRATCH/said")" ;;
	esac
}

no_tree()
{
	[ "$(trees)" = 0 ]
}

every_step_of()
{
	local what=$1 i

	for ((i = 0; i < ${#STEPS[@]}; i += ${2:-1})); do
		is "$what: a kill at step ${STEPS[i]}" "$("${what}_fault" "${STEPS[i]}")" ""
		case $what in
		container | other) fresh ;;
		esac
	done
}

for mode in ${MODES:-error die end daemon container remove other}; do
	case $mode in
	other)
		start_other
		count_removal_steps
		: >"$SCRATCH/given"
		# Before the second one it is the other that is to be removed.
		STEPS=("${STEPS[@]:1:16}")
		every_step_of "$mode"
		ok "the id went to the other at several steps ($(xargs <"$SCRATCH/given"))" [ "$(wc -l <"$SCRATCH/given")" -ge 3 ]
		kill_container other
		;;
	remove)
		count_removal_steps
		every_step_of "$mode"
		;;
	daemon) every_step_of "$mode" ;;
	container) every_step_of "$mode" 3 ;; # each takes a container
	*) every_step "$mode" ;;
	esac
done

FILTER='.root.readonly = true'
fresh
writable_steps=${#STEPS[@]}
count_steps
ok "a read-only root takes more of them" [ "${#STEPS[@]}" -gt "$writable_steps" ]
for mode in ${READ_ONLY_MODES-error die end}; do
	every_step "$mode"
done

diag "steps that were not come to: $(tr '\n' ';' <"$SCRATCH/missed")"
ok "nearly every step was come to" [ "$(wc -l <"$SCRATCH/missed")" -le 10 ]
kill_container c1
ok "of containers that died no tree stays" wait_for 10 no_tree
FILTER=.
fresh

# No daemon comes back: an error in time, and the container is as it was.
STATUS=0
nvfs_gone="kill -KILL $DAEMON_PID; $kill_daemon"
timeout -k 1 20 "$HELPERS/stepfault" "call:$nvfs_gone" c20 "$NVINJECT" --socket "$SOCKET" --pid "$PID" \
	--id c1 --devices all --timeout 2 >"$SCRATCH/said" 2>&1 </dev/null || STATUS=$?
is "keeper and daemon are killed: exit status" "$STATUS" 7
like "the error" "$(cat "$SCRATCH/said")" 'nvinject: daemon: '
is "the container is as it was" "$(differs)" ""

kill_container c1
stop_daemon
host_compare
done_testing
