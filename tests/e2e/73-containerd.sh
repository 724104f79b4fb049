#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# containerd: it takes contrib/containerd/config.toml and the base specification made by base-spec.jq, whose hook
# gives the GPU, runs containers by nvfs-runtime, and nvidia-container-cli for `ctr run --gpus`; pods of Kubernetes
# by the handlers of that file. Without our daemon they do not start.
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

# Those that a failure has left: their shims outlive containerd.
end_tasks()
{
	for space in default k8s.io; do
		ctr -n "$space" task ls --quiet | while read -r name; do
			ctr -n "$space" task delete --force "$name"
		done
	done
}

# start_containerd: with the example's runtimes, the programs of this build, and directories of its own. A pod's
# sandbox wants an OOM score that not every machine of a test may give.
start_containerd()
{
	mkdir -p "$SCRATCH/cd"
	{
		printf '%s\n' "root = \"$SCRATCH/cd/root\"" "state = \"$SCRATCH/cd/state\""
		sed "s|/usr/local/bin|$BUILD|; s|/etc/containerd/nvfs-base-spec.json|$SCRATCH/base.json|" "$example/config.toml"
		printf '%s\n' '[grpc]' "  address = \"$SCRATCH/cd/sock\"" '[plugins."io.containerd.grpc.v1.cri"]' \
			"  sandbox_image = \"$POD_IMAGE\"" '  restrict_oom_score_adj = true'
	} >"$SCRATCH/cd/config.toml"
	NVFS_CONFIG=$CONFIG setsid containerd -c "$SCRATCH/cd/config.toml" >"$SCRATCH/cd/log" 2>&1 <"$SCRATCH/no-input" &
	CONTAINERD=$!
	at_exit kill -KILL "$CONTAINERD"
	at_exit end_tasks
	wait_for 30 is_up || {
		diag "containerd did not come up: $(tail -n 20 "$SCRATCH/cd/log")"
		return 1
	}
}

# pod_image: what all containers of a pod are made of, known to the plugin of Kubernetes
POD_IMAGE=nvfs.test/pod:1
pod_image()
{
	local dir=$SCRATCH/pod-image

	mkdir "$dir"
	ln "$IMAGE" "$dir/layer.tar"
	jq -n --arg arch "$(dpkg --print-architecture)" --arg id "sha256:$(sha256sum <"$IMAGE" | cut -d' ' -f1)" \
		'{ architecture: $arch, os: "linux", config: { Cmd: ["/bin/sleep", "1000"] },
		rootfs: { type: "layers", diff_ids: [$id] } }' >"$dir/config.json"
	jq -n --arg name "$POD_IMAGE" \
		'[{ Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"] }]' >"$dir/manifest.json"
	tar -C "$dir" -cf - manifest.json config.json layer.tar >"$SCRATCH/pod-image.tar"
	timeout -k 5 $((60 * SLOW)) ctr -a "$SCRATCH/cd/sock" -n k8s.io images import "$SCRATCH/pod-image.tar" &&
		protoc -I "$TESTS/data" --python_out="$SCRATCH" cri.proto
}

# pod HANDLER COMMAND [NAME=VALUE...]
pod()
{
	timeout -k 5 $((120 * SLOW)) "$TESTS/cri" "$SCRATCH/cd/sock" "$SCRATCH" "/$RUN_ID-pod" "$POD_IMAGE" "$@"
}

# ctr may lose what a container says that ends at once: it is left in the container's root, or in /said of one that
# cannot be written to. said: on one line
SAYS="{ $WHAT; } >/tmp/said 2>&1"
said()
{
	tr '\n' ' ' <"${1:-$ROOTFS/tmp}/said"
	rm "${1:-$ROOTFS/tmp}/said"
}

# by_spec NAME FILTER: ctr with the base specification, changed to run our test in our root
by_spec()
{
	jq --arg root "$ROOTFS" --arg what "$SAYS" --arg cgroup "/$RUN_ID/$1" '.process.args = ["/bin/sh", "-c", $what]
		| .root = { path: $root } | .linux.cgroupsPath = $cgroup | '"$2" "$SCRATCH/base.json" >"$SCRATCH/spec-$1.json"
	ctr run --rm --config "$SCRATCH/spec-$1.json" "$1"
}

host_snapshot
private_host
SAMPLE_CUDA=13.0 use_sample_driver
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
# What other callers of containerd's packages ask for, and ctr cannot be told to, stands in this file.
: >"$SCRATCH/more"
printf '#!/bin/bash\necho "$*" >%q\nmapfile -t more <%q\nexec %q --socket %q "${@:1:$#-1}" "${more[@]}" "${!#}"\n' \
	"$SCRATCH/called" "$SCRATCH/more" "$BUILD/nvidia-container-cli" "$SOCKET" >"$SCRATCH/bin/nvidia-container-cli"
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

# ---- pods ----------------------------------------------------------------------------------------

# pods: as a kubelet asks for them; the runtime's handler is what a RuntimeClass names
pods()
{
	ok "an image for pods" pod_image
	ok "a pod of the RuntimeClass nvidia" pod nvidia "$WHAT" NVIDIA_VISIBLE_DEVICES=all
	like "it has the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
	ok "a pod of the RuntimeClass nvidia that asks for nothing" pod nvidia "$WHAT"
	like "it has none" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_NONE"
	ok "a pod of the handler with the base specification" pod nvfs "$WHAT" NVIDIA_VISIBLE_DEVICES=0
	like "it has the GPU, too" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
	ok "a pod of no RuntimeClass" pod "" "$WHAT" NVIDIA_VISIBLE_DEVICES=all
	like "it has none" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_NONE"
	fails "a pod that requires more than there is" 120 'nvinject: requirement: unsatisfied condition: cuda>=999' \
		pod nvidia true NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=999'
	fails "a pod that asks for another GPU" 120 'nvinject: device: 7: unknown device' \
		pod nvidia true NVIDIA_VISIBLE_DEVICES=7
	is "no pod is left" "$(ctr -n k8s.io containers ls -q)" ""
}

has_cri=
! /usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || ! command -v protoc >/dev/null || has_cri=yes
if [ "$has_cri" ]; then
	before=$TEST_FAILED
	pods
else
	skip "pods of Kubernetes" "no grpc for python3, or no protoc"
fi

# ---- bad requests, and roots that are not as they should be --------------------------------------

fails "ctr, base specification: unknown driver capability" 1 'nvinject: usage: .*teleport' \
	by_spec spec-capability "$ASKS"' | .process.env += ["NVIDIA_DRIVER_CAPABILITIES=teleport"]'
fails "ctr, nvfs-runtime: unknown driver capability" 1 'nvinject: usage: .*teleport' \
	by_runtime run-capability --env NVIDIA_VISIBLE_DEVICES=all --env NVIDIA_DRIVER_CAPABILITIES=teleport
echo --teleport >"$SCRATCH/more"
fails "ctr --gpus: unknown driver capability" 1 "unrecognized option '--teleport'" by_gpus gpus-capability --gpus 0
fails "ctr, base specification: cuda>=999" 1 'nvinject: requirement: unsatisfied condition: cuda>=999' \
	by_spec spec-require "$ASKS"' | .process.env += ["NVIDIA_REQUIRE_CUDA=cuda>=999"]'
fails "ctr, nvfs-runtime: cuda>=999" 1 'nvinject: requirement: unsatisfied condition: cuda>=999' \
	by_runtime run-require --env NVIDIA_VISIBLE_DEVICES=all --env 'NVIDIA_REQUIRE_CUDA=cuda>=999'
echo '--require=cuda>=999' >"$SCRATCH/more"
fails "ctr --gpus: cuda>=999" 1 'requirement error: unsatisfied condition: cuda>=999' by_gpus gpus-require --gpus 0
: >"$SCRATCH/more"

BUSYBOX=$ROOTFS
mkdir "$SCRATCH/said"
SAID=type=bind,src=$SCRATCH/said,dst=/said,options=bind:rw
SAYS="{ touch /written; $LOOK; } >/said/said 2>&1"
make_rootfs glibc readonly
mkdir "$ROOTFS/said"
# answers NAME REGEX
answers()
{
	like "$1" "$(said "$SCRATCH/said")" "$2"
}
READONLY=".*Read-only file system.*$GOOD_READONLY"
ok "ctr, base specification: read-only root" by_spec spec-readonly "$ASKS | .root.readonly = true
	| .mounts += [{ destination: \"/said\", source: \"$SCRATCH/said\", type: \"bind\", options: [\"bind\", \"rw\"] }]"
answers "ctr, base specification, read-only root: it has the driver and the GPU" "$READONLY"
ok "ctr, nvfs-runtime: --read-only" by_runtime run-readonly --env NVIDIA_VISIBLE_DEVICES=all --read-only --mount "$SAID"
answers "ctr, nvfs-runtime, --read-only: it has the driver and the GPU" "$READONLY"
ok "ctr --gpus: --read-only" by_gpus gpus-readonly --gpus 0 --read-only --mount "$SAID"
answers "ctr --gpus, --read-only: it has the driver and the GPU" "$READONLY"

# Each in a root of its own: links that the one has made would help the next.
SAYS="{ $LOOK_STALE; } >/tmp/said 2>&1"
for way in spec run gpus; do
	make_rootfs glibc "stale-$way"
	stale "$ROOTFS"
	case $way in
	spec) ok "ctr, base specification: files of another driver, some empty" by_spec spec-stale "$ASKS" ;;
	run) ok "ctr, nvfs-runtime: files of another driver, some empty" by_runtime run-stale --env NVIDIA_VISIBLE_DEVICES=all ;;
	gpus) ok "ctr --gpus: files of another driver, some empty" by_gpus gpus-stale --gpus 0 ;;
	esac
	like "ctr, $way, stale root: the driver's own libcuda is loaded, and the GPU is there" "$(said)" "$GOOD"
done

# has NAME CONTAINER: one that runs
has()
{
	try ctr task exec --exec-id look "$2" /bin/sh -c "{ $LOOK; } >/tmp/said 2>&1"
	like "$1: has the driver and the GPU" "$(said)" "$GOOD"
}

# at_once CLIENT PREFIX OPTION...: two containers in $ROOTFS at the same time
at_once()
{
	local client=$1 prefix=$2 name

	shift 2
	for name in first second; do
		ok "$client, two in one root: the $name starts" env "PATH=$SCRATCH/bin:$PATH" \
			timeout -k 5 $((60 * SLOW)) ctr -a "$SCRATCH/cd/sock" run --detach --cgroup "/$RUN_ID/$prefix-$name" \
			"$@" --rootfs "$ROOTFS" "$prefix-$name" /bin/sh -c "PATH=$PATH; exec sleep 1000"
	done
	has "$client, two in one root: the first" "$prefix-first"
	has "$client, two in one root: the second" "$prefix-second"
	ctr task delete --force "$prefix-first" >/dev/null 2>&1 || true # 137, as of any that was killed
	unlike "$client, two in one root: the first has ended" "$(ctr task ls)" "$prefix-first"
	has "$client, two in one root: the second, alone" "$prefix-second"
	ctr task delete --force "$prefix-second" >/dev/null 2>&1 || true # 137
	ctr container delete "$prefix-first" "$prefix-second" || true
}
make_rootfs glibc both
at_once "ctr, nvfs-runtime" run-both --runc-binary "$BUILD/nvfs-runtime" --env NVIDIA_VISIBLE_DEVICES=all
make_rootfs glibc both-gpus
at_once "ctr --gpus" gpus-both --gpus 0
ROOTFS=$BUSYBOX SAYS="{ $WHAT; } >/tmp/said 2>&1"

# ---- no daemon -----------------------------------------------------------------------------------

stop_daemon
fails "by --gpus without a daemon" 1 \
	'nvidia-container-cli: initialization error: nvfs does not answer: .*; systemctl start nvfs' by_gpus gpus-down --gpus 0
fails "by the base specification without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' by_spec spec-down "$ASKS"
[ ! "$has_cri" ] || fails "a pod without a daemon" 120 'nvinject: daemon: .*systemctl start nvfs' \
	pod nvidia true NVIDIA_VISIBLE_DEVICES=all
fails "by nvfs-runtime without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' \
	by_runtime run-down --env NVIDIA_VISIBLE_DEVICES=all
ok "by the base specification without a daemon, asked for nothing" by_spec spec-down-none .
skip_when_down
ok "ctr, base specification: daemon down, to be skipped" by_spec spec-skip "$ASKS"
like "ctr, base specification, skipped: it has none" "$(said)" "$HAS_NONE"
ok "ctr, nvfs-runtime: daemon down, to be skipped" by_runtime run-skip --env NVIDIA_VISIBLE_DEVICES=all
like "ctr, nvfs-runtime, skipped: it has none" "$(said)" "$HAS_NONE"
ok "ctr --gpus: daemon down, to be skipped" by_gpus gpus-skip --gpus 0
like "ctr --gpus, skipped: it has none" "$(said)" "$HAS_NONE"
kill "$CONTAINERD"
wait_for 20 has_ended "$CONTAINERD"
host_compare
version=$(containerd --version | awk '{ print "containerd " $3 }')
client "$version" "ctr --gpus 0: nvidia-container-cli" 0 "driver, GPU; unknown GPU; daemon down"
client "$version" "nvfs-runtime (--runc-binary), base spec's hook" 0 "driver, GPU; nothing asked; daemon down"
[ ! "$has_cri" ] || client "$version" "CRI: RuntimeClass nvidia, base spec's handler" "$before" \
	"driver, GPU; nothing asked; no class; cuda>=999, unknown GPU; daemon down"
client "$version" "all three, bad requests" 0 "capability, cuda>=999 (ctr can ask for neither: put in); skip"
client "$version" "all three, read-only and stale roots" 0 "--read-only; 0-byte and old files"
client "$version" "--gpus, nvfs-runtime: one --rootfs for two" 0 "both at once; the first ends"
done_testing
