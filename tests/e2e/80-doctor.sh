#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvfs doctor: what it finds, its remedies and exit status, with a daemon, without one and with one that
# hangs; a container that has lost something. nvfs config.
# shellcheck disable=SC2317 # functions that ok and wait_for call
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia

# doctor ARGS: its output in $OUT, exit status in $STATUS; in no case it takes long
doctor()
{
	STATUS=0
	OUT=$(timeout -k 5 $((40 * SLOW)) "$NVFS" doctor --config "$CONFIG" --socket "$SOCKET" "$@" 2>&1) || STATUS=$?
}

# says NAME STATE REGEX: a line of that state
says()
{
	local lines

	lines=$(grep "^$2 " <<<"$OUT" || true)
	if grep -Eq "$3" <<<"$lines"; then
		pass "$1"
	else
		fail "$1" "no '$2' with /$3/ in:"$'\n'"$OUT"
	fi
}

# Of the machine that the tests run on; what is wrong there is no concern of theirs.
without_the_machines_own()
{
	grep -vE '^(ok|warn|FAIL) +(engines|cgroup|fuse|mount): ' <<<"$OUT"
}

# ---- the host ------------------------------------------------------------------------------------

test_down()
{
	doctor
	is "without a daemon: status 2" "$STATUS" 2
	says "the daemon is named" FAIL "daemon: connect to '$SOCKET'.* - systemctl start nvfs"
	says "the driver is looked at all the same" ok 'driver: [0-9]+ files of 999.10.01'
	says "and the device nodes" ok 'nodes: [0-9]+ device nodes are as'
	says "and FUSE" ok 'fuse:'
}

test_well()
{
	local report

	start_daemon --config "$CONFIG"
	doctor
	is "with one all of ours is well" "$(without_the_machines_own | grep -v '^ok ' || true)" ""
	says "the daemon answers" ok "daemon: answers, pid $(worker_pid), keeper $DAEMON_PID, 0 containers"
	says "its mount is seen" ok "mount: '$MOUNTPOINT' is nvfs"
	says "from here, and not by process 1" warn 'mount: process 1 does not see the mount'
	says "features are told" ok 'kernel: in use: '
	unlike "no colour where nobody sees it" "$OUT" $'\033'
	report=$(timeout 60 "$NVFS" doctor --config "$CONFIG" --socket "$SOCKET" --json) || true
	is "JSON has the same findings" "$(jq '.findings | length' <<<"$report")" "$(wc -l <<<"$OUT")"
	is "and their worst state" "$(jq -r '.state == ([.findings[].state] | if any(. == "fail") then "fail" elif any(. == "warn")
		then "warn" else "ok" end)' <<<"$report")" true
	is "each that is not well has a remedy" "$(jq '[.findings[] | (.state == "ok") != (.remedy == null)] | any' <<<"$report")" false
}

test_colour()
{
	local command

	command=$(printf '%q ' "$NVFS" doctor --config "$CONFIG" --socket "$SOCKET")
	like "colour on a terminal" "$(TERM=xterm script -qec "$command" /dev/null </dev/null)" $'\033\\[32mok'
	unlike "but not with NO_COLOR" "$(TERM=xterm NO_COLOR=1 script -qec "$command" /dev/null </dev/null)" $'\033'
}

test_nodes()
{
	mv "$DEV_ROOT/nvidia-uvm" "$SCRATCH/uvm"
	mknod -m 666 "$DEV_ROOT/nvidia-uvm" c 99 0
	mv "$DEV_ROOT/nvidiactl" "$SCRATCH/ctl"
	chmod 600 "$DEV_ROOT/nvidia0"
	doctor
	says "a node of another number" FAIL "nodes: '$DEV_ROOT/nvidia-uvm' has another number.* - remove it, then nvidia-modprobe"
	says "a node that is missing" FAIL "nodes: '$DEV_ROOT/nvidiactl' is missing.* - nvidia-modprobe"
	says "a mode that is not the module's" warn "nodes: '$DEV_ROOT/nvidia0' has another owner or mode"
	is "status 2" "$STATUS" 2
	rm "$DEV_ROOT/nvidia-uvm"
	mv "$SCRATCH/uvm" "$DEV_ROOT/nvidia-uvm"
	mv "$SCRATCH/ctl" "$DEV_ROOT/nvidiactl"
	chmod 666 "$DEV_ROOT/nvidia0"
}

test_usage()
{
	fails "a pid that is none" 2 "'x' is no pid" "$NVFS" doctor --pid x
	fails "an argument" 2 "argument 'now'" "$NVFS" doctor now
	fails "a configuration that cannot be read is a finding" 2 "FAIL  config: open '$SCRATCH/none.conf'" \
		"$NVFS" doctor --config "$SCRATCH/none.conf" --socket "$SOCKET"
}

# ---- a container ---------------------------------------------------------------------------------

test_container()
{
	make_rootfs glibc box
	cp -L "$(type -P busybox)" "$ROOTFS/usr/local/bin/busybox"
	run_container box "$ROOTFS"
	doctor --pid "$PID"
	says "a container without a tree" FAIL 'container: no tree is mounted.* - nvinject'
	ok "it is injected" nvinject --pid "$PID" --id box --devices all
	doctor --pid "$PID"
	is "then all is well" "$(without_the_machines_own | grep -v '^ok ' || true)" ""
	says "its tree" ok "container: its tree 'box' is mounted on '$TREE'"
	says "its cache" ok 'container: its /etc/ld.so.cache names the tree'
	says "its nodes" ok 'container: [0-9]+ device nodes are there'
	says "its permission" ok 'container: its (cgroup permits the devices|device cgroup was not to be changed)'
}

test_losses()
{
	cp "$ROOTFS/etc/ld.so.cache" "$SCRATCH/cache"
	: >"$ROOTFS/etc/ld.so.cache"
	nsenter --target "$PID" --mount /usr/local/bin/busybox umount /dev/nvidia0
	doctor --pid "$PID"
	says "a cache without the tree" FAIL 'container: its /etc/ld.so.cache does not name .*/lib64/.* - run ldconfig'
	says "a node that is gone" FAIL "container: '/dev/nvidia0' in it"
	is "status 2" "$STATUS" 2
	rm "$ROOTFS/etc/ld.so.cache"
	mkfifo "$ROOTFS/etc/ld.so.cache"
	doctor --pid "$PID"
	says "a FIFO in its place holds nobody" warn 'container: its /etc/ld.so.cache cannot be read'
	rm "$ROOTFS/etc/ld.so.cache"
	ln -s "$SCRATCH/cache" "$ROOTFS/etc/ld.so.cache" # which names the tree
	doctor --pid "$PID"
	says "a link out of it leads nowhere" ok 'container: it has no /etc/ld.so.cache'
	rm "$ROOTFS/etc/ld.so.cache"
	cp "$SCRATCH/cache" "$ROOTFS/etc/ld.so.cache"
}

# ---- what does not answer ------------------------------------------------------------------------

test_hanging_daemon()
{
	local worker

	worker=$(worker_pid)
	kill -STOP "$DAEMON_PID" "$worker"
	doctor --pid "$PID"
	kill -CONT "$DAEMON_PID" "$worker"
	is "a daemon that hangs: status 2" "$STATUS" 2
	says "it is named" FAIL 'daemon: the daemon does not answer within'
	says "its container is looked at all the same" warn "container: its tree 'box'.*no daemon answers"
	wait_for 10 nvfs status --check
}

test_dead_daemon()
{
	kill_both
	doctor --pid "$PID"
	says "a dead daemon's mount is told, and not touched" warn 'mount: a daemon that does not answer, or has died'
	says "and its container's" warn "container: its tree 'box'.*no daemon answers"
	unmount_below "$MOUNTPOINT"
}

test_hanging_driver()
{
	local file

	file=$(find "$DRIVER_ROOT" -name 'libcuda.so.999*')
	in_background "$HELPERS/hangfuse" mute "$file" "$NVFS" >"$SCRATCH/hang.log"
	wait_for 10 grep -q ready "$SCRATCH/hang.log"
	doctor
	says "a host's filesystem that hangs costs one group of checks" FAIL 'driver: no answer within 10 s'
	says "and not the others" ok 'nodes:'
	kill -KILL "$CHILD"
	wait "$CHILD" 2>/dev/null || true
}

# ---- the configuration ---------------------------------------------------------------------------

test_config()
{
	local conf=$SCRATCH/keys.conf

	printf '%s\n' '# a comment' '[nvfs]' 'grace = 5' 'gracee = 6' '[site]' 'pin = yes' >"$conf"
	try "$NVFS" config --config "$conf"
	is "config: a file with strangers is read" "$STATUS" 0
	like "an unknown key is told with its line" "$OUT" "nvfs: $conf:4: key 'gracee': unknown, ignoring"
	like "and a section" "$OUT" "nvfs: $conf:6: section \[site\], key 'pin': unknown, ignoring"
	try "$NVFS" config --origin --config "$conf"
	like "the line of a key" "$OUT" "grace = 5 +; $conf:3"
	like "a default" "$OUT" 'settle = 2 +; default'
	"$NVFS" config --config "$conf" >"$SCRATCH/all.conf" 2>"$SCRATCH/none"
	ok "its text is a configuration that serve takes" "$NVFS" config --config "$SCRATCH/all.conf"
	is "and says the same" "$("$NVFS" config --config "$SCRATCH/all.conf")" "$(cat "$SCRATCH/all.conf")"
	is "JSON: value, default and origin" \
		"$("$NVFS" config --json --config "$conf" 2>"$SCRATCH/none" | jq -c '.keys.grace, .keys.selinux_context, .unknown[0]')" \
		"$(printf '%s\n' "{\"default\":\"60\",\"origin\":\"$conf:3\",\"value\":\"5\"}" \
			'{"default":null,"origin":"default","value":null}' '{"key":"gracee","line":4,"section":""}')"
	echo 'grace = soon' >"$conf"
	fails "a value that cannot be: file and line" 2 "usage: $conf:1: grace: 'soon'" "$NVFS" config --config "$conf"
	fails "a file that is not there" 2 "open '$SCRATCH/none.conf'" "$NVFS" config --config "$SCRATCH/none.conf"
}

host_snapshot
use_sample_driver
write_config "mountpoint = $MOUNTPOINT"
printf '%s\n' 'nvidia 1 0 - Live 0x0' 'nvidia_uvm 1 0 - Live 0x0' >"$PROC_ROOT/modules"
test_down
test_well
test_colour
test_nodes
test_usage
test_container
test_losses
test_hanging_daemon
test_dead_daemon
test_hanging_driver
test_config
kill_containers
host_compare
done_testing
