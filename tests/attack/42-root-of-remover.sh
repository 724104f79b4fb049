#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers that would keep their GPU from a removal. One whose first process has changed its root, so that a removal
# cannot enter it, to the host's own or to one of a FUSE filesystem that never answers: the permission is taken away all
# the same, is not healed, and that the rest could not be taken is told. One whose first process has ended, while others
# are left: it is taken from them.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TRY_TIMEOUT=60
SERVER=

# What its first process is, in place of a sleep: it waits for /go, and changes its root to what that says.
WAITS='.process.args = ["sh", "-c", "until [ -s /go ]; do sleep 0.1; done; exec chroot $(cat /go) sleep 1000"]
	| .process.capabilities |= map_values(. + ["CAP_SYS_CHROOT"])'

# changes_root NAME TO: its first process goes there
changes_root()
{
	local before

	before=$(stat -L -c %d:%i "/proc/$PID/root/")
	echo "$2" >"$ROOTFS/go"
	wait_for 20 has_other_root "$before"
}

# shellcheck disable=SC2317 # called by wait_for
has_other_root()
{
	[ "$(readlink "/proc/$PID/root")" != / ]
}

device()
{
	in_container "$1" opendev /dev/probe 2>&1 || true
}

# injected NAME FILTER
injected()
{
	make_rootfs busybox "$1"
	mkdir "$ROOTFS/other"
	run_container "$1" "$ROOTFS" "$WAITS | $2"
	mknod -m 666 "/proc/$PID/root/dev/probe" c 195 0
	is "$1: no permission before" "$(device "$1")" "/dev/probe EPERM"
	ok "$1: a container is injected" nvinject --pid "$PID" --id "$1" --devices all
	is "$1: it may open the device" "$(device "$1")" "/dev/probe ENXIO"
}

# taken NAME REASON COMMAND...
taken()
{
	fails "$1: the removal tells what is in its way" '[1-9]*' "$2" "${@:3}"
	is "$1: the device is not permitted any more" "$(device "$1")" "/dev/probe EPERM"
	is "$1: it is not on record, and so not healed" \
		"$(nvfs show --json "$1" | jq -c '.done[] | select(.step == "cgroup")')" \
		'{"step":"cgroup","target":"devices","result":"removed"}'
	[ ! "$SERVER" ] || kill -KILL "$SERVER" || true
	kill_container "$1"
}

# hang PATH: a FUSE server of the container's that takes every request and answers none but one for PATH itself
hang()
{
	cp "$HELPERS/cachefuse" "$ROOTFS/"
	mknod -m 666 "/proc/$PID/root/dev/fuse" c 10 229
	: >"$SCRATCH/ready"
	nsenter -t "$PID" -m -- /cachefuse mute "$1" </dev/null >"$SCRATCH/ready" 2>&1 &
	SERVER=$!
	at_exit kill -KILL "$SERVER"
	wait_for 5 grep -q ready "$SCRATCH/ready"
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"

SELF='.process.noNewPrivileges = false'
HOST='.mounts += [{ destination: "/other", type: "bind", source: "/", options: ["rbind", "ro"] }]'
for how in remove revoke; do
	injected "$how" "$HOST"
	changes_root "$how" /other
	case $how in
	remove) taken "$how" "host's own" nvinject --remove --id "$how" ;;
	revoke) taken "$how" "host's own" nvfs revoke "$how" ;;
	esac
done
injected mute "$SELF"
hang /other
changes_root mute /other
taken mute "no answer from the container's filesystem" nvinject --remove --id mute --timeout 3

# ---- the first process has ended, others are left ------------------------------------------------

# Without a pid namespace of its own: who tries the device every now and then outlives the first process. In a root
# of its own in the container, if JAIL is set: nobody there has the tree in sight.
LEFT='.linux.namespaces |= map(select(.type != "pid"))
	| .process.capabilities |= map_values(. + ["CAP_SYS_CHROOT"])
	| .process.args = ["sh", "-c", "$JAIL sh -c \"while :; do opendev /dev/probe >/said.new 2>&1; mv /said.new /said; sleep 0.2; done\" &
		echo $! >/left; until [ -e /go ]; do sleep 0.1; done"]'

# left NAME ROOT JAIL: the one who is left in $LEFT_PID, what it says in $SAID
left()
{
	make_rootfs busybox "$1"
	mkdir -p "$ROOTFS/jail/dev"
	cp -a "$ROOTFS/usr" "$ROOTFS/bin" "$ROOTFS/jail/"
	run_container "$1" "$ROOTFS" "${LEFT//\$JAIL/$3}"
	mknod -m 666 "/proc/$PID/root/dev/probe" c 195 0
	mknod -m 666 "/proc/$PID/root/jail/dev/probe" c 195 0
	SAID=$ROOTFS$2/said
	wait_for 10 says EPERM
	ok "$1: a container is injected" nvinject --pid "$PID" --id "$1" --devices all
	ok "$1: it may open the device" wait_for 10 says ENXIO
	LEFT_PID=$(cat "$ROOTFS/left")
	at_exit kill -KILL "$LEFT_PID"
	: >"$ROOTFS/go"
	ok "$1: its first process ends" wait_for 10 ended "$PID"
	ok "$1: another one is there" test -d "/proc/$LEFT_PID"
}

# shellcheck disable=SC2317 # called by wait_for
says()
{
	grep -q "$1" "$SAID"
}

# shellcheck disable=SC2317 # called by wait_for
ended()
{
	[ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

# gone_from NAME: after a removal
gone_from()
{
	sleep 0.5
	ok "$1: the device is not permitted any more" wait_for 5 says EPERM
	is "$1: no mount of ours is left" "$(mounts_in "$LEFT_PID" | grep -c nvidia)" 0
	unlike "$1: nor a tree" "$(nvfs ls)" "$1"
	end_left "$1"
}

end_left()
{
	kill -KILL "$LEFT_PID"
	wait_for 5 ended "$LEFT_PID"
	kill_container "$1"
}

left outlived "" ""
ok "outlived: nvinject --remove" nvinject --remove --id outlived
gone_from outlived
left jailed /jail "chroot /jail"
ok "jailed: nvfs revoke" nvfs revoke jailed
ok "jailed: the device is not permitted any more" wait_for 5 says EPERM
end_left jailed
stop_daemon
host_compare
done_testing
