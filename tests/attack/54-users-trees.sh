#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers of a user, processes of his in user namespaces, for which he has registered trees. Where root
# injects one of them too, what root has recorded is out of his reach. What the daemon does to them for him,
# when it injects them anew, is no more than he could do himself.
# shellcheck disable=SC2317 # functions that wait_for calls
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

AS_USER=(setpriv --reuid 1234 --regid 1234 --clear-groups)

call()
{
	printf '{"method":"io.nvfs.%s","parameters":{%s}}' "$1" "$2"
}

inject()
{
	call Inject "\"fds\":1,\"pidfd\":0,\"id\":\"$1\",\"devices\":\"none\"${2:-}"
}

commit()
{
	call Commit "\"token\":\"@TOKEN@\",\"done\":[${1:-}]"
}

# abuse OP...: as the user
abuse()
{
	try "${AS_USER[@]}" "$HELPERS/sockabuse" "$SOCKET" "$@"
}

# root_dir NAME OWNER: what a root directory has, as somebody's; its path in $DIR
root_dir()
{
	DIR=$SCRATCH/$1
	mkdir -p "$DIR"/{etc/ld.so.conf.d,dev,proc,run,tmp,usr/local,usr/bin}
	cp /etc/ld.so.cache "$DIR/etc/"
	chown -R "$2:$2" "$DIR"
}

# start NAME: a process of the user's whose root is $DIR; its pid in $CHILD
start()
{
	mkdir -p "$SCRATCH/mnt-$1"
	: >"$SCRATCH/ready-$1"
	"${AS_USER[@]}" unshare --user --map-root-user --mount --propagation private sh -c "
		mount --rbind '$DIR' '$SCRATCH/mnt-$1' && mount -t tmpfs -o mode=755 tmpfs '$SCRATCH/mnt-$1/dev' &&
		exec perl -e 'chroot(\$ARGV[0]) && chdir(\"/\") or die; \$| = 1; print \"ready\n\"; sleep 1000' '$SCRATCH/mnt-$1'" \
		</dev/null >"$SCRATCH/ready-$1" 2>&1 &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
	wait_for 10 grep -q ready "$SCRATCH/ready-$1"
}

tree_of()
{
	nvfs ls --json | jq -c ".trees[] | select(.id == \"$1\") | [.pid, .uid]"
}

state()
{
	find "$SCRATCH/hosts" -printf '%p %y %m %U %s %l\n' | sort
	md5sum "$SCRATCH/hosts/etc/ld.so.cache"
}

said()
{
	grep -q -- "$1" "$SCRATCH/daemon.log"
}

forged='{"step":"file","target":"/etc/passwd","result":"created","content":"root\n"}'

# ---- who was first -------------------------------------------------------------------------------

first_come()
{
	root_dir own 1234
	start own
	OWN=$CHILD
	abuse "fd=pidfd:$OWN" "send=$(inject own)" recv "send=$(commit "$forged")" recv
	like "a user registers an id for his container" "$OUT" '"parameters":\{\}'
	is "the tree is his" "$(tree_of own)" "[$OWN,1234]"
	"${AS_USER[@]}" "$HELPERS/sockabuse" "$SOCKET" "fd=pidfd:$OWN" \
		"send=$(inject own ',"driver_capabilities":"utility"')" recv \
		"run=touch '$SCRATCH/shared/open'; until [ -e '$SCRATCH/shared/done' ]; do sleep 0.1; done" \
		"send=$(commit "$forged")" recv >"$SCRATCH/shared/said" 2>&1 &
	HALF=$!
	at_exit kill -KILL "$HALF"
	wait_for 10 test -e "$SCRATCH/shared/open"
	ok "root injects that container, by the same id, while he is at it again" \
		nvinject --pid "$OWN" --id own --devices none
	touch "$SCRATCH/shared/done"
	wait "$HALF" || true
	like "his own injection is for nothing" "$(cat "$SCRATCH/shared/said")" '"class":"again"'
	is "the tree is root's" "$(tree_of own)" "[$OWN,0]"
	unlike "without what he has said of it" "$(nvfs show --json own)" passwd
	abuse "send=$(call Remove '"id":"own"')" recv "send=$(call Get '"id":"own"')" recv
	unlike "he can neither remove nor see it" "$OUT" '"parameters":\{\}|"done"'
	abuse "fd=pidfd:$OWN" "send=$(inject own)" recv
	like "nor change it, which is said with a remedy" "$OUT" "id 'own' is taken.*--id"
	is "it is root's still" "$(tree_of own)" "[$OWN,0]"
	ok "the container has its driver" test -e "/proc/$OWN/root/usr/local/nvidia/lib64/libcuda.so.1"
	ok "root takes it back" nvinject --remove --id own
	is "whole" "$(mounts_in "$OWN" | grep -c nvidia)" 0
}

# ---- injected anew -------------------------------------------------------------------------------

anew()
{
	abuse "fd=pidfd:$OWN" "send=$(inject own)" recv "send=$(commit)" recv
	is "the user has a tree for his container again" "$(tree_of own)" "[$OWN,1234]"
	root_dir hosts 0
	start hosts
	HOSTS=$CHILD
	abuse "fd=pidfd:$HOSTS" "send=$(inject hosts ',"target":"/tmp/mine"')" recv "send=$(commit)" recv
	is "and one for a container whose root is the host's" "$(tree_of hosts)" "[$HOSTS,1234]"
	root_dir plain 1234
	unshare --mount --propagation private "${AS_USER[@]}" sleep 1000 &
	PLAIN=$!
	at_exit kill -KILL "$PLAIN"
	wait_for 5 sh -c "[ \$(stat -c %u /proc/$PLAIN) = 1234 ]"
	abuse "fd=pidfd:$PLAIN" "send=$(inject plain ',"target":"/tmp/mine"')" recv "send=$(commit)" recv
	is "and one for a process in a mount namespace that root has made" "$(tree_of plain)" "[$PLAIN,1234]"
	state >"$SCRATCH/before"

	kill_both
	start_daemon --config "$CONFIG"
	ok "a new daemon injects what is his" wait_for 20 said "injected 'own' anew"
	ok "the tree works" test -e "/proc/$OWN/root/usr/local/nvidia/lib64/libcuda.so.1"
	is "what was made for it is the user's" "$(stat -c %u "$SCRATCH/own/usr/local/nvidia")" 1234
	is "it is his still" "$(tree_of own)" "[$OWN,1234]"
	ok "where the root is the host's, too" wait_for 20 said "injected 'hosts' anew"
	ok "in what he has mounted there" test -e "/proc/$HOSTS/root/dev/nvfs/lib64/libcuda.so.1"
	state >"$SCRATCH/after"
	ok "what is the host's is what it was" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
	ok "in a mount namespace of others nothing is done, which is said" \
		wait_for 40 said "container 'plain' has no driver tree any more"
	ok "for a reason" said "not of a user namespace of uid 1234"
	like "status names it" "$(nvfs status)" "failed +plain could not"
	ok "it has mounts of ours" sh -c "grep -q /dev/nvidiactl /proc/$OWN/mountinfo"
	ok "root takes all of it back" nvinject --remove --id own
	is "tree, view of /proc and nodes" "$(mounts_in "$OWN" | grep -c nvidia)" 0
	kill -KILL "$OWN" "$HOSTS" "$PLAIN"
}

# ---- what changes while it is injected anew ------------------------------------------------------

# paused NAME PID: a new daemon finds the user's tree, and its nvinject waits before it begins
paused()
{
	abuse "fd=pidfd:$2" "send=$(inject "$1")" recv "send=$(commit)" recv
	is "$1: the user has a tree" "$(tree_of "$1")" "[$2,1234]"
	rm -f "$SCRATCH/waits"
	kill_both
	start_daemon --config "$CONFIG"
	ok "$1: the new daemon begins to inject it" wait_for 20 test -e "$SCRATCH/waits"
}

# go: it goes on
go()
{
	timeout 10 sh -c "echo >'$SCRATCH/go'"
}

no_driver()
{
	is "$1: the container gets nothing" "$(mounts_in "$2" | grep -c nvidia)" 0
}

# Whoever asks for a tree that is not the one that was to be injected: at the beginning, or when it would be made.
refused()
{
	said 'Inject of uid 0 pid [0-9]*: the container has ended\|tree is gone meanwhile\|is the live container'
}

meanwhile()
{
	mkfifo "$SCRATCH/go"
	cat >"$SCRATCH/waiting-nvinject" <<-E
	#!/bin/sh
	: >"$SCRATCH/waits"
	read -r line <"$SCRATCH/go"
	exec "$NVINJECT" "\$@"
	E
	chmod 755 "$SCRATCH/waiting-nvinject"
	write_config 'grace = 0' "nvinject = $SCRATCH/waiting-nvinject"
	root_dir late 1234
	start late
	LATE=$CHILD
	root_dir other 1234
	start other
	OTHER=$CHILD

	paused late "$LATE"
	abuse "send=$(call Remove '"id":"late"')" recv
	like "late: he removes it meanwhile" "$OUT" '"parameters":\{\}'
	go
	ok "late: that is why nothing is done" wait_for 20 refused
	is "late: there is no tree" "$(tree_of late)" ''
	no_driver late "$LATE"

	paused late "$LATE"
	abuse "send=$(call Remove '"id":"late"')" recv "fd=pidfd:$OTHER" "send=$(inject late)" recv "send=$(commit)" recv
	is "late: he gives its id to another container meanwhile" "$(tree_of late)" "[$OTHER,1234]"
	go
	ok "late: that is why nothing is done" wait_for 20 refused
	is "late: the id is the other one's still" "$(tree_of late)" "[$OTHER,1234]"
	no_driver late "$LATE"
	abuse "send=$(call Remove '"id":"late"')" recv

	paused late "$LATE"
	abuse "send=$(call Remove '"id":"late"')" recv
	ok "late: root gives its id to another container meanwhile" nvinject --pid "$OTHER" --id late --devices none
	kill -KILL "$OTHER" # whose tree does not go at once
	go
	ok "late: that is why nothing is done" wait_for 20 refused
	no_driver late "$LATE"
	unlike "late: a dead one of root's does not make it root's" "$(tree_of late)" "$LATE,0"
	kill -KILL "$LATE"
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
chmod 755 "$SCRATCH"
mkdir -m 777 "$SCRATCH/shared"
start_daemon --config "$CONFIG"
first_come
anew
meanwhile
stop_daemon
host_compare
done_testing
