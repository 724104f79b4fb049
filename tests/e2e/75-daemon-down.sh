#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Nobody serves the driver: a container that asks for it does not start, and is told why; where on_daemon_down of
# nvfs.conf is skip, it starts as it is. For each way in: hook, hook by NVIDIA's name, nvfs-runtime, drop-in.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

command -v runc >/dev/null || skip_all "no runc"
WAYS=(createRuntime prestart by-name drop-in nvfs-runtime)
ASKS='.process.env += ["NVIDIA_VISIBLE_DEVICES=all"]'
HELP='systemctl start nvfs'

# conf LINE...: of nvfs.conf, which is this script's own (private_host)
conf()
{
	mkdir -p /etc/nvfs
	printf '%s\n' "$@" >/etc/nvfs/nvfs.conf
}

words()
{
	printf '%s\n' "$@" | jq -Rnc '[inputs]'
}

hook_at()
{
	printf '.hooks.%s = [{ path: "%s", args: %s, env: %s, timeout: 30 }]' "$1" "$2" "$(words "${@:3}")" \
		"$(words "PATH=$PATH")"
}

# filter_of WAY [OPTION...]: of config.json; its root is $ROOTFS
filter_of()
{
	case $1 in
	createRuntime | prestart) hook_at "$1" "$NVINJECT" nvinject hook --socket "$SOCKET" "${@:2}" ;;
	by-name) hook_at prestart "$NVINJECT" nvidia-container-runtime-hook --socket "$SOCKET" "${@:2}" prestart ;;
	drop-in)
		# shellcheck disable=SC2016 # for the hook's shell
		hook_at prestart /bin/sh sh -c 'exec "$0" --socket "$1" configure --device=all --compute --pid="$(jq .pid)" "$2"' \
			"$BUILD/nvidia-container-cli" "$SOCKET" "$ROOTFS"
		;;
	nvfs-runtime) echo . ;;
	esac
}

# lib.sh's containers are made by this.
runc()
{
	local program=runc

	[ "$WAY" != nvfs-runtime ] || program=$BUILD/nvfs-runtime
	timeout -k 5 $((60 * SLOW)) "$program" --root "$SCRATCH/runc" "$@" <"$SCRATCH/no-input"
}

# started NAME [OPTION...]: by $WAY; status in $STATUS, words in $OUT
started()
{
	make_rootfs glibc "$1"
	find "$ROOTFS" -xdev -printf '%p %l\n' | sort >"$SCRATCH/before"
	STATUS=0
	run_container "$1" "$ROOTFS" "$ASKS | $(filter_of "$WAY" "${@:2}")" >"$SCRATCH/started" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/started")
}

refused()
{
	unlike "$WAY, $1: the container does not start" "$STATUS" '^0$'
	like "$WAY, $1: and the runtime shows why and what helps" "$OUT" "$HELP"
}

skipped()
{
	is "$WAY, $1: the container starts" "$STATUS" 0
	is "$WAY, $1: it has no GPU" "$(in_container "$2" opendev /dev/nvidia0 2>&1)" "/dev/nvidia0 ENOENT"
	is "$WAY, $1: and no tree" "$(mounts_in "$PID" | grep -c fuse.nvfs || true)" 0
	# runc itself makes directories to mount on, in an empty image
	is "$WAY, $1: nothing of ours is written to its image" \
		"$(find "$ROOTFS" -xdev -printf '%p %l\n' | sort | comm -13 "$SCRATCH/before" - | grep -i nv || true)" ''
	kill_container "$2"
}

host_snapshot
private_host
export NVFS_CONFIG=/etc/nvfs/nvfs.conf # for nvfs-runtime, which reads its socket there
for WAY in "${WAYS[@]}"; do
	conf "socket = $SOCKET"
	started "$WAY-fail"
	refused "nothing said"
	conf "socket = $SOCKET" 'on_daemon_down = skip'
	started "$WAY-skip"
	skipped skip "$WAY-skip"
done

# ---- what the word is not good for ---------------------------------------------------------------

WAY=createRuntime
conf 'on_daemon_down = maybe'
started bad-word
refused "a word that is none"
like "and the word is named" "$OUT" "nvfs.conf:1: on_daemon_down: 'maybe' is neither fail nor skip, ignoring"
WAY=nvfs-runtime
conf "socket = $SOCKET" 'on_daemon_down = maybe'
started bad-word-runtime
unlike "nvfs-runtime: a word that is none: the container does not start" "$STATUS" '^0$'
like "nvfs-runtime: and the word is named" "$OUT" "nvfs.conf:2: on_daemon_down: 'maybe' is neither fail nor skip"
fails "neither does the daemon" 2 "nvfs.conf:2: on_daemon_down: 'maybe'" "$NVFS" serve --config /etc/nvfs/nvfs.conf

WAY=createRuntime
conf 'on_daemon_down = fail'
started option --on-daemon-down skip
skipped "told by its option" option
conf 'on_daemon_down = skip'
started option-fail --on-daemon-down fail
refused "told otherwise by its option"
in_background unshare --mount --propagation private sleep 1000 <"$SCRATCH/no-input" >/dev/null 2>&1
is_apart()
{
	[ "$(readlink "/proc/$CHILD/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}
wait_for 5 is_apart
fails "nvinject itself does not skip" 7 "$HELP" nvinject --pid "$CHILD" --rootfs "$ROOTFS" --devices all --no-cgroup
ok "unless it is told" nvinject --pid "$CHILD" --rootfs "$ROOTFS" --devices all --no-cgroup --on-daemon-down skip
like "and says so" "$OUT" "no GPU for this container: nvfs does not answer, and on_daemon_down says skip"

CLI=$BUILD/nvidia-container-cli
fails "the drop-in says so, too" 0 "^nvidia-container-cli: no GPU for this container: nvfs does not answer, and on_daemon_down says skip$" \
	"$CLI" --socket "$SOCKET" --root=/ configure --pid="$CHILD" --no-cgroups --device=all "$ROOTFS"
fails "its list fails" 1 "nvfs does not answer: .*; $HELP" "$CLI" --socket "$SOCKET" list
fails "and its info" 1 "nvfs does not answer: .*; $HELP" "$CLI" --socket "$SOCKET" info

# ---- one that is up, and says no, or nothing -----------------------------------------------------

use_sample_driver
write_config "socket = $SOCKET" 'on_daemon_down = skip'
start_daemon --config "$CONFIG"
started no
is "with a daemon a container starts" "$STATUS" 0
make_rootfs glibc unknown
STATUS=0
run_container unknown "$ROOTFS" "$(filter_of createRuntime) | .process.env += [\"NVIDIA_VISIBLE_DEVICES=7\"]" \
	>"$SCRATCH/started" 2>&1 || STATUS=$?
unlike "a daemon that says no is not down" "$STATUS" '^0$'
like "and its word is shown" "$(cat "$SCRATCH/started")" 'nvinject: device: 7'
worker=$(worker_pid)
at_exit kill -CONT "$DAEMON_PID" "$worker"
kill -STOP "$DAEMON_PID" "$worker"
fails "nor is one that does not answer in time" 7 'nvinject: daemon: ' \
	nvinject --pid "$PID" --devices all --timeout 1 --on-daemon-down skip
kill -CONT "$worker" "$DAEMON_PID"
kill_containers
stop_daemon
host_compare
done_testing
