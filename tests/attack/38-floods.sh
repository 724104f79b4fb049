#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Local users who keep the daemon's memory and descriptors: answers that nobody reads, descriptors that
# come with messages which never end. Root is served meanwhile. (tests/e2e/42-socket.sh has floods of
# connections, silence, large messages and work for the parser.)
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -x "$HELPERS/sockabuse" ] || skip_all "sockabuse is not built"

# abuse_as UID OP...: in the background; pid in $CHILD
abuse_as()
{
	local uid=$1

	shift
	setpriv --reuid "$uid" --regid "$uid" --clear-groups "$HELPERS/sockabuse" "$SOCKET" "$@" \
		>"$SCRATCH/abuse-$uid" 2>&1 </dev/null &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
}

rss()
{
	awk '/VmRSS/ { print $2 }' "/proc/$(worker_pid)/status"
}

# served NAME: root's whole injection, there and back
served()
{
	local begin took

	begin=$(date +%s%N)
	ok "$1: root injects" nvinject --pid "$PID" --id c1 --devices all
	ok "$1: and takes it back" nvinject --remove --id c1
	took=$((($(date +%s%N) - begin) / 1000000))
	ok "$1: within 2 s ($took ms)" test "$took" -lt $((2000 * SLOW))
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
make_rootfs glibc
run_container c1 "$ROOTFS"
served "at rest"
before=$(rss)

# ---- answers that are not read -------------------------------------------------------------------

for _ in {1..6000}; do
	printf '%s\0' '{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.nvfs"}}'
done >"$SCRATCH/questions"
# 30 clients: 18 MB of questions, whose answers would be 700 MB.
pids=()
for uid in {5001..5030}; do
	abuse_as "$uid" "file=$SCRATCH/questions" sleep=20000
	pids+=("$CHILD")
done
sleep 2
served "answers that nobody reads"
ok "and the daemon is not large ($before kB, $(rss) kB)" test "$(rss)" -lt $((before + 65536))
kill -KILL "${pids[@]}" 2>/dev/null || true
wait "${pids[@]}" 2>/dev/null || true

# ---- descriptors that stay -----------------------------------------------------------------------

stop_daemon
start_daemon --config "$CONFIG"
prlimit --pid "$(worker_pid)" --nofile=1024:1024
pids=()
for uid in 6001 6002 6003; do
	abuse_as "$uid" hoard=20 sleep=20000
	pids+=("$CHILD")
done
sleep 2
served "descriptors of messages that do not end"
worker=$(worker_pid)
open=$(find "/proc/$worker/fd" -mindepth 1 | wc -l)
ok "the last ones are not theirs ($open of 1024 are open)" test "$open" -le 968
kill -KILL "${pids[@]}" 2>/dev/null || true
wait "${pids[@]}" 2>/dev/null || true
served "afterwards"
kill_containers
stop_daemon
host_compare
done_testing
