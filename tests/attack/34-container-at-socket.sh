#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Root of a container without a user namespace, into which somebody has bound /run: it reaches the control
# socket and the trees of others. It is uid 0, as the host's root is, and is a stranger all the same: what
# root has made, its own container's tree included, is not its to change, and nothing of it outlasts it.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -x "$HELPERS/sockabuse" ] || skip_all "sockabuse is not built"
TRY_TIMEOUT=60
RUN='.mounts += [{ destination: "/run/nvfsd", type: "bind", source: "'${SOCKET%/*}'", options: ["rbind", "rw"] },
	{ destination: "/run/nvfs", type: "bind", source: "'$MOUNTPOINT'", options: ["rbind", "rw"] }]
	| .linux.readonlyPaths = ["/proc/sys"]
	| .process.capabilities |= map_values(. + ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_MKNOD"])'

# abuse NAME OP...: from within a container; its first process is process 1 there
abuse()
{
	local name=$1

	shift
	in_container "$name" sockabuse /run/nvfsd/nvfs.sock "$@"
}

call()
{
	printf '{"method":"io.nvfs.%s","parameters":{%s}}' "$1" "${2:-}"
}

inject()
{
	call Inject "\"fds\":1,\"pidfd\":0,\"id\":\"$1\",\"devices\":\"$2\"${3:-}"
}

commit()
{
	printf '{"method":"io.nvfs.Commit","parameters":{"token":"@TOKEN@","done":[%s]}}' "${1:-}"
}

tree_of()
{
	nvfs ls --json | jq -c ".trees[] | select(.id == \"$1\") | [.pid, .uid, .gpus]"
}

permission='"class":"permission"'
host_snapshot
use_sample_driver
write_config 'grace = 0' 'trees_per_user = 4'
start_daemon --config "$CONFIG"
make_rootfs busybox victim
run_container victim "$ROOTFS"
VICTIM=$PID
ok "a container is injected by root" nvinject --pid "$PID" --id victim --devices all
make_rootfs busybox attacker
run_container attacker "$ROOTFS" "$RUN"
ATTACKER=$PID
ok "and so is the attacker's own, without a GPU" nvinject --pid "$PID" --id attacker --devices none

# ---- the tree that root has made for it ----------------------------------------------------------

mine=$(tree_of attacker)
try abuse attacker fd=pidfd:1 "send=$(inject attacker all)" recv "send=$(commit)" recv
like "it cannot give itself more than root did" "$OUT" "$permission"
is "its tree is what it was" "$(tree_of attacker)" "$mine"
try abuse attacker fd=pidfd:1 "send=$(inject attacker none)" recv \
	"send=$(commit '{"step":"cgroup","target":"devices","result":"changed","added":[[1,3,7]]}')" recv
like "nor write into root's record" "$OUT" "$permission"
try abuse attacker "send=$(call Remove '"id":"attacker"')" recv "send=$(call Remove '"id":"victim"')" recv \
	"send=$(call Show '"id":"victim"')" recv "send=$(call Get "\"pid\":$VICTIM")" recv "send=$(call List)" recv
unlike "nor remove or see what is root's" "$OUT" '"parameters":\{\}|"done"|"id":'
is "it is there" "$(tree_of attacker)" "$mine"
for method in Rescan Handover Shutdown; do
	try abuse attacker "send=$(call "$method" '"force":true')" recv
	like "it may not call $method" "$OUT" "$permission"
done
try abuse attacker fd=pidfd:1 "send=$(inject mine all ',"cgroup":true')" recv
like "nor change a cgroup" "$OUT" "$permission"

# ---- trees of its own ----------------------------------------------------------------------------

try abuse attacker fd=pidfd:1 "send=$(inject mine none)" recv \
	"send=$(commit '{"step":"cgroup","target":"devices","result":"changed","added":[[195,0,7]]}')" recv
like "a record of a cgroup that it may not change is refused" "$OUT" "$permission"
try abuse attacker fd=pidfd:1 "send=$(inject squatted none)" recv "send=$(commit)" recv
like "it may take an id" "$OUT" '"state":"new"'
make_rootfs busybox later
run_container later "$ROOTFS"
ok "which root gets for the asking" nvinject --pid "$PID" --id squatted --devices all
is "it is root's container's" "$(tree_of squatted | jq '.[0]')" "$PID"
like "which is said" "$(cat "$SCRATCH/daemon.log")" "id 'squatted' was uid 0's, for its pid [0-9]+: root has given it"
# What it says of mounts: root unmounts nothing by that but what is ours, wherever the record says that it is.
sys_is_read_only()
{
	grep -q ' /proc/sys ro,' "/proc/$ATTACKER/mountinfo"
}
sys=$(stat -c '"target":"/proc/sys","result":"mounted","dev":"%Hd:%Ld","ino":%i' "/proc/$ATTACKER/root/proc/sys")
tree=$(mounts_in "$ATTACKER" | sed -n 's/ fuse\.nvfs .*//p' | grep -v -e ^/proc -e ^/run | sed -n 1p)
roots=$(stat -c '"step":"tree","target":"'"$tree"'","result":"mounted","dev":"%Hd:%Ld","ino":%i' "/proc/$ATTACKER/root$tree")
null=$(stat -c '"dev":"%Hd:%Ld","ino":%i' "/proc/$ATTACKER/root/dev/null")
forged=
for step in proc tree device socket cache; do
	forged=$forged'{"step":"'$step'",'$sys'},{"step":"'$step'","target":"/dev/null","result":"bound",'$null'},'
done
forged=$(commit "$forged{$roots}")
ok "its /proc/sys is mounted read-only" sys_is_read_only
try abuse attacker fd=pidfd:1 "send=$(inject forged none)" recv "send=$forged" recv
like "it tells that this is a mount of ours" "$(nvfs show --json forged | jq -c '[.done[].target]')" /proc/sys
ok "root takes that tree away" nvfs revoke forged
ok "/proc/sys is what it was" sys_is_read_only
ok "and so is the tree that root has mounted there" in_container attacker ls "$tree/lib64/libcuda.so.1"
try abuse attacker fd=pidfd:1 "send=$(inject forged none)" recv "send=$forged" recv
ok "root takes the id over for the same container" nvinject --pid "$ATTACKER" --id forged --devices none
unlike "of the record it has what is ours alone" "$(nvfs show --json forged | jq -c '[.done[].target]')" '/proc/sys'
ok "and takes it away" nvinject --remove --id forged
ok "/proc/sys is still what it was" sys_is_read_only
many=()
for i in 1 2 3 4 5 6; do
	many+=(fd=pidfd:1 "send=$(inject "own-$i" none)" recv "send=$(commit)" recv)
done
try abuse attacker "${many[@]}"
like "it has a limit of trees" "$OUT" "$permission.*the most it may"
is "and not one more" "$(nvfs ls --json | jq '[.trees[] | select(.id | startswith("own-"))] | length')" 4
try "$HELPERS/sockabuse" "$SOCKET" "fd=pidfd:$ATTACKER" \
	"send=$(call Get '"fds":1,"pidfd":0,"id":"victim","removing":true')" recv
like "a removal that has pinned another container's process is told so" "$OUT" 'is not of that container'
for i in 1 2 3 4 5 6; do
	timeout 20 "$HELPERS/sockabuse" "$SOCKET" "fd=pidfd:$PID" "send=$(inject "roots-$i" none)" recv \
		"send=$(commit)" recv >/dev/null
done
make_rootfs busybox other
run_container other "$ROOTFS" "$RUN"
try abuse other fd=pidfd:1 "send=$(inject other none)" recv "send=$(commit)" recv
like "trees of others, root's included, do not count against another container" "$OUT" '"state":"new"'
ok "root injects that one by another id" nvinject --pid "$PID" --id rooted --devices none
ok "and takes it away by its pid" nvinject --remove --pid "$PID"
is "it is root's tree that has gone" "$(nvfs ls --json | jq -r '.trees[] | select(.pid == '"$PID"') | .id')" other
nvfs ls --json | jq -r '.trees[] | select(.pid > 0) | .id' | grep -v '^victim$' |
	while read -r id; do nvinject --remove --id "$id"; done >/dev/null 2>&1

# ---- /run/nvfs -----------------------------------------------------------------------------------

# Listing takes CAP_DAC_READ_SEARCH, which it has here; reading is no more than a look at a driver.
lib=/run/nvfs/victim/lib64/libcuda.so.999.10.01
ok "it can read the tree of another, as who knows its name" in_container attacker head -c 4 "$lib"
for what in "echo x >$lib" "echo x >/run/nvfs/new" "mkdir /run/nvfs/x" "rm $lib" "rmdir /run/nvfs/victim" \
	"mv /run/nvfs/victim /run/nvfs/x" "chmod 777 $lib" "mknod /run/nvfs/x c 1 3" "ln -s /etc /run/nvfs/x"; do
	fails "it cannot: $what" '[1-9]*' 'Read-only file system|not permitted' in_container attacker sh -c "$what"
done
is "there is no device node below it" \
	"$(timeout 20 nsenter -t "$ATTACKER" -m find /run/nvfs ! -type d ! -type f ! -type l | wc -l)" 0
not_ok "it cannot unmount it" in_container attacker umount /run/nvfs
ok "the other container has its driver" ls "/proc/$VICTIM/root/usr/local/nvidia/lib64/libcuda.so.1"
ok "the daemon answers" nvfs status
kill_containers
gone()
{
	[ "$(nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length')" = 0 ]
}
ok "nothing outlasts the containers" wait_for 20 gone
stop_daemon
host_compare
done_testing
