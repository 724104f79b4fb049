#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# containerd: it takes contrib/containerd/config.toml and the base specification made by base-spec.jq, whose hook
# gives the GPU, runs containers by nvfs-runtime, and nvidia-container-cli for `ctr run --gpus`. Without our daemon
# they do not start.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

command -v containerd >/dev/null && command -v ctr >/dev/null || skip_all "no containerd"
example=$(dirname "$TESTS")/contrib/containerd
[ -e "$example/config.toml" ] || skip_all "no contrib/containerd in this bundle"

ctr()
{
	timeout -k 5 $((60 * SLOW)) ctr -a "$SCRATCH/cd/sock" "$@" <"$SCRATCH/no-input"
}

is_up()
{
	ctr version
}

# start_containerd: with the example's runtimes, the programs of this build, and directories of its own
start_containerd()
{
	mkdir -p "$SCRATCH/cd"
	{
		printf '%s\n' "root = \"$SCRATCH/cd/root\"" "state = \"$SCRATCH/cd/state\""
		sed "s|/usr/local/bin|$BUILD|; s|/etc/containerd/nvfs-base-spec.json|$SCRATCH/base.json|" "$example/config.toml"
		printf '%s\n' '[grpc]' "  address = \"$SCRATCH/cd/sock\""
	} >"$SCRATCH/cd/config.toml"
	NVFS_CONFIG=$CONFIG setsid containerd -c "$SCRATCH/cd/config.toml" >"$SCRATCH/cd/log" 2>&1 <"$SCRATCH/no-input" &
	CONTAINERD=$!
	at_exit kill -KILL "$CONTAINERD"
	wait_for 30 is_up || {
		diag "containerd did not come up: $(tail -n 20 "$SCRATCH/cd/log")"
		return 1
	}
}

# ctr may lose what a container says that ends at once: it is left in the container's root. said: on one line
SAYS="{ $WHAT; } >/tmp/said 2>&1"
said()
{
	tr '\n' ' ' <"$ROOTFS/tmp/said"
	rm "$ROOTFS/tmp/said"
}

# by_spec NAME FILTER: ctr with the base specification, changed to run our test in our root
by_spec()
{
	jq --arg root "$ROOTFS" --arg what "$SAYS" --arg cgroup "/$RUN_ID/$1" "$2"' | .process.args = ["/bin/sh", "-c", $what]
		| .root = { path: $root } | .linux.cgroupsPath = $cgroup' "$SCRATCH/base.json" >"$SCRATCH/spec-$1.json"
	ctr run --rm --config "$SCRATCH/spec-$1.json" "$1"
}

host_snapshot
private_host
use_sample_driver
write_config "socket = $SOCKET"
start_daemon --config "$CONFIG"
engine_image
ok "base-spec.jq makes a base specification" sh -c "ctr oci spec | jq -f '$example/base-spec.jq' >'$SCRATCH/base.json'"
# Its hook as this test needs it.
jq --arg path "$NVINJECT" --arg socket "$SOCKET" \
	'.hooks.createRuntime[0] |= (.path = $path | .args += ["--socket", $socket])' "$SCRATCH/base.json" >"$SCRATCH/base.new"
mv "$SCRATCH/base.new" "$SCRATCH/base.json"
if start_containerd; then # in this shell, which ends it
	pass "containerd takes contrib/containerd/config.toml"
else
	fail "containerd takes contrib/containerd/config.toml"
fi
like "and its runtimes are what it says" "$(containerd -c "$SCRATCH/cd/config.toml" config dump | tr '\n' ' ')" \
	"runtimes.nvfs\\].*base_runtime_spec = [\"']$SCRATCH/base.json.*runtimes.nvidia.options\\].*BinaryName = [\"']$BUILD/nvfs-runtime"
like "the plugin of Kubernetes is up with it" "$(ctr plugins ls)" 'io\.containerd\.grpc\.v1 +cri +[^ ]+ +ok'

ASKS='.process.env += ["NVIDIA_VISIBLE_DEVICES=all"]'
ok "by the base specification" by_spec spec-asks "$ASKS"
like "by the base specification: it has the GPU" "$(said)" "$HAS_GPU"
ok "by the base specification, asked for nothing" by_spec spec-none .
like "by the base specification, asked for nothing: it has none" "$(said)" "$HAS_NONE"

# ctr's own way to name a program; a RuntimeClass comes to the same BinaryName.
by_runtime()
{
	ctr run --rm --runc-binary "$BUILD/nvfs-runtime" --cgroup "/$RUN_ID/$1" --rootfs "${@:2}" "$ROOTFS" "$1" /bin/sh -c "$SAYS"
}
ok "by nvfs-runtime" by_runtime run-asks --env NVIDIA_VISIBLE_DEVICES=all
like "by nvfs-runtime: it has the GPU" "$(said)" "$HAS_GPU"
ok "by nvfs-runtime, asked for nothing" by_runtime run-none
like "by nvfs-runtime, asked for nothing: it has none" "$(said)" "$HAS_NONE"

# ctr's --gpus makes a hook of containerd's own, which expands the command line of a program that is in ctr's PATH.
mkdir "$SCRATCH/bin"
printf '#!/bin/sh\necho "$*" >%q\nexec %q --socket %q "$@"\n' "$SCRATCH/called" "$BUILD/nvidia-container-cli" "$SOCKET" \
	>"$SCRATCH/bin/nvidia-container-cli"
chmod 755 "$SCRATCH/bin/nvidia-container-cli"
by_gpus()
{
	PATH=$SCRATCH/bin:$PATH ctr run --rm --cgroup "/$RUN_ID/$1" "${@:2}" --rootfs "$ROOTFS" "$1" /bin/sh -c "$SAYS"
}
ok "by --gpus 0" by_gpus gpus-0 --gpus 0
like "by --gpus 0: it has the GPU" "$(said)" "$HAS_GPU"
like "by --gpus 0: containerd called us so" "$(cat "$SCRATCH/called")" \
	'^--load-kmods .*configure .*--device=0 .*--compute .*--pid=[0-9]+ /'
ok "by --gpus 0, a second time in the same root" by_gpus gpus-again --gpus 0
like "by --gpus 0, a second time: it has the GPU" "$(said)" "$HAS_GPU"
fails "by --gpus 7" 1 'nvidia-container-cli: device error: 7: unknown device' by_gpus gpus-7 --gpus 7

stop_daemon
fails "by --gpus without a daemon" 1 \
	'nvidia-container-cli: initialization error: nvfs does not answer: .*; systemctl start nvfs' by_gpus gpus-down --gpus 0
fails "by the base specification without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' by_spec spec-down "$ASKS"
fails "by nvfs-runtime without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' \
	by_runtime run-down --env NVIDIA_VISIBLE_DEVICES=all
ok "by the base specification without a daemon, asked for nothing" by_spec spec-down-none .
kill "$CONTAINERD"
wait_for 20 has_ended "$CONTAINERD"
host_compare
version=$(containerd --version | awk '{ print "containerd " $3 }')
client "$version" "ctr --gpus 0: nvidia-container-cli" 0 "driver, GPU; unknown GPU; daemon down"
client "$version" "nvfs-runtime (--runc-binary), base spec's hook" 0 "driver, GPU; nothing asked; daemon down"
done_testing
