#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers whose cgroup is a unit of systemd (tests/machine.sh): what systemd does to units does not
# take their devices away, and what was given is taken back whole.
# shellcheck disable=SC2317,SC2034 # functions that wait_for calls, variables of lib.sh's
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/machine.sh
. "$TESTS/machine.sh"

outside()
{
	use_sample_driver
	write_config 'grace = 1' 'heal = 1' 'settle = 0'
	run_machine
	done_testing
}

# ---- inside -------------------------------------------------------------------------------------

# runc makes the container's cgroup as a scope of the system manager.
runc()
{
	timeout -k 5 60 runc --systemd-cgroup --root /run/runc "$@" </dev/null
}

# start NAME [JQ-FILTER]: a container in machine.slice/nvfs-NAME.scope; $SCOPE, and $CGROUP its folder
start()
{
	SCOPE=nvfs-$1.scope
	CGROUP=/sys/fs/cgroup/machine.slice/$SCOPE
	run_container "$1" "$ROOTFS" ".linux.cgroupsPath = \"machine.slice:nvfs:$1\" | ${2:-.}"
}

# pure NAME: the same without a runtime: systemd's program is the only one on the cgroup
pure()
{
	SCOPE=nvfs-$1.scope
	CGROUP=/sys/fs/cgroup/machine.slice/$SCOPE
	: >"$SCRATCH/minict.out"
	systemd-run -q --scope --slice=machine.slice --unit="$SCOPE" -p DevicePolicy=closed \
		"$HELPERS/minict" "$ROOTFS" </dev/null >>"$SCRATCH/minict.out" 2>&1 &
	wait_for 10 grep -q ready "$SCRATCH/minict.out"
	PID=$(head -n 1 "$CGROUP/cgroup.procs")
}

# answers_pure: what a process in its cgroup and mount namespace is told
answers_pure()
{
	sh -c "echo \$\$ >'$CGROUP/cgroup.procs' && exec nsenter -t $PID -m /usr/local/bin/opendev /dev/nvidia0 /dev/nvidiactl" \
		</dev/null 2>&1 | awk '{ printf "%s ", $2 }'
}

is_open_pure()
{
	[ "$(answers_pure)" = "ENXIO ENXIO " ]
}

# nodes PID: the GPU's nodes, where nobody has made them
nodes()
{
	mknod -m 666 "/proc/$1/root/dev/nvidia0" c 195 0
	mknod -m 666 "/proc/$1/root/dev/nvidiactl" c 195 255
}

# attach_anew DEVICE: systemd makes and attaches its program anew. By a daemon-reload alone version 252 does, and
# 257 does not.
attach_anew()
{
	systemctl set-property --runtime "$SCOPE" "DeviceAllow=$1 rw"
}

# baseline: programs that there are when systemd has attached its own anew. runc puts one of its own in the
# place of systemd's, which comes to stand beside it then, whatever we do.
baseline()
{
	systemctl daemon-reload
	attach_anew /dev/null
	COUNT=$(programs)
}

# What opening the GPU's nodes says in there: ENXIO is a permitted open of a device without a driver.
answers()
{
	in_container "$1" opendev /dev/nvidia0 /dev/nvidiactl 2>&1 | awk '{ printf "%s ", $2 }'
}

is_open()
{
	[ "$(answers "$1")" = "ENXIO ENXIO " ]
}

device_allow()
{
	systemctl show -P DeviceAllow "$1" | tr ')' '\n' | sed 's/^ *(*//' | sort | grep . || true
}

step()
{
	nvfs show --json "$1" | jq -c ".done[] | select(.step == \"$2\")"
}

knows()
{
	device_allow "$1" | grep -q 195:0
}

programs()
{
	"$HELPERS/cgroupctl" count "$CGROUP"
}

has_programs()
{
	[ "$(programs)" = "$1" ]
}

log_of()
{
	journalctl -q -u nvfs -o cat --no-pager
}

said()
{
	log_of | grep -q -- "$1"
}

# survives NAME COMMAND...: the device is open at once afterwards, and no program has been left behind
survives()
{
	local name=$1

	shift
	ok "$name" "$@"
	is "$name: the device is open at once" "$(answers box)" "ENXIO ENXIO "
	ok "$name: no program is left behind" wait_for 10 has_programs "$COUNT"
	is "$name: and it stays open" "$(answers box)" "ENXIO ENXIO "
}

a_scope()
{
	local before

	start box
	baseline
	before=$(device_allow "$SCOPE")
	ok "a container in a scope" nvinject --pid "$PID" --id box --devices all
	is "has its device" "$(answers box)" "ENXIO ENXIO "
	ok "the scope is told" wait_for 10 knows "$SCOPE"
	ok "which the record says" wait_for 5 test -n "$(step box unit)"
	like "with the list of what was added" "$(step box unit)" '"/dev/char/195:0","rw"'
	ok "there are as many programs as before" wait_for 10 has_programs "$COUNT"
	survives "daemon-reload" systemctl daemon-reload
	survives "daemon-reexec" systemctl daemon-reexec
	survives "set-property of another device" \
		systemctl set-property --runtime "$SCOPE" DeviceAllow='/dev/fuse rw'
	survives "set-property of something else" systemctl set-property --runtime "$SCOPE" TasksMax=1000
	for _ in 1 2 3 4 5; do
		systemctl daemon-reload
	done
	survives "a sixth daemon-reload" systemctl daemon-reload
	systemctl set-property --runtime "$SCOPE" DeviceAllow= DeviceAllow='/dev/fuse rw'
	ok "an administrator's own list: healed" wait_for 10 is_open box
	ok "and the scope is told again" wait_for 10 knows "$SCOPE"
	ok "nor does that leave programs" wait_for 10 has_programs "$COUNT"

	ok "nvfs revoke" nvfs revoke box
	like "says so" "$OUT" "revoked box"
	is "the scope is as it was" "$(device_allow "$SCOPE")" "/dev/fuse rw"
	not_ok "the container has no node" in_container box test -e /dev/nvidia0
	nodes "$PID"
	is "and no permission" "$(answers box)" "EPERM EPERM "
	systemctl daemon-reload
	sleep 3
	is "nor after a daemon-reload" "$(answers box)" "EPERM EPERM "
	ok "as many programs as before" wait_for 5 has_programs "$COUNT"
	fails "an id that is not there" 2 "no tree 'box'; nvfs ls" nvfs revoke box

	systemctl set-property --runtime "$SCOPE" DeviceAllow=
	[ -z "$before" ] || is "a list of nothing" "$(device_allow "$SCOPE")" ""
	kill_container box
}

remove_by_nvinject()
{
	local before

	start two
	before=$(device_allow "$SCOPE")
	ok "another scope" nvinject --pid "$PID" --id two --devices all
	ok "is told" wait_for 10 knows "$SCOPE"
	ok "nvinject --remove" nvinject --remove --id two
	is "takes it back" "$(device_allow "$SCOPE")" "$before"
	nodes "$PID"
	is "denied at once" "$(answers two)" "EPERM EPERM "
	systemctl daemon-reload
	is "and after a daemon-reload" "$(answers two)" "EPERM EPERM "
	kill_container two
}

# The unit is a service, which outlives its container's end.
a_service()
{
	local pid

	systemd-run -q --unit=svc -p DevicePolicy=closed -p DeviceAllow='/dev/fuse r' -p RemainAfterExit=yes \
		unshare -m -p -f sh -c "mount -t tmpfs tmpfs $ROOTFS/dev && exec chroot $ROOTFS sleep 1000"
	wait_for 5 pgrep -f '^sleep 1000'
	pid=$(pgrep -n -f '^sleep 1000')
	ok "a container in a service" nvinject --pid "$pid" --id svc --devices all
	ok "the service is told" wait_for 10 knows svc.service
	systemctl daemon-reload
	ok "it is told still" knows svc.service
	kill -KILL "$pid"
	ok "when the container has ended it is as it was" wait_for 15 sh -c \
		'! systemctl show -P DeviceAllow svc.service | grep -q 195:'
	is "with what others have set" "$(device_allow svc.service)" "/dev/fuse r"
	systemctl stop svc
}

# moved MAJOR: nvidia-uvm's is another one now, as after the module was loaded anew
moved()
{
	sed -i "s/^[0-9]* nvidia-uvm\$/$1 nvidia-uvm/" "$PROC_ROOT/devices"
	rm -f "$DEV_ROOT/nvidia-uvm" "$DEV_ROOT/nvidia-uvm-tools"
	mknod -m 0666 "$DEV_ROOT/nvidia-uvm" c "$1" 0
	mknod -m 0666 "$DEV_ROOT/nvidia-uvm-tools" c "$1" 1
}

majors_of()
{
	device_allow "$1" | sed -n 's|^/dev/char/\(2[0-9]*\):.*|\1|p' | sort -u | paste -sd ' '
}

majors_are()
{
	[ "$(majors_of "$1")" = "$2" ]
}

# What a unit was told of numbers of before, it is told to forget.
majors_move()
{
	local before

	start box
	before=$(device_allow "$SCOPE")
	nvinject --pid "$PID" --id box --devices all
	ok "moved: the scope is told of the majors" wait_for 10 majors_are "$SCOPE" 238
	moved 236
	ok "moved: of the new ones, and no more of the old" wait_for 30 majors_are "$SCOPE" 236
	unlike "moved: nor does the record say so" "$(step box unit)" 'char/238:'
	ok "moved: the device is open" wait_for 10 is_open box
	systemctl daemon-reload
	is "moved: after a daemon-reload, too" "$(answers box)" "ENXIO ENXIO "
	ok "moved: revoked" nvfs revoke box
	is "moved: nothing is left" "$(device_allow "$SCOPE")" "$before"
	moved 238
	kill_container box
}

left_node()
{
	! in_container box test -e /dev/nvidia0
}

# The removal waits for systemd, and the container is injected meanwhile.
a_late_removal()
{
	local bus removal injection status=0

	bus=$(pgrep -o -x 'dbus-daemon|dbus-broker')
	start box
	nvinject --pid "$PID" --id box --devices all
	ok "late: the scope is told" wait_for 10 knows "$SCOPE"
	kill -STOP "$bus"
	nvinject --remove --id box >"$SCRATCH/removed" 2>&1 &
	removal=$!
	ok "late: what is in the container is taken back" wait_for 10 left_node
	nvinject --pid "$PID" --id box --devices all >"$SCRATCH/injected" 2>&1 &
	injection=$!
	sleep 1
	fails "late: meanwhile a removal is refused" 75 "being removed" nvinject --remove --id box
	kill -CONT "$bus"
	wait "$removal" || status=$?
	is "late: the removal ends" "$status $(cat "$SCRATCH/removed")" "0 "
	wait "$injection" || status=$?
	is "late: and then the injection" "$status" 0
	is "late: the container has its device" "$(answers box)" "ENXIO ENXIO "
	sleep 3
	ok "late: and a tree" nvfs show box
	ok "late: of which systemd knows" wait_for 10 knows "$SCOPE"
	nvinject --remove --id box
	kill_container box
}

is_healed()
{
	is_open box && has_programs "$COUNT"
}

# With nobody to tell: heals alone.
without_a_bus()
{
	mkdir -p /run/systemd/system/nvfs.service.d
	printf '[Service]\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere\n' \
		>/run/systemd/system/nvfs.service.d/bus.conf
	systemctl daemon-reload
	systemctl restart nvfs
	wait_for 20 nvfs status
	start box
	baseline
	ok "no bus: a container in a scope" nvinject --pid "$PID" --id box --devices all
	ok "no bus: it is said" wait_for 10 said 'system bus'
	is "no bus: the record has no unit" "$(step box unit)" ""
	for command in daemon-reload daemon-reexec "set-property --runtime $SCOPE TasksMax=500" daemon-reload daemon-reload; do
		# shellcheck disable=SC2086 # words
		systemctl $command
		ok "no bus: ${command%% *} is healed, and leaves no program behind" wait_for 10 is_healed
	done
	is "no bus: it is said once" "$(log_of | grep -c 'system bus.*using heals alone')" 1

	sh -c "echo \$\$ >'$CGROUP/cgroup.procs' && exec sleep 1001" </dev/null >/dev/null 2>&1 &
	CHILD=$!
	wait_for 5 grep -qx "$CHILD" "$CGROUP/cgroup.procs"
	attach_anew /dev/full
	ok "no bus: a cgroup that others share is not healed, and that is said by name" \
		wait_for 10 said "container 'box' may have lost its devices: process $CHILD .*$SCOPE"
	is "no bus: denied" "$(answers box)" "EPERM EPERM "
	sleep 3
	is "no bus: said once" "$(log_of | grep -c 'may have lost')" 1
	kill -KILL "$CHILD"
	wait "$CHILD" 2>/dev/null || true
	attach_anew /dev/zero
	ok "no bus: healed when they have gone" wait_for 10 is_open box
	systemctl restart nvfs
	ok "no bus: another daemon knows of it" wait_for 20 nvfs show box
	systemctl daemon-reload
	ok "no bus: and heals" wait_for 10 is_healed
	nvinject --remove --id box
	nodes "$PID"
	is "no bus: removed" "$(answers box)" "EPERM EPERM "
	for _ in 1 2 3; do
		systemctl daemon-reload
	done
	is "no bus: as many programs as before" "$(programs)" "$COUNT"
	kill_container box
}

is_healed_pure()
{
	is_open_pure && has_programs 1
}

without_a_runtime()
{
	pure "$1"
	is "$1: systemd's program is the only one" "$(programs)" 1
	ok "$1: injected" nvinject --pid "$PID" --id "$1" --devices all
	is "$1: open" "$(answers_pure)" "ENXIO ENXIO "
	[ "$1" = pure-no-bus ] || ok "$1: the scope is told" wait_for 10 knows "$SCOPE"
	for command in daemon-reload daemon-reexec "set-property --runtime $SCOPE TasksMax=500" daemon-reload daemon-reload; do
		# shellcheck disable=SC2086 # words
		systemctl $command
		ok "$1: ${command%% *}: open, with one program" wait_for 10 is_healed_pure
	done
	ok "$1: revoked" nvfs revoke "$1"
	nodes "$PID"
	is "$1: denied" "$(answers_pure)" "EPERM EPERM "
	for _ in 1 2 3; do
		systemctl daemon-reload
	done
	is "$1: systemd has its own program back" "$(programs)" 1
	systemctl set-property --runtime "$SCOPE" DeviceAllow='/dev/char/195:0 rw'
	is "$1: and its word counts" "$(answers_pure)" "ENXIO EPERM "
	systemctl stop "$SCOPE"
}

uvm_is()
{
	[ "$(stat -c %t "/proc/$PID/root/dev/nvidia-uvm")" = "$(printf %x "$1")" ]
}

# The unit permits by itself what has moved: systemd's own program must come back, which alone it can take away.
moved_without_a_bus()
{
	local node d before

	pure moved
	for node in $(find "$DEV_ROOT" -type c ! -name 'nvidia-uvm*'); do
		d=$(printf '%d:%d' "0x$(stat -c %t "$node")" "0x$(stat -c %T "$node")")
		systemctl set-property --runtime "$SCOPE" "DeviceAllow=/dev/char/$d rw"
	done
	systemctl set-property --runtime "$SCOPE" 'DeviceAllow=/dev/char/236:0 rw'
	systemctl set-property --runtime "$SCOPE" 'DeviceAllow=/dev/char/236:1 rw'
	before=$("$HELPERS/cgroupctl" ids "$CGROUP")
	nvinject --pid "$PID" --id moved --devices all
	unlike "moved, no bus: the program is ours" "$("$HELPERS/cgroupctl" ids "$CGROUP")" "^$before\$"
	moved 236
	ok "moved, no bus: injected anew" wait_for 30 uvm_is 236
	ok "moved, no bus: systemd's own program is back" wait_for 5 has_ids "$before"
	systemctl set-property --runtime "$SCOPE" TasksMax=500
	is "moved, no bus: and gives way to its next one" "$(programs)" 1
	moved 238
	systemctl stop "$SCOPE"
}

has_ids()
{
	[ "$("$HELPERS/cgroupctl" ids "$CGROUP")" = "$1" ]
}

inside()
{
	mount -t tmpfs tmpfs /mnt
	NVFS=/usr/local/bin/nvfs
	NVINJECT=/usr/local/bin/nvinject
	SOCKET=/run/nvfsd/nvfs.sock
	PROC_ROOT=$OUTER/driver/proc
	DEV_ROOT=$OUTER/driver/dev
	at_exit sh -c "journalctl -q --no-pager -n 300 >'$OUTER/journal' 2>&1"
	ok "systemctl start" systemctl start nvfs
	make_rootfs busybox box
	a_scope
	remove_by_nvinject
	majors_move
	a_late_removal
	a_service
	without_a_runtime pure
	without_a_bus
	without_a_runtime pure-no-bus
	moved_without_a_bus
	is "no system call is refused" "$(nvfs status --json | jq -c .sandbox.refused)" "[]"
	kill_containers
	diag end
	exit 0
}

machine_main "$@"
