#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# dockerd: --gpus, for which it runs a program by the name of NVIDIA's hook, and the runtime of
# contrib/docker/daemon.json. Without our daemon such a container does not start, and the reason is shown.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

[ -x /usr/sbin/dockerd ] && [ -x /usr/bin/docker ] || skip_all "no dockerd"
example=$(dirname "$TESTS")/contrib/docker/daemon.json
[ -e "$example" ] || skip_all "no contrib/docker/daemon.json in this bundle"

docker()
{
	timeout -k 5 $((60 * SLOW)) /usr/bin/docker -H "unix://$SCRATCH/dk/sock" "$@" <"$SCRATCH/no-input"
}

in_docker()
{
	docker run --rm --network none --cgroup-parent "/$RUN_ID" "$@" || return 1 # 125 would look like our own timeout
}

is_up()
{
	docker version
}

end_dockerd()
{
	local pid

	pid=$(cat "$SCRATCH/dk/pid") || return 0
	kill "$pid"
	wait_for 20 has_ended "$pid" || kill -KILL "$pid"
}

# NVIDIA's name in dockerd's PATH, as a link would be, but for the socket
hook_in_path()
{
	mkdir "$SCRATCH/bin"
	printf '#!/bin/bash\nexec -a nvidia-container-runtime-hook %q --socket %q "$@"\n' "$NVINJECT" "$SOCKET" \
		>"$SCRATCH/bin/nvidia-container-runtime-hook"
	chmod 755 "$SCRATCH/bin/nvidia-container-runtime-hook"
}

# import NAME: $ROOTFS
import()
{
	tar -C "$ROOTFS" -cf "$SCRATCH/import.tar" .
	docker import "$SCRATCH/import.tar" "$1"
}

start_dockerd()
{
	mkdir "$SCRATCH/dk"
	jq --arg path "$BUILD/nvfs-runtime" '.runtimes.nvidia.path = $path' "$example" >"$SCRATCH/dk/daemon.json"
	PATH=$SCRATCH/bin:$PATH NVFS_CONFIG=$CONFIG setsid /usr/sbin/dockerd --iptables=false --ip6tables=false --bridge=none \
		--ip-forward=false --ip-masq=false --storage-driver=overlay2 --data-root "$SCRATCH/dk/data" \
		--exec-root "$SCRATCH/dk/exec" --pidfile "$SCRATCH/dk/pid" -H "unix://$SCRATCH/dk/sock" \
		--exec-opt native.cgroupdriver=cgroupfs --config-file="$SCRATCH/dk/daemon.json" \
		--default-ulimit nofile=1024:1024 >"$SCRATCH/dk/log" 2>&1 <"$SCRATCH/no-input" &
	at_exit end_dockerd
	wait_for 30 is_up || {
		diag "dockerd did not come up: $(tail -n 20 "$SCRATCH/dk/log")"
		return 1
	}
}

# matrix WAY OPTION...: what may be asked in a bad way, and images that are not as they should be
matrix()
{
	local way="docker $1"

	shift
	fails "$way, unknown driver capability" 1 "nvinject: usage: .*teleport" \
		in_docker "$@" -e NVIDIA_DRIVER_CAPABILITIES=teleport image:1 true
	fails "$way, cuda>=999" 1 'nvinject: requirement: unsatisfied condition: cuda>=999' \
		in_docker "$@" -e 'NVIDIA_REQUIRE_CUDA=cuda>=999' image:1 true
	ok "$way, --read-only" in_docker --read-only "$@" glibc:1 sh -c "exec 2>&1; touch /written; $LOOK"
	like "$way, --read-only: it has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "Read-only.*$GOOD_READONLY"
	ok "$way, an image with files of another driver, some empty" in_docker "$@" stale:1 sh -c "$LOOK_STALE"
	like "$way, a stale image: the driver's own libcuda is loaded" "$(tr '\n' ' ' <<<"$OUT")" "$GOOD"
	at_once "$way" "$@"
}

# at_once WAY OPTION...: each container has an upper layer of its own, so that one root for two there is not:
# two of one image
at_once()
{
	local way=$1 name

	shift
	for name in first second; do
		ok "$way, two of one image: the $name starts" docker run --detach --name "$name" --network none \
			--cgroup-parent "/$RUN_ID" "$@" glibc:1 sleep 1000
	done
	for name in first second; do
		asked "$way, two of one image: the $name has the driver and the GPU" "$name"
	done
	ok "$way, two of one image: the first ends" docker rm --force first
	asked "$way, two of one image: the second has kept both" second
	docker rm --force second >/dev/null
}

# asked NAME CONTAINER: one that runs
asked()
{
	try docker exec "$2" sh -c "$LOOK"
	like "$1" "$(tr '\n' ' ' <<<"$OUT")" "$GOOD"
}

host_snapshot
private_host
SAMPLE_CUDA=13.0 use_sample_driver
write_config "socket = $SOCKET"
start_daemon --config "$CONFIG"
hook_in_path
engine_image
if start_dockerd; then # in this shell, which ends it
	pass "dockerd takes contrib/docker/daemon.json"
else
	fail "dockerd takes contrib/docker/daemon.json"
fi
ok "an image" docker import "$IMAGE" image:1
make_rootfs glibc
ok "an image with glibc" import glibc:1
stale "$ROOTFS"
ok "an image that was saved under another driver" import stale:1

ok "--gpus all" in_docker --gpus all image:1 sh -c "$WHAT"
like "--gpus all: it has the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
ok "--gpus device=0, without a limit" in_docker --ulimit core=-1 --gpus device=0 image:1 sh -c "$WHAT"
like "--gpus device=0: it has the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
fails "--gpus device=7: the daemon's word is shown" 1 'nvinject: device: 7' in_docker --gpus device=7 image:1 true

ok "--runtime nvidia" in_docker --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all image:1 sh -c "$WHAT"
like "--runtime nvidia: it has the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
ok "--runtime nvidia and --gpus" in_docker --runtime nvidia --gpus all image:1 sh -c "$WHAT"
like "--runtime nvidia and --gpus: it has the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_GPU"
ok "--runtime nvidia, asked for nothing" in_docker --runtime nvidia image:1 sh -c "$WHAT"
like "--runtime nvidia, asked for nothing: it has none" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_NONE"
ok "none of them" in_docker image:1 sh -c "$WHAT"
like "none of them: it has none" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_NONE"

matrix "--gpus all" --gpus all
matrix "--runtime nvidia" --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all
fails "docker --gpus capabilities=teleport: Docker itself knows none of that name" 1 'could not select device driver' \
	in_docker --gpus capabilities=teleport image:1 true

stop_daemon
fails "--gpus without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' in_docker --gpus all image:1 true
fails "--runtime nvidia without a daemon" 1 'nvinject: daemon: .*systemctl start nvfs' \
	in_docker --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all image:1 true
ok "--runtime nvidia without a daemon, asked for nothing" in_docker --runtime nvidia image:1 true
skip_when_down
for way in "--gpus all" "--runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all"; do
	# shellcheck disable=SC2086 # words
	ok "docker $way without a daemon, to be skipped" in_docker $way image:1 sh -c "$WHAT"
	like "docker $way without a daemon, to be skipped: it has none" "$(tr '\n' ' ' <<<"$OUT")" "$HAS_NONE"
done
host_compare
version=$(/usr/bin/docker --version | sed 's/^\(Docker\) version \([^,+]*\).*/\1 \2/')
client "$version" "--gpus: nvidia-container-runtime-hook" 0 "all, device=0; unknown GPU; daemon down"
client "$version" "--runtime nvidia: nvfs-runtime" 0 "driver, GPU; nothing asked; daemon down"
client "$version" "both, bad requests" 0 "capability, cuda>=999; on_daemon_down = skip"
client "$version" "both, read-only and stale roots, two at once" 0 "--read-only; 0-byte and old files; two of one image"
done_testing
