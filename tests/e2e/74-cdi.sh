#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The Container Device Interface, with podman as its reader: the daemon keeps a file, containers get by it what
# --device names and no more, by runc and crun, as root and as a user; another one without hooks. hooks.d, too.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

command -v podman >/dev/null || skip_all "no podman"
command -v runc >/dev/null || skip_all "no runc"
RUNTIMES=(runc)
! command -v crun >/dev/null || RUNTIMES+=(crun)
RUNTIME=runc

# Its state, locks and temporary files are this script's own.
podman()
{
	timeout -k 5 $((100 * SLOW)) podman --root "$SCRATCH/podman" --runroot "$SCRATCH/podman-run" --tmpdir "$SCRATCH/podman-tmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --runtime "$RUNTIME" "$@" <"$SCRATCH/no-input"
}

in_podman()
{
	podman run --rm --network none "$@" || return 1 # 125 and 126 would look like our own timeout
}

# gets NAME PATTERN PODMAN-OPTION...: what a container so started answers
gets()
{
	local name=$1 pattern=$2

	shift 2
	ok "$RUNTIME: $name" in_podman "$@" localhost/image:1 sh -c "$WHAT"
	like "$RUNTIME: $name: what it has" "$(tr '\n' ' ' <<<"$OUT")" "$pattern"
}

file_has()
{
	jq -e "$1" /var/run/cdi/nvfs.json
}

host_snapshot
private_host
[ "$(readlink -f /var/run)" = /run ] || skip_all "/var/run is not /run here"
podman_conf
use_sample_driver
# Where podman without root looks for nodes, whatever hostPath says: a /dev of this script's own.
own_dev
DEV_ROOT=/dev
write_config 'grace = 1' 'cdi_dir = /var/run/cdi'
start_daemon --config "$CONFIG"
engine_image

# ---- the file ------------------------------------------------------------------------------------

ok "the daemon writes a file" wait_for 5 file_has '.kind == "nvfs.dev/gpu" and .cdiVersion == "0.5.0"'
is "its devices" "$(jq -r '[.devices[].name] | sort | join(" ")' /var/run/cdi/nvfs.json | sed 's/GPU-[^ ]*/GPU-/')" "0 GPU- all none"
ok "nvfs cdi list names them" nvfs cdi list
like "as podman takes them" "$OUT" 'nvfs\.dev/gpu=0.*nvfs\.dev/gpu=GPU-.*nvfs\.dev/gpu=all.*nvfs\.dev/gpu=none'
is "also as JSON" "$(nvfs cdi list --json | jq -r '.kind + "=" + .devices[]')" "$(nvfs cdi list)"
fails "generate has another word for that" 2 'generate takes --format, not --json' nvfs cdi generate --json
rm /var/run/cdi/nvfs.json
ok "a file that somebody removes comes back" wait_for 10 file_has .kind
gpus=$PROC_ROOT/driver/nvidia/gpus
cp -r "$gpus/0000:00:06.0" "$gpus/0000:00:07.0"
sed -i 's/GPU-......../GPU-ffffffff/; s/00:06.0/00:07.0/; s/Device Minor: .*/Device Minor: \t 1/' "$gpus/0000:00:07.0/information"
mknod -m 666 /dev/nvidia1 c 195 1
ok "a GPU that comes is in the file" wait_for 20 file_has '[.devices[].name] | index("1")'
like "by its UUID, too" "$(jq -r '.devices[].name' /var/run/cdi/nvfs.json | tr '\n' ' ')" 'GPU-ffffffff'
rm -r "$gpus/0000:00:07.0" /dev/nvidia1
ok "and one that goes is not" wait_for 20 file_has '[.devices[].name] | index("1") | not'
nvfs rescan >/dev/null # the node's going was enough for the file
ok "nvfs cdi generate" nvfs cdi generate --format json
is "says the same" "$(jq -S . <<<"$OUT")" "$(jq -S . /var/run/cdi/nvfs.json)"
mkdir "$SCRATCH/specs"
ok "to a file" nvfs cdi generate --output "$SCRATCH/specs/a.yaml"
is "which is whole, and alone" "$(ls -A "$SCRATCH/specs") $(stat -c %a "$SCRATCH/specs/a.yaml")" "a.yaml 644"
mkdir -p /etc/cdi
: >"$SCRATCH/specs/target"
ln -s target "$SCRATCH/specs/link"
ok "to a link, as /dev/stdout is one" nvfs cdi generate --output "$SCRATCH/specs/link"
ok "which is written through, and not replaced" test -L "$SCRATCH/specs/link" -a -s "$SCRATCH/specs/target"
rm "$SCRATCH/specs/link" "$SCRATCH/specs/target"
ok "as nvidia.com, which nobody claims" nvfs cdi generate --vendor nvidia.com --output /etc/cdi/nvidia.yaml
ok "again: its own file does not count" nvfs cdi generate --vendor nvidia.com --output /etc/cdi/nvidia.yaml
fails "but another's does" 2 "'/etc/cdi/nvidia.yaml' has devices of nvidia.com/gpu already" \
	nvfs cdi generate --vendor nvidia.com --output /var/run/cdi/nvidia.json
podman import -q "$IMAGE" localhost/image:1 >"$SCRATCH/import.log" 2>&1 || diag "$(cat "$SCRATCH/import.log")"
gets "nvidia.com/gpu=all, from YAML" "$HAS_GPU" --device nvidia.com/gpu=all
rm /etc/cdi/nvidia.yaml
fails "a vendor that cannot be" 2 "'a/b' cannot be a vendor" nvfs cdi generate --vendor a/b
fails "another word" 2 "'teleport' is no word of cdi" nvfs cdi teleport
fails "no such directory" 1 'open the directory' nvfs cdi generate --output "$SCRATCH/nonexistent/a.json"

# ---- as root -------------------------------------------------------------------------------------

UUID=$(nvfs cdi list | sed -n 's/.*=\(GPU-\)/\1/p')
for RUNTIME in "${RUNTIMES[@]}"; do
	gets "nvfs.dev/gpu=all" "$HAS_GPU" --device nvfs.dev/gpu=all
	gets "by index" "$HAS_GPU" --device nvfs.dev/gpu=0
	gets "twice, by index and UUID" "$HAS_GPU" --device nvfs.dev/gpu=0 --device "nvfs.dev/gpu=$UUID"
	gets "none: the driver alone" 'libcuda\.so\.1.*/dev/nvidia0 ENOENT' --device nvfs.dev/gpu=none
	gets "read-only" "$HAS_GPU" --device nvfs.dev/gpu=all --read-only
	gets "user namespace" "$HAS_GPU" --device nvfs.dev/gpu=all --uidmap 0:100000:65536 --gidmap 0:100000:65536
	gets "an image's environment is nothing to it" 'libcuda\.so\.1.*/dev/nvidia0 ENOENT' \
		--device nvfs.dev/gpu=none --env NVIDIA_VISIBLE_DEVICES=all
	gets "no device" "$HAS_NONE" --env NVIDIA_VISIBLE_DEVICES=all
done
RUNTIME=runc
podman run -d --name known --network none --device nvfs.dev/gpu=0 --device nvfs.dev/gpu=none localhost/image:1 sleep 1000 >/dev/null
is "the daemon knows who asked, and for what" "$(nvfs show --json "$(podman inspect -f '{{.Id}}' known)" | jq -r '.source + " " + .devices')" "cdi $UUID"
podman rm -f -t 0 known >/dev/null

mkdir "$SCRATCH/hooks.d"
# As NVIDIA's own file for hooks.d names it.
jq -n --arg path "$NVINJECT" --arg socket "$SOCKET" '{ version: "1.0.0", hook: { $path, env: ["PATH=/usr/bin:/bin"],
	args: ["nvidia-container-toolkit", "--socket", $socket, "prestart"] }, when: { always: true }, stages: ["prestart"] }' \
	>"$SCRATCH/hooks.d/10.json"
by_hooks_d()
{
	local name=$1 pattern=$2

	shift 2
	ok "$RUNTIME: $name" podman --hooks-dir "$SCRATCH/hooks.d" run --rm --network none "$@" localhost/image:1 sh -c "$WHAT"
	like "$RUNTIME: $name: what it has" "$(tr '\n' ' ' <<<"$OUT")" "$pattern"
}
for RUNTIME in "${RUNTIMES[@]}"; do
	by_hooks_d "hooks.d" "$HAS_GPU" --env NVIDIA_VISIBLE_DEVICES=all
	by_hooks_d "hooks.d, asked for nothing" "$HAS_NONE"
	by_hooks_d "hooks.d and CDI" "$HAS_GPU" --device nvfs.dev/gpu=all
done

# ---- as a user -----------------------------------------------------------------------------------

start_user
end_pause()
{
	local pid

	pid=$(cat "$SCRATCH/xdg/libpod/tmp/pause.pid") && kill -KILL "$pid"
}
at_exit end_pause
podman()
{
	as_user timeout -k 5 $((100 * SLOW)) podman --log-level=error --storage-driver vfs --cgroup-manager cgroupfs --runtime "$RUNTIME" "$@"
}
chmod 644 "$IMAGE"
podman import -q "$IMAGE" localhost/image:1 >"$SCRATCH/import.log" 2>&1 || diag "$(cat "$SCRATCH/import.log")"
for RUNTIME in "${RUNTIMES[@]}"; do
	gets "a user's, nvfs.dev/gpu=all" "$HAS_GPU" --device nvfs.dev/gpu=all
	gets "a user's, none: the driver alone" 'libcuda\.so\.1.*/dev/nvidia0 ENOENT' --device nvfs.dev/gpu=none
	by_hooks_d "a user's hooks.d" "$HAS_GPU" --env NVIDIA_VISIBLE_DEVICES=all
done

# ---- without hooks -------------------------------------------------------------------------------

ok "without hooks" nvfs cdi generate --no-hooks --vendor plain.nvfs.dev --output /var/run/cdi/plain.json
ok "there is none in it" jq -e '[.. | .hooks? // empty] == []' /var/run/cdi/plain.json
for RUNTIME in "${RUNTIMES[@]}"; do
	gets "a user's, without hooks" "$HAS_GPU" --device plain.nvfs.dev/gpu=all
done
unset -f podman
podman()
{
	timeout -k 5 $((100 * SLOW)) podman --root "$SCRATCH/podman" --runroot "$SCRATCH/podman-run" --tmpdir "$SCRATCH/podman-tmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --runtime "$RUNTIME" "$@" <"$SCRATCH/no-input"
}
for RUNTIME in "${RUNTIMES[@]}"; do
	gets "without hooks" "$HAS_GPU" --device plain.nvfs.dev/gpu=0
done

# ---- no daemon -----------------------------------------------------------------------------------

RUNTIME=runc
stop_daemon
ok "the file stays without a daemon" file_has .kind
fails "without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' in_podman --device nvfs.dev/gpu=all localhost/image:1 true
fails "and nothing is generated" 7 'systemctl start nvfs' nvfs cdi generate
gets "without a daemon, no device" "$HAS_NONE"
host_compare
version=$(command podman --version | sed 's/ version//')
client "$version" "--device nvfs.dev/gpu=..., runc and crun" 0 "root and user, with hooks and without; daemon down"
client "$version" "hooks.d: nvidia-container-toolkit prestart" 0 "driver and GPU"
done_testing
