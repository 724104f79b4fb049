#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Device permission in a container's cgroups, against runc: v1 (the devices hierarchy) and v2 (a
# mount namespace that shows nothing but cgroup2). A node with a major that has no driver behind it
# tells the answers apart: EPERM is a refusal by the cgroup, ENXIO a permitted open.
set -eu
# The v2 half hides the machine's cgroup mounts: never in anybody else's mount namespace.
[ "$(id -u)" != 0 ] || [ -n "${NVFS_CGROUP_NS:-}" ] ||
	NVFS_CGROUP_NS=1 exec unshare -m --propagation private "${BASH_SOURCE[0]}" "$@"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

[ "$(id -u)" = 0 ] || skip_all "needs root"
command -v runc >/dev/null || skip_all "no runc"
CTL=$HELPERS/cgroupctl
[ -x "$CTL" ] || skip_all "cgroupctl is not built"

GPU=195:0:rw
CONTROL=195:255:rw

# What opening the nodes says inside the container: "ENXIO EPERM"
answers()
{
	in_container "$1" opendev "${@:2}" /dev/nvidia0 /dev/nvidiactl 2>&1 | awk '{ printf "%s ", $2 }'
}

start()
{
	run_container "$1" "$ROOTFS" ".linux.cgroupsPath = \"$2\" | ${3:-.}"
	mknod -m 666 "/proc/$PID/root/dev/nvidia0" c 195 0
	mknod -m 666 "/proc/$PID/root/dev/nvidiactl" c 195 255
}

# A process of the host in this cgroup: moves itself there, then becomes a sleep.
intrude()
{
	sh -c "echo \$\$ >'$1/cgroup.procs' && exec sleep 1000" </dev/null >/dev/null 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 5 grep -qx "$CHILD" "$1/cgroup.procs"
}

# Gone when the cgroup no longer lists it.
expel()
{
	kill -KILL "$CHILD"
	wait "$CHILD" 2>/dev/null || true
	wait_for 5 sh -c "! grep -qx $CHILD '$1/cgroup.procs'"
}

# A process of a container inside the container: in a pid and mount namespace below the container's.
nest()
{
	nsenter -t "$PID" -p unshare -f -p -m sh -c "echo 0 >'$1/cgroup.procs' && exec sleep 1000" \
		</dev/null >/dev/null 2>&1 &
	CHILD=$!
	disown "$CHILD"
	at_exit kill -KILL "$CHILD"
	wait_for 5 sh -c "test \$(wc -l <'$1/cgroup.procs') -ge 2"
}

# A hook of the runtime that allows the GPU, told of the container as OCI hooks are.
hook()
{
	printf '%s\n' '#!/bin/sh' "exec $CTL allow \$(jq .pid) $GPU >$SCRATCH/hook.log 2>&1" >"$SCRATCH/hook"
	chmod 755 "$SCRATCH/hook"
	echo ".hooks.$1 = [{ path: \"$SCRATCH/hook\", env: [\"PATH=$PATH\"] }]"
}

# shellcheck disable=SC2317 # called by ok and at_exit
# What runc and we made in every hierarchy that can be seen, below names of our own only.
sweep()
{
	kill_containers
	find /sys/fs/cgroup -depth -type d -path "*/$RUN_ID-*" -exec rmdir {} +
}

# The same for both versions; $V names it, $ROOT is where its hierarchy is mounted.
common_tests()
{
	start "$V" "/$RUN_ID-$V/box"
	is "$V: denied before" "$(answers "$V")" "EPERM EPERM "
	ok "$V: allow and undo" "$CTL" undo "$PID" $GPU $CONTROL
	is "$V: undone" "$(answers "$V")" "EPERM EPERM "
	ok "$V: allow reading" "$CTL" allow "$PID" 195:0:r
	is "$V: reading is allowed, writing is not" "$(answers "$V" -r)$(answers "$V")" \
		"ENXIO EPERM EPERM EPERM "
	ok "$V: allow" "$CTL" allow "$PID" $GPU $CONTROL
	like "$V: says what it changed" "$OUT" "${V} changed .*/$RUN_ID-$V/box"
	is "$V: allowed" "$(answers "$V")" "ENXIO ENXIO "
	ok "$V: allow again" "$CTL" allow "$PID" $GPU $CONTROL
	like "$V: twice changes nothing" "$OUT" "note: unchanged"
	ok "$V: revoke one" "$CTL" revoke "$PID" $GPU
	is "$V: the other stays" "$(answers "$V")" "EPERM ENXIO "
	ok "$V: revoke the other" "$CTL" revoke "$PID" $CONTROL
	ok "$V: revoke what is not there" "$CTL" revoke "$PID" $GPU $CONTROL
	is "$V: revoked" "$(answers "$V")" "EPERM EPERM "
	is "$V: the runtime's own rules are left" "$(in_container "$V" opendev /dev/null /dev/zero |
		awk '{ printf "%s ", $2 }')" "OK OK "

	intrude "$ROOT/$RUN_ID-$V/box"
	fails "$V: a foreign process in the cgroup is a refusal by name" 5 \
		"permission: process $CHILD .*/$RUN_ID-$V/box" "$CTL" allow "$PID" $GPU
	is "$V: and changes nothing" "$(answers "$V")" "EPERM EPERM "
	expel "$ROOT/$RUN_ID-$V/box"
	mkdir "$ROOT/$RUN_ID-$V/box/.below"
	intrude "$ROOT/$RUN_ID-$V/box/.below"
	fails "$V: the same in a cgroup below" 5 "process $CHILD" "$CTL" allow "$PID" $GPU
	expel "$ROOT/$RUN_ID-$V/box/.below"
	rmdir "$ROOT/$RUN_ID-$V/box/.below"
	nest "$ROOT/$RUN_ID-$V/box"
	ok "$V: a container inside the container is not foreign" "$CTL" allow "$PID" $GPU
	is "$V: allowed" "$(answers "$V")" "ENXIO EPERM "
	kill_container "$V"

	for stage in prestart createRuntime; do
		start "$V-$stage" "/$RUN_ID-$V/hook" "$(hook $stage)"
		is "$V: allowed by a $stage hook" "$(answers "$V-$stage")" "ENXIO EPERM "
		kill_container "$V-$stage"
	done

	start "$V-many" "/$RUN_ID-$V/many"
	for minor in 0 1 2 3 4 5 6 255; do
		"$CTL" allow "$PID" 195:$minor:rw >>"$SCRATCH/many.$V" 2>&1 &
	done
	wait_for 20 sh -c "test \$(grep -c '^added' '$SCRATCH/many.$V') = 8" || true
	is "$V: eight at once all succeed" "$(grep -c '^added: 1' "$SCRATCH/many.$V")" 8
	is "$V: none undoes another" "$(answers "$V-many")" "ENXIO ENXIO "
	ok "$V: nothing is left to do" "$CTL" allow "$PID" 195:{0,1,2,3,4,5,6,255}:rw
	like "$V: all eight are there" "$OUT" "note: unchanged"
	kill_container "$V-many"

	start "$V-open" "/$RUN_ID-$V/open" '.linux.resources.devices = [{ allow: true, access: "rwm" }]'
	ok "$V: an open container" "$CTL" allow "$PID" $GPU
	like "$V: needs nothing" "$OUT" "note: unchanged"
	kill_container "$V-open"

	start "$V-hostns" "/$RUN_ID-$V/hostns" '.linux.namespaces |= map(select(.type != "pid"))'
	ok "$V: a container without a pid namespace of its own" "$CTL" allow "$PID" $GPU
	is "$V: is allowed" "$(answers "$V-hostns")" "ENXIO EPERM "
	ok "$V: take it back" "$CTL" revoke "$PID" $GPU
	intrude "$ROOT/$RUN_ID-$V/hostns"
	fails "$V: but the host's processes are not its own" 5 "process $CHILD" "$CTL" allow "$PID" $GPU
	expel "$ROOT/$RUN_ID-$V/hostns"
	ok "$V: allowed once more" "$CTL" allow "$PID" $GPU
	intrude "$ROOT/$RUN_ID-$V/hostns"
	ok "$V: what looks like a stranger keeps no permission from being taken" "$CTL" revoke "$PID" $GPU
	is "$V: it is taken" "$(answers "$V-hostns")" "EPERM EPERM "
	expel "$ROOT/$RUN_ID-$V/hostns"
	kill_container "$V-hostns"
	fails "$V: a dead process" "[16]" "has ended|No such" "$CTL" allow "$PID" $GPU
}

v1_tests()
{
	V=v1 ROOT=$(awk '{ for (i = 7; $i != "-"; i++); } $(i + 1) == "cgroup" && $(i + 3) ~ /(^|,)devices(,|$)/ \
		{ print $5; exit }' /proc/self/mountinfo)
	if [ -z "$ROOT" ]; then
		skip "v1" "no cgroup v1 devices hierarchy"
		return 0
	fi
	common_tests

	# A parent that denies, and holds nothing but the container.
	mkdir "$ROOT/$RUN_ID-v1/parent"
	echo a >"$ROOT/$RUN_ID-v1/parent/devices.deny"
	for rule in 'c *:* m' 'b *:* m' 'c 1:* rwm' 'c 5:* rwm' 'c 136:* rwm' 'c 10:200 rwm'; do
		echo "$rule" >"$ROOT/$RUN_ID-v1/parent/devices.allow"
	done
	start v1-parent "/$RUN_ID-v1/parent/box"
	ok "v1: a parent that denies is allowed first" "$CTL" allow "$PID" $GPU
	is "v1: allowed" "$(answers v1-parent)" "ENXIO EPERM "
	is "v1: in the parent too" "$(grep -c '195:0 rw' "$ROOT/$RUN_ID-v1/parent/devices.list")" 1
	ok "v1: revoke" "$CTL" revoke "$PID" $GPU
	is "v1: revoked in both" "$(cat "$ROOT/$RUN_ID-v1/parent/devices.list" \
		"$ROOT/$RUN_ID-v1/parent/box/devices.list" | grep -c 195: || true)" 0
	intrude "$ROOT/$RUN_ID-v1/parent"
	fails "v1: a shared parent that denies is refused" 5 "process $CHILD .*/parent'" \
		"$CTL" allow "$PID" $GPU
	is "v1: and neither is changed" "$(cat "$ROOT/$RUN_ID-v1/parent/devices.list" \
		"$ROOT/$RUN_ID-v1/parent/box/devices.list" | grep -c 195: || true)" 0
	expel "$ROOT/$RUN_ID-v1/parent"
	ok "v1: no cgroup is left" sweep
}

v2_ancestors()
{
	local top=$ROOT/$RUN_ID-v2

	mkdir -p "$top/parent"
	start v2-parent "/$RUN_ID-v2/parent/box"
	ok "v2: a parent without rules" "$CTL" allow "$PID" $GPU
	"$CTL" load "$top/parent" 2 1:3:rwm 195:255:rw >/dev/null
	is "v2: now the parent denies" "$(answers v2-parent)" "EPERM EPERM "
	mkdir -p "$top/parent/other"
	intrude "$top/parent/other"
	fails "v2: a shared parent that denies is refused" 5 "process $CHILD .*/parent'" \
		"$CTL" allow "$PID" $GPU
	ok "v2: what the shared parent allows needs only the container's own" \
		"$CTL" allow "$PID" $CONTROL
	like "v2: which alone is changed" "$OUT" "v2 unchanged kept .*/parent"$'\n'
	is "v2: so it is allowed" "$(answers v2-parent)" "EPERM ENXIO "
	expel "$top/parent/other"
	rmdir "$top/parent/other"
	ok "v2: not shared any more, the parent is changed too" "$CTL" allow "$PID" $GPU
	is "v2: allowed" "$(answers v2-parent)" "ENXIO ENXIO "
	ok "v2: revoke" "$CTL" revoke "$PID" $GPU $CONTROL
	is "v2: revoked, the parent's own rule is left" "$(answers v2-parent)" "EPERM EPERM "
	ok "v2: both again" "$CTL" allow "$PID" $GPU
	mkdir -p "$top/parent/other"
	intrude "$top/parent/other"
	ok "v2: revoke, with others below the parent" "$CTL" revoke "$PID" $GPU
	is "v2: the own one denies" "$(answers v2-parent)" "EPERM EPERM "
	expel "$top/parent/other"
	rmdir "$top/parent/other"
	kill_container v2-parent
}

# A container that divides its cgroup: the process is in one below that of the program.
v2_divided()
{
	local top=$ROOT/$RUN_ID-v2/divided

	start v2-divided "/$RUN_ID-v2/divided"
	ok "v2: a container that will divide its cgroup" "$CTL" allow "$PID" $GPU
	mkdir "$top/.init" "$top/.other"
	echo "$PID" >"$top/.init/cgroup.procs"
	is "v2: it has the device from one below too" "$(answers v2-divided)" "ENXIO EPERM "
	intrude "$top/.other"
	fails "v2: where a stranger is in another one, what cannot be taken back is told" 5 \
		"permission: process $CHILD .*/divided'" "$CTL" revoke "$PID" $GPU
	expel "$top/.other"
	ok "v2: without him it can" "$CTL" revoke "$PID" $GPU
	is "v2: it is" "$(answers v2-divided)" "EPERM EPERM "
	rmdir "$top/.other"
	kill_container v2-divided
}

v2_programs()
{
	local top=$ROOT/$RUN_ID-v2 count

	start v2-multi "/$RUN_ID-v2/multi"
	"$CTL" load "$top/multi" 2 1:3:rwm 195:1:rw >/dev/null
	"$CTL" load "$top/multi" 2 1:3:rwm 195:0:r >/dev/null
	count=$("$CTL" count "$top/multi")
	ok "v2: three programs on one cgroup" "$CTL" allow "$PID" $GPU
	is "v2: each is changed" "$(grep -c '^v2 changed' <<<"$OUT")" 3
	is "v2: allowed" "$(answers v2-multi)" "ENXIO EPERM "
	is "v2: none was added" "$("$CTL" count "$top/multi")" "$count"
	"$CTL" load "$top/multi" 2 1:3:rwm >/dev/null
	is "v2: one more comes, as after a daemon-reload" "$(answers v2-multi)" "EPERM EPERM "
	ok "v2: allowing heals it" "$CTL" allow "$PID" $GPU
	is "v2: only the new one was changed" "$(grep -c '^v2 changed' <<<"$OUT")" 1
	is "v2: healed" "$(answers v2-multi)" "ENXIO EPERM "
	ok "v2: undo takes back only what this run did" "$CTL" undo "$PID" $CONTROL
	is "v2: and leaves the rest" "$(answers v2-multi)" "ENXIO EPERM "
	kill_container v2-multi
}

# A program that a link holds lives as long as the link's fd.
v2_link()
{
	local top=$ROOT/$RUN_ID-v2

	start v2-link "/$RUN_ID-v2/link"
	mkfifo "$SCRATCH/hold"
	"$CTL" load "$top/link" link 1:3:rwm <"$SCRATCH/hold" >"$SCRATCH/link.log" 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	exec 9>"$SCRATCH/hold"
	wait_for 5 grep -q attached "$SCRATCH/link.log"
	ok "v2: a program held by a link" "$CTL" allow "$PID" $GPU
	is "v2: is changed through the link" "$(answers v2-link)" "ENXIO EPERM "
	ok "v2: undo through the link" "$CTL" undo "$PID" $CONTROL
	ok "v2: revoke through the link" "$CTL" revoke "$PID" $GPU
	is "v2: revoked" "$(answers v2-link)" "EPERM EPERM "
	exec 9>&-
	wait "$CHILD" || true
	kill_container v2-link
}

# BPF_F_ALLOW_OVERRIDE (1) and no flag (0) allow one program only; tried on cgroups of our own that
# a container's processes are moved into.
v2_single()
{
	local top=$ROOT/$RUN_ID-v2 flags

	start v2-single "/$RUN_ID-v2/single"
	for flags in 0 1; do
		mkdir "$top/flag$flags"
		"$CTL" load "$top/flag$flags" $flags 1:3:rwm >/dev/null
		echo "$PID" >"$top/flag$flags/cgroup.procs"
		ok "v2: a program attached with flags $flags" "$CTL" allow "$PID" $GPU
		is "v2: is replaced ($flags)" "$(grep -c '^v2 changed' <<<"$OUT")" 1
		is "v2: in its place ($flags)" "$("$CTL" count "$top/flag$flags")" 1
		ok "v2: twice ($flags)" "$CTL" allow "$PID" $GPU
		like "v2: changes nothing ($flags)" "$OUT" "note: unchanged"
		ok "v2: undo ($flags)" "$CTL" undo "$PID" $CONTROL
		ok "v2: revoke ($flags)" "$CTL" revoke "$PID" $GPU
		ok "v2: allow after revoke ($flags)" "$CTL" undo "$PID" $GPU
		like "v2: changes it again ($flags)" "$OUT" "v2 changed"
	done
	# below a cgroup with OVERRIDE, a program of one's own puts the upper one out of effect
	mkdir "$top/flag1/below"
	"$CTL" load "$top/flag1/below" 1 1:3:rwm 195:0:rw >/dev/null
	echo "$PID" >"$top/flag1/below/cgroup.procs"
	ok "v2: an overridden ancestor" "$CTL" allow "$PID" $GPU
	is "v2: does not count" "$(grep -c '^v2' <<<"$OUT")" 1
	echo "$PID" >"$top/single/cgroup.procs"
	kill_container v2-single
}

v2_tests()
{
	V=v2 ROOT=/sys/fs/cgroup
	umount -R -l /sys/fs/cgroup
	if ! mount -t cgroup2 cgroup2 /sys/fs/cgroup; then
		skip "v2" "cgroup2 cannot be mounted"
		return 0
	fi
	common_tests
	v2_ancestors
	v2_divided
	v2_programs
	v2_link
	v2_single
	ok "v2: no cgroup is left" sweep
}

make_rootfs busybox
install -m 755 "$HELPERS/opendev" "$ROOTFS/bin/opendev"
at_exit sweep
v1_tests
v2_tests
done_testing
