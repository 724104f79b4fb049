#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# How long a tree lives: the first process of a container goes, others stay in its namespaces, as with
# pyxis; or in a mount namespace that was made from it. The tree and the GPU go on, through a takeover
# and a change of the driver, and when nobody is left all of it goes.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
GRACE=1

is_gone()
{
	[ ! -e "/proc/$1" ]
}

# The tree as the container's own processes see it.
version_of()
{
	timeout -k 1 10 nsenter -t "$1" -m readlink $TREE/lib64/libcuda.so.1 | sed 's/.*\.so\.//'
}

has_version()
{
	[ "$(version_of "$1")" = "$2" ]
}

trees()
{
	nvfs ls --json | jq -r '.trees[].id' | xargs
}

# Only an answer counts.
tree_is_gone()
{
	nvfs ls --json | jq -e --arg id "$1" '.trees | any(.id == $id) | not'
}

# The module's version is a text; a rename makes its change one moment.
load_driver()
{
	SAMPLE_VERSION=$1 "$TESTS/sample-driver" "$SCRATCH/newer" >/dev/null
	cp -a --remove-destination "$SCRATCH/newer/root/." "$DRIVER_ROOT/"
	sed "s/\(Module  *\)[0-9][0-9.]*/\1$1/" "$PROC_ROOT/driver/nvidia/version" >"$SCRATCH/version.new"
	mv "$SCRATCH/version.new" "$PROC_ROOT/driver/nvidia/version"
}

# start_one NAME COMMAND: without a pid namespace, so that the end of the first process is not the end
# of all. $PID, and the pid of another process in its namespaces, which runs COMMAND, in $OTHER.
start_one()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS" '.linux.namespaces |= map(select(.type != "pid"))
		| .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all >/dev/null
	timeout -k 1 120 runc --root "$SCRATCH/runc" exec --pid-file "$SCRATCH/other" --detach \
		"$(container_id "$1")" sh -c "$2" <"$SCRATCH/no-input" >"$SCRATCH/exec.log" 2>&1
	OTHER=$(cat "$SCRATCH/other")
	at_exit kill -KILL "$OTHER"
}

end_init()
{
	kill -KILL "$PID"
	wait_for 5 is_gone "$PID"
}

# The daemon looks every 2 s.
past_the_grace()
{
	sleep $((GRACE + 3)).2
}

# devices_cgroup PID: the folder of the hierarchy that decides what it may open
devices_cgroup()
{
	local path

	path=$(sed -n 's/^[0-9]*:\([a-z_]*,\)*devices\(,[a-z_]*\)*://p' "/proc/$1/cgroup")
	if [ -n "$path" ]; then
		echo "/sys/fs/cgroup/devices$path"
	else
		echo "$(awk '{ for (i = 7; $i != "-"; i++); } $(i + 1) == "cgroup2" { print $5; exit }' \
			/proc/self/mountinfo)$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
	fi
}

# What a process in the container's cgroup and mount namespace is told at each node: no driver answers, and
# the cgroup forbids what nobody has permitted.
answers()
{
	local cgroup

	cgroup=$(devices_cgroup "$OTHER")
	timeout -k 1 10 nsenter -t "$OTHER" -m sh -c '[ -c /dev/forbidden ] || mknod -m 666 /dev/forbidden c 250 0' &&
		timeout -k 1 10 sh -c "echo \$\$ >'$cgroup/cgroup.procs' &&
			exec nsenter -t $OTHER -m opendev /dev/nvidia0 /dev/nvidiactl /dev/forbidden" 2>&1 | xargs
}

gpu_works()
{
	local got

	got=$(answers)
	if [ "$got" != "/dev/nvidia0 ENXIO /dev/nvidiactl ENXIO /dev/forbidden EPERM" ]; then
		echo "$got"
		return 1
	fi
	timeout -k 1 10 nsenter -t "$OTHER" -m cat "$TREE/proc/driver/nvidia/version" >/dev/null &&
		timeout -k 1 10 nsenter -t "$OTHER" -m dlopen libcuda.so.1
}

goes_on()
{
	local name=$1 version=$2

	like "$name: the tree is there" "$(trees)" "$(container_id one)"
	is "$name: and has the driver" "$(version_of "$OTHER")" "$version"
	ok "$name: GPU and libraries work" gpu_works
}

first_process_goes()
{
	local id new=999.20.02

	start_one one 'exec sleep 1000'
	id=$(container_id one)
	end_init
	past_the_grace
	goes_on "after the first process" 999.10.01
	kill_worker
	goes_on "after a takeover" 999.10.01
	load_driver $new
	ok "the driver is changed under it" wait_for 20 has_version "$OTHER" $new
	goes_on "after a change of the driver" $new
	kill_worker
	past_the_grace
	goes_on "after both" $new
	kill -KILL "$OTHER"
	ok "with the last process, and the grace, the tree goes" wait_for 15 tree_is_gone "$id"
	not_ok "its name is gone" ls "$MOUNTPOINT/$id"
	kill_container one
}

# Both go while nobody looks.
first_process_goes_in_a_takeover()
{
	start_one both 'exec sleep 1000'
	kill -STOP "$DAEMON_PID"
	kill -KILL "$(worker_pid)"
	end_init
	kill -CONT "$DAEMON_PID"
	past_the_grace
	ok "the first process went while there was no daemon: libraries work" gpu_works
	kill -KILL "$OTHER"
	ok "and the tree goes with the last one" wait_for 15 tree_is_gone "$(container_id both)"
	kill_container both
}

is_elsewhere()
{
	[ "$(readlink "/proc/$PID/ns/mnt")" != "$(readlink "/proc/$OTHER/ns/mnt")" ]
}

# A mount namespace made inside, by a sandbox or a step of a job, has a copy of the mount.
# a_namespace_from_within NAME
a_namespace_from_within()
{
	start_one "$1" 'exec unshare -m sleep 1000'
	wait_for 5 is_elsewhere
	end_init
	past_the_grace
	ok "only a mount namespace made from the container's is left: libraries work" gpu_works
	fails "which is a use: the daemon does not end under it" 1 '1 container uses' nvfs shutdown
	kill_worker
	past_the_grace
	ok "after a takeover too" gpu_works
	kill -KILL "$OTHER"
	ok "and the tree goes with it" wait_for 20 tree_is_gone "$(container_id "$1")"
	kill_container "$1"
}

# As before Linux 6.11.
by_proc_alone()
{
	NVFS_DISABLE=${NVFS_DISABLE:+$NVFS_DISABLE,}statmount,pidfd_ns start_daemon --config "$CONFIG"
	is "what is turned off is not used" \
		"$(nvfs status --json | jq -c '.features | [.statmount, .pidfd_ns]')" '[false,false]'
	a_namespace_from_within by-proc
	stop_daemon
}

host_snapshot
use_sample_driver
write_config "grace = $GRACE" "settle = 0"
start_daemon --config "$CONFIG"
first_process_goes
first_process_goes_in_a_takeover
a_namespace_from_within within
is "no tree is left" "$(trees)" ""
is "the top directory has no name of a container" "$(find "$MOUNTPOINT" -maxdepth 1 -name "$RUN_ID*")" ""
is "nobody has a tree mounted" "$(awk -v root="/$RUN_ID" 'index($4, root) == 1' /proc/[0-9]*/mountinfo 2>/dev/null)" ""
stop_daemon
by_proc_alone
host_compare
done_testing
