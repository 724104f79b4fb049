#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A container keeps the devices that it was given, whatever is done to its cgroup, until they are taken back
# by nvfs revoke; on cgroup v1 and v2, without systemd (55-systemd-units.sh is with it).
# shellcheck disable=SC2317 # functions that wait_for calls
set -eu
# The v2 half hides the machine's cgroup mounts: never in anybody else's mount namespace.
[ "$(id -u)" != 0 ] || [ -n "${NVFS_CGROUP_NS:-}" ] ||
	NVFS_CGROUP_NS=1 exec unshare -m --propagation private "${BASH_SOURCE[0]}" "$@"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

[ "$(id -u)" = 0 ] || skip_all "needs root"
command -v runc >/dev/null || skip_all "no runc"
CTL=$HELPERS/cgroupctl

# answers: what opening the nodes says in the container: "ENXIO " is a permitted open
answers()
{
	in_container "$V" opendev /dev/nvidia0 /dev/nvidiactl 2>&1 | awk '{ printf "%s ", $2 }'
}

is_open()
{
	[ "$(answers)" = "ENXIO ENXIO " ]
}

start()
{
	DIR=$ROOT/$RUN_ID-$V/box
	run_container "$V" "$ROOTFS" ".linux.cgroupsPath = \"/$RUN_ID-$V/box\""
}

# take_away: what somebody else does to the cgroup
take_away()
{
	if [ "$V" = v1 ]; then
		echo 'c 195:* rwm' >"$DIR/devices.deny"
		for rule in 0 255; do
			echo "c 195:$rule rw" >"$DIR/devices.deny"
		done
	else
		"$CTL" load "$DIR" 2 1:3:rwm 1:5:rwm >/dev/null
	fi
}

# A process of the host in the container's cgroup: moves itself there, then becomes a sleep.
intrude()
{
	sh -c "echo \$\$ >'$DIR/cgroup.procs' && exec sleep 1000" </dev/null >/dev/null 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 5 grep -qx "$CHILD" "$DIR/cgroup.procs"
}

expel()
{
	kill -KILL "$CHILD"
	wait "$CHILD" 2>/dev/null || true
	wait_for 5 sh -c "! grep -qx $CHILD '$DIR/cgroup.procs'"
}

# shellcheck disable=SC2317 # called by at_exit
sweep()
{
	kill_containers
	find /sys/fs/cgroup -depth -type d -path "*/$RUN_ID-*" -exec rmdir {} +
}

said()
{
	grep -q -- "$1" "$SCRATCH/daemon.log"
}

another_daemon()
{
	local now

	now=$(worker_pid) && [ "$now" != "$1" ]
}

healed()
{
	nvfs status --json | jq .permissions.healed
}

# A daemon whose turn comes right now may have given them back before anybody looks.
taken_away()
{
	[ "$(answers)" = "EPERM EPERM " ] || [ "$(healed)" -gt "$HEALED" ]
}

heals()
{
	local before worker

	ok "$V: injected" nvinject --pid "$PID" --id "$(container_id "$V")" --devices all
	is "$V: open" "$(answers)" "ENXIO ENXIO "
	sleep 5
	is "$V: where nothing changes nothing is done" "$(healed)" "$HEALED"
	take_away
	ok "$V: taken away" taken_away
	ok "$V: healed" wait_for 10 is_open
	take_away
	worker=$(worker_pid)
	kill -KILL "$worker"
	ok "$V: another daemon" wait_for 10 another_daemon "$worker"
	ok "$V: heals what it finds" wait_for 10 is_open
	wait_for 5 said 'healed'
	before=$(healed)
	sleep 5
	is "$V: once" "$(healed)" "$before"
}

# While something is injected anew the record is of before, and nothing is healed by it.
waits_for_injections()
{
	local before

	before=$(healed)
	timeout -k 5 60 "$HELPERS/stepfault" "call:touch $SCRATCH/under-way; sleep 6" 6 "$NVINJECT" --socket "$SOCKET" \
		--pid "$PID" --id "$(container_id "$V")" --devices all </dev/null >"$SCRATCH/said" 2>&1 &
	CHILD=$!
	wait_for 10 test -e "$SCRATCH/under-way"
	take_away
	sleep 4
	is "$V: an injection that is under way: nothing is healed" "$(healed)" "$before"
	STATUS=0
	wait "$CHILD" || STATUS=$?
	is "$V: the injection is done" "$STATUS $(cat "$SCRATCH/said")" "0 "
	rm "$SCRATCH/under-way"
	ok "$V: afterwards the devices open" wait_for 10 is_open
}

refuses()
{
	intrude
	take_away
	ok "$V: a cgroup that others share is not healed; it is said by name" \
		wait_for 10 said "process $CHILD is not the container's, but shares the cgroup that denies: '$DIR'"
	is "$V: it is not permitted" "$(answers)" "EPERM EPERM "
	sleep 5
	is "$V: and said once" "$(grep -c "process $CHILD is not" "$SCRATCH/daemon.log")" 1
	expel
	[ "$V" != v1 ] || echo 'c 10:200 rwm' >"$DIR/devices.deny"
	take_away
	ok "$V: healed when they have gone" wait_for 10 is_open
}

revokes()
{
	fails "$V: an id that is not there" 2 "usage: no tree 'nobody'; nvfs ls" nvfs revoke nobody
	fails "$V: the reference tree" 2 "not a container's" nvfs revoke host
	fails "$V: no id" 2 "no ID" nvfs revoke
	fails "$V: a user may not" 5 "permission: io.nvfs.Revoke is for root" \
		setpriv --reuid 1000 --regid 1000 --clear-groups "$NVFS" revoke --socket "$SOCKET" "$(container_id "$V")"
	is "$V: nothing has changed" "$(answers)" "ENXIO ENXIO "
	ok "$V: revoke" nvfs revoke --json "$(container_id "$V")"
	is "$V: says which" "$(jq -c '[.id, .ended]' <<<"$OUT")" "[\"$(container_id "$V")\",false]"
	fails "$V: once" 2 "no tree" nvfs revoke "$(container_id "$V")"
	is "$V: no tree is left" "$(nvfs ls --json | jq '.trees | length')" 0
	is "$V: nothing is mounted" "$(mounts_in "$PID" | grep -c nvidia || true)" 0
	not_ok "$V: no node is left" in_container "$V" test -e /dev/nvidia0
	mknod -m 666 "/proc/$PID/root/dev/nvidia0" c 195 0
	mknod -m 666 "/proc/$PID/root/dev/nvidiactl" c 195 255
	is "$V: denied" "$(answers)" "EPERM EPERM "
	is "$V: the runtime's own rules are left" "$(in_container "$V" opendev /dev/null |
		awk '{ printf "%s ", $2 }')" "OK "
	take_away
	sleep 3
	is "$V: and nobody heals" "$(answers)" "EPERM EPERM "
}

# A removal takes its time, in which nothing must be permitted anew.
races()
{
	local i

	rm -f "/proc/$PID/root/dev/nvidia0" "/proc/$PID/root/dev/nvidiactl"
	for i in 1 2 3 4 5 6 7 8; do
		nvinject --pid "$PID" --id "$(container_id "$V")" --devices all
		take_away
		sleep "0.$((i * 2))"
		nvfs revoke "$(container_id "$V")" >/dev/null
	done
	sleep 3
	mknod -m 666 "/proc/$PID/root/dev/nvidia0" c 195 0
	mknod -m 666 "/proc/$PID/root/dev/nvidiactl" c 195 255
	is "$V: a removal during heals leaves nothing permitted" "$(answers)" "EPERM EPERM "
}

standalone()
{
	local ns

	unshare --mount --propagation private sleep 1000 </dev/null >/dev/null 2>&1 &
	ns=$!
	disown "$ns"
	at_exit kill -KILL "$ns"
	wait_for 5 sh -c "! test /proc/$ns/ns/mnt -ef /proc/$$/ns/mnt"
	nsenter --mount --target "$ns" sh -c "mount --rbind '$ROOTFS' '$ROOTFS'; mount -t tmpfs dev '$ROOTFS/dev'"
	nsenter --mount --target "$ns" "$NVINJECT" --socket "$SOCKET" --standalone --rootfs "$ROOTFS" --id alone --devices all
	like "a standalone tree is mounted" "$(mounts_in "$ns")" "fuse.nvfs"
	fails "which cannot be revoked from outside" "[1-9]*" "alone" nvfs revoke alone
	kill -KILL "$ns"
}

all()
{
	HEALED=0
	start_daemon --config "$CONFIG"
	start
	heals
	waits_for_injections
	refuses
	revokes
	races
	kill_container "$V"
	if [ "$V" = v2 ]; then
		standalone
	fi
	stop_daemon
	ok "$V: no cgroup is left" sweep
}

host_snapshot
use_sample_driver
write_config 'grace = 1' 'heal = 1'
make_rootfs busybox
at_exit sweep
V=v1 ROOT=$(awk '{ for (i = 7; $i != "-"; i++); } $(i + 1) == "cgroup" && $(i + 3) ~ /(^|,)devices(,|$)/ \
	{ print $5; exit }' /proc/self/mountinfo)
if [ -n "$ROOT" ]; then
	all
else
	skip "v1" "no cgroup v1 devices hierarchy"
fi
V=v2 ROOT=/sys/fs/cgroup
umount -R -l /sys/fs/cgroup
if mount -t cgroup2 cgroup2 /sys/fs/cgroup; then
	all
else
	skip "v2" "cgroup2 cannot be mounted"
fi
host_compare
done_testing
