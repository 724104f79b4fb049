#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What cannot be had, and roots that are awkward, by every way that calls runc, crun or podman: no daemon, an unknown
# capability, a requirement that does not hold, a read-only root, a root with stale files of a driver, one root for two
# containers. Prints a table of way by case.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

command -v runc >/dev/null || skip_all "no runc"
CONTRIB=$TESTS/../contrib/podman/90-nvfs.json
WAYS=(runc)
declare -A NAMES=(
	[runc]="runc, createRuntime hook"
	[crun]="crun, createRuntime hook"
	[nvfs-runtime]="nvfs-runtime"
	[podman-cdi]="podman, CDI"
	[podman-hooks]="podman, hooks.d"
)
CASES=(down skip capability require read-only stale shared)
declare -A CELLS FAILED
HELP='systemctl start nvfs'

# ---- ways ----------------------------------------------------------------------------------------

# Its state, locks and temporary files are this script's own. 125 and 126 would look like our own time limit.
podman()
{
	timeout -k 5 $((60 * SLOW)) podman --root "$SCRATCH/podman" --runroot "$SCRATCH/podman-run" \
		--tmpdir "$SCRATCH/podman-tmp" --storage-driver vfs --cgroup-manager cgroupfs --runtime runc \
		--hooks-dir "$SCRATCH/hooks.d-$WAY" "$@" <"$SCRATCH/no-input" || return 1
}

# lib.sh's containers are made by this.
runc()
{
	local program=$WAY

	[ "$WAY" != nvfs-runtime ] || program=$BUILD/nvfs-runtime
	timeout -k 5 $((60 * SLOW)) "$program" --root "$SCRATCH/state-$WAY" "$@" <"$SCRATCH/no-input"
}

# filter_of ENV...: of config.json. What a hook says crun writes to a file that an annotation names, and only there.
filter_of()
{
	printf '.process.env += %s | .root.readonly = %s | .annotations["run.oci.hooks.stderr"] = "%s"' \
		"$(printf '%s\n' "$@" | jq -Rnc '[inputs]')" "$READ_ONLY" "$SCRATCH/hook-said"
	[ "$WAY" = nvfs-runtime ] || printf ' | .hooks.createRuntime = [{ path: "%s", args: ["nvinject", "hook"],
		env: ["PATH=/usr/bin:/bin"], timeout: 30 }]' "$NVINJECT"
}

podman_run()
{
	local args=(run --detach --name "$WAY-$1" --network none "--read-only=$READ_ONLY") variable

	for variable in "${@:3}"; do
		args+=(--env "$variable")
	done
	[ "$WAY" != podman-cdi ] || args+=(--device nvfs.dev/gpu=all)
	podman "${args[@]}" --rootfs "$2" sleep 1000
}

# started NAME ROOTFS [ENV...]: a container that asks for all GPUs; status in $STATUS, words in $OUT. In the main
# shell, and not by a pipe, which the container would keep open.
READ_ONLY=false
started()
{
	STATUS=0
	: >"$SCRATCH/hook-said"
	case $WAY in
	podman-cdi) podman_run "$@" >"$SCRATCH/started" 2>&1 || STATUS=$? ;;
	podman-hooks) podman_run "$@" NVIDIA_VISIBLE_DEVICES=all >"$SCRATCH/started" 2>&1 || STATUS=$? ;;
	*) run_container "$1" "$2" "$(filter_of "${@:3}" NVIDIA_VISIBLE_DEVICES=all)" >"$SCRATCH/started" 2>&1 || STATUS=$? ;;
	esac
	OUT=$(cat "$SCRATCH/started")
}

inside()
{
	case $WAY in
	podman-*) podman exec "$WAY-$1" "${@:2}" ;;
	*) in_container "$@" ;;
	esac
}

# id_of NAME: as the daemon knows it
id_of()
{
	case $WAY in
	podman-*) podman inspect --format '{{.Id}}' "$WAY-$1" 2>/dev/null ;;
	*) container_id "$1" ;;
	esac
}

ended()
{
	case $WAY in
	podman-*) podman rm --force --time 0 "$WAY-$1" ;;
	*) kill_container "$1" ;;
	esac
}

# ---- what is looked at ---------------------------------------------------------------------------

# has NAME WHAT [NVIDIA-SMI]: the container NAME has all
has()
{
	# shellcheck disable=SC2016 # for the container's shell
	ok "$WHO, $2: a shell in it" inside "$1" sh -c 'exec 2>&1; dlopen libcuda.so.1; "$0"; opendev /dev/nvidia0
		ldconfig -p | grep -m 1 "libcuda.so.1 "; true' "${3:-nvidia-smi}"
	OUT=$(tr '\n' ' ' <<<"$OUT")
	like "$WHO, $2: the driver's own libcuda is loaded, from the tree" "$OUT" \
		'/usr/local/nvidia/lib64/libcuda\.so\.999\.10\.01 '
	like "$WHO, $2: it is the first in the linker's cache" "$OUT" '=> /usr/local/nvidia/lib64/libcuda\.so\.1 '
	like "$WHO, $2: nvidia-smi and the GPU" "$OUT" 'NVIDIA-SMI.*/dev/nvidia0 ENXIO'
}

# is_up WHAT: what started has started
is_up()
{
	is "$WHO, $1: the container starts" "$STATUS" 0
	[ "$STATUS" = 0 ] || diag "$OUT"
}

# refused WHAT STATUS REGEX: it did not start, and why is shown; STATUS is nvinject's
refused()
{
	unlike "$WHO, $1: the container does not start" "$STATUS" '^0$'
	if [ "$WAY" = crun ]; then
		like "$WHO, $1: crun shows that the hook failed" "$OUT" "nvinject.* \(exit code: $2\)"
		OUT=$(cat "$SCRATCH/hook-said")
	fi
	like "$WHO, $1: why is said" "$OUT" "$3"
	ended "${1// /-}" >/dev/null 2>&1 || true # what podman keeps of it
}

# cell CASE FAILED WORD: the checks since FAILED was $TEST_FAILED
cell()
{
	CELLS[$1/$WAY]=$3
	[ "$TEST_FAILED" = "$2" ] || CELLS[$1/$WAY]=NO FAILED[$WAY]=1
}

# root_state ROOTFS: every name but directories, what the driver's files hold, and what the linker finds. The cache
# itself is written anew, with the image's entries.
root_state()
{
	{
		find "$1" -xdev ! -type d ! -path '*/etc/ld.so.cache' -printf '%P %y %m %U:%G %s %l\n'
		find "$1" -xdev -type f \( -name 'lib*cuda*' -o -name '*nvidia*' \) -exec md5sum {} +
		stat -c 'the cache: %A %u:%g' "$1/etc/ld.so.cache"
		ldconfig -p -C "$1/etc/ld.so.cache" | sed -n 's/^\t/finds /p'
	} | sort
}

# as_it_was WHAT: $ROOTFS, of which root_state was written to before. Runtimes make files to mount on, and leave them.
as_it_was()
{
	root_state "$ROOTFS" >"$SCRATCH/after"
	is "$WHO, $1: what the root had is as it was" "$(comm -23 "$SCRATCH/before" "$SCRATCH/after")" ''
	is "$WHO, $1: and nothing of ours is left in it" \
		"$(comm -13 "$SCRATCH/before" "$SCRATCH/after" | grep -iE 'nvidia|nvfs|cuda' || true)" ''
}

# ---- cases ---------------------------------------------------------------------------------------

bad_requests()
{
	local failed=$TEST_FAILED

	make_rootfs glibc "$WAY-bad"
	started an-unknown-capability "$ROOTFS" NVIDIA_DRIVER_CAPABILITIES=compute,teleport
	refused "an unknown capability" 2 "unknown driver capability 'teleport'"
	cell capability "$failed" refused
	failed=$TEST_FAILED
	started a-requirement "$ROOTFS" 'NVIDIA_REQUIRE_CUDA=cuda>=999'
	refused "a requirement" 4 'unsatisfied condition: cuda>=999'
	cell require "$failed" refused
}

awkward_roots()
{
	local failed=$TEST_FAILED

	make_rootfs glibc "$WAY-ro"
	READ_ONLY=true started read-only "$ROOTFS"
	is_up "a read-only root"
	has read-only "a read-only root"
	fails "$WHO, a read-only root: it is" '[1-9]*' 'Read-only file system' inside read-only touch /file
	ok "$WHO, a read-only root: it ends" ended read-only
	cell read-only "$failed" yes

	failed=$TEST_FAILED
	make_rootfs glibc "$WAY-stale"
	stale "$ROOTFS"
	root_state "$ROOTFS" >"$SCRATCH/before"
	started stale "$ROOTFS"
	is_up "stale files"
	has stale "stale files" /usr/local/nvidia/bin/nvidia-smi
	ok "$WHO, stale files: all is taken back" nvfs revoke "$(id_of stale)"
	ok "$WHO, stale files: it ends" ended stale
	as_it_was "stale files"
	cell stale "$failed" yes
}

one_root()
{
	local failed=$TEST_FAILED

	make_rootfs glibc "$WAY-shared"
	root_state "$ROOTFS" >"$SCRATCH/before"
	started first "$ROOTFS"
	is_up "one root for two, the first"
	started second "$ROOTFS"
	is_up "one root for two, the second"
	has first "one root for two, the first"
	has second "one root for two, the second"
	ok "$WHO, one root for two: the first ends" ended first
	has second "one root for two, the second when the first has ended"
	ok "$WHO, one root for two: all is taken back" nvfs revoke "$(id_of second)"
	ok "$WHO, one root for two: it ends" ended second
	as_it_was "one root for two"
	cell shared "$failed" yes
}

no_daemon()
{
	local failed=$TEST_FAILED word=none

	rm -f /etc/nvfs/nvfs.conf
	make_rootfs glibc "$WAY-down"
	started no-daemon "$ROOTFS"
	refused "no daemon" 7 "nvinject: daemon: .*$HELP"
	cell down "$failed" refused
	failed=$TEST_FAILED
	echo 'on_daemon_down = skip' >/etc/nvfs/nvfs.conf
	started skip "$ROOTFS"
	is_up "no daemon, to be skipped"
	if [ "$WAY" = podman-cdi ]; then
		fails "$WHO, no daemon, to be skipped: it has the nodes, which podman itself makes" 1 '/dev/nvidia0 ENXIO' \
			inside skip opendev /dev/nvidia0
		word=nodes
	else
		fails "$WHO, no daemon, to be skipped: it has no GPU" 1 '/dev/nvidia0 ENOENT' inside skip opendev /dev/nvidia0
	fi
	fails "$WHO, no daemon, to be skipped: and no driver" 1 'libcuda\.so\.1.*(cannot|No such)' \
		inside skip dlopen libcuda.so.1
	ok "$WHO, no daemon, to be skipped: its mounts can be read" inside skip cat /proc/self/mounts
	unlike "$WHO, no daemon, to be skipped: none of them is a tree" "$OUT" 'fuse\.nvfs'
	ok "$WHO, no daemon, to be skipped: it ends" ended skip
	cell skip "$failed" "$word"
}

# each_way FUNCTION...
each_way()
{
	local function

	for WAY in "${WAYS[@]}"; do
		WHO=${NAMES[$WAY]}
		for function in "$@"; do
			"$function"
		done
	done
}

print_table()
{
	local way case line

	line=$(printf '%-26s' "way")
	for case in "${CASES[@]}"; do
		line+=$(printf ' %-10s' "$case")
	done
	diag "$line"
	for way in "${WAYS[@]}"; do
		line=$(printf '%-26s' "${NAMES[$way]}")
		for case in "${CASES[@]}"; do
			line+=$(printf ' %-10s' "${CELLS[$case/$way]:--}")
		done
		diag "$line"
	done
	diag "skip: none is a container without anything of ours; nodes: those that CDI's file names, without a driver"
	diag "stale: all of it but nvidia-smi by its name, since a file that is there stays"
	diag "crun shows a hook's exit status; its words are in the file that the annotation run.oci.hooks.stderr names"
}

host_snapshot
if command -v crun >/dev/null; then WAYS+=(crun); else skip "crun" "no crun"; fi
WAYS+=(nvfs-runtime)
if type -P podman >/dev/null; then WAYS+=(podman-cdi); else skip "podman" "no podman"; fi
if [ ! -e "$CONTRIB" ]; then
	skip "podman, hooks.d" "not in this bundle"
elif type -P podman >/dev/null; then
	WAYS+=(podman-hooks)
fi
private_host
podman_conf
mkdir -p /etc/nvfs "$SCRATCH/hooks.d-podman-cdi" "$SCRATCH/hooks.d-podman-hooks"
# The file as it is installed, with this build's program.
[ ! -e "$CONTRIB" ] ||
	jq --arg path "$NVINJECT" '.hook.path = $path' "$CONTRIB" >"$SCRATCH/hooks.d-podman-hooks/90-nvfs.json"
# Nobody tells these programs of another socket.
SOCKET=/run/nvfsd/nvfs.sock MOUNTPOINT=/run/nvfs
SAMPLE_CUDA=13.0 use_sample_driver
write_config 'cdi_dir = /var/run/cdi'
start_daemon --config "$CONFIG"
ok "the daemon writes the file of CDI" wait_for 5 test -e /var/run/cdi/nvfs.json
each_way bad_requests awkward_roots one_root
stop_daemon
each_way no_daemon
kill_containers
host_compare
print_table
for WAY in "${WAYS[@]}"; do
	program=${WAY%%-*}
	[ "$WAY" != nvfs-runtime ] || program=runc # which it runs
	version=$(command "$program" --version | sed -n '1s/ version//p')
	client "$version" "${NAMES[$WAY]#*, }" "$((TEST_FAILED - ${FAILED[$WAY]:-0}))" \
		"no daemon, bad requests, read-only, stale and shared roots"
done
done_testing
