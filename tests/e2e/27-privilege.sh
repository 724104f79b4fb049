#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What nvinject may do while it waits: for the daemon, and inside a container whose root does not
# answer. Read from /proc/PID/status.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ "$(uname -m)" = x86_64 ] || skip_all "system calls are told by x86-64's numbers here"
[ -c /dev/fuse ] || skip_all "no /dev/fuse"

# status_of PID FIELD
status_of()
{
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"
}

# CAP_DAC_OVERRIDE 1, SETGID 6, SETUID 7, NET_ADMIN 12, SYS_CHROOT 18, SYS_PTRACE 19, SYS_ADMIN 21
INSIDE=00000000002400c2
ALL=00000000002c10c2
NONE=0000000000000000

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"
make_rootfs busybox
run_container c1 "$ROOTFS"

WORKER=$(worker_pid)
kill -STOP "$WORKER"
"$NVINJECT" --socket "$SOCKET" --pid "$PID" --id c1 --devices all \
	2>"$SCRATCH/said" &
CHILD=$!
asks_daemon()
{
	[ "$(status_of "$CHILD" Seccomp)" = 2 ] && grep -q '^47 ' "/proc/$CHILD/syscall" # recvmsg(2)
}
not_there()
{
	[ ! -e "/proc/$1" ] || [ "$(status_of "$1" State)" = Z ]
}
ok "it waits for the daemon" wait_for 1 asks_daemon
is "no capability is in effect" "$(status_of "$CHILD" CapEff)" "$NONE"
is "those of later phases are permitted" "$(status_of "$CHILD" CapPrm)" "$ALL"
is "none would be inherited" "$(status_of "$CHILD" CapInh)" "$NONE"
is "no new privileges" "$(status_of "$CHILD" NoNewPrivs)" 1
is "one filter of system calls" "$(status_of "$CHILD" Seccomp_filters)" 1
# Meanwhile its child waits inside the container for the plan.
INSIDE_PID=$(pgrep -P "$CHILD")
ok "the child is in the container's mount namespace" test "/proc/$INSIDE_PID/ns/mnt" -ef "/proc/$PID/ns/mnt"
is "the child: only what a step needs is permitted" "$(status_of "$INSIDE_PID" CapPrm)" "$INSIDE"
is "the child: and nothing else is in effect" "$(status_of "$INSIDE_PID" CapEff)" "$INSIDE"
is "the child: its own, narrower one" "$(status_of "$INSIDE_PID" Seccomp_filters)" 1
is "the child: no new privileges" "$(status_of "$INSIDE_PID" NoNewPrivs)" 1
unlike "no descriptor is inherited by a program" "$(grep -h ^flags /proc/$CHILD/fdinfo/[3-9]* | sed 's/.*\t//' |
	while read -r flags; do [ $((flags & 02000000)) != 0 ] || echo open; done)" open
kill -KILL "$CHILD"
wait "$CHILD" 2>/dev/null || true
ok "the child does not outlive it" wait_for 1 not_there "$INSIDE_PID"
# A hook reads what others have written first of all.
mkfifo "$SCRATCH/state"
exec 8<>"$SCRATCH/state"
"$NVINJECT" hook --socket "$SOCKET" <"$SCRATCH/state" 8<&- 2>/dev/null &
CHILD=$!
reads_state()
{
	grep -q '^0 0x0 ' "/proc/$CHILD/syscall" # read(2) of standard input
}
ok "a hook waits for the runtime's words" wait_for 5 reads_state
is "behind its filter" "$(status_of "$CHILD" Seccomp_filters)" 1
exec 8<&-
wait "$CHILD" || true
kill -CONT "$WORKER" 2>/dev/null || true # after two seconds another daemon stands in its place

# Inside: a child that the root's own FUSE server holds.
mkdir "$ROOTFS/fuse"
cp "$HELPERS/cachefuse" "$ROOTFS/"
mknod -m 666 "/proc/$PID/root/dev/fuse" c 10 229
in_background nsenter -t "$PID" -m -- /cachefuse mute /fuse chroot >"$SCRATCH/ready" 2>&1 </dev/null
wait_for 5 grep -q ready "$SCRATCH/ready"
STATUS=0
"$NVINJECT" --socket "$SOCKET" --pid "$(sed -n 's/^ready //p' "$SCRATCH/ready")" --id c2 --devices all \
	--no-cgroup --timeout 1 >"$SCRATCH/said" 2>&1 || STATUS=$?
is "the root does not answer: exit status" "$STATUS" 6
HELD=$(sed -n 's/.*, process \([0-9]*\) waits on.*/\1/p' "$SCRATCH/said")
is "inside: only what a step needs is permitted" "$(status_of "$HELD" CapPrm)" "$INSIDE"
is "inside: and nothing else is in effect" "$(status_of "$HELD" CapEff)" "$INSIDE"
is "inside: the filter holds" "$(status_of "$HELD" Seccomp)" 2
is "inside: no new privileges" "$(status_of "$HELD" NoNewPrivs)" 1
is "inside: nothing of ours is open, output included" "$(find "/proc/$HELD/fd" -type l 2>/dev/null | wc -l)" 0
kill -KILL "$CHILD"
wait "$CHILD" 2>/dev/null || true
kill_container c1
stop_daemon
host_compare
done_testing
