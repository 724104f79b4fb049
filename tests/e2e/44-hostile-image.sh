#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Images and containers that set traps: links out of the root, FIFOs, devices and directories where
# files are expected, bad caches, filesystems that never answer. nvinject finishes in bounded time,
# with what is possible or with an error of class "mount"; nothing outside the container is touched;
# --remove, or the undo, leaves the container as it was.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -x "$HELPERS/cachefuse" ] || skip_all "cachefuse is not built"
TRY_TIMEOUT=20
WAIT_MAX=9 # seconds that an injection may take, whatever the container does

# A place of the host that links of images lead to: its files as they are now.
OUTSIDE=$SCRATCH/outside
outside_state()
{
	find "$OUTSIDE" -printf '%P %y %m %s %T@ %l\n' | sort
	cat "$OUTSIDE"/file
}

mkdir -p "$OUTSIDE/dir" "$OUTSIDE/bin"
echo untouched >"$OUTSIDE/file"
outside_state >"$SCRATCH/outside.before"

outside_is_untouched()
{
	outside_state >"$SCRATCH/outside.after"
	ok "$1: nothing outside is touched" diff "$SCRATCH/outside.before" "$SCRATCH/outside.after"
}

# Times change; and so does the length of a cache that was taken apart and put together again.
root_state()
{
	mounts_in "$PID"
	find "$ROOTFS" \( -type d -printf '%P %y %m\n' \) -o -printf '%P %y %m %s %l\n' |
		sed 's|^\(etc/ld.so.cache f [0-9]*\) .*|\1|' | sort
	find "/proc/$PID/root/dev" -xdev -printf '%P %y %m %l\n' | sort
}

inject()
{
	nvinject --pid "$PID" --id "$NAME" --devices all "$@"
}

# A fresh image; the caller lays its trap in $ROOTFS, then starts it with begin.
N=0
image()
{
	N=$((N + 1))
	NAME=trap$N
	make_rootfs "${1:-busybox}" "$NAME"
	mkdir -p "$ROOTFS/usr/local" "$ROOTFS/etc" "$ROOTFS/usr/bin"
}

begin()
{
	run_container "$NAME" "$ROOTFS" "${1:-.}"
	root_state >"$SCRATCH/root.before"
}

finish()
{
	outside_is_untouched "$1"
	ok "$1: the daemon answers" nvfs status
	kill_container "$NAME" >/dev/null 2>&1 || true
	CONTAINERS=()
}

removed()
{
	ok "$1: removed" nvinject --remove --id "$NAME"
	root_state >"$SCRATCH/root.after"
	ok "$1: the container is what it was" diff -U0 "$SCRATCH/root.before" "$SCRATCH/root.after"
}

# works NAME [AT]: the injection succeeds, the tree stands AT, and goes again
works()
{
	local begun=$SECONDS

	ok "$1: injected" inject
	ok "$1: in time" test $((SECONDS - begun)) -le "$WAIT_MAX"
	ok "$1: the tree is at ${2:-/usr/local/nvidia}" \
		sh -c "grep -q ' ${2:-/usr/local/nvidia} .*fuse.nvfs' /proc/$PID/mountinfo"
	removed "$1"
	finish "$1"
}

# refused NAME STATUS REGEX: the injection fails, and nothing stays
refused()
{
	local begun=$SECONDS

	fails "$1: refused" "$2" "$3" inject
	ok "$1: in time" test $((SECONDS - begun)) -le "$WAIT_MAX"
	root_state >"$SCRATCH/root.after"
	ok "$1: the container is what it was" diff -U0 "$SCRATCH/root.before" "$SCRATCH/root.after"
	is "$1: no tree stays" "$(nvfs ls --json | jq "[.trees[] | select(.id == \"$NAME\")] | length")" 0
	finish "$1"
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"

# ---- the target ----------------------------------------------------------------------------------

up=../../../../../../../../../..
trap_target()
{
	case $1 in
	"an absolute link") ln -s "$OUTSIDE/dir" "$2" ;;
	"a relative link") ln -s "$up$OUTSIDE/dir" "$2" ;;
	"a link that dangles") ln -s /nowhere/at/all "$2" ;;
	"a link to itself") ln -s "${2##*/}" "$2" ;;
	"a link through /proc/1/root") ln -s "/proc/1/root$OUTSIDE/dir" "$2" ;;
	"a link through /proc/self/cwd") ln -s "/proc/self/cwd/$up$OUTSIDE/dir" "$2" ;;
	"a link into the container") ln -s /etc "$2" ;;
	"a file") echo file >"$2" ;;
	"a FIFO") mkfifo "$2" ;;
	"a device") mknod "$2" c 1 3 ;;
	esac
}

for kind in "an absolute link" "a relative link" "a link that dangles" "a link to itself" \
	"a link through /proc/1/root" "a link through /proc/self/cwd" "a link into the container" \
	"a file" "a FIFO" "a device"; do
	image
	trap_target "$kind" "$ROOTFS/usr/local/nvidia"
	begin
	works "the target is $kind" /dev/nvfs
done
for kind in "an absolute link" "a link to itself" "a link through /proc/1/root" "a FIFO"; do
	image
	rm -rf "$ROOTFS/usr/local"
	trap_target "$kind" "$ROOTFS/usr/local"
	begin
	works "above the target is $kind" /dev/nvfs
done

# The other place is taken too.
image
echo file >"$ROOTFS/usr/local/nvidia"
begin
ln -s "$OUTSIDE/dir" "/proc/$PID/root/dev/nvfs"
root_state >"$SCRATCH/root.before"
refused "both places are traps" 6 'mount: '

# ---- /etc ----------------------------------------------------------------------------------------

for kind in "an absolute link" "a relative link" "a link through /proc/1/root" "a FIFO" "a file" "a device"; do
	image
	rm -rf "$ROOTFS/etc"
	trap_target "$kind" "$ROOTFS/etc"
	begin
	works "/etc is $kind"
done

# The cache: what stands there stays, or is replaced by a file of its own in the same directory.
for kind in "an absolute link" "a relative link" "a link that dangles" "a link to itself" \
	"a link through /proc/1/root" "a FIFO" "a device"; do
	image
	rm -f "$ROOTFS/etc/ld.so.cache"
	trap_target "${kind}" "$ROOTFS/etc/ld.so.cache"
	[ "$kind" != "an absolute link" ] || ln -sfT "$OUTSIDE/file" "$ROOTFS/etc/ld.so.cache"
	[ "$kind" != "a relative link" ] || ln -sfT "$up$OUTSIDE/file" "$ROOTFS/etc/ld.so.cache"
	begin
	ok "the cache is $kind: injected" inject
	like "the cache is $kind: a warning" "$OUT" 'ld\.so\.cache of the container.*driver'
	removed "the cache is $kind"
	finish "the cache is $kind"
done

image
mkdir -p "$ROOTFS/etc/ld.so.cache/x"
begin
ok "the cache is a directory: injected" inject
removed "the cache is a directory"
finish "the cache is a directory"

# A device must not even be opened: that alone may have an effect (a watchdog).
if command -v strace >/dev/null; then
	image
	mknod "$ROOTFS/etc/ld.so.cache" c 1 8
	begin
	try strace -f -y -e trace=openat2,openat -o "$SCRATCH/strace" "$NVINJECT" --socket "$SOCKET" \
		--pid "$PID" --id "$NAME" --devices all
	is "a device for a cache is never opened to be read" \
		"$(grep 'ld\.so\.cache' "$SCRATCH/strace" | grep -v O_PATH | grep -cE '= [0-9]+<[^>]*<char 1:8>' || true)" 0
	finish "a device for a cache"
else
	skip "a device for a cache is never opened to be read" "no strace"
fi

# bad_cache NAME: injected with a warning, and the driver's libraries are in the new cache
bad_cache()
{
	begin
	local begun=$SECONDS
	ok "$1 cache: injected" inject
	like "$1 cache: a warning" "$OUT" "ld\\.so\\.cache"
	ok "$1 cache: in time" test $((SECONDS - begun)) -le "$WAIT_MAX"
	ok "$1 cache: the driver is found by name" in_container "$NAME" dlopen libcuda.so.1
	finish "$1 cache"
}

image glibc
head -c 4096 /dev/urandom >"$ROOTFS/etc/ld.so.cache"
bad_cache "a random"
image glibc
head -c 100 "$ROOTFS/etc/ld.so.cache" >"$SCRATCH/cut"
cp "$SCRATCH/cut" "$ROOTFS/etc/ld.so.cache"
bad_cache "a truncated"
image glibc
: >"$ROOTFS/etc/ld.so.cache"
bad_cache "an empty"
image glibc
head -c 20000000 /dev/zero >>"$ROOTFS/etc/ld.so.cache"
bad_cache "a 20 MB"
image glibc
printf '\xff\xff\xff\xff' | dd of="$ROOTFS/etc/ld.so.cache" bs=1 seek=20 conv=notrunc status=none
bad_cache "a cache of four billion entries,"

image glibc
rm -rf "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/etc/ld.so.conf"
ln -s "$OUTSIDE/dir" "$ROOTFS/etc/ld.so.conf.d"
ln -s "$OUTSIDE/file" "$ROOTFS/etc/ld.so.conf"
begin
works "ld.so.conf and ld.so.conf.d are links"
image glibc
rm -rf "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/etc/ld.so.conf"
mkfifo "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/etc/ld.so.conf"
begin
works "ld.so.conf and ld.so.conf.d are FIFOs"
image
mkdir -p "$ROOTFS/etc/ld.so.conf.d"
ln -s "$OUTSIDE/file" "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf"
begin
ok "our own file is a link: injected" inject
finish "our own file is a link"

# ---- programs ------------------------------------------------------------------------------------

image
mv "$ROOTFS/usr/bin" "$ROOTFS/usr/programs"
ln -sfn usr/programs "$ROOTFS/bin"
ln -s "$OUTSIDE/bin" "$ROOTFS/usr/bin"
begin '.process.args = ["/bin/sleep", "1000"]'
works "/usr/bin is a link out of the root"
image
ln -s "$OUTSIDE/file" "$ROOTFS/usr/bin/nvidia-smi"
echo mine >"$ROOTFS/usr/bin/nvidia-debugdump"
begin
ok "programs that are there: injected" inject
is "programs that are there: stay" "$(cat "$ROOTFS/usr/bin/nvidia-debugdump")" mine
removed "programs that are there"
finish "programs that are there"

# ---- /dev ----------------------------------------------------------------------------------------

for kind in "an absolute link" "a relative link" "a link to itself" "a FIFO" "a device"; do
	image
	begin
	trap_target "$kind" "/proc/$PID/root/dev/nvidia0"
	[ "$kind" != "an absolute link" ] || ln -sfT "$OUTSIDE/file" "/proc/$PID/root/dev/nvidia0"
	root_state >"$SCRATCH/root.before"
	refused "/dev/nvidia0 is $kind" 6 "mount: .*'/dev/nvidia0' is there and is something else"
done
image
begin 'del(.mounts[] | select(.destination | startswith("/dev")))'
refused "/dev is no tmpfs" 6 "mount: .*'/dev' of the container is not a tmpfs"

# -v /dev:/dev: nothing is made there, and the nodes of this test's driver are not in it.
image
if [ -e /dev/nvidiactl ]; then
	skip "a container with the host's /dev" "this host has a driver of its own"
else
	begin 'del(.mounts[] | select(.destination | startswith("/dev")))
		| .mounts += [{ destination: "/dev", type: "bind", source: "/dev", options: ["rbind"] }]'
	refused "a container with the host's /dev" 3 "device: no '/dev/nvidia.*' in the host's /dev"
fi

# ---- filesystems that never answer ---------------------------------------------------------------

# fuse silent|mute PATH [chroot]: of the container, in its namespaces; the pid it names in $FUSE_PID
fuse()
{
	local root=/proc/$PID/root

	[ -e "$root/dev/fuse" ] || mknod "$root/dev/fuse" c 10 229
	# Not in the container's cgroup, which allows no /dev/fuse.
	nsenter --mount="/proc/$PID/ns/mnt" --root="$root" /usr/local/bin/cachefuse "$@" \
		>"$SCRATCH/fuse" 2>&1 </dev/null &
	FUSE=$!
	at_exit kill -KILL "$FUSE"
	wait_for 5 grep -q ready "$SCRATCH/fuse" || diag "cachefuse: $(cat "$SCRATCH/fuse")"
	FUSE_PID=$(sed -n 's/ready //p' "$SCRATCH/fuse")
}

# Its end aborts the connection: whoever waits for it goes on.
end_fuse()
{
	kill -KILL "$FUSE"
	wait "$FUSE" 2>/dev/null || true
}

# bounded NAME STATUS REGEX [ARGUMENT]...: with a mount that does not answer
bounded()
{
	local name=$1 status=$2 regex=$3 begun=$SECONDS

	shift 3
	STATUS=0
	OUT=$(timeout -s KILL 15 "$NVINJECT" --socket "$SOCKET" --id "$NAME" --devices all "$@" 2>&1) || STATUS=$?
	like "$name: exit status" "$STATUS" "^$status\$"
	like "$name: what is said" "$OUT" "$regex"
	ok "$name: in time" test $((SECONDS - begun)) -le "$WAIT_MAX"
	ok "$name: the daemon answers meanwhile" nvfs status
	end_fuse
	finish "$name"
}

if [ ! -e /dev/fuse ]; then
	skip "filesystems that never answer" "no /dev/fuse"
else
	for how in silent mute; do
		image
		: >"$ROOTFS/etc/ld.so.cache"
		begin
		fuse $how /etc/ld.so.cache
		bounded "a $how FUSE on the cache" 0 'using the driver.s entries only' --pid "$PID"
		image
		begin
		fuse $how /etc
		bounded "a $how FUSE on /etc" 0 'using the driver.s entries only' --pid "$PID"
		image
		mkdir -p "$ROOTFS/usr/local/nvidia"
		begin
		fuse $how /usr/local/nvidia
		bounded "a $how FUSE on the target" '[06]' '' --pid "$PID"
		image
		mkdir -p "$ROOTFS/usr/local"
		begin
		fuse $how /usr/local
		bounded "a $how FUSE above the target" 0 '/dev/nvfs' --pid "$PID"
		image
		begin
		fuse $how /dev
		bounded "a $how FUSE on /dev" 6 'mount: ' --pid "$PID"
	done
	image
	mkdir -p "$ROOTFS/mnt"
	begin
	fuse mute /mnt chroot
	bounded "a mute FUSE for a root" 6 'mount: ' --pid "$FUSE_PID"
fi

# ---- a root that is the host's own ---------------------------------------------------------------

# A twin of the host in a chroot: there a "service" has a mount namespace of its own, and no root.
make_rootfs glibc twin
mkdir -p "$ROOTFS/proc" "$ROOTFS/sock" "$ROOTFS/dev"
cp "$NVINJECT" "$ROOTFS/nvinject"
mount --bind "$ROOTFS" "$ROOTFS"
mount -t proc proc "$ROOTFS/proc"
mount --bind "$DEV_ROOT" "$ROOTFS/dev"
mount --bind "${SOCKET%/*}" "$ROOTFS/sock"
chroot "$ROOTFS" unshare -m sleep 1000 </dev/null >/dev/null 2>&1 &
SERVICE=$!
at_exit kill -KILL "$SERVICE"
wait_for 5 sh -c "! test /proc/$SERVICE/ns/mnt -ef /proc/$$/ns/mnt"
before=$(find "$ROOTFS/etc" "$ROOTFS/usr" -xdev -printf '%P %y %s %T@\n' | sort | md5sum)
fails "a process whose root is the host's is no container" 6 'mount: ' \
	chroot "$ROOTFS" /nvinject --socket "/sock/${SOCKET##*/}" --pid "$SERVICE" --devices all --id service --no-cgroup
is "the host's /etc and /usr are what they were" \
	"$(find "$ROOTFS/etc" "$ROOTFS/usr" -xdev -printf '%P %y %s %T@\n' | sort | md5sum)" "$before"
kill -KILL "$SERVICE"

ok "in the end the daemon answers" nvfs status
kill_containers
stop_daemon
unmount_below "$ROOTFS"
host_compare
done_testing
