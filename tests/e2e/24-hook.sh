#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvinject as a hook of runc, for createRuntime and prestart: what the environment and the mounts of
# config.json ask for is what the container gets, one that asks for nothing needs no daemon, and a bad
# state is an error by name.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

# The words as a JSON array
words()
{
	printf '%s\n' "$@" | jq -Rnc '[inputs]'
}

# hook_at STAGE [PATH ARG...]: a filter that adds a hook, nvinject's own unless told. Its environment is
# said, since a hook without one gets none from runc and contrib/hook.sh needs a PATH.
hook_at()
{
	local stage=$1

	shift
	[ $# -gt 0 ] || set -- "$NVINJECT" nvinject hook --socket "$SOCKET"
	printf '.hooks.%s = [{ path: "%s", args: %s, env: %s, timeout: 30 }]' "$stage" "$1" \
		"$(words "${@:2}")" "$(words "PATH=$PATH" "NVINJECT=$NVINJECT")"
}

# env_of NAME=VALUE...: a filter that adds to process.env
env_of()
{
	echo ".process.env += $(words "$@")"
}

# mount_of DEVICE: a filter that asks for it as the device plugin's mounts do
mount_of()
{
	echo '.mounts += [{ type: "bind", source: "/dev/null", options: ["bind", "ro"],' \
		"destination: \"/var/run/nvidia-container-devices/$1\" }]"
}

# started NAME ROOTFS FILTER: in the main shell, since it sets $PID; exit status in $STATUS and runc's
# words in $OUT, never a failure of the script
started()
{
	STATUS=0
	run_container "$@" >"$SCRATCH/started" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/started")
}

trees_of()
{
	mounts_in "$PID" | grep -c '^/usr/local/nvidia fuse' || true
}

gpu()
{
	in_container "$1" opendev /dev/nvidia0 2>&1 || true
}

# begun NAME FILTER: an assertion; $ROOTFS is there
begun()
{
	started "$1" "$ROOTFS" "$2"
	if [ "$STATUS" = 0 ]; then
		pass "$1: the container starts"
	else
		fail "$1: the container starts" "$OUT"
		return 1
	fi
}

# refused NAME FILTER REGEX: the container does not start, and the runtime shows why
refused()
{
	make_rootfs glibc "$1"
	started "$1" "$ROOTFS" "$2"
	unlike "$1: the container does not start" "$STATUS" '^0$'
	like "$1: and the runtime shows why" "$OUT" "$3"
}

# begin NAME FILTER...: a container with the hook in $STAGE and these filters
begin()
{
	local name=$1 filter

	filter=$(hook_at "${STAGE:-createRuntime}")
	shift
	while [ $# -gt 0 ]; do
		filter+=" | $1"
		shift
	done
	make_rootfs glibc "$name"
	begun "$name" "$filter"
}

# untouched NAME: no tree, no device, no record
untouched()
{
	is "$1: no tree" "$(trees_of)" 0
	is "$1: no device" "$(gpu "$1")" "/dev/nvidia0 ENOENT"
	not_ok "$1: no libcuda" in_container "$1" dlopen libcuda.so.1
	kill_container "$1"
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"

# ---- what the environment asks for ---------------------------------------------------------------

for STAGE in createRuntime prestart; do
	name=all-$STAGE
	if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=all)"; then
		is "$name: one mount for the tree" "$(trees_of)" 1
		is "$name: the GPU is allowed" "$(gpu "$name")" "/dev/nvidia0 ENXIO"
		ok "$name: libcuda is loaded" in_container "$name" dlopen libcuda.so.1
		like "$name: from the tree" "$OUT" '/usr/local/nvidia/lib64/libcuda\.so\.999\.10\.01'
		ok "$name: nvidia-smi is found by name" in_container "$name" nvidia-smi
		is "$name: the daemon knows it by the runtime's id" \
			"$(nvfs show --json "$(container_id "$name")" | jq -r '"\(.pid) \(.source)"')" "$PID env"
		kill_container "$name"
	fi

	name=none-$STAGE
	if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=none)"; then
		is "$name: one mount for the tree" "$(trees_of)" 1
		is "$name: no GPU" "$(gpu "$name")" "/dev/nvidia0 ENOENT"
		ok "$name: libcuda is loaded" in_container "$name" dlopen libcuda.so.1
		kill_container "$name"
	fi

	name=void-$STAGE
	if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=void)"; then
		untouched "$name"
	fi
	name=unset-$STAGE
	if begin "$name"; then
		untouched "$name"
	fi
done
STAGE=createRuntime

name=caps
if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=0 NVIDIA_DRIVER_CAPABILITIES=utility)"; then
	is "$name: a GPU by index" "$(gpu "$name")" "/dev/nvidia0 ENXIO"
	ok "$name: utility has nvidia-smi" in_container "$name" nvidia-smi
	not_ok "$name: and no libcuda" in_container "$name" dlopen libcuda.so.1
	kill_container "$name"
fi

refused unknown "$(hook_at createRuntime) | $(env_of NVIDIA_VISIBLE_DEVICES=GPU-nope)" \
	'nvinject: device: GPU-nope'
not_ok "unknown: and nothing is left of it" nvfs show "$(container_id unknown)"

# ---- what mounts ask for -------------------------------------------------------------------------

name=mounts
if begin "$name" "$(mount_of all)" "$(env_of NVIDIA_VISIBLE_DEVICES=void)"; then
	is "$name: one mount for the tree, whatever the environment says" "$(trees_of)" 1
	is "$name: the GPU is allowed" "$(gpu "$name")" "/dev/nvidia0 ENXIO"
	is "$name: the daemon knows who asked" \
		"$(nvfs show --json "$(container_id "$name")" | jq -r .source)" mounts
	kill_container "$name"
fi

# What a VOLUME in an image's Dockerfile comes to: a folder of the engine's, at a place of the image's choice.
mkdir "$SCRATCH/volume"
name=volume
if begin "$name" ".mounts += [{ type: \"bind\", source: \"$SCRATCH/volume\", options: [\"bind\"],
	destination: \"/var/run/nvidia-container-devices/all\" }]"; then
	untouched "$name"
fi

# ---- variables of swarm ---------------------------------------------------------------------------

make_rootfs glibc swarm
if begun swarm "$(hook_at createRuntime "$NVINJECT" nvinject hook --socket "$SOCKET" --swarm-resource DOCKER_RESOURCE_GPU) |
	$(env_of DOCKER_RESOURCE_GPU=0 NVIDIA_VISIBLE_DEVICES=void)"; then
	is "swarm: the GPU is allowed" "$(gpu swarm)" "/dev/nvidia0 ENXIO"
	kill_container swarm
fi

# ---- contrib/hook.sh -----------------------------------------------------------------------------

contrib=$(dirname "$TESTS")/contrib/hook.sh
if [ -e "$contrib" ]; then
	make_rootfs glibc contrib
	if begun contrib "$(hook_at createRuntime /bin/sh sh "$contrib" --socket "$SOCKET")"; then
		is "contrib/hook.sh: one mount for the tree" "$(trees_of)" 1
		is "contrib/hook.sh: the GPU is allowed" "$(gpu contrib)" "/dev/nvidia0 ENXIO"
		ok "contrib/hook.sh: libcuda is loaded" in_container contrib dlopen libcuda.so.1
		kill_container contrib
	fi
else
	skip "contrib/hook.sh" "not in this bundle"
fi

# ---- bad states ----------------------------------------------------------------------------------

hook()
{
	nvinject hook <"$1"
}

state=$SCRATCH/state
before=$(nvfs ls)
: >"$state"
fails "an empty state" 2 '^nvinject: usage: state' hook "$state"
echo 'id: c1' >"$state"
fails "a state that is not JSON" 2 '^nvinject: usage: state.*not JSON' hook "$state"
echo '{ "bundle": "/x", "pid": 1 }' >"$state"
fails "a state without id" 2 "^nvinject: usage: state.*'id' is missing" hook "$state"
echo '{ "id": "c1", "pid": 1 }' >"$state"
fails "a state without bundle" 2 "^nvinject: usage: state.*'bundle' is missing" hook "$state"
jq -n --arg bundle "$SCRATCH" '{ id: "c1", bundle: $bundle, annotations: { x: ("x" * 2097152) } }' >"$state"
fails "a state of 2 MB" 2 '^nvinject: usage: state' hook "$state"
jq -n --arg bundle "$SCRATCH" '{ id: "c1", bundle: $bundle, pid: 1 }' >"$state"
fails "a bundle without config.json" 2 '^nvinject: usage: .*config\.json' hook "$state"
echo '{' >"$SCRATCH/config.json"
fails "a config.json that is not JSON" 2 '^nvinject: usage: .*config\.json is not JSON' hook "$state"
is "no bad state has made a tree" "$(nvfs ls | awk '{ print $1 }')" "$(awk '{ print $1 }' <<<"$before")"

# ---- accept_env ----------------------------------------------------------------------------------

stop_daemon
write_config 'accept_env = never'
start_daemon --config "$CONFIG"
if begin never "$(env_of NVIDIA_VISIBLE_DEVICES=all)"; then
	not_ok "never: no tree was made" nvfs show "$(container_id never)"
	untouched never
fi
name=never-nonsense
if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=GPU-nope,%%%,none NVIDIA_DRIVER_CAPABILITIES=teleport)"; then
	untouched "$name"
fi
name=never-mounts
if begin "$name" "$(mount_of all)"; then
	is "$name: mounts are not the image's, and hold" "$(trees_of)" 1
	is "$name: the GPU is allowed" "$(gpu "$name")" "/dev/nvidia0 ENXIO"
	kill_container "$name"
fi
stop_daemon
write_config 'accept_env = privileged'
start_daemon --config "$CONFIG"
if begin unprivileged "$(env_of NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=teleport)"; then
	untouched unprivileged
fi
name=privileged
if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=all)" \
	'.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'; then
	is "$name: one mount for the tree" "$(trees_of)" 1
	is "$name: the GPU is allowed" "$(gpu "$name")" "/dev/nvidia0 ENXIO"
	kill_container "$name"
fi
stop_daemon

# ---- no daemon -----------------------------------------------------------------------------------

name=down-void
if begin "$name" "$(env_of NVIDIA_VISIBLE_DEVICES=void)"; then
	untouched "$name"
fi
name=down-unset
if begin "$name"; then
	untouched "$name"
fi
refused down "$(hook_at createRuntime) | $(env_of NVIDIA_VISIBLE_DEVICES=all)" 'nvinject: daemon: '
kill_containers
host_compare
done_testing
