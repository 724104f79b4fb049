#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Standalone requests: a runtime that has made a mount namespace and a root in it, and calls nvinject from
# inside, before it enters the root. There is no pid and no cgroup; the tree lives as long as the namespace.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# namespace NAME: a namespace of root's with a glibc root in it that is a mount, with /dev and /proc, as
# a runtime leaves it before pivot_root; a process in it in $NS, its root in $ROOTFS.
namespace()
{
	make_rootfs glibc "$1"
	unshare --mount --propagation private sleep 1000 </dev/null >/dev/null 2>&1 &
	NS=$!
	disown "$NS"
	at_exit kill -KILL "$NS"
	wait_for 5 sh -c "! test /proc/$NS/ns/mnt -ef /proc/$$/ns/mnt"
	inside sh -c "mount --rbind '$ROOTFS' '$ROOTFS'; mount -t tmpfs dev '$ROOTFS/dev'
		mount -t proc proc '$ROOTFS/proc'; mknod -m 666 '$ROOTFS/dev/null' c 1 3"
}

end_namespace()
{
	kill -KILL "$NS"
	wait_for 5 sh -c "! kill -0 $NS"
}

# inside COMMAND...: in the namespace, outside its root; in_root COMMAND...: in the root, too.
inside()
{
	timeout -k 5 $((60 * SLOW)) nsenter --mount --target "$NS" "$@"
}

in_root()
{
	inside chroot "$ROOTFS" "$@"
}

# standalone ID ARGS: as the runtime calls it
standalone()
{
	local id=$1

	shift
	inside "$NVINJECT" --socket "$SOCKET" --standalone --rootfs "$ROOTFS" --id "$id" "$@"
}

# What an injection may touch: files with type, mode and size, and the mounts.
state()
{
	inside sh -c "cd '$ROOTFS' && find dev etc usr/bin usr/local -xdev -type d -printf '%p %m\n' \
		-o -printf '%p %y %m %s %l\n' | sort"
	mounts_in "$NS" | sort
}

record()
{
	nvfs ls --json | jq -c ".trees[] | select(.id == \"$1\")"
}

gone()
{
	[ -z "$(record "$1")" ]
}

cgroup_rules()
{
	cat "/sys/fs/cgroup/devices$(sed -n 's/^[0-9]*:devices://p' "/proc/$NS/cgroup")/devices.list" \
		2>/dev/null || true
}

host_snapshot
use_sample_driver
write_config 'grace = 1'
start_daemon --config "$CONFIG"
namespace c1

# ---- what it refuses -----------------------------------------------------------------------------

state >"$SCRATCH/before"
cgroup_rules >"$SCRATCH/rules"
fails "without a root" 2 'usage: .*--rootfs' inside "$NVINJECT" --socket "$SOCKET" --standalone \
	--id c1 --devices all
fails "without an id" 2 'usage: .*--id' inside "$NVINJECT" --socket "$SOCKET" --standalone \
	--rootfs "$ROOTFS" --devices all
fails "with a pid" 2 'usage: .*exclude each other' standalone c1 --pid "$NS" --devices all
fails "without devices" 2 'usage: .*--devices' standalone c1
fails "a root that is not there" 6 'mount: open root .*No such file' inside "$NVINJECT" \
	--socket "$SOCKET" --standalone --rootfs /nowhere --id c1 --devices all
fails "a root that is a file" 6 'mount: open root .*Not a directory' inside "$NVINJECT" \
	--socket "$SOCKET" --standalone --rootfs "$CONFIG" --id c1 --devices all
fails "a root that is the host's own" 6 "mount: .*host's own" inside "$NVINJECT" \
	--socket "$SOCKET" --standalone --rootfs / --id c1 --devices all
fails "an unknown device" 3 'device: 7: unknown' standalone c1 --devices 7
ok "a dry run" standalone c1 --devices all --dry-run
state >"$SCRATCH/now"
ok "none of them changes anything" diff "$SCRATCH/before" "$SCRATCH/now"
is "nor leaves a tree" "$(nvfs ls --json | jq '.trees | length')" 0

# ---- inject --------------------------------------------------------------------------------------

ok "inject" standalone c1 --devices all
is "exactly one mount for the tree" \
	"$(mounts_in "$NS" | grep -c "^$ROOTFS/usr/local/nvidia fuse")" 1
ok "a program in the root loads libcuda" in_root dlopen libcuda.so.1
like "from the tree" "$OUT" '/usr/local/nvidia/lib64/libcuda\.so\.999\.10\.01'
like "ldconfig -p lists it" "$(in_root ldconfig -p)" 'libcuda\.so\.1 .*=> /usr/local/nvidia/lib64/libcuda\.so\.1'
like "nvidia-smi is found by name" "$(in_root nvidia-smi)" 'NVIDIA-SMI 999'
is "the GPU's node is there" "$(in_root stat -c %F /dev/nvidia0)" 'character special file'
fails "nobody writes to the tree" '[1-9]*' 'Read-only file system' in_root touch /usr/local/nvidia/x
cgroup_rules >"$SCRATCH/rules.now"
ok "no cgroup is changed" diff "$SCRATCH/rules" "$SCRATCH/rules.now"
is "the daemon knows it as standalone" "$(record c1 | jq .standalone)" true
like "nvfs show tells what was done" "$(nvfs show c1)" 'tree: /usr/local/nvidia mounted'
state >"$SCRATCH/once"
ok "a second time" standalone c1 --devices all
state >"$SCRATCH/twice"
ok "changes nothing" diff "$SCRATCH/once" "$SCRATCH/twice"
sleep 4
is "the tree outlives its caller and the grace" "$(record c1 | jq .standalone)" true
ok "and serves" in_root dlopen libcuda.so.1
ok "ldconfig in the root" in_root ldconfig
ok "keeps the libraries" in_root dlopen libcuda.so.1

# ---- take back -----------------------------------------------------------------------------------

ok "remove" standalone c1 --remove
# The linker's cache is written anew, with the entries that were there.
state | grep -v 'etc/ld\.so\.cache ' >"$SCRATCH/after"
ok "leaves everything as it was" diff <(grep -v 'etc/ld\.so\.cache ' "$SCRATCH/before") "$SCRATCH/after"
not_ok "no libcuda afterwards" in_root dlopen libcuda.so.1
is "the daemon has forgotten it" "$(record c1)" ''

# ---- whose id ------------------------------------------------------------------------------------

ok "inject again" standalone c1 --devices none
FIRST=$NS FIRST_ROOTFS=$ROOTFS
namespace c2
fails "its id from another namespace" 2 "usage: id 'c1' is in use by another container" standalone c1 --devices none
ok "an id of its own" standalone c2 --devices none
SECOND=$NS SECOND_ROOTFS=$ROOTFS
NS=$FIRST ROOTFS=$FIRST_ROOTFS
ok "the first keeps its tree" in_root dlopen libcuda.so.1
end_namespace
NS=$SECOND ROOTFS=$SECOND_ROOTFS
ok "the first tree goes with its namespace" wait_for 60 gone c1
ok "the second one's stays" in_root dlopen libcuda.so.1
ok "an id that is free again" standalone c1 --devices none
end_namespace
ok "the second namespace takes both of its trees along" wait_for 60 gone c2
ok "all of them" wait_for 60 gone c1

# ---- and the runtime goes on: it enters the root --------------------------------------------------

make_rootfs glibc pivot
cat >"$SCRATCH/runtime.sh" <<RUNTIME
set -e
mount --rbind "$ROOTFS" "$ROOTFS"
mount -t tmpfs dev "$ROOTFS/dev"
mount -t proc proc "$ROOTFS/proc"
"$NVINJECT" --socket "$SOCKET" --standalone --rootfs "$ROOTFS" --id pivot --devices all
cd "$ROOTFS"
pivot_root . mnt
exec sleep 1000
RUNTIME
unshare --mount --propagation private sh "$SCRATCH/runtime.sh" </dev/null >"$SCRATCH/runtime.log" 2>&1 &
NS=$!
disown "$NS"
at_exit kill -KILL "$NS"
entered()
{
	[ "$(cat "/proc/$NS/comm")" = sleep ]
}
ok "a runtime that injects and then pivots into the root" wait_for 20 entered
is "has one mount for the tree" "$(mounts_in "$NS" | grep -c '^/usr/local/nvidia fuse')" 1
ok "and its programs load libcuda" inside dlopen libcuda.so.1
end_namespace
ok "its tree goes with it" wait_for 60 gone pivot

stop_daemon
is "the daemon ends well" "$DAEMON_STATUS" 0
host_compare
done_testing
