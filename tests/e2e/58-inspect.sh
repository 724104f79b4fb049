#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the daemon tells of itself: counters that survive a takeover, opens by container.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia

# status FILTER
status()
{
	nvfs status --json | jq -r "$1"
}

worker_is_not()
{
	[ "$(status .daemon_pid)" != "$1" ]
}

# kill_worker: the daemon dies, and another one goes on.
kill_worker()
{
	local pid

	pid=$(worker_pid)
	kill -KILL "$pid"
	wait_for 10 worker_is_not "$pid"
}

opens_of()
{
	nvfs show "$(container_id "$1")" --json | jq .opens
}

# open_in NAME N: so many opens of a library by one process in the container
open_in()
{
	in_container "$1" sh -c "i=0; while [ \$i -lt $2 ]; do : <$TREE/lib64/libcuda.so.1; i=\$((i + 1)); done"
}

# ---- status --------------------------------------------------------------------------------------

test_status()
{
	local before

	is "status knows the keeper" "$(status .keeper_pid)" "$DAEMON_PID"
	is "the daemon is another process" "$(status '.daemon_pid != .keeper_pid')" true
	like "the mode is told" "$(status .mode)" '^(passthrough|fallback)$'
	is "as the kernel's features say" "$(status '(.mode == "passthrough") == .features.passthrough')" true
	is "generations are told" "$(status '[.generation] == .generations')" true
	like "uptime is told" "$(status .uptime)" '^[0-9]+$'
	before=$(status .counters.requests.open)
	for _ in 1 2 3; do
		cat "$MOUNTPOINT/host/lib64/libcuda.so.1" >/dev/null
	done
	is "each open is counted" "$(status .counters.requests.open)" $((before + 3))
	is "each has its place in the histogram" "$(status '.counters.latency.operations.open.buckets | add')" \
		$((before + 3))
	is "with one bucket more than bounds" \
		"$(status '(.counters.latency.bounds_us | length) + 1 == (.counters.latency.operations.open.buckets | length)')" \
		true
	lsattr -d "$MOUNTPOINT/host" >/dev/null 2>&1 || true # asks by an ioctl, which is not served
	like "errors are counted by errno" "$(status '.counters.errors | keys[]')" ENOSYS
	try nvfs status
	is "the text form succeeds" "$STATUS" 0
	like "it has quantiles" "$OUT" 'latency      50% below [0-9]+ us, 99% below [0-9]+ us'
}

test_takeover()
{
	local open since

	open=$(status .counters.requests.open) since=$(status .counters.since)
	kill_worker
	is "counters survive a takeover" "$(status ".counters.requests.open >= $open")" true
	is "they say since when" "$(status .counters.since)" "$since"
	is "and that there was one" "$(status .counters.takeovers)" 1
	is "the keeper is the same" "$(status .keeper_pid)" "$DAEMON_PID"
}

# ---- opens by container --------------------------------------------------------------------------

test_opens()
{
	local one two

	make_rootfs busybox a
	run_container a "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id a)" --devices all
	make_rootfs busybox b
	run_container b "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id b)" --devices all
	one=$(opens_of a) two=$(opens_of b)
	open_in a 20
	is "opens are counted for the container that opened" "$(opens_of a)" $((one + 20))
	is "and for no other one" "$(opens_of b)" "$two"
	cat "$MOUNTPOINT/$(container_id b)/lib64/libcuda.so.1" >/dev/null
	is "nor where the host opens" "$(opens_of b)" "$two"
	kill_worker
	open_in a 5
	is "after a takeover they go on" "$(opens_of a)" $((one + 25))
	like "show tells them" "$(nvfs show "$(container_id a)")" "opens        $((one + 25))"
	kill_container a
	kill_container b
}

use_sample_driver
start_daemon --config "$CONFIG"
test_status
test_takeover
test_opens
done_testing
