#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# LXC's own hook for NVIDIA (liblxc-common), in containers with a user namespace, with our nvidia-container-cli first
# in its PATH: what it asks for is what the container gets, and what cannot be stops the container with the reason.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

HOOK=/usr/share/lxc/hooks/nvidia
command -v lxc-execute >/dev/null || skip_all "no lxc"
[ -x "$HOOK" ] || skip_all "no $HOOK"
BASE=200000
VERSION="LXC $(lxc-execute --version)"

# config NAME ROOTFS LINE...: a container with the hook, or with what ASKS says
config()
{
	mkdir -p "$SCRATCH/lxc/$1"
	printf '%s\n' "lxc.rootfs.path = dir:$2" "lxc.uts.name = c" "lxc.idmap = u 0 $BASE 65536" \
		"lxc.idmap = g 0 $BASE 65536" 'lxc.net.0.type = empty' 'lxc.autodev = 1' \
		'lxc.mount.auto = proc:mixed sys:mixed' 'lxc.apparmor.profile = unconfined' \
		"${ASKS:-lxc.hook.mount = $HOOK}" 'lxc.hook.version = 1' \
		"lxc.environment = PATH=$SCRATCH/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "${@:3}" \
		>"$SCRATCH/lxc/$1/config"
}

# lxc NAME ENV... -- COMMAND...: it runs the command; its words and the log's in $OUT
lxc()
{
	local name=$1 lines=()

	shift
	while [ "$1" != -- ]; do
		lines+=("lxc.environment = $1")
		shift
	done
	shift
	config "$name" "$ROOTFS" ${lines[@]+"${lines[@]}"} ${MORE:+"$MORE"}
	rm -f "$SCRATCH/lxc.log"
	timeout -k 5 $((60 * SLOW)) lxc-execute -P "$SCRATCH/lxc" -n "$RUN_ID-$name" -f "$SCRATCH/lxc/$name/config" \
		-o "$SCRATCH/lxc.log" -l DEBUG -- "$@" <"$SCRATCH/no-input" 2>&1 || return 1
}

# refused NAME REGEX ENV...: the container does not start, and LXC's log has why
refused()
{
	local name=$1 regex=$2 said

	shift 2
	# A signal that comes while LXC reads a hook's output ends its reading: what follows is lost.
	for _ in 1 2 3; do
		try lxc refused "$@" -- /bin/true
		# LXC 6 makes several lines of one.
		said=$(sed -n 's/.*produced output: //p' "$SCRATCH/lxc.log" | tr -d '\n')
		[[ ! $said =~ $regex ]] || break
	done
	is "$name: the container does not start" "$STATUS" 1
	like "$name: and why is in LXC's log" "$said" "$regex"
}

shifted()
{
	find "$1" -xdev -exec chown -h "$BASE:$BASE" {} +
}

LOADS='exec 2>&1; dlopen libcuda.so.1; nvidia-smi; opendev /dev/nvidia0; ldconfig -p | grep -c "libcuda.so.1 "; true'
GOOD='/usr/local/nvidia/lib64/libcuda\.so\.[0-9.]+.*NVIDIA-SMI.*/dev/nvidia0 ENXIO.* [1-9]'

# all_good NAME: the words of $LOADS
all_good()
{
	like "$1" "$(tr '\n' ' ' <<<"$OUT")" "$GOOD"
}

host_snapshot
had_pivot=$(find /sys/fs/cgroup -maxdepth 2 -name 'lxc.*' 2>/dev/null | sort)
# LXC leaves the cgroup that it moved its own process to.
remove_pivots()
{
	find /sys/fs/cgroup -maxdepth 2 -name 'lxc.*' 2>/dev/null | sort | comm -13 <(echo "$had_pivot") - | xargs -r rmdir
}
at_exit remove_pivots
private_host
echo "root:$BASE:65536" | tee -a /etc/subuid >>/etc/subgid
mkdir -p /etc/nvfs "$SCRATCH/bin"
cp "$BUILD/nvidia-container-cli" "$NVINJECT" "$SCRATCH/bin/"
# Nobody tells these programs of another socket.
SOCKET=/run/nvfsd/nvfs.sock MOUNTPOINT=/run/nvfs
SAMPLE_CUDA=13.0 use_sample_driver
start_daemon --config "$CONFIG"
make_rootfs glibc
shifted "$ROOTFS"
# The hook keeps its log beside a root of this name.
mkdir -p "$SCRATCH/lxc/rootfs"
chown "$BASE:$BASE" "$SCRATCH/lxc"
mount --bind "$ROOTFS" "$SCRATCH/lxc/rootfs"
ROOTFS=$SCRATCH/lxc/rootfs

before=$TEST_FAILED
ok "a container with all" lxc all NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility -- sh -c "$LOADS"
all_good "has the driver and the GPU"
like "the hook called us" "$(cat "$SCRATCH/lxc.log")" \
	'nvidia-container-cli (--debug=[^ ]* )?--user configure --no-cgroups --ldconfig=@[^ ]*/ldconfig --device=all --compute --utility '
like "and has our log" "$(tr '\n' ' ' <"$SCRATCH/lxc/hook/nvidia.log")" 'WARNING, the following logs .*nvinject.*--standalone'
ok "GPU 0, and the capabilities that are the hook's default" lxc default NVIDIA_VISIBLE_DEVICES=0 -- sh -c "$LOADS"
like "has nvidia-smi, and no libcuda" "$(tr '\n' ' ' <<<"$OUT")" 'libcuda.*(cannot|No such).*NVIDIA-SMI.*/dev/nvidia0 ENXIO 0'
ok "none" lxc none NVIDIA_VISIBLE_DEVICES=none NVIDIA_DRIVER_CAPABILITIES=compute -- sh -c "$LOADS"
like "has libcuda, and no GPU" "$(tr '\n' ' ' <<<"$OUT")" '/usr/local/nvidia/lib64/libcuda.*/dev/nvidia0 ENOENT'
ok "void" lxc void NVIDIA_VISIBLE_DEVICES=void -- sh -c "$LOADS"
like "has nothing" "$(tr '\n' ' ' <<<"$OUT")" 'libcuda.*(cannot|No such).*/dev/nvidia0 ENOENT'
ASKS="lxc.include = $(dirname "$TESTS")/contrib/lxc/nvidia.conf"
ok "the example" lxc example -- sh -c "$LOADS"
all_good "has the driver and the GPU"
ASKS=
client "$VERSION" "hook of liblxc-common, user namespace" "$before" "all, default, none, void; the example of contrib"

before=$TEST_FAILED
refused "an unknown device" 'nvidia-container-cli: device error: 7: unknown device' NVIDIA_VISIBLE_DEVICES=7
refused "a capability that the hook does not know" 'Unknown driver capability "teleport"' \
	NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=teleport
refused "a requirement" 'requirement error: unsatisfied condition: cuda>=999, please update your driver' \
	NVIDIA_VISIBLE_DEVICES=all 'NVIDIA_REQUIRE_CUDA=cuda>=999'
ok "a requirement that is not to be looked at" lxc disabled NVIDIA_VISIBLE_DEVICES=all \
	'NVIDIA_REQUIRE_CUDA=cuda>=999' NVIDIA_DISABLE_REQUIRE=1 NVIDIA_DRIVER_CAPABILITIES=all -- sh -c "$LOADS"
all_good "has all"
client "$VERSION" "the same, bad requests" "$before" "device, capability, cuda>=999"

before=$TEST_FAILED
MORE='lxc.rootfs.options = ro'
ok "a read-only root" lxc readonly NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility -- sh -c "$LOADS"
like "has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" 'nv.*/lib64/libcuda\.so.*/dev/nvidia0 ENXIO'
MORE=
stale "$ROOTFS" "$BASE"
ok "a root with files of another driver, some empty" lxc stale NVIDIA_VISIBLE_DEVICES=all \
	NVIDIA_DRIVER_CAPABILITIES=compute,utility -- sh -c "$LOADS"
all_good "has the driver and the GPU"
client "$VERSION" "the same, read-only and stale roots" "$before" "ro, 0-byte and old files"

# ---- two containers, one root --------------------------------------------------------------------

before=$TEST_FAILED
config first "$ROOTFS" "lxc.environment = NVIDIA_VISIBLE_DEVICES=all" \
	"lxc.environment = NVIDIA_DRIVER_CAPABILITIES=compute,utility"
# Until it is told: not a number of seconds.
in_background lxc-execute -P "$SCRATCH/lxc" -n "$RUN_ID-first" -f "$SCRATCH/lxc/first/config" -- \
	sh -c 'until [ -e /tmp/both ]; do sleep 0.1; done; '"{ $LOADS; } >/tmp/first" <"$SCRATCH/no-input" >/dev/null 2>&1
first=$CHILD
is_running()
{
	lxc-info -P "$SCRATCH/lxc" -n "$RUN_ID-first" | grep RUNNING && [ "$(nvfs ls --json | jq '.trees | length')" -gt 0 ]
}
chmod 1777 "$ROOTFS/tmp"
rm -rf "$ROOTFS/tmp/both"
ok "two containers of one root: the first starts" wait_for 20 is_running
ok "the second" lxc second NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility -- sh -c "$LOADS"
all_good "has all"
touch "$ROOTFS/tmp/both"
wait "$first" || true
OUT=$(cat "$ROOTFS/tmp/first")
all_good "and the first has kept it"
client "$VERSION" "the same, one root for two" "$before" "both at once"

# ---- NVIDIA's own files --------------------------------------------------------------------------

before=$TEST_FAILED
stop_daemon
if use_real_driver 535; then
	start_daemon --config "$CONFIG"
	ok "NVIDIA's own driver" lxc real NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility -- \
		sh -c 'exec 2>&1; dlopen libcuda.so.1; dlopen libnvidia-ml.so.1; opendev /dev/nvidia0; true'
	like "is loaded" "$(tr '\n' ' ' <<<"$OUT")" 'lib64/libcuda\.so\.535\..*lib64/libnvidia-ml\.so\.535\..* ENXIO'
	stop_daemon
	client "$VERSION" "the same, NVIDIA's 535" "$before" "libcuda and NVML are loaded"
else
	no_client "$VERSION" "the same, NVIDIA's 535" "$(tail -n 1 "$SCRATCH/fetch.log")"
fi

# ---- no daemon -----------------------------------------------------------------------------------

before=$TEST_FAILED
refused "without a daemon" 'nvidia-container-cli: initialization error: nvfs does not answer: .*; systemctl start nvfs' \
	NVIDIA_VISIBLE_DEVICES=all
echo 'on_daemon_down = skip' >/etc/nvfs/nvfs.conf
ok "without a daemon, where that is to be skipped" lxc skip NVIDIA_VISIBLE_DEVICES=all -- sh -c "$LOADS"
like "it has nothing" "$(tr '\n' ' ' <<<"$OUT")" '/dev/nvidia0 ENOENT'
client "$VERSION" "the same, daemon down" "$before" "refused; on_daemon_down = skip"
remove_pivots
host_compare
done_testing
