#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvinject by the name of NVIDIA's hook, and beside it: one whose container has the driver from NVIDIA's own
# tool already leaves it alone; and limits without a limit, which are no integer of most libraries'.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

words()
{
	printf '%s\n' "$@" | jq -Rnc '[inputs]'
}

# hook_as STAGE PATH ARG...: a filter that adds a hook
hook_as()
{
	printf '.hooks.%s += [{ path: "%s", args: %s, env: %s, timeout: 30 }]' "$1" "$2" "$(words "${@:3}")" \
		"$(words "PATH=$PATH")"
}

# started NAME FILTER: exit status in $STATUS, runc's words in $OUT
started()
{
	make_rootfs glibc "$1"
	STATUS=0
	run_container "$1" "$ROOTFS" "$2" >"$SCRATCH/started" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/started" "$SCRATCH/bundle-$1/log")
}

has_gpu()
{
	is "$1: the container starts" "$STATUS" 0
	is "$1: the GPU is allowed" "$(in_container "$1" opendev /dev/nvidia0 2>&1)" "/dev/nvidia0 ENXIO"
	ok "$1: libcuda is loaded" in_container "$1" dlopen libcuda.so.1
	kill_container "$1"
}

ASKS='.process.env += ["NVIDIA_VISIBLE_DEVICES=all"]'
host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"

# ---- names ---------------------------------------------------------------------------------------

for name in nvidia-container-runtime-hook nvidia-container-toolkit; do
	started "$name" "$ASKS | $(hook_as prestart "$NVINJECT" "$name" -config=/etc/nvidia-container-runtime/config.toml --socket "$SOCKET" prestart)"
	has_gpu "$name"
done
mkdir "$SCRATCH/bin"
ln -s "$NVINJECT" "$SCRATCH/bin/nvidia-container-runtime-hook"
by_name()
{
	"$SCRATCH/bin/nvidia-container-runtime-hook" "$@" <"$SCRATCH/no-input"
}
ok "its poststart does nothing" by_name poststart
ok "its poststop does nothing" by_name poststop
ok "and takes options as Go does" by_name -config=/etc/nvidia-container-runtime/config.toml -debug poststop
fails "a word that it does not know" 2 "surplus argument 'teleport'" by_name teleport
fails "no word" 2 "without the word 'prestart'" by_name
fails "prestart without a state" 2 'usage: state' by_name prestart

# ---- beside NVIDIA's own -------------------------------------------------------------------------

# As nvidia-container-cli leaves a container: a tmpfs on /proc/driver/nvidia. There is no such directory where the
# module is not loaded, so that one is made first.
cat >"$SCRATCH/nvidias" <<E
#!/bin/sh
pid=\$(jq .pid) && exec nsenter -t "\$pid" -m sh -c 'mount -t tmpfs other "\$1/proc/driver" &&
	mkdir "\$1/proc/driver/nvidia" && mount -t tmpfs other "\$1/proc/driver/nvidia"' sh "\$1"
E
chmod 755 "$SCRATCH/nvidias"
started beside "$ASKS | $(hook_as prestart "$SCRATCH/nvidias" nvidias "$SCRATCH/rootfs-beside") |
	$(hook_as createRuntime "$NVINJECT" nvinject hook --socket "$SOCKET")"
is "beside NVIDIA's tool: the container starts" "$STATUS" 0
is "beside NVIDIA's tool: it is left alone" "$(mounts_in "$PID" | grep -c fuse.nvfs || true)" 0
not_ok "beside NVIDIA's tool: the daemon knows nothing of it" nvfs show "$(container_id beside)"
kill_container beside

# What it says, which runc keeps to itself where a hook succeeds.
started manual "$ASKS | $(hook_as prestart "$SCRATCH/nvidias" nvidias "$SCRATCH/rootfs-manual")"
jq -n --arg bundle "$SCRATCH/bundle-manual" --arg root / --argjson pid "$PID" \
	'{ id: "manual", bundle: $bundle, root: $root, pid: $pid }' >"$SCRATCH/state"
hook()
{
	nvinject hook <"$SCRATCH/state"
}
ok "beside NVIDIA's tool: it succeeds" hook
like "beside NVIDIA's tool: and says why it does nothing" "$OUT" "no GPU for this container: NVIDIA's own tool has injected it"
kill_container manual

# As nvidia-ctk's CDI files and jit-cdi leave config.json.
: >"$SCRATCH/libcuda.so.580.95.05"
FILE=/usr/lib/libcuda.so.580.95.05
started files "$ASKS | .mounts += [{ type: \"bind\", source: \"$SCRATCH/libcuda.so.580.95.05\", destination: \"$FILE\",
	options: [\"bind\", \"ro\"] }] | $(hook_as createRuntime "$NVINJECT" nvinject hook --socket "$SOCKET")"
is "beside NVIDIA's files: the container starts" "$STATUS" 0
is "beside NVIDIA's files: it is left alone" "$(mounts_in "$PID" | grep -c fuse.nvfs || true)" 0
kill_container files

# ---- no limit ------------------------------------------------------------------------------------

started limits "$ASKS | $(hook_as createRuntime "$NVINJECT" nvinject hook --socket "$SOCKET")"
kill_container limits
# jq would write it as a float; runc must not try to set it, so the hook is asked alone.
sed -i 's/"rlimits": \[/"rlimits": [ { "type": "RLIMIT_MEMLOCK", "hard": 18446744073709551615, "soft": 18446744073709551615 },/' \
	"$SCRATCH/bundle-limits/config.json"
ok "config.json has a limit of 2^64 - 1" grep -q 18446744073709551615 "$SCRATCH/bundle-limits/config.json"
sed -i 's/NVIDIA_VISIBLE_DEVICES=all/NVIDIA_VISIBLE_DEVICES=void/' "$SCRATCH/bundle-limits/config.json"
jq -n --arg bundle "$SCRATCH/bundle-limits" '{ id: "limits", bundle: $bundle, pid: 1 }' >"$SCRATCH/state"
ok "an unlimited limit is read" hook

stop_daemon
host_compare
done_testing
