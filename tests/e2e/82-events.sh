#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvfs events: what happens, told as it happens; to whom; over the daemon's death; to one that does not read.
# shellcheck disable=SC2317 # functions that ok and wait_for call
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

# listen NAME [COMMAND...]: in the background, by the command, as setpriv(1); what is heard is in $SCRATCH/NAME
listen()
{
	local name=$1

	shift
	in_background "$@" "$NVFS" events --json --socket "$SOCKET" >"$SCRATCH/$name" 2>"$SCRATCH/$name.err"
	wait_for 10 heard "$name" '.event == "listening"'
}

# heard NAME FILTER: an event of which the filter is true
heard()
{
	jq -e -s "any(.[]; $2)" "$SCRATCH/$1"
}

# will_hear NAME FILE FILTER
will_hear()
{
	if wait_for 10 heard "$2" "$3"; then
		pass "$1"
	else
		fail "$1" "$(cat "$SCRATCH/$2" "$SCRATCH/$2.err")"
	fi
}

has_heard_nothing()
{
	jq -e -s 'map(select(.event != "listening" and .event != "generation")) == []' "$SCRATCH/$1"
}

test_injection()
{
	listen root
	listen user setpriv --reuid 65534 --clear-groups
	make_rootfs glibc box
	run_container box "$ROOTFS"
	ok "a container is injected" nvinject --pid "$PID" --id box --devices all
	will_hear "root hears of it" root \
		".event == \"injected\" and .id == \"box\" and .pid == $PID and .devices == \"all\" and .uid == 0 and .took_us > 0"
	fails "an injection that cannot be" 3 'device' nvinject --pid "$PID" --id other --devices 77
	will_hear "root hears of that, too" root '.event == "refused" and .id == "other" and .class == "device" and (.trace | length) == 6'
	is "each has a time" "$(jq -s 'all(.[]; .time_us > 1700000000000000)' "$SCRATCH/root")" true
	ok "it is taken back" nvinject --remove --pid "$PID" --id box
	will_hear "and root hears it" root '.event == "removed" and .id == "box"'
	ok "somebody else hears of nobody's containers" has_heard_nothing user
}

# A user's container is one of his own namespaces; what is to be told is the daemon's business alone.
test_own()
{
	local ns

	in_background setpriv --reuid 65534 --clear-groups unshare --user --map-root-user --mount sleep 1000
	ns=$CHILD
	wait_for 10 sh -c "! test /proc/$ns/ns/mnt -ef /proc/$$/ns/mnt"
	like "a user has a tree for namespaces of his own" "$(setpriv --reuid 65534 --clear-groups \
		"$HELPERS/sockabuse" "$SOCKET" "fd=pidfd:$ns" \
		'send={"method":"io.nvfs.Inject","parameters":{"fds":1,"pidfd":0,"id":"own","devices":"none"}}' recv \
		'send={"method":"io.nvfs.Commit","parameters":{"token":"@TOKEN@","done":[]}}' recv | tail -n 1)" '"parameters":'
	will_hear "and hears of that" user '.event == "injected" and .id == "own" and .uid == 65534'
	will_hear "as root does" root '.event == "injected" and .id == "own"'
	kill "$ns"
	will_hear "the end of a container is told" root '.event == "removed" and .id == "own"'
}

test_driver()
{
	rm "$(find "$DRIVER_ROOT" -name 'libnvidia-ml.so.999*')"
	nvfs rescan >/dev/null
	will_hear "what is wrong with the driver is a finding" root '.event == "finding"'
}

test_takeover()
{
	local before

	before=$(jq -s 'map(select(.event == "takeover")) | length' "$SCRATCH/root")
	kill_worker
	will_hear "another daemon is told" root ".event == \"takeover\" and .takeovers == $((before + 1))"
	wait_for 10 nvfs status
	is "who listens is counted" "$(nvfs status --json | jq .events.listeners)" 2
	run_container late "$ROOTFS"
	ok "a container is injected by the new one" nvinject --pid "$PID" --id late --devices all
	will_hear "and told to who listened to the one before" root '.event == "injected" and .id == "late"'
}

# refuse N: so many injections that are refused, each of which is an event
refuse()
{
	local i ops=()

	for ((i = 0; i < $1; i++)); do
		ops+=('send={"method":"io.nvfs.Inject","parameters":{"id":"x"}}' recv)
	done
	"$HELPERS/sockabuse" "$SOCKET" "${ops[@]}" >"$SCRATCH/refused"
}

# refuse_in_parts: a thousand of them, so that who reads has the time to: a busy machine may keep it waiting
refuse_in_parts()
{
	local n

	for n in 200 400 600 800 1000; do
		refuse 200 && wait_for 20 heard_refusals $n || return 1
	done
}

heard_refusals()
{
	[ "$(jq -s 'map(select(.event == "refused" and .id == "x")) | length' "$SCRATCH/root")" = "$1" ]
}

test_slow()
{
	local silent=$((8 * SLOW))

	# Who is silent for a minute with something to read is disconnected for that.
	[ "$silent" -le 40 ] || silent=40
	in_background "$HELPERS/sockabuse" "$SOCKET" 'send={"method":"io.nvfs.Events","more":true}' \
		sleep=$((silent * 1000)) ended >"$SCRATCH/slow" 2>&1
	wait_for 10 counts_listeners 3
	ok "many events happen, and who reads misses none" refuse_in_parts
	ok "the daemon is well" wait_for 5 nvfs status --check
	ok "it does not wait for who does not read, and says so" \
		grep -q 'a listener of uid 0 does not read its events' "$SCRATCH/daemon.log"
	ok "who reads in the end has all that was kept for it" wait_for 20 grep -q closed "$SCRATCH/slow"
	like "and is told" "$(tail -n 2 "$SCRATCH/slow")" '"class": ?"again"'
	ok "it is gone" wait_for 10 counts_listeners 2
}

counts_listeners()
{
	[ "$(nvfs status --json | jq .events.listeners)" = "$1" ]
}

test_usage()
{
	fails "no daemon" 7 'daemon' "$NVFS" events --socket "$SCRATCH/none.sock"
	fails "an argument" 2 "argument 'now'" "$NVFS" events now
	like "for people a line is short" \
		"$(timeout 2 "$NVFS" events --socket "$SOCKET" || true)" '^[0-9-]+T[0-9:+-]+ listening daemon_pid=[0-9]+ takeovers=[0-9]+$'
}

host_snapshot
use_sample_driver
write_config 'grace = 0' 'settle = 0'
start_daemon --config "$CONFIG"
test_injection
test_own
test_takeover
test_usage
test_slow
test_driver
stop_daemon
kill_containers
host_compare
done_testing
