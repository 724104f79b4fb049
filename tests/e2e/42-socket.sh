#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The control socket, as an attacker would use it: who talks nonsense is answered by an error or
# disconnected, who isn't root touches nobody else's tree, nobody keeps the daemon from its work, and
# after each the daemon answers.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
ABUSE=$HELPERS/sockabuse
[ -x "$ABUSE" ] || skip_all "sockabuse is not built"
TRY_TIMEOUT=60
STRANGER=1234

abuse()
{
	timeout -k 5 $((60 * SLOW)) "$ABUSE" "$SOCKET" "$@" 2>&1
}

# abuse_as UID OP...: a local user
abuse_as()
{
	local uid=$1

	shift
	timeout -k 5 $((60 * SLOW)) setpriv --reuid "$uid" --regid "$uid" --clear-groups "$ABUSE" "$SOCKET" "$@" 2>&1
}

# A process of this uid in a mount namespace of its own: what a user may inject into.
process_of()
{
	unshare -m --propagation private setpriv --reuid "$1" --regid "$1" --clear-groups sleep 1000 \
		</dev/null >/dev/null 2>&1 &
	CHILD=$!
	disown "$CHILD"
	at_exit kill -KILL "$CHILD"
	wait_for 5 sh -c "test \$(cat /proc/$CHILD/comm) = sleep"
}

# call METHOD [PARAMETERS], inject ID [MORE PARAMETERS]: messages; the pidfd is the first descriptor
call()
{
	printf '{"method":"io.nvfs.%s","parameters":{%s}}' "$1" "${2:-}"
}

inject()
{
	call Inject "\"fds\":1,\"pidfd\":0,\"id\":\"$1\",\"devices\":\"all\"${2:-}"
}

inject_with_cache()
{
	call Inject "\"fds\":2,\"pidfd\":0,\"cache\":1,\"id\":\"$1\",\"devices\":\"all\"${2:-}"
}

commit='{"method":"io.nvfs.Commit","parameters":{"token":"@TOKEN@","done":['

answers()
{
	ok "$1: the daemon answers" nvfs status
	revive
}

# Should the daemon be dead, the rest goes on with another one.
revive()
{
	kill -0 "$DAEMON_PID" 2>/dev/null || {
		stop_daemon
		start_daemon --config "$CONFIG"
	}
}

open_descriptors()
{
	local worker

	worker=$(worker_pid)
	sleep 0.2 # that question's own connection goes first
	find "/proc/$worker/fd" -mindepth 1 | wc -l
}

# refused NAME REGEX OP...: the error is told, then the daemon hangs up
refused()
{
	local name=$1 regex=$2

	shift 2
	try abuse "$@" ended
	like "$name" "$OUT" "$regex"
	like "$name: disconnected" "${OUT##*$'\n'}" '^closed$'
}

# errs NAME REGEX OP...: the error is told, and the connection goes on
errs()
{
	local name=$1 regex=$2

	shift 2
	try abuse "$@" recv "send=$(call Status)" recv
	like "$name" "$OUT" "$regex"
	like "$name: the connection goes on" "${OUT##*$'\n'}" '"daemon_pid"'
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
make_rootfs busybox
run_container c1 "$ROOTFS"
process_of "$STRANGER"
THEIRS=$CHILD
usage='"class":"usage"'

# Half a message, and then nothing for a minute: looked at in the end.
timeout 100 "$ABUSE" "$SOCKET" 'part={"method":"io.nvfs' wait=80000 ended >"$SCRATCH/silent" 2>&1 &
SILENT=$!
SILENT_SINCE=$SECONDS
at_exit kill -KILL "$SILENT"
# And one that never says anything at all.
timeout 100 "$ABUSE" "$SOCKET" wait=80000 ended >"$SCRATCH/mute" 2>&1 &
MUTE=$!
at_exit kill -KILL "$MUTE"

# ---- framing -------------------------------------------------------------------------------------

head -c 65536 /dev/urandom >"$SCRATCH/garbage"
printf '\0' >>"$SCRATCH/garbage"
try abuse "file=$SCRATCH/garbage" ended
like "garbage: disconnected" "${OUT##*$'\n'}" '^closed$'
refused "no JSON" "$usage" 'send=hello'
refused "an empty message" "$usage" 'send='
refused "JSON that is no object" "$usage" 'send=[1,2,3]'
refused "an object that is no call" "$usage" 'send={"hello":"world"}'
refused "parameters that are no object" "$usage" 'send={"method":"io.nvfs.Status","parameters":[]}'
refused "a key twice" "$usage" 'send={"method":"io.nvfs.Status","method":"io.nvfs.Shutdown"}'
refused "nested deeply" "$usage" "send={\"method\":\"io.nvfs.Status\",\"parameters\":{\"a\":$(printf '[%.0s' {1..5000})"
head -c 3000000 /dev/zero | tr '\0' 'x' >"$SCRATCH/long"
try abuse "file=$SCRATCH/long" ended
like "3 MB without an end: disconnected" "${OUT##*$'\n'}" '^closed$'
errs "a method that is not there" 'no method' "send=$(call Frobnicate)"
errs "a method that is not there, of great length" 'no method' "send=$(call "$(printf 'x%.0s' {1..5000})")"
try abuse "split=$(call Status)" recv
like "a message byte by byte is a message" "$OUT" '"daemon_pid"'
try abuse "part=$(call Status | head -c 20)" sleep=200 "run=$NVFS status --socket $SOCKET" shut ended
like "half a message holds nobody up" "$OUT" 'driver .*999.10.01'
answers "after bad framing"

# ---- descriptors ---------------------------------------------------------------------------------

# The answers to one question of each kind are kept, with a descriptor each.
abuse "fd=pidfd:$PID" "send=$(inject x ',"dry_run":true')" recv >/dev/null
printf '%s\0' 'glibc-ld.so.cache1.1' >"$SCRATCH/cache"
abuse "fd=pidfd:$PID" "fd=memfd:$SCRATCH/garbage" "send=$(inject_with_cache x ',"dry_run":true')" recv >/dev/null
before=$(open_descriptors)
refused "descriptors that are announced and do not come" "$usage" "send=$(call Status '"fds":3')"
refused "descriptors that nobody announced" "$usage" fds=3 "send=$(call Status)"
refused "a negative number of them" "$usage" "send=$(call Status '"fds":-1')"
refused "a number that is text" "$usage" "send=$(call Status '"fds":"1"')"
try abuse fds=253 "send=$(call Status '"fds":253')" ended
like "253 of them: disconnected" "${OUT##*$'\n'}" '^closed$'
errs "an index outside the message" "'pidfd' is not the index" \
	fd=null "send=$(call Inject '"fds":1,"pidfd":7,"id":"x","devices":"all"')"
for kind in pipe null dir:/ "file:/etc/hostname"; do
	errs "a pidfd that is ${kind%%:*}" '"class":"mount".*pidfd' "fd=$kind" "send=$(inject x)"
done
for kind in pipe null dir:/ "file:$SCRATCH/cache" "unsealed:$SCRATCH/cache" "pidfd:$PID"; do
	errs "a cache that is ${kind%%:*}" "$usage.*sealed memfd" "fd=pidfd:$PID" "fd=$kind" \
		"send=$(inject_with_cache x ',"dry_run":true')"
done
head -c 20000000 /dev/zero >"$SCRATCH/big"
errs "a cache of 20 MB" "$usage.*sealed memfd" "fd=pidfd:$PID" "fd=memfd:$SCRATCH/big" \
	"send=$(inject_with_cache x ',"dry_run":true')"
try abuse "fd=pidfd:$PID" "fd=memfd:$SCRATCH/garbage" "send=$(inject_with_cache x ',"dry_run":true')" recv
like "a cache of garbage is a warning" "$OUT" '"warnings":\["the image.s ld.so.cache is of no use'
errs "no container" "$usage.*no container is said" "send=$(call Inject '"id":"x","devices":"all"')"
errs "an id with a slash" "$usage" "fd=pidfd:$PID" "send=$(inject ../../x)"
errs "an id that is a number" "$usage" "fd=pidfd:$PID" \
	"send=$(call Inject '"fds":1,"pidfd":0,"id":7,"devices":"all"')"
errs "a target with blanks" "$usage.*target" "fd=pidfd:$PID" "send=$(inject x ',"target":"/a b"')"
errs "a token of nobody's" '"class":"again".*token' "send=$(call Commit '"token":"0123456789abcdef","done":[]')"
is "no tree was made" "$(nvfs ls --json | jq '.trees | length')" 0
sleep 0.2
# One more may be there: the merged cache that the daemon remembers for the next container.
ok "no descriptor stays open" test "$(open_descriptors)" -le $((before + 1))

# ---- what is not committed is undone -------------------------------------------------------------

try abuse "fd=pidfd:$PID" "send=$(inject c1)" recv
like "an injection that hangs up before Commit" "$OUT" '"state":"new"'
wait_for 5 sh -c "! test -e $MOUNTPOINT/c1" || true
is "its tree goes" "$(nvfs ls --json | jq '.trees | length')" 0
try abuse "fd=pidfd:$PID" "send=$(inject c1)" recv "send={\"method\":\"io.nvfs.Commit\",\"parameters\":{\"token\":\"@TOKEN@\",\"done\":\"x\"}}" recv
like "a record that is no list" "$OUT" "'done' is not a list"
half=$(head -c 100000 /dev/zero | tr '\0' x) # a whole one would be no argument of a program
try abuse "fd=pidfd:$PID" "send=$(inject c1)" recv "part={\"method\":\"io.nvfs.Commit\",\"parameters\":{\"done\":[\"$half" \
	"part=$half" 'send="],"token":"@TOKEN@"}}' recv
like "a record of 200 kB" "$OUT" "$usage"
wait_for 5 sh -c "! test -e $MOUNTPOINT/c1" || true
is "none of their trees stays" "$(nvfs ls --json | jq '.trees | length')" 0
ok "no descriptor stays open, again" test "$(open_descriptors)" -le $((before + 1))

# ---- strangers -----------------------------------------------------------------------------------

permission='"class":"permission"'
try abuse_as $STRANGER "send=$(call Shutdown '"force":true')" recv
like "a stranger may not stop the daemon" "$OUT" "$permission"
try abuse_as $STRANGER "fd=pidfd:$PID" "send=$(inject x)" recv
like "a stranger may not have a process of root's" "$OUT" "$permission"
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject x ',"cgroup":true')" recv
like "a stranger may not change cgroups" "$OUT" "$permission"
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject x ',"devices":"all","dry_run":true')" recv
like "and says each thing once" "$OUT" "$usage.*duplicate"
many=()
for i in {1..20}; do
	many+=("fd=pidfd:$THEIRS" "send=$(inject "many-$i")" recv)
done
try abuse_as $STRANGER "${many[@]}"
like "a stranger has a limit of trees" "$OUT" "$permission.*the most it may"
answers "after many trees of one process"
try abuse_as $STRANGER flood=100
like "a stranger has a limit of connections" "$OUT" '^kept 3[0-2] of 100$'
answers "after a flood"

# Two trees of one process, the second one removed: then every look by pid.
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject k1)" recv "fd=pidfd:$THEIRS" "send=$(inject k2)" recv \
	"send=$(call Remove '"id":"k2"')" recv "send=$(call Get '"pid":1')" recv \
	"send=$(call Get '"pid":999999')" recv "send=$(call Get "\"pid\":$THEIRS")" recv
like "two ids for one process: the first is found by its pid" "${OUT##*$'\n'}" '"id":"k1"'
answers "two ids for one process"

# A tree that is removed under its own injection must not leave that injection to the next tree.
abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject evil)" recv connect "send=$(call Remove '"id":"evil"')" \
	recv sleep=1500 >"$SCRATCH/stale" &
stale=$!
wait_for 5 grep -q '"parameters":{}' "$SCRATCH/stale" || true
ok "root injects" nvinject --pid "$PID" --devices all --id c1
wait "$stale" || true
sleep 0.3
ok "a stranger that hangs up takes nobody's tree along" \
	test -e "/proc/$PID/root/usr/local/nvidia/lib64/libcuda.so.1"
ok "root takes it back" nvinject --remove --pid "$PID"
answers "after it"

# What root would do again, or take back, in a cgroup: nobody else says so.
record='{"step":"cgroup","target":"devices","result":"changed","added":[[1,5,6]]}'
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject cg1)" recv "send=$commit$record]}}" recv
like "a stranger has changed no cgroup" "$OUT" '"class":"permission".*cgroup'
ok "and has no tree by that" wait_for 5 sh -c "! '$NVFS' ls --socket '$SOCKET' --json | grep -q cg1"

# A container whose processes have the stranger's uid, but which root has injected.
make_rootfs busybox user
run_container c2 "$ROOTFS" ".process.user.uid = $STRANGER | .process.user.gid = $STRANGER"
ok "root injects a container that runs as the stranger's uid" nvinject --pid "$PID" --devices all --id c2
echo precious >"$ROOTFS/etc/precious"
libraries=$(ls "/proc/$PID/root/usr/local/nvidia/lib64" | wc -l)
record='{"step":"file","target":"/etc/precious","result":"created","content":"precious\n"}'
try abuse_as $STRANGER "fd=pidfd:$PID" "send=$(inject c2 ',"driver_capabilities":"utility"')" recv \
	"send=$commit$record]}}" recv
like "a stranger may not change a tree of root's" "$OUT" "$permission"
is "the tree is what it was" "$(ls "/proc/$PID/root/usr/local/nvidia/lib64" | wc -l)" "$libraries"
ok "root removes it" nvinject --remove --id c2
ok "and nothing that only the stranger named" test -e "$ROOTFS/etc/precious"
kill_container c2

# Without a pid a tree lives as long as its namespace; so it does for others.
mkdir -p "$SCRATCH/lxc/etc" "$SCRATCH/lxc/dev" "$SCRATCH/lxc/proc"
cat >"$SCRATCH/lxc.sh" <<END
mount --bind "$SCRATCH/lxc" "$SCRATCH/lxc"
mount -t tmpfs dev "$SCRATCH/lxc/dev"
mount -t proc proc "$SCRATCH/lxc/proc"
"$NVINJECT" --socket "$SOCKET" --standalone --rootfs "$SCRATCH/lxc" --id lxc1 --devices all
touch "$SCRATCH/lxc.ready"
exec sleep 1000
END
unshare -m --propagation private sh "$SCRATCH/lxc.sh" >"$SCRATCH/lxc.log" 2>&1 &
LXC=$!
disown "$LXC"
at_exit kill -KILL "$LXC"
wait_for 10 test -e "$SCRATCH/lxc.ready" || true
is "a standalone tree is there" "$(nvfs ls --json | jq -r '.trees[].id')" lxc1
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject lxc1)" recv "send=$commit]}}" recv
like "a stranger may not take its id" "$OUT" '"class":"(permission|usage)"'
ok "the standalone tree lives" ls "/proc/$LXC/root$SCRATCH/lxc/usr/local/nvidia/lib64/libcuda.so.1"
kill -KILL "$LXC"
nvfs ls --json | jq -r '.trees[].id' | while read -r id; do
	abuse "send=$(call Remove "\"id\":\"$id\"")" recv >/dev/null
done

# Names: no stranger takes root's, learns of root's, or paints root's terminal.
make_rootfs busybox third
run_container c3 "$ROOTFS"
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject "pid-$PID")" recv "send=$commit]}}" recv
ok "a name that a stranger took first is root's when root wants it" nvinject --pid "$PID" --devices all \
	--id "pid-$PID"
try nvinject --remove --pid "$PID"
for id in secret-a secret-b; do
	abuse "fd=pidfd:$PID" "send=$(inject "$id")" recv "send=$commit]}}" recv >/dev/null
done
try abuse_as $STRANGER "send=$(call Get '"id":"secret-"')" recv
unlike "a stranger cannot feel for the ids of others" "$OUT" 'several'
try abuse_as $STRANGER "send=$(call List)" recv
unlike "nor list them" "$OUT" 'secret'
for id in secret-a secret-b; do
	abuse "send=$(call Remove "\"id\":\"$id\"")" recv >/dev/null
done
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject 'a\nb\u001b[31m')" recv "send=$commit]}}" recv
is "an id with a line break and an escape is one printable line" \
	"$(nvfs ls | tr -d '[:print:]\n' | wc -c) $(nvfs ls | grep -c '^b')" "0 0"
try abuse_as $STRANGER "send=$(call Remove "\"pid\":$THEIRS")" recv

# Root of a container without a user namespace, to which somebody has given the socket.
make_rootfs busybox fourth
run_container c4 "$ROOTFS" ".mounts += [{ destination: \"/nvfsd\", type: \"bind\",
	source: \"${SOCKET%/*}\", options: [\"bind\", \"rw\"] }]"
abuse "fd=pidfd:$(container_pid c3)" "send=$(inject c3)" recv "send=$commit]}}" recv >/dev/null
try in_container c4 sockabuse /nvfsd/nvfs.sock "send=$(call List)" recv "send=$(call Remove '"id":"c3"')" recv \
	"send=$(call Shutdown '"force":true')" recv
unlike "root of a container does not see the trees of others" "$OUT" '"id":"c3"'
like "nor stop the daemon" "$OUT" "$permission"
is "nor remove them" "$(nvfs ls --json | jq -r '.trees[].id')" c3
try nvinject --remove --id c3
kill_container c4

# ---- the memory of derivations -------------------------------------------------------------------

# The offset of the memfd is the client's too: what is parsed must be what was read as the key.
make_rootfs glibc
mkdir -p "$SCRATCH/evil/etc" "$SCRATCH/evil/evil"
echo 'int one;' | cc -shared -nostdlib -x c - -Wl,-soname,libc.so.6 -o "$SCRATCH/evil/evil/libc.so.6"
echo /evil >"$SCRATCH/evil/etc/ld.so.conf"
ldconfig -r "$SCRATCH/evil"
head -c 4096 /dev/zero >>"$SCRATCH/evil/etc/ld.so.cache"
for _ in 1 2 3 4 5; do
	abuse_as $STRANGER "fd=pidfd:$THEIRS" "race=$SCRATCH/evil/etc/ld.so.cache:$ROOTFS/etc/ld.so.cache" \
		"send=$(inject_with_cache evil ',"dry_run":true')" recv >/dev/null
done
run_container c5 "$ROOTFS"
ok "a container of that image" nvinject --pid "$PID" --devices all --id c5
try in_container c5 ldconfig -p
unlike "no stranger's cache gets into it" "$OUT" '/evil/'
like "its own entries are there" "$OUT" 'libc\.so\.6'
nvinject --remove --id c5
kill_container c5

# A parser that does not answer once.
make_rootfs glibc again
# A cache that no container before had.
mkdir -p "$ROOTFS/opt/lib"
cp "$SCRATCH/evil/evil/libc.so.6" "$ROOTFS/opt/lib/libother.so.6"
echo /opt/lib >"$ROOTFS/etc/ld.so.conf.d/zz.conf"
run_container c6 "$ROOTFS"
in_container c6 ldconfig
cp "$ROOTFS/etc/ld.so.cache" "$SCRATCH/c6.cache"
worker=$(worker_pid)
zygote=$(cat "/proc/$worker/task/$worker/children")
# shellcheck disable=SC2086 # a list of pids
kill -STOP $zygote
ok "a parser that does not answer is a warning" nvinject --pid "$PID" --devices all --id c6
like "and it is told" "$OUT" 'ld\.so\.cache'
nvinject --remove --id c6
cp "$SCRATCH/c6.cache" "$ROOTFS/etc/ld.so.cache"
ok "the next time" nvinject --pid "$PID" --devices all --id c6
is "it is forgotten" "$OUT" ""
nvinject --remove --id c6
kill_container c6

# Large images of one user after the other: no more than a warning for anybody.
truncate -s 16777216 "$SCRATCH/image"
for i in {100..140}; do
	printf %s "$i" | dd of="$SCRATCH/image" conv=notrunc status=none
	abuse_as $STRANGER "fd=pidfd:$THEIRS" "fd=memfd:$SCRATCH/image" \
		"send=$(inject_with_cache "x" ',"dry_run":true')" recv
done >"$SCRATCH/images" 2>&1
unlike "forty large images do not use up the memory" "$(cut -c1-200 "$SCRATCH/images")" '"errno":12'
ok "nor make the daemon large" test "$(awk '/VmRSS/ { print $2 }' "/proc/$(worker_pid)/status")" -lt 262144

# Work for strangers: root is served meanwhile.
python3 - "$SCRATCH/slow" 2>/dev/null <<'END' || cp "$SCRATCH/image" "$SCRATCH/slow"
import struct, sys
n = 131072
head = b"glibc-ld.so.cache1.1" + struct.pack("<II", n, 0) + bytes([2, 0, 0, 0]) + bytes(16)
at = len(head) + n * 24
key, value = b"a" * 250 + b".so\0", b"/" + b"v" * 4000 + b"\0"
record = struct.pack("<iIIIQ", 0x303, at, at + len(key), 0, 0)
open(sys.argv[1], "wb").write(head + record * n + key + value)
END
strip=()
for _ in {1..25}; do
	strip+=("fd=memfd:$SCRATCH/slow" "send=$(call Strip '"fds":1,"cache":0,"target":"/x"')" connect)
done
workers=()
for uid in 2001 2002 2003; do
	abuse_as $uid "${strip[@]}" sleep=3000 >/dev/null &
	workers+=($!)
done
sleep 1
begin=$(date +%s%N)
ok "strangers keep the parser busy: root is answered" nvfs status
took=$((($(date +%s%N) - begin) / 1000000))
ok "within $SLOW s ($took ms)" test "$took" -lt $((1000 * SLOW))
wait "${workers[@]}" || true

# ---- silence -------------------------------------------------------------------------------------

wait_for 75 sh -c "! kill -0 $SILENT && ! kill -0 $MUTE" || true
ok "who connects and says nothing at all is disconnected" grep -q closed "$SCRATCH/mute"
ok "who says nothing for a minute is disconnected" grep -q closed "$SCRATCH/silent"
ok "and not much earlier or later ($((SECONDS - SILENT_SINCE)) s)" \
	test $((SECONDS - SILENT_SINCE)) -ge 20 -a $((SECONDS - SILENT_SINCE)) -le $((75 * SLOW))
answers "after the silent one"

# ---- user_group, user_devices ---------------------------------------------------------------------

# abuse_in GROUPS UID OP...: a local user with these supplementary groups
abuse_in()
{
	local groups=$1 uid=$2

	shift 2
	timeout -k 5 $((60 * SLOW)) setpriv --reuid "$uid" --regid "$uid" --groups "$groups" "$ABUSE" "$SOCKET" "$@" 2>&1
}

PID=$(container_pid c3)
stop_daemon
write_config 'user_group = 4321'
start_daemon --config "$CONFIG"
try abuse_as $STRANGER "fd=pidfd:$THEIRS" "send=$(inject g1)" recv
like "who is not in user_group gets no tree" "$OUT" "$permission.*not in the group"
try abuse_in 1,2,4321,5 $STRANGER "fd=pidfd:$THEIRS" "send=$(inject g1)" recv
like "a member does" "$OUT" '"state":"new"'
try abuse_as 4321 "fd=pidfd:$THEIRS" "send=$(inject g1)" recv
like "for processes of its own" "$OUT" "$permission.*is of uid $STRANGER"
ok "root needs no group" nvinject --pid "$PID" --devices all --id "pid-$PID"
nvinject --remove --pid "$PID"
stop_daemon
write_config "user_group = $(getent group 1 | cut -d: -f1)" 'user_devices = none'
start_daemon --config "$CONFIG"
try abuse_in 1 $STRANGER "fd=pidfd:$THEIRS" "send=$(inject g1)" recv
like "a group by its name" "$OUT" '"state":"new"'
unlike "of all GPUs a user gets those of user_devices: none" "$OUT" '/dev/nvidia0'
try abuse_in 1 $STRANGER "fd=pidfd:$THEIRS" "send=$(call Inject '"fds":1,"pidfd":0,"id":"g1","devices":"0"')" recv
like "and one beyond is refused by name" "$OUT" "$permission.*GPU-[^ ]* is not for users"
try nvinject --pid "$PID" --devices 0 --id "pid-$PID" --dry-run
like "root gets it" "$OUT" '/dev/nvidia0'
stop_daemon
write_config 'user_group = no-such-group-here'
start_daemon --config "$CONFIG"
try abuse_in 1 $STRANGER "fd=pidfd:$THEIRS" "send=$(inject g1)" recv
like "a group that is not there has no members" "$OUT" "$permission.*no-such-group-here"
stop_daemon

# ---- descriptors of the daemon run out -----------------------------------------------------------

write_config
start_daemon --config "$CONFIG"
prlimit --pid "$(worker_pid)" --nofile=120:120
floods=()
for uid in 3001 3002 3003 3004; do
	abuse_as $uid flood=32 sleep=3500 >/dev/null &
	floods+=($!)
done
sleep 1.2
worker=$(worker_pid)
ticks=$(awk '{ print $14 + $15 }' "/proc/$worker/stat")
ok "no descriptor is left: root is answered" timeout $((2 * SLOW)) "$NVFS" status --socket "$SOCKET"
sleep 1
ticks=$(($(awk '{ print $14 + $15 }' "/proc/$worker/stat") - ticks))
ok "and the daemon does not spin ($ticks ticks)" test "$ticks" -lt 50
wait "${floods[@]}" || true
answers "afterwards"

kill_containers
stop_daemon
host_compare
done_testing
