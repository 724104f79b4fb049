#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container that changes under its injection: at one step after the other its first process executes
# another program, takes other namespaces (unshare, setns), another root (pivot_root, chroot), or all of
# the container is frozen. Whatever the run says, nothing is done outside of the container, and afterwards
# nothing of it stays. (That it dies is in tests/e2e/26-faults.sh; that its pid comes back in 32-pid-reuse.sh.)
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ "$(uname -m)" = x86_64 ] || skip_all "the fault injector knows x86-64 only"
EVERY=${EVERY:-6} # of so many steps one is tried, another one for each way
OUTSIDE=$SCRATCH/outside
ACTING='.process.args = ["sh", "/init"]
	| .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"])'

# begin NAME: a container whose first process does what is written to its pipe
begin()
{
	make_rootfs busybox "$1"
	cat >"$ROOTFS/init" <<'INIT'
echo begun >>/acts
while :; do
	read -r act </cmd && eval "$act"
done
INIT
	mkfifo "$ROOTFS/cmd"
	mkdir "$ROOTFS/new"
	cp -a "$ROOTFS"/bin "$ROOTFS"/init "$ROOTFS/new/"
	[ ! -L "$ROOTFS/bin" ] || cp -a "$ROOTFS/usr" "$ROOTFS/new/"
	mkfifo "$ROOTFS/new/cmd"
	mkdir -p "$ROOTFS"/new/{old,dev,etc,usr/bin,usr/local,proc}
	run_container "$1" "$ROOTFS" "$ACTING"
	wait_for 10 test -s "$ROOTFS/acts"
}

# What the first process does; it begins anew each time, which is seen by a line more in /acts.
declare -A ACTS=(
	[re-exec]='exec sh /init'
	[unshare]='exec unshare -m sh /init'
	[setns]='unshare -m sleep 1000 & sleep 0.2; exec nsenter -t $! -m sh /init'
	[chroot]='exec chroot /new sh /init'
	[pivot_root]='mount --bind /new /new; cd /new; pivot_root . old; exec chroot . sh /init'
)

# The fault injector runs it while nvinject is stopped at a step.
cat >"$SCRATCH/act.sh" <<'ACT'
root=$1
echo "$2" >"$root/cmd"
for i in $(seq 50); do
	[ "$(cat "$root/acts" "$root/new/acts" 2>/dev/null | wc -l)" -lt 2 ] || exit 0
	sleep 0.1
done
echo "it has not acted" >>"$3"
ACT

# inject N COMMAND: status in $STATUS, words in $SCRATCH/said
inject()
{
	STATUS=0
	timeout -k 1 40 "$HELPERS/stepfault" "call:$2" "$1" "$NVINJECT" --socket "$SOCKET" --pid "$PID" --id victim \
		--devices all >"$SCRATCH/said" 2>&1 </dev/null || STATUS=$?
}

outside()
{
	find "$OUTSIDE" "$DRIVER_ROOT" "$DEV_ROOT" "$NEIGHBOUR" -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
	grep -v -e "$SCRATCH/rootfs-" -e "$SCRATCH/runc" /proc/self/mountinfo
	mounts_in "$NEIGHBOUR_PID"
}

trees()
{
	nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length'
}

no_tree()
{
	[ "$(trees)" = 0 ]
}

# settled NAME: in every case
settled()
{
	case $STATUS in
	0) pass "$1: done" ;;
	5 | 6 | 75) like "$1: refused, with a word" "$(cat "$SCRATCH/said")" 'nvinject: [a-z]+: ' ;;
	*) fail "$1: done or refused" "exit status $STATUS: $(cat "$SCRATCH/said")" ;;
	esac
	outside >"$SCRATCH/after"
	ok "$1: nothing outside was touched" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
	try nvinject --remove --id victim
	case "$STATUS $OUT" in
	"0 "* | "2 "*"no tree"*) pass "$1: taken back, or nothing to take back" ;;
	*) fail "$1: taken back" "exit status $STATUS: $OUT" ;;
	esac
	kill_container "$NAME"
	ok "$1: no tree stays" wait_for 10 no_tree
}

act_at()
{
	NAME=$1-$2
	begin "$NAME"
	: >"$SCRATCH/acted"
	inject "$2" "sh $SCRATCH/act.sh $ROOTFS '${ACTS[$1]}' $SCRATCH/acted"
	is "$1 at step $2: it has acted" "$(cat "$SCRATCH/acted")" ""
	settled "$1 at step $2"
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"
mkdir -p "$OUTSIDE"
echo secret >"$OUTSIDE/file"
make_rootfs busybox neighbour
NEIGHBOUR=$ROOTFS
run_container neighbour "$ROOTFS"
NEIGHBOUR_PID=$PID
outside >"$SCRATCH/before"

# An answer comes in one message or in two, so that a step more is taken now and then: the fewest count.
for ((i = 0; i < 5; i++)); do
	begin "count-$i"
	"$HELPERS/stepfault" count 0 "$NVINJECT" --socket "$SOCKET" --pid "$PID" --id victim --devices all \
		>"$SCRATCH/said" 2>&1 </dev/null
	read -r now now_inside <<<"$(sed -n 's/^steps: //p' "$SCRATCH/said")"
	[ "${own:-999}" -lt "${now:-0}" ] || own=${now:-0}
	[ "${inside:-999}" -lt "${now_inside:-0}" ] || inside=${now_inside:-0}
	nvinject --remove --id victim
	kill_container "count-$i"
done
# Outside and inside they go on at the same time: each is counted for itself.
mapfile -t STEPS < <(seq "${own:-0}"; seq -f c%.0f "${inside:-0}")
ok "an injection has steps (${own:-0} outside, ${inside:-0} inside)" [ "${#STEPS[@]}" -gt 20 ]

first=0
for way in "${!ACTS[@]}"; do
	for ((i = first++; i < ${#STEPS[@]}; i += EVERY)); do
		act_at "$way" "${STEPS[i]}"
	done
done

# ---- frozen --------------------------------------------------------------------------------------

freeze()
{
	printf 'timeout 10 runc --root %s %s %s </dev/null' "$SCRATCH/runc" "$1" "$(container_id "$NAME")"
}

for ((i = 1; i < ${#STEPS[@]}; i += 2 * EVERY)); do
	step=${STEPS[i]}
	NAME=frozen-$step
	begin "$NAME"
	inject "$step" "$(freeze pause)"
	is "frozen at step $step: injected all the same" "$STATUS" 0
	is "frozen at step $step: it is" "$(runc state "$(container_id "$NAME")" | jq -r .status)" paused
	eval "$(freeze resume)"
	fails "frozen at step $step: it finds its GPU when it goes on" 1 ENXIO \
		in_container "$NAME" opendev /dev/nvidia0
	STATUS=0
	settled "frozen at step $step"
done

NAME=frozen
begin "$NAME"
runc pause "$(container_id "$NAME")"
ok "a frozen container is injected" nvinject --pid "$PID" --id victim --devices all
ok "and it is taken back" nvinject --remove --id victim
ok "injected once more" nvinject --pid "$PID" --id victim --devices all
kill -KILL "$PID"
runc resume "$(container_id "$NAME")" >/dev/null 2>&1 || true
STATUS=0
settled "killed while frozen"
kill_containers
ok "the daemon answers" nvfs status
stop_daemon
host_compare
done_testing
