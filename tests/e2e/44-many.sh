#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Ten thousand trees, each with the pidfd of its container's init: they are held, the daemon works as
# before, and when the container ends all of it is given back.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

MANY=10000
ABUSE=$HELPERS/sockabuse
[ -x "$ABUSE" ] || skip_all "sockabuse is not built"

hard=$(ulimit -Hn)
[ "$hard" = unlimited ] || [ "$hard" -ge $((MANY + 1000)) ] ||
	skip_all "the hard limit of open files is $hard here"

# give_trees FIRST LAST: trees of the process $CHILD, as a client without nvinject makes them
give_trees()
{
	local i ops=()

	for ((i = $1; i <= $2; i++)); do
		ops+=("fd=pidfd:$CHILD" "send={\"method\":\"io.nvfs.Inject\",\"parameters\":{\"fds\":1,\"pidfd\":0,\"id\":\"many-$i\",\"devices\":\"none\"}}"
			recv 'send={"method":"io.nvfs.Commit","parameters":{"token":"@TOKEN@","done":[]}}' recv)
	done
	timeout -k 5 120 "$ABUSE" "$SOCKET" "${ops[@]}" >"$SCRATCH/replies"
}

pidfds()
{
	find "/proc/$(worker_pid)/fd" -lname 'anon_inode:\[pidfd\]' | wc -l
}

# Those of containers: the reference tree is no container's.
trees()
{
	nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length'
}

has_all()
{
	[ "$(trees)" = $MANY ]
}

given_back()
{
	[ "$(trees)" = 0 ] && [ "$(pidfds)" -le 1 ]
}

host_snapshot
use_sample_driver
write_config 'grace = 1'
# The usual soft limit is raised by the daemon itself.
ulimit -Sn 1024
start_daemon --config "$CONFIG"
is "the daemon has raised its limit of open files to the hard one" \
	"$(awk '/^Max open files/ { print $4 }' "/proc/$(worker_pid)/limits")" "$hard"
unshare --mount --propagation private sleep 1000 </dev/null >/dev/null 2>&1 &
CHILD=$!
disown "$CHILD"
at_exit kill -KILL "$CHILD"
wait_for 5 sh -c "! test /proc/$CHILD/ns/mnt -ef /proc/$$/ns/mnt"

since=$SECONDS
for ((n = 0; n < MANY; n += 500)); do
	give_trees $((n + 1)) $((n + 500))
done
unlike "no request is refused" "$(cat "$SCRATCH/replies")" '"class"'
diag "$MANY trees in $((SECONDS - since)) s; the daemon's memory: $(awk '/VmRSS/ { print $2, $3 }' \
	"/proc/$(worker_pid)/status")"
is "$MANY trees are there" "$(trees)" $MANY
ok "each holds its pidfd ($(pidfds))" test "$(pidfds)" -ge $MANY
ok "a tree among them is served" ls "$MOUNTPOINT/many-$MANY/lib64/libcuda.so.1"
like "and shown" "$(nvfs show many-7777)" 'many-7777'

make_rootfs busybox
run_container one-more "$ROOTFS"
ok "a container more is injected" nvinject --pid "$PID" --id one-more --devices all
ok "and has its driver" in_container one-more ls /usr/local/nvidia/lib64/libcuda.so.1
ok "which is taken back" nvinject --remove --id one-more
kill_container one-more
kill -KILL "$(worker_pid)"
# On an emulated machine it takes longer to come up than a client waits.
ok "a daemon that takes over has them all" wait_for 20 has_all
ok "with their pidfds ($(pidfds))" test "$(pidfds)" -ge $MANY

kill -KILL "$CHILD"
ok "all go when their process has ended and the grace is over" wait_for 120 given_back
stop_daemon
is "the daemon ends well" "$DAEMON_STATUS" 0
host_compare
done_testing
