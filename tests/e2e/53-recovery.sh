#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The end of everybody who held the filesystem, daemon and keeper, and what a new `nvfs serve` makes
# of it: the mount replaced, the trees of the state, the containers given theirs again.
set -eu
. "$(dirname "$0")/../lib.sh"

TREE=/usr/local/nvidia
STATE=${SOCKET%/*}/state

start_injected()
{
	local name=$1 filter=${2:-.}

	make_rootfs glibc "$name"
	run_container "$name" "$ROOTFS" "$filter"
	nvinject --pid "$PID" --id "$(container_id "$name")" --devices all
}

is_back()
{
	grep -q "injected '$(container_id "$1")' anew" "$SCRATCH/daemon.log"
}

tree_mounts()
{
	mounts_in "$(container_pid "$1")" | grep -cE "^($TREE|/dev/nvfs) " || true
}

both_killed()
{
	local inode libraries name

	use_sample_driver both
	write_config "grace = 1"
	start_daemon --config "$CONFIG"
	is "the state is root's alone" "$(stat -c '%a %u %F' "$STATE")" '600 0 regular file'
	start_injected plain >/dev/null
	start_injected readonly '.root.readonly = true' >/dev/null 2>&1
	libraries=$(in_container readonly ldconfig -p | sort)
	start_injected over >/dev/null
	inode=$(in_container plain stat -c %i $TREE/lib64/libcuda.so.1)
	kill_both
	not_ok "nobody serves" in_container plain cat $TREE/.nvfs/manifest.json
	kill_container over
	start_daemon --config "$CONFIG"
	ok "a new daemon serves where the dead one did" test -e "$MOUNTPOINT/host/lib64/libcuda.so.1"
	like "and says what it replaced" "$(cat "$SCRATCH/daemon.log")" "was the mount of a dead daemon, replacing it"
	for name in plain readonly; do
		ok "$name: the tree is put back" wait_for 20 is_back "$name"
		ok "$name: a program loads libcuda" in_container "$name" dlopen libcuda.so.1
		like "$name: from the tree" "$OUT" "/nvfs|nvidia/lib64/libcuda.so"
		is "$name: there is one mount, and not a dead one below" "$(tree_mounts "$name")" 1
		like "$name: nvfs ls shows it" "$(nvfs ls)" "$(container_id "$name")"
	done
	is "readonly: the image's own libraries are still listed" \
		"$(in_container readonly ldconfig -p | sort)" "$libraries"
	is "numbers are what they were" "$(in_container plain stat -c %i $TREE/lib64/libcuda.so.1)" "$inode"
	is "a container that ended meanwhile has no tree" "$(nvfs ls --json | jq '.trees | length')" 2
	start_injected new >/dev/null
	ok "a new container gets its tree" in_container new dlopen libcuda.so.1
	kill -KILL "$(worker_pid)"
	ok "the new keeper replaces its daemon" wait_for 10 in_container plain dlopen libcuda.so.1

	kill_both
	start_daemon --config "$CONFIG"
	ok "once more" wait_for 20 is_back plain
	ok "and it works" in_container plain dlopen libcuda.so.1
	for name in plain readonly; do
		ok "$name: everything can be taken back" nvinject --remove --id "$(container_id "$name")"
		is "$name: no mount is left" "$(tree_mounts "$name")" 0
		not_ok "$name: nor what it was mounted on" in_container "$name" ls -d $TREE /dev/nvfs
	done
	kill_containers
	stop_daemon
	not_ok "a daemon that ends leaves no state" test -e "$STATE"
}

# A process that is left in the mount namespace of a container whose init has gone.
namespace_without_init()
{
	local left

	use_sample_driver left
	write_config "grace = 2"
	start_daemon --config "$CONFIG"
	start_injected left >/dev/null
	nsenter -t "$PID" -m sleep 300 &
	left=$!
	at_exit kill -KILL "$left"
	wait_for 10 sh -c "nsenter -t $left -m test -e $TREE/bin"
	kill -KILL "$PID"
	wait_for 10 has_ended "$PID"
	kill_both
	start_daemon --config "$CONFIG"
	ok "a container without init has its tree put back too" wait_for 20 is_back left
	ok "its tree works" timeout 10 nsenter -t "$left" -m cat "$TREE/.nvfs/manifest.json"
	kill_both
	kill -KILL "$left"
	wait "$left" 2>/dev/null || true
	wait_for 10 has_ended "$left"
	start_daemon --config "$CONFIG"
	is "without any process nothing is put back" "$(nvfs ls --json | jq '.trees | length')" 0
	kill_containers
	stop_daemon
}

upgrade_module()
{
	rm -rf --one-file-system "$DRIVER_ROOT"
	cp -a "$SCRATCH/newer/root" "$DRIVER_ROOT"
	[ "$1" = packages ] || cp "$SCRATCH/newer/proc/driver/nvidia/version" "$PROC_ROOT/driver/nvidia/version"
}

driver_of()
{
	in_container "$1" readlink $TREE/lib64/libcuda.so.1 | sed 's/.*\.so\.//'
}

driver_is()
{
	[ "$(driver_of "$1")" = "$2" ]
}

# What nobody has open any more and is not there any more cannot come back.
lost_files()
{
	local old new=999.20.02

	use_sample_driver lost
	SAMPLE_VERSION=$new "$TESTS/sample-driver" "$SCRATCH/newer" >/dev/null
	old=$(driver_version "$DRIVER_ROOT")
	write_config "settle = 0" "pin = yes"
	start_daemon --config "$CONFIG"
	start_injected pinned >/dev/null
	upgrade_module all
	wait_for 20 sh -c "[ \"\$(readlink $MOUNTPOINT/host/lib64/libcuda.so.1)\" = libcuda.so.$new ]" || true
	is "a pinned container has the driver that it had" "$(driver_of pinned)" "$old"
	kill_both
	start_daemon --config "$CONFIG"
	like "unlinked files are said to be lost" "$(cat "$SCRATCH/daemon.log")" \
		"driver $old .*were replaced or unlinked while no daemon.*cannot come back"
	ok "the container gets a tree" wait_for 20 is_back pinned
	is "with what the driver is now" "$(driver_of pinned)" "$new"
	ok "whole" in_container pinned dlopen libcuda.so.1
	kill_containers
	stop_daemon

	use_sample_driver gone
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start_injected waits >/dev/null
	upgrade_module packages
	ok "packages without the module change nothing" wait_for 5 driver_is waits "$old"
	kill_both
	start_daemon --config "$CONFIG"
	like "nothing on the disk fits the loaded module" "$(cat "$SCRATCH/daemon.log")" "cannot come back"
	make_rootfs glibc early
	run_container early "$ROOTFS"
	fails "a new container gets no driver" 8 . nvinject --pid "$PID" --id "$(container_id early)" --devices all
	upgrade_module all
	ok "when the module fits, the tree is put back" wait_for 30 is_back waits
	is "with the new driver" "$(driver_of waits)" "$new"
	ok "whole" in_container waits dlopen libcuda.so.1
	kill_containers
	stop_daemon
}

# install_program: as a package does it, another inode under the same name.
install_program()
{
	cp "$BUILD/nvfs" "$SCRATCH/bin/.new"
	printf 'another build' >>"$SCRATCH/bin/.new"
	mv "$SCRATCH/bin/.new" "$SCRATCH/bin/nvfs"
}

# A program whose table of the driver's files does not know libnvidia-opticalflow.so, neither by its soname nor
# by a word in it; of the same length, so that nothing else moves.
install_other_table()
{
	cp "$BUILD/nvfs" "$SCRATCH/bin/.new"
	sed -i 's/opticalflow/opticalflux/g' "$SCRATCH/bin/.new"
	! cmp -s "$BUILD/nvfs" "$SCRATCH/bin/.new" || return 1
	mv "$SCRATCH/bin/.new" "$SCRATCH/bin/nvfs"
}

runs_installed()
{
	[ "$(stat -L -c %i "/proc/$1/exe")" = "$(stat -c %i "$SCRATCH/bin/nvfs")" ]
}

keeper_runs_installed()
{
	runs_installed "$DAEMON_PID"
}

handovers()
{
	local name=$1 n=$2 old installed=$NVFS failed=0 loads i

	mkdir -p "$SCRATCH/bin"
	cp "$installed" "$BUILD/nvinject" "$SCRATCH/bin/"
	NVFS=$SCRATCH/bin/nvfs
	use_sample_driver "driver-$name"
	write_config "grace = 1" "settle = 0"
	start_daemon --config "$CONFIG"
	start_injected "$name" >/dev/null
	in_container "$name" mixwatch $TREE 8 >"$SCRATCH/watch" 2>&1 &
	CHILD=$!
	in_container "$name" sh -c 'for i in $(seq 300); do dlopen libcuda.so.1 || exit 1; done' >"$SCRATCH/loads" 2>&1 &
	loads=$!
	old=$(worker_pid)
	install_program
	ok "a handover to a program that was installed meanwhile" nvfs handover
	like "it says who serves now" "$OUT" "^nvfs [0-9.]* serves now, pid $(worker_pid)\$"
	ok "the daemon is the new program" runs_installed "$(worker_pid)"
	ok "the old one has gone" has_ended "$old"
	ok "the keeper becomes it too, in the same process" wait_for 10 keeper_runs_installed
	for ((i = 0; i < n; i++)); do
		install_program
		nvfs handover >/dev/null || failed=$((failed + 1))
	done
	is "$n handovers, one after the other" "$failed" 0
	install_program
	is "one more says who serves now as JSON" "$(nvfs handover --json | jq .daemon_pid)" "$(worker_pid)"
	STATUS=0
	wait "$CHILD" || STATUS=$?
	is "a program of the container that looks at its tree notices nothing" "$STATUS" 0
	diag "$(cat "$SCRATCH/watch")"
	like "in many looks" "$(tail -n 1 "$SCRATCH/watch")" 'looks [0-9]{3,} .*failed 0$'
	STATUS=0
	wait "$loads" || STATUS=$?
	is "nor do those that load libcuda over and over" "$STATUS" 0
	is "the container has its tree" "$(nvfs ls --json | jq '.trees | length')" 1
	kill -KILL "$(worker_pid)"
	ok "a daemon that dies is replaced by the program that was handed over to" \
		wait_for 10 in_container "$name" dlopen libcuda.so.1
	ok "by no other" runs_installed "$(worker_pid)"

	old=$(worker_pid)
	cp /bin/false "$SCRATCH/bin/.new" && mv "$SCRATCH/bin/.new" "$SCRATCH/bin/nvfs"
	NVFS=$installed
	fails "a program that cannot take over changes nothing" 1 "could not take over, this one goes on" nvfs handover
	is "the old daemon serves" "$(worker_pid)" "$old"
	rm "$SCRATCH/bin/nvfs"
	fails "nor does one that is not there" 1 "could not take over" nvfs handover
	is "the old daemon serves still" "$(worker_pid)" "$old"
	ok "the container, too" in_container "$name" dlopen libcuda.so.1
	start_injected "after-$name" >/dev/null
	ok "and a new one" in_container "after-$name" dlopen libcuda.so.1
	kill_containers
	stop_daemon
	NVFS=$installed
}

# What a container has at this moment: every name with its inode number, links with what they say.
files_in()
{
	in_container "$1" sh -c "cd $TREE && find . | sort | xargs ls -1di && find . -type l | sort | xargs -n 1 readlink"
}

# start_with NAME CAPABILITIES: of the driver
start_with()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all --capabilities "$2" >/dev/null 2>&1
}

# The next program's table may say of a file what the one before did not: a tree that is there stays as it is.
other_table()
{
	local installed=$NVFS name

	mkdir -p "$SCRATCH/bin"
	cp "$installed" "$BUILD/nvinject" "$SCRATCH/bin/"
	NVFS=$SCRATCH/bin/nvfs
	use_sample_driver table
	write_config "grace = 1" "settle = 0"
	start_daemon --config "$CONFIG"
	start_with all all
	start_with default compute,utility
	for name in all default; do
		files_in "$name" >"$SCRATCH/files-$name"
	done
	like "a container has the file that the table says to be for video" "$(cat "$SCRATCH/files-all")" 'libnvidia-opticalflow\.so\.1'
	unlike "one without video does not" "$(cat "$SCRATCH/files-default")" 'opticalflow'
	like "but others" "$(cat "$SCRATCH/files-default")" 'libcuda\.so\.1'
	ok "there is a program whose table does not have it" install_other_table
	ok "a handover to it" nvfs handover
	ok "the daemon is that program" runs_installed "$(worker_pid)"
	for name in all default; do
		is "$name: names and inode numbers are what they were" "$(files_in "$name")" "$(cat "$SCRATCH/files-$name")"
	done
	kill_worker
	ok "the next daemon is that program too" runs_installed "$(worker_pid)"
	for name in all default; do
		is "$name: nor does the end of the new daemon change them" "$(files_in "$name")" "$(cat "$SCRATCH/files-$name")"
	done
	nvfs rescan >/dev/null
	for name in all default; do
		is "$name: nor a look at the driver" "$(files_in "$name")" "$(cat "$SCRATCH/files-$name")"
	done
	start_with fresh compute,utility
	like "a new container has what the new table says: what it does not know is for everybody" \
		"$(files_in fresh)" 'libnvidia-opticalflow\.so\.1'
	kill_containers
	stop_daemon
	NVFS=$installed
}

layout_of_state()
{
	od -An -tu4 -j4 -N4 "$STATE" | tr -d ' '
}

set_layout()
{
	printf '%b' "\\x$(printf %02x "$1")\\0\\0\\0" | dd of="$STATE" bs=1 seek=4 conv=notrunc status=none
}

# A program that reads another layout than the daemon's before: to it the state looks like this.
state_of_another_layout()
{
	local layout other worker

	use_sample_driver layout
	write_config "grace = 1"
	start_daemon --config "$CONFIG"
	start_injected layout >/dev/null
	worker=$(worker_pid)
	layout=$(layout_of_state)
	for other in $((layout - 1)) $((layout + 1)); do
		set_layout "$other"
		fails "no handover where the state has layout $other" 1 \
			"could not take over, this one goes on" nvfs handover
		like "the log names the layout" "$(cat "$SCRATCH/daemon.log")" \
			"it has layout $other, this program reads layout $layout"
		is "the old daemon serves" "$(worker_pid)" "$worker"
		ok "and its container works" in_container layout dlopen libcuda.so.1
	done
	set_layout "$layout"
	ok "with its own layout there is a handover" nvfs handover
	ok "by which another daemon serves" worker_is_not "$worker"
	ok "and the container works" in_container layout dlopen libcuda.so.1
	kill_containers
	stop_daemon
}

# serve_again: another keeper, while the daemon of the one before lives.
serve_again()
{
	"$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SOCKET" \
		</dev/null >>"$SCRATCH/daemon.log" 2>&1 &
	DAEMON_PID=$!
}

keeper_killed()
{
	local name=$1 worker

	use_sample_driver "orphan-$name"
	write_config "grace = 1"
	start_daemon --config "$CONFIG"
	start_injected "$name" >/dev/null
	in_container "$name" mixwatch $TREE 4 >"$SCRATCH/watch" 2>&1 &
	CHILD=$!
	wait_for 10 test -s "$SCRATCH/watch"
	worker=$(worker_pid)
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" 2>/dev/null || true
	ok "$name: a daemon without keeper serves on" in_container "$name" dlopen libcuda.so.1
	fails "$name: but hands over to nobody" 1 "the keeper is gone" nvfs handover
	serve_again
	ok "$name: a new keeper takes over from it" wait_for 20 worker_is_not "$worker"
	ok "$name: and says so" wait_for 10 grep -q "taking over from daemon $worker, which has lost its keeper" \
		"$SCRATCH/daemon.log"
	ok "$name: the daemon before is gone" has_ended "$worker"
	STATUS=0
	wait "$CHILD" || STATUS=$?
	is "$name: a program of the container notices nothing" "$STATUS" 0
	start_injected "new-$name" >/dev/null
	ok "$name: a new container gets its tree" in_container "new-$name" dlopen libcuda.so.1
	kill -KILL "$(worker_pid)"
	ok "$name: the new keeper replaces its daemon" wait_for 10 in_container "$name" dlopen libcuda.so.1

	# A daemon that has been told to end, and has nobody to clear up after it.
	kill -TERM "$DAEMON_PID"
	wait_for 5 grep -q "going on until the last one ends" "$SCRATCH/daemon.log"
	worker=$(worker_pid)
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" 2>/dev/null || true
	kill_containers
	ok "$name: one that was told to end ends with the last container" wait_for 10 has_ended "$worker"
	is "$name: and leaves nothing" "$(ls "${SOCKET%/*}"; grep " $MOUNTPOINT " /proc/self/mountinfo)" ""
	DAEMON_PID=
}

refused()
{
	printf 'sfvn\115\0\0\0\0\1\0\0' >"$STATE"
	chmod 600 "$STATE"
	fails "a state of another layout is refused by name" "[1-9]*" \
		"state: '.*': it has layout 77, this program reads layout [0-9]+.*remove it" \
		"$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SOCKET"
	ok "and kept" test -s "$STATE"
	rm "$STATE"
	chmod 777 "${SOCKET%/*}"
	fails "a directory that others can write is refused" 5 "permission: .*can be written by others" \
		"$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SOCKET"
	chmod 755 "${SOCKET%/*}"
	start_daemon --config "$CONFIG"
	fails "a second daemon beside it is refused" "[1-9]*" "another daemon serves from" \
		"$NVFS" serve --config "$CONFIG" --mountpoint "$SCRATCH/m" --socket "${SOCKET%/*}/second.sock"
	ok "and does no harm to the first" nvfs status
	stop_daemon
}

host_snapshot
both_killed
namespace_without_init
lost_files
keeper_killed passthrough
NVFS_DISABLE=passthrough,resend keeper_killed reads
handovers native 20
NVFS_DISABLE=passthrough,resend handovers fallback 5
other_table
state_of_another_layout
refused
host_compare
done_testing
