#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Bad input to nvfs serve and nvinject: each gets an error with its class, text and exit status, the
# container and the host stay as they were, and the daemon still answers.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TRY_TIMEOUT=20

serve()
{
	timeout -k 5 $((15 * SLOW)) "$NVFS" serve --config "$CONFIG" "$@"
}

# What the container shows and holds: its mounts, its files with type, mode, size, time and link
# target, /dev, and what its device cgroup (v1) allows.
container_state()
{
	mounts_in "$PID"
	find "$ROOTFS" -printf '%P %y %m %s %T@ %l\n' | sort
	find "/proc/$PID/root/dev" -xdev -printf '%P %y %m %l\n' 2>/dev/null | sort
	cat "/sys/fs/cgroup/devices$(sed -n 's/^[0-9]*:devices://p' "/proc/$PID/cgroup")/devices.list" \
		2>/dev/null || true
}

keep_state()
{
	container_state >"$SCRATCH/container.before"
}

unchanged()
{
	container_state >"$SCRATCH/container.after"
	ok "$1: the container is what it was" diff -U0 "$SCRATCH/container.before" \
		"$SCRATCH/container.after"
	is "$1: the daemon has no tree for it" "$(nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length')" 0
}

answers()
{
	ok "$1: the daemon answers" nvfs status
}

host_snapshot
use_sample_driver
make_rootfs busybox

# ---- serve ---------------------------------------------------------------------------------------

file=$SCRATCH/a-file
echo text >"$file"
serve_at()
{
	serve --mountpoint "$1" --socket "${2:-$SCRATCH/other.sock}"
}

mounts=$(cat /proc/self/mountinfo)
fails "a driver root that is a file" 2 'usage: .*Not a directory' serve --driver-root "$file" \
	--mountpoint "$SCRATCH/m" --socket "$SCRATCH/other.sock"
fails "a driver root that is not there" 2 'usage: .*No such file' serve \
	--driver-root "$SCRATCH/nowhere" --mountpoint "$SCRATCH/m" --socket "$SCRATCH/other.sock"
fails "a mount point that is a file" 2 'usage: .*Not a directory' serve_at "$file"
mkdir -p "$SCRATCH/full/x"
fails "a mount point that is not empty" 2 'usage: .*not empty' serve_at "$SCRATCH/full"
fails "a mount point that is a relative path" 2 'absolute path' serve_at "some/where"
fails "a mount point with no parent" 2 'No such file' serve_at "$SCRATCH/no/such/parent"
mkdir "$SCRATCH/taken"
mount -t tmpfs tmpfs "$SCRATCH/taken"
fails "a mount point that is mounted" 6 'mount: .*tmpfs.* is mounted on' serve_at "$SCRATCH/taken"
umount "$SCRATCH/taken"
fails "a socket path where a file is" 2 'usage: .*not a socket' serve_at "$SCRATCH/m" "$file"
fails "a socket path that is too long" 2 'too long' serve_at "$SCRATCH/m" "$SCRATCH/$(printf 's%.0s' {1..120})"
is "the file is what it was" "$(cat "$file")" text
echo 'workers = many' >"$SCRATCH/bad.conf"
fails "a configuration value that is no number" 2 "workers: 'many' is not a number" \
	"$NVFS" serve --config "$SCRATCH/bad.conf" --mountpoint "$SCRATCH/m" --socket "$SCRATCH/other.sock"
is "nothing stays mounted" "$(cat /proc/self/mountinfo)" "$mounts"

start_daemon --config "$CONFIG"
fails "a second daemon on the mount point" 6 'mount: .*another nvfs daemon' serve_at "$MOUNTPOINT"
fails "a second daemon on the socket" 1 'another daemon serves' serve_at "$SCRATCH/m" "$SOCKET"
answers "after the second daemons"
ok "and its tree is there" test -e "$MOUNTPOINT/host/lib64/libcuda.so.1"

# ---- nvinject: arguments -------------------------------------------------------------------------

run_container c1 "$ROOTFS"
keep_state

inject()
{
	nvinject --pid "$PID" --id c1 "$@"
}

fails "an unknown device" 3 'device: 7: unknown' inject --devices 7
fails "an unknown device beside a known one" 3 'device: .*GPU-nope' inject --devices 0,GPU-nope
fails "a device that is no name at all" 3 'device: ' inject --devices '../../dev/sda'
fails "an unknown driver capability" 2 'usage: .*teleport' inject --devices all \
	--driver-capabilities compute,teleport
fails "no devices said" 2 'usage: .*--devices' inject
for id in a/b .. . '' ../../etc "$(printf 'x%.0s' {1..300})"; do
	fails "the id '${id:0:20}'" 2 'usage: .*id' nvinject --pid "$PID" --devices all --id "$id"
done
fails "an id that is no UTF-8" 2 'usage: ' nvinject --pid "$PID" --devices all --id $'\xff'
fails "a device that is no UTF-8" '[23]' '(usage|device): ' inject --devices $'\xc3\x28'
fails "a device name that is cut inside a character" 3 'device: ' inject \
	--devices "GPU-x$(printf 'é%.0s' {1..200})"
for target in relative /etc/../x //x / '/a b' $'/a\nb' /a:b; do
	fails "the target $(printf %q "$target")" 2 'usage: .*target' inject --devices all --target "$target"
done
fails "an unknown option" 2 'usage: .*--frobnicate' inject --devices all --frobnicate
fails "a surplus argument" 2 'usage: ' inject --devices all more
for pid in 0 -1 '' 1x 99999999999; do
	fails "the pid '$pid'" 2 "usage: .*(process id|value)" nvinject --pid "$pid" --devices all
done
sleep 0 &
dead=$!
wait "$dead"
fails "a pid that does not exist" 2 "usage: no process has the id $dead" nvinject --pid "$dead" --devices all
ok "and with --json the error is JSON" jq -e '.error | .class == "usage" and (.message | length > 0)' <<<"$(nvinject --pid "$dead" --devices all --json 2>/dev/null)"
worker=$(worker_pid)
thread=$(ls "/proc/$worker/task" | grep -vx "$worker" | head -n 1)
fails "a pid that is a thread" 2 "usage: $thread is a thread" nvinject --pid "$thread" --devices all
fails "a process in our own mount namespace" 6 'mount: .*own mount namespace' nvinject --pid $$ --devices all
unchanged "after the arguments"
answers "after the arguments"
try inject --devices $'a\nb\033[31m'
is "a message is one printable line" "$(printf %s "$OUT" | tr -d '[:print:]' | wc -c)" 0

fails "no daemon: the error says how to start it" 7 'daemon: .*nvfs serve' \
	"$NVINJECT" --socket "$SCRATCH/nobody.sock" --pid "$PID" --devices all
fails "nvfs status says it too" 7 'daemon: .*nvfs serve' "$NVFS" status --socket "$SCRATCH/nobody.sock"
unchanged "without a daemon"

# ---- nvinject: containers ------------------------------------------------------------------------

# Another process of another mount namespace, under an id that a live container has.
victim()
{
	unshare -m --propagation private sleep 1000 </dev/null >/dev/null 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 5 sh -c "! test /proc/$CHILD/ns/mnt -ef /proc/$$/ns/mnt"
}
ok "a container is injected" inject --devices all
PID_C1=$PID ROOTFS_C1=$ROOTFS
make_rootfs busybox second
run_container c2 "$ROOTFS"
keep_state
fails "a live other init under the same id" 2 "usage: id 'c1' is the live container of pid $PID_C1" \
	nvinject --pid "$PID" --devices all --id c1
container_state >"$SCRATCH/container.after"
ok "the other container is what it was" diff "$SCRATCH/container.before" "$SCRATCH/container.after"
ok "the first keeps its tree" test -e "/proc/$PID_C1/root/usr/local/nvidia/lib64/libcuda.so.1"
for id in host pid:1 pid:x; do
	fails "an id that means something else: $id" 2 "usage: id '$id' means something else" \
		nvinject --pid "$PID" --id "$id" --devices all
done
fails "remove of an id that nobody has" 2 "usage: no tree 'nobody'" nvinject --remove --id nobody
ok "the first goes" nvinject --remove --id c1

# It is pinned and waits for a daemon that stands still; meanwhile the container dies.
dies_midway()
{
	local worker

	worker=$(worker_pid)
	kill -STOP "$worker"
	nvinject --pid "$PID" --devices all --id c2 >"$SCRATCH/midway" 2>&1 &
	CHILD=$!
	sleep 0.5
	kill_container c2
	kill -CONT "$worker" 2>/dev/null || true # after two seconds another daemon stands in its place
	MIDWAY=0
	wait "$CHILD" || MIDWAY=$?
}
dies_midway
is "a container that dies midway: exit status 6" "$MIDWAY" 6
like "a container that dies midway: the error" "$(cat "$SCRATCH/midway")" 'mount: .*process'
is "and no tree stays" "$(nvfs ls --json | jq '.trees | map(select(.id == "c2")) | length')" 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	victim
	nvinject --pid "$CHILD" --devices none --id "dying-$CHILD" --no-cgroup --target /dev/nvfs/x \
		>/dev/null 2>&1 &
	job=$!
	kill -KILL "$CHILD"
	wait "$job" || true
done
answers "after containers that died at any moment"
PID=$PID_C1 ROOTFS=$ROOTFS_C1

# ---- the image's ld.so.cache ----------------------------------------------------------------------

# image_cache NAME: what stands at /etc/ld.so.cache of container $NAME is of no use. The container gets the driver all
# the same, a warning says what it does not get, and the daemon that parsed it is the one from before.
image_cache()
{
	local worker

	worker=$(worker_pid)
	ok "$1 ld.so.cache: the injection goes on" nvinject --pid "$PID" --devices all --id "$NAME"
	like "$1 ld.so.cache: and warns" "$OUT" 'ld\.so\.cache.*driver.s entries'
	is "$1 ld.so.cache: the warning is one printable line" "$(tr -d '[:print:]' <<<"$OUT" | wc -c)" 1
	like "$1 ld.so.cache: the driver's entries are there" "$(in_container "$NAME" ldconfig -p)" \
		'libcuda\.so\.1 .*=> /usr/local/nvidia/lib64/libcuda\.so\.1'
	is "$1 ld.so.cache: the daemon is the same" "$(worker_pid)" "$worker"
	nvinject --remove --id "$NAME" >/dev/null 2>&1
}

NAME=c7
make_rootfs glibc $NAME
run_container $NAME "$ROOTFS"
cache=$ROOTFS/etc/ld.so.cache
cp "$cache" "$SCRATCH/good.cache"
head -c 30000 /dev/urandom >"$cache"
image_cache "a random"
head -c 1000 "$SCRATCH/good.cache" >"$cache"
image_cache "a truncated"
{ cat "$SCRATCH/good.cache"; head -c 20000000 /dev/zero; } >"$cache"
image_cache "a 20 MB"
rm "$cache"
mkfifo "$cache"
ok "a FIFO as ld.so.cache holds nobody up" nvinject --pid "$PID" --devices all --id "$NAME"
like "and is told" "$OUT" 'ld\.so\.cache.* not a regular file'
nvinject --remove --id "$NAME" 2>/dev/null
rm "$cache"
for hostile in "$TESTS"/fuzz/corpus/ldcache/{count-too-large,extension-outside,big-endian,old-count-too-large}; do
	if [ -e "$hostile" ]; then
		cp "$hostile" "$cache"
		image_cache "a hostile (${hostile##*/})"
	else
		skip "a hostile (${hostile##*/}) ld.so.cache" "no fuzz corpus here"
	fi
done

kill_container $NAME

# The container's own FUSE, mounted on the file. The server runs outside: no device is permitted inside.
for NAME in silent mute; do
	make_rootfs glibc $NAME
	run_container $NAME "$ROOTFS"
	mknod "/proc/$PID/root/dev/fuse" c 10 229
	nsenter --mount --target "$PID" /usr/local/bin/cachefuse $NAME /etc/ld.so.cache \
		>"$SCRATCH/cachefuse" 2>&1 &
	FUSE=$!
	at_exit kill -KILL "$FUSE"
	wait_for 10 grep -q ready "$SCRATCH/cachefuse" || diag "$(cat "$SCRATCH/cachefuse")"
	since=$SECONDS
	image_cache "a $NAME FUSE as"
	ok "a $NAME FUSE as ld.so.cache: within ten seconds ($((SECONDS - since)) s)" \
		test $((SECONDS - since)) -le 10
	is "a $NAME FUSE as ld.so.cache: the container's mount is what it was" \
		"$(mounts_in "$PID" | grep -c '^/etc/ld.so.cache fuse.cachefuse')" 1
	ok "a $NAME FUSE as ld.so.cache: its server has not ended meanwhile" kill -KILL "$FUSE"
	kill_container $NAME
done
answers "after caches of every kind"
PID=$PID_C1 ROOTFS=$ROOTFS_C1

# ---- hook ----------------------------------------------------------------------------------------

hook()
{
	nvinject hook <"$1"
}

state()
{
	printf '%s' "$1" >"$SCRATCH/state"
}

keep_state
: >"$SCRATCH/state"
fails "a state that is empty" 2 'usage: state' hook "$SCRATCH/state"
head -c 10000000 /dev/zero | tr '\0' ' ' >"$SCRATCH/state"
fails "a state of 10 MB" 2 'usage: state.*(large|more than)' hook "$SCRATCH/state"
printf '[%.0s' {1..100000} >"$SCRATCH/state"
fails "a state that is nested deeply" 2 'usage: state' hook "$SCRATCH/state"
head -c 4096 /dev/urandom >"$SCRATCH/state"
fails "a state that is no JSON" 2 'usage: state' hook "$SCRATCH/state"
for text in '[]' '{}' '{"id":"c1"}' '{"bundle":"/x"}' '{"id":"c1","bundle":"relative"}' '{"id":1,"bundle":"/x"}' \
	'{"id":"../x","bundle":"/x"}' '{"id":"c1","bundle":"/x","pid":-4}' '{"id":"c1","bundle":"/x","pid":"4"}'; do
	state "$text"
	fails "the state $text" 2 'usage: ' hook "$SCRATCH/state"
done
state '{"id":"c1","bundle":"/nowhere/at/all","pid":4}'
fails "a bundle that is not there" 2 'usage: open bundle' hook "$SCRATCH/state"
unchanged "after the hooks"

# ---- broken driver files -------------------------------------------------------------------------

stop_daemon
use_sample_driver broken
lib=$(dirname "$(find "$DRIVER_ROOT" -name 'libcuda.so.999.10.01')")
good=$SCRATCH/libcuda.good
cp "$lib/libcuda.so.999.10.01" "$good"
start_daemon --config "$CONFIG"
stop_daemon

# broken_cuda NAME REASON: libcuda is as the caller left it
broken_cuda()
{
	try timeout $((20 * SLOW)) "$NVFS" driver --driver-root "$DRIVER_ROOT" --proc-root "$PROC_ROOT"
	like "$1 libcuda: nvfs driver says so" "$OUT" "libcuda\.so\.999\.10\.01: .*$2.*left out"
	start_daemon --config "$CONFIG"
	ok "$1 libcuda: the daemon comes up" nvfs status
	not_ok "$1 libcuda: it is not served" test -e "$MOUNTPOINT/host/lib64/libcuda.so.999.10.01"
	ok "$1 libcuda: the others are" test -e "$MOUNTPOINT/host/lib64/libnvidia-ml.so.1"
	keep_state
	fails "$1 libcuda: an injection for compute is refused by name" 8 'driver: .*libcuda' \
		inject --devices all --driver-capabilities compute
	unchanged "$1 libcuda"
	nvinject --remove --id c1 >/dev/null 2>&1 || true
	stop_daemon
	cp "$good" "$lib/libcuda.so.999.10.01"
}
truncate -s 100 "$lib/libcuda.so.999.10.01"
broken_cuda "a truncated" truncated
echo 'no library' >"$lib/libcuda.so.999.10.01"
broken_cuda "a non-ELF" 'not an ELF'
printf '\xb7\x00' | dd of="$lib/libcuda.so.999.10.01" bs=1 seek=18 conv=notrunc 2>/dev/null
broken_cuda "a foreign" aarch64

mkdir "$SCRATCH/none"
DRIVER_ROOT=$SCRATCH/none PROC_ROOT=$SCRATCH/none
write_config
start_daemon --config "$CONFIG"
keep_state
fails "no driver at all: an injection says so" 8 'driver: ' inject --devices all
unchanged "without a driver"
stop_daemon

kill_containers
host_compare
done_testing
