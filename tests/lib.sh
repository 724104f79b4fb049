# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/lib.sh - sourced by every tests/e2e/NN-topic.sh (bash, `set -eu`): TAP, a scratch folder,
# the daemon, root filesystems and runc containers. Everything that a test makes lies below
# $SCRATCH or bears $RUN_ID in its name, and the EXIT trap takes it away again.
#
# A script is:  . "$(dirname "$0")/../lib.sh"; start_daemon; ...; ok "what holds" command; done_testing
#
# Rules: assertions run in the main shell (a number counted in a subshell is lost); only processes
# that we started are ended, by their pid; whatever may touch a FUSE mount runs under a time limit.

# Much of what is set here is for the scripts that source it.
# shellcheck disable=SC2034,SC2120,SC2119

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$(dirname "$TESTS")/build}
NVFS=$BUILD/nvfs
NVINJECT=$BUILD/nvinject
HELPERS=$BUILD/tests/helpers
# tests/run names the whole run; what we start has it in its environment.
RUN_ID=${NVFS_TEST_TAG:-nvfs-test}-$$
export NVFS_TEST_TAG=$RUN_ID

# shellcheck source=tests/host.sh
. "$TESTS/host.sh"
# Factor for every time limit, for machines that are slow (tests/qemu).
SLOW=${SLOW:-1}

# Messages are compared as text, and no test may depend on the caller's home or proxy.
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin:/usr/local/bin # the last is where a root has the helpers, for nsenter
# What a bundle carries comes first.
[ ! -d "$TESTS/../bin" ] || PATH=$(cd "$TESTS/../bin" && pwd):$PATH
export PATH
unset JOURNAL_STREAM NOTIFY_SOCKET CDPATH
umask 022

# ---- TAP -----------------------------------------------------------------------------------------

TEST_NUMBER=0
TEST_FAILED=0
TEST_PLAN=

plan()
{
	TEST_PLAN=$1
	echo "1..$1"
}

diag()
{
	printf '%s\n' "$*" | sed 's/^/# /'
}

pass()
{
	TEST_NUMBER=$((TEST_NUMBER + 1))
	echo "ok $TEST_NUMBER - $1"
}

# fail NAME [DIAGNOSTIC]: the script goes on, the run fails.
fail()
{
	TEST_NUMBER=$((TEST_NUMBER + 1))
	TEST_FAILED=$((TEST_FAILED + 1))
	echo "not ok $TEST_NUMBER - $1"
	[ -z "${2:-}" ] || diag "$2"
}

# skip NAME REASON
skip()
{
	TEST_NUMBER=$((TEST_NUMBER + 1))
	echo "ok $TEST_NUMBER - $1 # SKIP $2"
}

skip_all()
{
	echo "1..0 # SKIP $1"
	TEST_PLAN=0
	exit 0
}

# client NAME WAY FAILED WHAT: a row of the table of clients: which program ran, how it calls us, what was looked at.
# FAILED is what $TEST_FAILED was before. Tests/run prints the rows of all scripts, a script alone its own.
CLIENT_ROWS=${NVFS_CLIENT_ROWS:-}
client()
{
	local result=yes

	[ "$TEST_FAILED" = "$3" ] || result=NO
	printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$result" "$4" >>"${CLIENT_ROWS:-$SCRATCH/clients}"
}

# no_client NAME WAY REASON: it did not run
no_client()
{
	skip "$1, $2" "$3"
	printf '%s\t%s\t-\t%s\n' "$1" "$2" "$3" >>"${CLIENT_ROWS:-$SCRATCH/clients}"
}

done_testing()
{
	[ -n "$TEST_PLAN" ] || plan "$TEST_NUMBER"
	[ ! -s "$SCRATCH/clients" ] || "$TESTS/client-table" "$SCRATCH/clients"
	[ "$TEST_FAILED" = 0 ] || exit 1
	exit 0
}

# try COMMAND...: run it under a time limit; output (both streams) in $OUT, exit status in $STATUS.
# A shell function gets no limit of its own.
try()
{
	STATUS=0
	if [ "$(type -t "$1")" = file ]; then
		OUT=$(timeout -k 5 "${TRY_TIMEOUT:-$((60 * SLOW))}" "$@" 2>&1) || STATUS=$?
	else
		OUT=$("$@" 2>&1) || STATUS=$?
	fi
}

# ok NAME COMMAND...: the command succeeds.
ok()
{
	local name=$1

	shift
	try "$@"
	if [ "$STATUS" = 0 ]; then
		pass "$name"
	else
		fail "$name" "exit status $STATUS of: $*"$'\n'"$OUT"
	fi
}

# not_ok NAME COMMAND...: the command fails, by an exit status and not by a signal or time limit.
not_ok()
{
	local name=$1

	shift
	try "$@"
	if [ "$STATUS" != 0 ] && [ "$STATUS" -lt 124 ]; then
		pass "$name"
	else
		fail "$name" "exit status $STATUS of: $*"$'\n'"$OUT"
	fi
}

# fails NAME STATUS REGEX COMMAND...: this exit status (a shell pattern), and a message that matches.
fails()
{
	local name=$1 status=$2 regex=$3

	shift 3
	try "$@"
	# shellcheck disable=SC2053 # the status may be a pattern: "[1-9]*" is any failure
	if [[ $STATUS == $status && $STATUS -lt 124 && $OUT =~ $regex ]]; then
		pass "$name"
	else
		fail "$name" "wanted status $status and /$regex/, got status $STATUS of: $*"$'\n'"$OUT"
	fi
}

# is NAME GOT WANTED
is()
{
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1" "     got: $2"$'\n'"expected: $3"
	fi
}

# like NAME TEXT REGEX (extended)
like()
{
	if [[ $2 =~ $3 ]]; then
		pass "$1"
	else
		fail "$1" "no match for /$3/ in:"$'\n'"$2"
	fi
}

unlike()
{
	if [[ ! $2 =~ $3 ]]; then
		pass "$1"
	else
		fail "$1" "unwanted match for /$3/ in:"$'\n'"$2"
	fi
}

# wait_for SECONDS COMMAND...: poll until the command succeeds; its output is not shown.
wait_for()
{
	local end=$((SECONDS + 1 + $1 * SLOW))

	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# ---- scratch and cleanup -------------------------------------------------------------------------

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/$RUN_ID.XXXXXX")
chmod 755 "$SCRATCH"
: >"$SCRATCH/no-input"
CLEANUPS=()

# at_exit COMMAND...: run it at the end, last one first.
at_exit()
{
	CLEANUPS+=("$(printf '%q ' "$@")")
}

# Deepest first, so that nothing is left below a mount point; lazily, since a dead daemon's mount
# answers nothing. mountinfo writes a blank as \040, which no path of ours holds.
unmount_below()
{
	awk -v dir="$1" 'index($5, dir "/") == 1 || $5 == dir { print $5 }' /proc/self/mountinfo |
		sort -r | while IFS= read -r point; do
		umount -l "$point" 2>/dev/null || true
	done
}

run_cleanups()
{
	local i

	for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
		eval "${CLEANUPS[i]}" >/dev/null 2>&1 || true
	done
	CLEANUPS=()
}

cleanup()
{
	local status=$?

	trap '' INT TERM
	set +e
	run_cleanups
	kill_containers
	[ -z "$DAEMON_PID" ] || stop_daemon
	if [ "$status" != 0 ] && [ -s "$SCRATCH/daemon.log" ]; then
		diag "daemon: $(tail -n 40 "$SCRATCH/daemon.log")" >&2
	fi
	unmount_below "$SCRATCH"
	# --one-file-system: should a mount have stayed, nothing behind it is deleted.
	rm -rf --one-file-system "$SCRATCH"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# in_background COMMAND...: start it and end it by its pid at the end; pid in $CHILD.
in_background()
{
	"$@" &
	CHILD=$!
	at_exit kill -KILL "$CHILD"
}

# ---- daemon --------------------------------------------------------------------------------------

DAEMON_PID=
MOUNTPOINT=$SCRATCH/nvfs
SOCKET=$SCRATCH/nvfsd/nvfs.sock

daemon_is_ready()
{
	grep -q 'nvfs: serving ' "$SCRATCH/daemon.log"
}

daemon_is_gone()
{
	! kill -0 "$DAEMON_PID"
}

daemon_is_ready_or_gone()
{
	daemon_is_ready || daemon_is_gone
}

# start_daemon ARGS: serve at $MOUNTPOINT and $SOCKET and wait for the ready line.
# Return: 1 if it didn't come up; what it said is in $SCRATCH/daemon.log.
start_daemon()
{
	mkdir -p "$MOUNTPOINT" "${SOCKET%/*}"
	: >"$SCRATCH/daemon.log"
	case " $* " in
	*" --config "*) ;;
	*) # the machine's own driver, but nothing in the machine's /var/run/cdi
		echo "cdi_dir =" >"$SCRATCH/no-cdi.conf"
		set -- --config "$SCRATCH/no-cdi.conf" "$@"
		;;
	esac
	"$NVFS" serve --mountpoint "$MOUNTPOINT" --socket "$SOCKET" "$@" \
		</dev/null >>"$SCRATCH/daemon.log" 2>&1 &
	DAEMON_PID=$!
	wait_for 20 daemon_is_ready_or_gone || true
	if ! daemon_is_ready; then
		diag "nvfs serve did not come up: $(cat "$SCRATCH/daemon.log")"
		return 1
	fi
}

# worker_pid: the daemon that does the work now; $DAEMON_PID is its keeper.
worker_pid()
{
	nvfs status --json | jq .daemon_pid
}

worker_is_not()
{
	local now

	now=$(worker_pid) && [ -n "$now" ] && [ "$now" != "$1" ]
}

# kill_worker: the daemon dies, and another one goes on.
kill_worker()
{
	local pid

	pid=$(worker_pid)
	kill -KILL "$pid"
	wait_for 10 worker_is_not "$pid"
}

# has_ended PID: also where nobody has asked for its exit status yet
has_ended()
{
	[ ! -e "/proc/$1/exe" ]
}

# kill_both: daemon and keeper, at once: nobody is left to start another.
kill_both()
{
	local worker

	worker=$(worker_pid)
	kill -KILL "$DAEMON_PID" "$worker"
	wait "$DAEMON_PID" 2>/dev/null || true
	DAEMON_PID=
	wait_for 10 has_ended "$worker"
}

# stop_daemon: SIGTERM where no container has a tree, else by force; SIGKILL after 10 s; the mount goes
# in any case. Exit status in $DAEMON_STATUS.
stop_daemon()
{
	local pid=$DAEMON_PID

	[ -n "$pid" ] || return 0
	timeout -k 1 5 "$NVFS" shutdown --force --socket "$SOCKET" >/dev/null 2>&1 ||
		kill -TERM "$pid" 2>/dev/null || true
	wait_for 10 daemon_is_gone || kill -KILL "$pid" 2>/dev/null || true
	DAEMON_STATUS=0
	wait "$pid" 2>/dev/null || DAEMON_STATUS=$?
	DAEMON_PID=
	# The sandbox must not be in the way of anything that any test does.
	! grep "process's list and was refused" "$SCRATCH/daemon.log" ||
		fail "no system call that is needed is refused"
	unmount_below "$MOUNTPOINT"
}

# nvfs COMMAND ARGS, nvinject ARGS: against this test's daemon, under a time limit.
nvfs()
{
	local command=$1

	shift
	timeout -k 5 $((30 * SLOW)) "$NVFS" "$command" --socket "$SOCKET" "$@"
}

nvinject()
{
	timeout -k 5 $((30 * SLOW)) "$NVINJECT" --socket "$SOCKET" --timeout $((10 * SLOW)) "$@"
}

# ---- drivers -------------------------------------------------------------------------------------

# use_sample_driver [NAME]: build it; driver root, proc root and dev root in $DRIVER_ROOT, $PROC_ROOT
# and $DEV_ROOT, a configuration that names them in $CONFIG.
use_sample_driver()
{
	local dir=$SCRATCH/${1:-driver}

	"$TESTS/sample-driver" "$dir" >/dev/null
	DRIVER_ROOT=$dir/root
	PROC_ROOT=$dir/proc
	DEV_ROOT=$dir/dev
	write_config
}

# use_real_driver 535|550: the sample's /proc and /dev beside NVIDIA's own user space. proc's version
# is made to say what the libraries are, as on a machine where the module is loaded.
# Return: 1 if it could not be fetched (callers skip).
use_real_driver()
{
	local dir=$SCRATCH/driver-$1 version

	# The reason for a skip says why, so fetch's own words go to the log only.
	DRIVER_ROOT=$(fetched_driver "$1") || return 1
	"$TESTS/sample-driver" "$dir" >/dev/null
	version=$(driver_version "$DRIVER_ROOT")
	sed -i "s/999\.10\.01/$version/g" "$dir/proc/driver/nvidia/version" \
		"$dir"/proc/driver/nvidia/gpus/*/information
	PROC_ROOT=$dir/proc
	DEV_ROOT=$dir/dev
	write_config
}

# A bundle carries no driver; where it can be had it is fetched once and kept.
fetched_driver()
{
	local root

	# shellcheck source=tests/mirror.sh disable=SC2153 # its variables
	root=$(. "$TESTS/mirror.sh" && echo "$CACHE/driver-$1.$DRIVER_FORMAT/root")

	if [ -d "$root" ]; then
		echo "$root"
	else
		"$TESTS/fetch-driver" "$1" 2>"$SCRATCH/fetch.log"
	fi
}

# driver_version ROOT: the suffix of its libcuda.so.VERSION
driver_version()
{
	find "$1" -name 'libcuda.so.[0-9]*.[0-9]*' | sed -n '1s/.*libcuda\.so\.//p'
}

# write_config [LINE...]: the configuration for this test's roots, plus lines of the caller's.
write_config()
{
	CONFIG=$SCRATCH/nvfs.conf
	printf '%s = %s\n' driver_root "$DRIVER_ROOT" proc_root "$PROC_ROOT" dev_root "$DEV_ROOT" \
		ipc_root "$IPC_ROOT" cdi_dir "" >"$CONFIG"
	[ $# = 0 ] || printf '%s\n' "$@" >>"$CONFIG"
}

# The host's /run and /tmp as the configuration names them: without a socket, until these are made.
IPC_ROOT=$SCRATCH/ipc

# listen_at PATH: a daemon's socket below $IPC_ROOT, with one who answers; its pid in $CHILD
listen_at()
{
	mkdir -p "$IPC_ROOT/${1%/*}"
	in_background "$HELPERS/unixsock" listen "$IPC_ROOT/$1" >"$SCRATCH/listen.log" 2>&1
	wait_for 5 grep -q ready "$SCRATCH/listen.log"
}

# use_sample_sockets: nvidia-persistenced, the fabric manager and MPS run
use_sample_sockets()
{
	listen_at run/nvidia-persistenced/socket
	listen_at run/nvidia-fabricmanager/socket
	listen_at tmp/nvidia-mps/control
}

# ---- root filesystems and containers -------------------------------------------------------------

# make_rootfs glibc|busybox|nocache [NAME]: a fresh one; its path in $ROOTFS.
make_rootfs()
{
	ROOTFS=$SCRATCH/rootfs-${2:-$1}
	"$TESTS/rootfs" "$1" "$ROOTFS" >/dev/null 2>"$SCRATCH/rootfs.log" || {
		diag "rootfs $1: $(cat "$SCRATCH/rootfs.log")"
		return 1
	}
	install_helpers
}

# read_only_superblock ROOTFS: the filesystem itself, not the mount alone. By mount(2): the newer calls,
# which mount(8) prefers since util-linux 2.39, give overlay its other options too, and are refused.
read_only_superblock()
{
	LIBMOUNT_FORCE_MOUNT2=always mount -o remount,ro "$1"
}

# The small test programs, on the container's PATH, and a setuid copy of dlopen.
install_helpers()
{
	local bin=$ROOTFS/usr/local/bin

	[ -e "$HELPERS/dlopen" ] || return 0
	mkdir -p "$bin"
	cp "$HELPERS"/* "$bin/"
	install -m 4755 "$HELPERS/dlopen" "$bin/dlopen-setuid"
}

# make_library_deb NAME DIR: a package whose installation triggers ldconfig, with one small library;
# DIR/NAME.deb.
make_library_deb()
{
	local tree=$2/$1.tree

	mkdir -p "$tree/DEBIAN" "$tree/usr/lib"
	printf '%s\n' "Package: $1" 'Version: 1' 'Architecture: all' 'Maintainer: nobody <n@invalid>' \
		'Description: runs ldconfig' >"$tree/DEBIAN/control"
	echo 'activate-noawait ldconfig' >"$tree/DEBIAN/triggers"
	echo 'int one(void) { return 1; }' |
		cc -x c - -shared -fPIC -nostdlib -Wl,-soname,"lib$1.so.1" -o "$tree/usr/lib/lib$1.so.1"
	dpkg-deb --root-owner-group -b "$tree" "$2/$1.deb" >/dev/null
}

# Its state is the test's own. Stdin is an empty file: runc would hand the script's own on to the container,
# and runtimes give what they get to the container's user, the machine's /dev/null too.
runc()
{
	timeout -k 5 $((60 * SLOW)) runc --root "$SCRATCH/runc" "$@" <"$SCRATCH/no-input"
}

CONTAINERS=()

# container_id NAME: the id as the runtime and the daemon know it
container_id()
{
	echo "$RUN_ID-$1"
}

# bundle_spec NAME ROOTFS [JQ-FILTER]: `runc spec`, whose default device rules allow no GPU, with
# this root and a sleep; bundle in $SCRATCH/bundle-NAME.
bundle_spec()
{
	local bundle=$SCRATCH/bundle-$1 filter=${3:-.}

	mkdir -p "$bundle"
	rm -f "$bundle/config.json"
	runc spec --bundle "$bundle"
	jq --arg root "$2" '.process.terminal = false | .process.args = ["sleep", "1000"]
		| .root = { path: $root, readonly: false } | .hostname = "nvfs-test"' \
		"$bundle/config.json" | jq "$filter" >"$bundle/config.json.new"
	mv "$bundle/config.json.new" "$bundle/config.json"
}

# run_container NAME ROOTFS [JQ-FILTER]: a detached container that sleeps; its init's pid in $PID.
# The filter changes config.json, for example '.process.noNewPrivileges = false'.
run_container()
{
	bundle_spec "$@"
	CONTAINERS+=("$1")
	# Not a pipe: the container keeps it open and whoever reads it would wait for ever.
	runc run --detach --bundle "$SCRATCH/bundle-$1" "$(container_id "$1")" \
		>"$SCRATCH/bundle-$1/log" 2>&1 || {
		diag "runc run $1: $(cat "$SCRATCH/bundle-$1/log")"
		return 1
	}
	PID=$(container_pid "$1")
}

container_pid()
{
	runc state "$(container_id "$1")" | jq .pid
}

# in_container NAME COMMAND...; in_container_as UID NAME COMMAND...
in_container()
{
	in_container_as 0 "$@"
}

in_container_as()
{
	local uid=$1 id

	id=$(container_id "$2")
	shift 2
	runc exec --user "$uid:$uid" "$id" "$@"
}

# start_watch NAME TREE: mixwatch in a container, until end_watch; what it says is in $SCRATCH/watch.NAME. Not
# in_container, whose time limit is a short one.
start_watch()
{
	timeout -k 5 $((280 * SLOW)) runc --root "$SCRATCH/runc" exec --pid-file "$SCRATCH/watch.pid" \
		"$(container_id "$1")" mixwatch "$2" 100000 5 <"$SCRATCH/no-input" >"$SCRATCH/watch.$1" 2>&1 &
	WATCH=$!
	at_exit kill -KILL "$WATCH"
	wait_for 10 test -s "$SCRATCH/watch.$1" && wait_for 10 test -s "$SCRATCH/watch.pid"
}

# end_watch NAME [BACKWARDS]: two assertions, that it was there to the end, and what it counted; BACKWARDS is a
# regular expression, where returns to an older version may be.
end_watch()
{
	local pid

	pid=$(cat "$SCRATCH/watch.pid")
	ok "the watcher in $1 has watched until now" kill -TERM "$pid"
	wait "$WATCH" || true
	like "the watcher in $1: no mix, no return, no failure" "$(tail -n 1 "$SCRATCH/watch.$1")" \
		"^looks [0-9]{3,} mixed 0 backwards ${2:-0} failed 0\$"
}

kill_container()
{
	runc delete --force "$(container_id "$1")"
}

kill_containers()
{
	local name

	for name in ${CONTAINERS[@]+"${CONTAINERS[@]}"}; do
		kill_container "$name" >/dev/null 2>&1 || true
	done
	CONTAINERS=()
}

# mounts_in PID: "mountpoint fstype options" of each mount that this process sees
mounts_in()
{
	awk '{ for (i = 7; $i != "-"; i++); print $5, $(i + 1), $6 }' "/proc/$1/mountinfo"
}

# ---- the host, before and after ------------------------------------------------------------------

host_snapshot()
{
	host_state "$RUN_ID" >"$SCRATCH/host.before"
}

# host_compare [NAME]: two assertions, at the end of a script: what was left to be ended is ended here
host_compare()
{
	run_cleanups
	host_state "$RUN_ID" >"$SCRATCH/host.after"
	ok "${1:-the host is what it was before}" \
		diff -U0 "$SCRATCH/host.before" "$SCRATCH/host.after"
	ok "no process is left" no_process_of "$RUN_ID" namespace
}
