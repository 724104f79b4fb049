#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What an image asks of driver and GPU, by --require and by the environment of a hook's container: it is
# checked against what `nvfs devices` tells, a container whose requirement fails does not start, with the
# words that clients know, and what nobody knows is said.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

# The sample's GPU becomes an H100, and its libcuda says which CUDA it has.
export SAMPLE_CUDA=13.0
use_sample_driver
sed -i 's/NVIDIA Sample GPU/NVIDIA H100 80GB HBM3/' "$PROC_ROOT"/driver/nvidia/gpus/*/information
start_daemon --config "$CONFIG"

# value KEY: of the driver, or of the GPU
value()
{
	"$NVFS" devices --driver-root "$DRIVER_ROOT" --proc-root "$PROC_ROOT" --json |
		jq -r "(.$1 // .gpus[0].$1) | \"\(.value) \(.source)\""
}

is "devices: CUDA is what libcuda says" "$(value cuda_version)" '13.0 libcuda'
is "devices: the architecture of an H100" "$(value architecture)" '9.0 table'
is "devices: its brand" "$(value brand)" 'Nvidia table'
is "devices: its UUID" "$(value uuid)" 'GPU-5a3d1e00-0000-4000-8000-000000000000 proc'
is "devices: no list of PCI devices, no id" "$(value pci_device)" 'null unknown'
mkdir -p "$PROC_ROOT/bus/pci"
printf '0030\t10de2330\t29\n' >"$PROC_ROOT/bus/pci/devices"
is "devices: with such a list the id is known" "$(value pci_device)" '10de:2330 proc'
rm -r "$PROC_ROOT/bus"

ok "64 GPUs with 7 MIG devices each: chosen in every form of their names, and judged" "$HELPERS/choosebench"
diag "form, ns to choose, ns to judge: $(echo "$OUT" | tr '\n' ';')"

# ---- arguments -----------------------------------------------------------------------------------

make_rootfs glibc arguments
run_container arguments "$ROOTFS"

# require STATUS REGEX EXPRESSION...
require()
{
	local status=$1 regex=$2 words=() expression

	shift 2
	for expression in "$@"; do
		words+=(--require "$expression")
	done
	fails "--require '$*'" "$status" "$regex" nvinject --pid "$PID" --id arguments --devices all "${words[@]}"
}

require 4 "^nvinject: requirement: unsatisfied condition: cuda>=999, please update your driver to a newer \
version, or use an earlier cuda container; the driver has CUDA 13\.0 \[trace" 'cuda>=999'
require 4 'unsatisfied condition: arch>=10; GPU 0 has arch 9\.0' 'cuda>=13' 'arch>=10'
require 4 'unsatisfied condition: brand=tesla; GPU 0 has brand Nvidia' 'brand=tesla brand=geforce'
require 4 'unsatisfied condition: driver<600; the driver has version 999\.10\.01' 'driver<600'
require 4 "invalid expression: 'memory>=80'" 'memory>=80'
require 4 "invalid expression: 'cuda==13'" 'cuda==13'
require 4 "invalid expression: 'brand<tesla'" 'brand<tesla'
require 4 "invalid expression: 'cuda>=" "cuda>=$(printf '1%.0s' $(seq 200))"
is "refused: nothing was mounted" "$(mounts_in "$PID" | grep -c nvidia)" 0
not_ok "refused: nothing is left of it" nvfs show arguments
ok "a requirement that holds, and a dry run" nvinject --pid "$PID" --id arguments --devices all --dry-run \
	--require 'cuda>=12.4 brand=tesla,driver>=470,driver<471' --require 'arch>=9,brand=nvidia'
ok "a requirement that holds" nvinject --pid "$PID" --id arguments --devices all \
	--require 'cuda>=12.4 brand=tesla,driver>=470,driver<471' --require 'arch>=9,brand=nvidia'
ok "and the driver is there" in_container arguments dlopen libcuda.so.1
fails "a GPU's facts do not matter without a GPU, the driver's do" 4 'unsatisfied condition: cuda>=14' \
	nvinject --pid "$PID" --id arguments --devices none --require 'arch>=99' --require 'cuda>=14'
kill_container arguments

# ---- the environment of a hook's container -------------------------------------------------------

# with VARIABLE...: a filter that adds the hook, and these to process.env
with()
{
	jq -rn --arg hook "$NVINJECT" --arg socket "$SOCKET" --arg path "$PATH" '$ARGS.positional | tojson |
		".hooks.createRuntime = [{ path: \"\($hook)\", timeout: 30, env: [\"PATH=\($path)\"],
			args: [\"nvinject\", \"hook\", \"--socket\", \"\($socket)\"] }] | .process.env += \(.)"' \
		--args "$@"
}

# started NAME VARIABLE...; exit status in $STATUS, the runtime's words in $OUT
started()
{
	local name=$1

	shift
	make_rootfs glibc "$name"
	STATUS=0
	run_container "$name" "$ROOTFS" "$(with "$@")" >"$SCRATCH/started" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/started")
}

starts()
{
	started "$@"
	is "$1: the container starts" "$STATUS" 0
	is "$1: it has a tree" "$(mounts_in "$PID" | grep -c '^/usr/local/nvidia fuse')" 1
	kill_container "$1"
}

# refused REGEX NAME VARIABLE...
refused()
{
	local regex=$1

	shift
	started "$@"
	unlike "$1: the container does not start" "$STATUS" '^0$'
	like "$1: and the runtime shows why" "$OUT" "$regex"
}

starts image NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471'
refused 'nvinject: requirement: unsatisfied condition: cuda>=99, please update your driver' newer \
	NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=99 brand=tesla,driver>=470,driver<471'
refused 'unsatisfied condition: arch>=10' second NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=12' \
	'NVIDIA_REQUIRE_ARCH=arch>=10'
starts disabled NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=99' NVIDIA_DISABLE_REQUIRE=true
starts legacy CUDA_VERSION=8.0.61
refused 'unsatisfied condition: cuda>=99\.1' legacy-newer CUDA_VERSION=99.1.2
refused "requirement: config\.json: CUDA_VERSION 'cu121' is no version" legacy-junk CUDA_VERSION=cu121
started unwanted 'NVIDIA_REQUIRE_CUDA=cuda>=99' NVIDIA_VISIBLE_DEVICES=void
is "a container that wants no GPU may require what it likes" "$STATUS" 0
kill_container unwanted

# ---- nvfs.conf says that nobody looks -------------------------------------------------------------

stop_daemon
write_config 'disable_require = yes'
start_daemon --config "$CONFIG"
starts unasked NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=99'
write_config

# ---- facts that nobody knows ---------------------------------------------------------------------

stop_daemon
SAMPLE_CUDA='' use_sample_driver unknown
start_daemon --config "$CONFIG"
is "devices: no note and a branch of no table" "$(value cuda_version)" 'null unknown'
make_rootfs glibc unknown
run_container unknown "$ROOTFS"
fails "an unknown CUDA is said" 4 \
	'condition cannot be checked: cuda>=12: CUDA of the driver is not known; see .nvfs devices' \
	nvinject --pid "$PID" --id unknown --devices all --require 'cuda>=12'
fails "an unknown brand is no brand" 4 'brand of GPU 0 is not known' \
	nvinject --pid "$PID" --id unknown --devices all --require 'brand=unknown'
ok "where another alternative holds, it is enough" nvinject --pid "$PID" --id unknown --devices all \
	--require 'cuda>=12 driver>=535'
kill_container unknown
done_testing
