#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The driver's module is loaded anew and its majors move: containers that run get device nodes and
# permission by the new numbers, and lose those by the old ones. What the runtime gave stays.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
type -P busybox >/dev/null || skip_all "no busybox"
OLD=238
NEW=236 # no driver stands behind either: an open that is permitted says ENXIO
UVM=/dev/nvidia-uvm

# move_majors TO: /proc/devices first, as on a machine; nodes() is what nvidia-modprobe does then
move_majors()
{
	sed "s/^[0-9]* nvidia-uvm\$/$1 nvidia-uvm/" "$PROC_ROOT/devices" >"$SCRATCH/devices.new"
	mv "$SCRATCH/devices.new" "$PROC_ROOT/devices"
}

nodes()
{
	# Under another name: what is unlinked cannot be mounted again, not even by an undo.
	[ -z "${2:-}" ] || mv "$DEV_ROOT/nvidia-uvm" "$DEV_ROOT/$2"
	rm -f "$DEV_ROOT/nvidia-uvm" "$DEV_ROOT/nvidia-uvm-tools"
	mknod -m 0666 "$DEV_ROOT/nvidia-uvm" c "$1" 0
	mknod -m 0666 "$DEV_ROOT/nvidia-uvm-tools" c "$1" 1
}

start()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS" "${2:-.}"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all >/dev/null
}

# node_in NAME [NODE]: its major
node_in()
{
	printf '%d\n' "0x$(in_container "$1" stat -c %t "${2:-$UVM}")"
}

# shellcheck disable=SC2317 # called by wait_for
has_node()
{
	[ "$(node_in "$1")" = "$2" ]
}

# answer NAME MAJOR: what a process of the container hears that opens such a device, by a node of ours
answer()
{
	local root

	root=/proc/$(container_pid "$1")/root
	rm -f "$root/dev/probe"
	mknod -m 666 "$root/dev/probe" c "$2" 0
	in_container "$1" opendev /dev/probe 2>&1 | awk '{ print $2 }'
}

# shellcheck disable=SC2317 # likewise
said()
{
	grep -q -- "$1" "$SCRATCH/daemon.log"
}

uvm_mounts()
{
	mounts_in "$(container_pid "$1")" | grep -c "^$UVM " || true
}

reinject()
{
	nvfs status --json | jq -r ".reinject.$1"
}

# shellcheck disable=SC2317 # likewise
failed_is()
{
	[ "$(reinject 'failed | join(" ")')" = "$1" ]
}

# The record of a container's uvm node: "mounted 238:0"
record()
{
	nvfs show "$(container_id "$1")" --json | jq -r ".done[] | select(.target == \"$UVM\") | .result + \" \" + .device"
}

# shellcheck disable=SC2317 # called by wait_for
record_is()
{
	[ "$(record "$1")" = "$2" ]
}

# spoil NAME NODE: something that is no node at the place of one, where nothing can be bound
spoil()
{
	local pid

	pid=$(container_pid "$1")
	cp -L "$(type -P busybox)" "/proc/$pid/root/usr/local/bin/busybox"
	nsenter -t "$pid" -m /usr/local/bin/busybox umount "$2"
	rm "/proc/$pid/root$2"
	mkdir "/proc/$pid/root$2"
}

mend()
{
	rmdir "/proc/$(container_pid "$1")/root$2"
}

OWN_NODE='.linux.devices = [{ path: "/dev/nvidia-uvm", type: "c", major: 238, minor: 0, fileMode: 438 }]
	| .linux.resources.devices += [{ allow: true, type: "c", major: 238, minor: 0, access: "rw" }]'
USERNS='.linux.namespaces += [{ type: "user" }]
	| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
	| .linux.gidMappings = .linux.uidMappings'

start_in_userns()
{
	make_rootfs glibc "$1"
	find "$ROOTFS" -xdev -exec chown -h 100000:100000 {} +
	run_container "$1" "$ROOTFS" "$USERNS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all >/dev/null
}

majors_move()
{
	local pid

	use_sample_driver majors
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start plain
	start spoilt
	start own "$OWN_NODE"
	start gone
	start_in_userns user
	is "before: nodes of $OLD" "$(node_in plain) $(node_in own) $(node_in user)" "$OLD $OLD $OLD"
	is "permitted are $OLD and not $NEW" "$(answer plain $OLD) $(answer plain $NEW)" "ENXIO EPERM"
	is "the record of a node that the runtime gave" "$(record own)" "already $OLD:0"
	kill_container gone
	spoil spoilt $UVM

	move_majors $NEW
	ok "it is noticed, and said" wait_for 20 said "majors have moved: injecting '$(container_id plain)' anew"
	sleep 3
	is "without nodes of the host nothing is done yet" "$(node_in plain) $(answer plain $OLD)" "$OLD ENXIO"
	is "and status says who waits" "$(reinject waiting)" 4
	nodes $NEW
	ok "with them the container gets the new node" wait_for 20 has_node plain $NEW
	ok "and that is said" wait_for 10 said "injected '$(container_id plain)' anew"
	is "it is one mount" "$(uvm_mounts plain)" 1
	is "permitted are $NEW, and $OLD no more" "$(answer plain $NEW) $(answer plain $OLD)" "ENXIO EPERM"
	is "nodes whose number has not changed are as before" \
		"$(node_in plain /dev/nvidiactl) $(answer plain 195)" "195 ENXIO"
	is "the record is of the new node" "$(record plain)" "mounted $NEW:0"
	ok "libraries load" in_container plain dlopen libcuda.so.1
	ok "a container with a user namespace, too" wait_for 20 has_node user $NEW
	is "is given it once" "$(uvm_mounts user)" 1
	ok "the runtime's own node is left" wait_for 20 said "injected '$(container_id own)' anew"
	is "as it was" "$(node_in own)" $OLD
	is "which the record tells" "$(record own)" "left $NEW:0"
	like "with the reason" "$(nvfs show "$(container_id own)" --json)" "container's own node of $OLD:0"

	ok "one that cannot be injected stops no other, and is named" \
		wait_for 30 failed_is "$(container_id spoilt)"
	like "in the log" "$(cat "$SCRATCH/daemon.log")" \
		"container '$(container_id spoilt)' keeps device nodes of majors .*by hand"
	like "and by status" "$(nvfs status)" "failed +$(container_id spoilt) could not be injected anew"
	not_ok "a health check says so" nvfs status --check
	is "what it had is put back" "$(answer spoilt $OLD) $(answer spoilt $NEW)" "ENXIO EPERM"
	unlike "one that has ended is left out" "$(cat "$SCRATCH/daemon.log")" \
		"injected '$(container_id gone)' anew|'$(container_id gone)' (keeps|has no)"

	mend spoilt $UVM
	ok "by hand it works" nvinject --pid "$(container_pid spoilt)" --id "$(container_id spoilt)" --devices all
	is "and is right" "$(node_in spoilt) $(answer spoilt $OLD)" "$NEW EPERM"
	ok "nobody is left" failed_is ""

	pid=$(worker_pid)
	move_majors $OLD
	nodes $OLD
	kill -KILL "$pid"
	ok "back again, and the daemon killed meanwhile" wait_for 30 has_node plain $OLD
	ok "the other one likewise" wait_for 30 has_node spoilt $OLD
	ok "the runtime's node is right again, and recorded so" wait_for 30 record_is own "already $OLD:0"
	is "the same as ever" "$(node_in own)" $OLD
	is "permission is as it was" "$(answer plain $OLD) $(answer plain $NEW)" "ENXIO EPERM"
	ok "everything can be taken back" nvinject --remove --id "$(container_id plain)"
	is "permission is gone" "$(answer plain $OLD) $(answer plain $NEW)" "EPERM EPERM"
	not_ok "and the node" in_container plain ls $UVM
	is "the runtime's is not" "$(in_container own stat -c %F $UVM)" "character special file"
	kill_containers
	stop_daemon
}

# Whatever fails in the middle: node and permission of before come back.
failures()
{
	use_sample_driver failures
	write_config "settle = 0" "nvinject = $SCRATCH/none/nvinject"
	start_daemon --config "$CONFIG"
	start undone
	move_majors $NEW
	nodes $NEW kept
	ok "without the program it is said" wait_for 30 failed_is "$(container_id undone)"
	spoil undone /dev/nvidia0
	fails "an injection that fails at a later step" 6 "/dev/nvidia0" \
		nvinject --pid "$(container_pid undone)" --id "$(container_id undone)" --devices all
	unlike "can undo what it did" "$OUT" undo
	is "the node of before is back" "$(node_in undone)" $OLD
	is "once" "$(uvm_mounts undone)" 1
	is "and its permission" "$(answer undone $OLD) $(answer undone $NEW)" "ENXIO EPERM"
	rm "$DEV_ROOT/kept"
	fails "the same when the host has no node of before any more" 6 "/dev/nvidia0" \
		nvinject --pid "$(container_pid undone)" --id "$(container_id undone)" --devices all
	is "it cannot come back" "$(in_container undone stat -c '%F %a' $UVM)" "regular empty file 444"
	mend undone /dev/nvidia0
	ok "when nothing is in the way it works" nvinject --pid "$(container_pid undone)" \
		--id "$(container_id undone)" --devices all
	is "new node, new permission" "$(node_in undone) $(answer undone $OLD) $(answer undone $NEW)" "$NEW EPERM ENXIO"
	ok "all of it can be taken back" nvinject --remove --id "$(container_id undone)"
	is "old permission and new" "$(answer undone $OLD) $(answer undone $NEW)" "EPERM EPERM"
	kill_containers
	stop_daemon
}

pinned()
{
	use_sample_driver pinned
	SAMPLE_VERSION=999.20.02 "$TESTS/sample-driver" "$SCRATCH/newer" >/dev/null
	write_config "settle = 0" "pin = yes"
	start_daemon --config "$CONFIG"
	start pinned
	cp -a --remove-destination "$SCRATCH/newer/root/." "$DRIVER_ROOT/"
	cp "$SCRATCH/newer/proc/driver/nvidia/version" "$PROC_ROOT/driver/nvidia/version"
	move_majors $NEW
	nodes $NEW
	ok "a pinned container of another driver keeps its nodes, which is said" \
		wait_for 20 said "'$(container_id pinned)' is pinned .*keeps the device nodes"
	is "as they were" "$(node_in pinned) $(reinject waiting)" "$OLD 0"
	kill_containers
	stop_daemon
}

# The module is unloaded, and its nodes are left behind: their number may be another driver's by now.
unloaded()
{
	use_sample_driver unloaded
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	rm "$PROC_ROOT/driver/nvidia/version"
	sed '/nvidia/d' "$PROC_ROOT/devices" >"$SCRATCH/devices.new"
	mv "$SCRATCH/devices.new" "$PROC_ROOT/devices"
	make_rootfs glibc unloaded
	run_container unloaded "$ROOTFS"
	ok "without its module the driver is given all the same" \
		nvinject --pid "$PID" --id "$(container_id unloaded)" --devices all
	like "but no node that may be somebody else's" "$OUT" "nvidia-uvm: the module nvidia-uvm is not loaded, left out"
	is "it has none" "$(in_container unloaded sh -c "test -e $UVM && echo there || echo none")" none
	is "and no permission" "$(answer unloaded $OLD)" EPERM
	kill_containers
	stop_daemon
}

host_snapshot
majors_move
unloaded
failures
pinned
host_compare
done_testing
