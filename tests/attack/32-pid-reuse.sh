#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Numbers of processes come back. In a pid namespace of this script's own, where the next number can be
# said (/proc/sys/kernel/ns_last_pid): the container that was named ends at some step of its injection and
# another process gets its number; so does who connected to the control socket, in favour of root.
set -eu

if [ -z "${NVFS_PIDNS:-}" ] && [ "$(id -u)" = 0 ]; then
	export NVFS_PIDNS=1
	exec unshare --pid --fork --kill-child --mount-proc bash "$0"
fi
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

[ "$(uname -m)" = x86_64 ] || skip_all "the fault injector knows x86-64 only"
# No process but our own may take the number in between: no command substitution between these.
next_pid()
{
	echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid
}
next_pid 4000 2>/dev/null || skip_all "ns_last_pid cannot be written"

# container NAME: pid in $CHILD; a mount namespace with its own root, /dev and /proc
container()
{
	make_rootfs busybox "$1"
	"$HELPERS/minict" "$ROOTFS" </dev/null >"$SCRATCH/ready" 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 10 grep -q ready "$SCRATCH/ready"
}

inject()
{
	timeout -k 1 60 "$@" "$NVINJECT" --socket "$SOCKET" --pid "$VICTIM" --id victim --devices all --no-cgroup \
		>"$SCRATCH/said" 2>&1 </dev/null
}

trees()
{
	nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length'
}

no_tree()
{
	[ "$(trees)" = 0 ]
}

state_of()
{
	mounts_in "$1" | sort
	find "$2" "/proc/$1/root/dev" -xdev -printf '%p %y %m %s %l\n' | sort
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"

# ---- the container's ------------------------------------------------------------------------------

# Run by the fault injector, which is stopped meanwhile: the container ends, and its number goes to a
# process of another container, which takes that one's namespace by setns(2) and keeps it.
cat >"$SCRATCH/swap.sh" <<SWAP
kill -KILL \$1
while [ -e /proc/\$1 ] && ! grep -q '^State:.Z' /proc/\$1/status; do :; done
: >$SCRATCH/killed
tries=0
while [ \$((tries += 1)) -lt 300 ]; do
	[ -e $SCRATCH/taken ] && exit 0
	sleep 0.1
done
exit 1
SWAP

# Beside it, in the main shell, whose child the container is and which alone can let its number go.
give_number()
{
	local tries=0

	while [ ! -e "$SCRATCH/killed" ] && kill -0 "$INJECTION" 2>/dev/null && [ $((tries += 1)) -lt 1500 ]; do
		sleep 0.02
	done
	[ -e "$SCRATCH/killed" ] || kill -KILL "$VICTIM" # the injection was over before that step
	wait "$VICTIM" 2>/dev/null || true
	next_pid "$VICTIM"
	nsenter --mount --target "$BYSTANDER" sleep 100 </dev/null >/dev/null 2>&1 &
	TAKER=$!
	: >"$SCRATCH/taken"
}

container bystander
BYSTANDER=$CHILD BYSTANDER_ROOT=$ROOTFS
container probe
VICTIM=$CHILD
inject "$HELPERS/stepfault" count 0
read -r own inside <<<"$(sed -n 's/^steps: //p' "$SCRATCH/said")"
# Outside and inside they go on at the same time: each is counted for itself.
mapfile -t STEPS < <(seq "${own:-0}"; seq -f c%.0f "${inside:-0}")
nvinject --remove --id victim
kill -KILL "$VICTIM"
ok "an injection has steps (${own:-0} outside, ${inside:-0} inside)" [ "${#STEPS[@]}" -gt 20 ]
state_of "$BYSTANDER" "$BYSTANDER_ROOT" >"$SCRATCH/before"

swapped=0
for ((i = 0; i < ${#STEPS[@]}; i += 4)); do
	step=${STEPS[i]}
	container "victim-$step"
	VICTIM=$CHILD
	rm -f "$SCRATCH/killed" "$SCRATCH/taken"
	inject "$HELPERS/stepfault" "call:sh $SCRATCH/swap.sh $VICTIM" "$step" &
	INJECTION=$!
	give_number
	STATUS=0
	wait "$INJECTION" || STATUS=$?
	[ "$TAKER" != "$VICTIM" ] || swapped=$((swapped + 1))
	case $STATUS in
	0 | 5 | 6) pass "step $step: done in what has ended, or refused" ;;
	# A reply that came in one piece is a step less.
	99) pass "step $step: not there this time, the container ended afterwards" ;;
	*) fail "step $step: done in what has ended, or refused" "exit status $STATUS: $(cat "$SCRATCH/said")" ;;
	esac
	state_of "$BYSTANDER" "$BYSTANDER_ROOT" >"$SCRATCH/after"
	ok "step $step: who has the number now is untouched" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
	kill -KILL "$TAKER"
	wait "$TAKER" 2>/dev/null || true
done
is "each time the number was another process's" "$swapped" $(((${#STEPS[@]} + 3) / 4))
ok "no tree stays" wait_for 10 no_tree

# A tree is its process's, not its number's.
container first
VICTIM=$CHILD
ok "a container is injected" inject env
kill -KILL "$VICTIM"
wait "$VICTIM" 2>/dev/null || true
next_pid "$VICTIM"
nsenter --mount --target "$BYSTANDER" sleep 100 </dev/null >/dev/null 2>&1 &
TAKER=$!
is "its number is another process's" "$TAKER" "$VICTIM"
ok "its tree goes all the same" wait_for 10 no_tree
fails "and the other has none" 2 'usage: no tree' nvinject --remove --pid "$TAKER"
kill -KILL "$TAKER"

# ---- the client's ---------------------------------------------------------------------------------

# Root of another mount namespace, with less than the capabilities of root, connects while the daemon is
# busy, hands the connection to its child and ends. Its number goes to a process of root's in the daemon's own namespaces.
worker=$(worker_pid)
kill -STOP "$worker"
unshare --mount --propagation private setpriv --bounding-set -sys_ptrace "$HELPERS/sockabuse" "$SOCKET" \
	'send={"method":"io.nvfs.Rescan","parameters":{}}' leave recv >"$SCRATCH/answer" 2>&1 &
CLIENT=$!
wait "$CLIENT"
next_pid "$CLIENT"
sleep 100 >/dev/null 2>&1 &
ROOT=$!
kill -CONT "$worker"
is "the client's number is a process of root's" "$ROOT" "$CLIENT"
wait_for 10 test -s "$SCRATCH/answer" || true
if printf '%s\n' 6.5 "$(uname -r)" | sort -V -C; then
	like "the client is not taken for it" "$(cat "$SCRATCH/answer")" '"class":"permission"'
else
	skip "the client is not taken for it" "Linux $(uname -r) has no SO_PEERPIDFD, see SECURITY.md"
fi
is "the daemon is the same" "$(worker_pid)" "$worker"
kill -KILL "$ROOT"
kill -KILL "$BYSTANDER"
ok "root is root" nvfs rescan
stop_daemon
host_compare
done_testing
