#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Directories of the host's where a container's root should be: that of a service, say, which belongs to root.
# Whoever injects, by hand or because daemon and keeper have died, nothing is made, changed or taken away in
# there that the container could not do itself.
#
#   user     in a user namespace of his own a local user has it for his root
#   volume   a container was given it read-only, and a process in it calls chroot(2)
#   nested   the same, and a user namespace in the container makes it the root of a mount namespace
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

state()
{
	(cd "$HOSTS" && find . -xdev ! -path './proc/*' ! -path './sys/*' -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
		find etc usr/local -xdev -type f -exec md5sum {} + | sort -k 2)
}

untouched()
{
	is "$1: what is the host's is what it was" "$(diff -U0 "$SCRATCH/before" <(state) || true)" ""
}

# The tree where nothing of the host's has to be changed for it, or a refusal.
attack()
{
	local name=$1 pid=$2

	nvinject --pid "$pid" --id "$name" --devices all >"$SCRATCH/said" 2>&1 && STATUS=0 || STATUS=$?
	diag "$name: $STATUS: $(cat "$SCRATCH/said")"
	untouched "$name"
	ok "$name: done, or refused" [ "$STATUS" -le 6 ]
}

has_pid()
{
	[ -s "$SCRATCH/$1.pid" ] && grep -q "${2:-sleep}" "/proc/$(cat "$SCRATCH/$1.pid")/cmdline"
}

# in_background_of NAME COMMAND...: a process of the container, which ends with it; its pid in $ATTACKER
in_background_of()
{
	local name=$1

	shift
	runc exec --detach --pid-file "$SCRATCH/$name.pid" "$(container_id box)" "$@" >"$SCRATCH/$name.log" 2>&1 ||
		diag "$name: $(cat "$SCRATCH/$name.log")"
	wait_for 10 has_pid "$name" || diag "$name: $(cat "$SCRATCH/$name.log")"
	ATTACKER=$(cat "$SCRATCH/$name.pid")
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"
make_rootfs glibc hosts
HOSTS=$ROOTFS
chmod 755 "$SCRATCH"
state >"$SCRATCH/before"

# ---- user ----------------------------------------------------------------------------------------

mkdir "$SCRATCH/mnt"
setpriv --reuid 1234 --regid 1234 --clear-groups unshare --user --map-root-user --mount --propagation private sh -c "
	mount --bind '$HOSTS' '$SCRATCH/mnt' && cd '$SCRATCH/mnt' && mount -t tmpfs -o mode=755 tmpfs dev &&
	mount --rbind /proc proc && mount -t tmpfs tmpfs tmp && mkdir tmp/old && pivot_root . tmp/old && exec chroot . sleep 1000" \
	</dev/null >"$SCRATCH/user.log" 2>&1 &
CHILD=$!
at_exit kill -KILL "$CHILD"
ok "user: has the host's directory for his root" wait_for 10 sh -c "grep -q ^sleep /proc/$CHILD/cmdline"
fails "user: which he cannot write to" '[1-9]*' 'Permission denied' nsenter --user --mount --root --target "$CHILD" touch /etc/x
attack user "$CHILD"
is "user: the tree is in what is his" "$(mounts_in "$CHILD" | grep -c '^/dev/nvfs fuse.nvfs')" 1
ok "user: the driver loads" nsenter --user --mount --root --target "$CHILD" dlopen libcuda.so.1

daemon=$(worker_pid)
kill -KILL "$DAEMON_PID" "$daemon"
wait "$DAEMON_PID" 2>/dev/null || true
start_daemon --config "$CONFIG"
has_new_tree()
{
	timeout 2 nsenter --user --mount --root --target "$CHILD" test -e /dev/nvfs/lib64/libcuda.so.1
}
ok "user: daemon and keeper have died, he has his tree again" wait_for 20 has_new_tree
untouched "user: injected anew"
ok "user: taken back" nvinject --remove --id user
untouched "user: taken back"
is "user: wholly" "$(mounts_in "$CHILD" | grep -cE '^/(dev/nv|etc|usr|proc/driver)')" 0
kill -KILL "$CHILD"

# ---- volume, nested ------------------------------------------------------------------------------

make_rootfs busybox box
mkdir "$ROOTFS/vol"
volume=$(jq -n --arg source "$HOSTS" '[{ type: "bind", $source, destination: "/vol", options: ["bind", "ro"] },
	{ type: "tmpfs", source: "tmpfs", destination: "/vol/dev", options: ["mode=755"] },
	{ type: "proc", source: "proc", destination: "/vol/proc" }]')
run_container box "$ROOTFS" ".mounts += $volume
	| .process.capabilities |= map_values(. + [\"CAP_SYS_CHROOT\", \"CAP_SETFCAP\"])"
fails "volume: a container cannot write to it" '[1-9]*' 'Read-only' in_container box touch /vol/etc/x

in_background_of volume chroot /vol sleep 1000
attack volume "$ATTACKER"
ok "volume: removed" nvinject --remove --id volume
untouched "volume: removed"

in_background_of nested unshare -U -r -m sh -c 'mount -o rbind /vol /vol && cd /vol && mount -t tmpfs -o mode=755 tmpfs dev &&
	mount -t tmpfs tmpfs tmp && mkdir tmp/old && pivot_root . tmp/old && exec chroot . sleep 1000'
ok "nested: it has the volume for its root" wait_for 10 has_pid nested ^sleep
diag "$(cat "$SCRATCH/nested.log")"
attack nested "$ATTACKER"
nvinject --remove --id nested >/dev/null 2>&1 || true
untouched "nested: removed"
kill_container box

stop_daemon
host_compare
done_testing
