#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container whose first process has changed its root, so that a removal cannot enter it: to a directory that is the
# host's own root, or to one of a FUSE filesystem that never answers. Device permission and tree are taken away all the
# same, and that the rest could not be is told.
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
	unlike "$1: the tree has gone" "$(nvfs ls)" "$1"
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
stop_daemon
host_compare
done_testing
