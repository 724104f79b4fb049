#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# NVML in a process of its own: what it tells stands beside what /proc says, with its source; what it does not
# tell, because it hangs, crashes, is of another version or not there, is a finding, and the rest goes on. MIG
# devices are chosen by every name, as soon as their names are known. No container waits for it, and no device
# is open when it has told. The library is a stand-in (tests/nvml-standin.c) that answers a scenario.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

UUID=GPU-5a3d1e00-0000-4000-8000-0000000000
MIG="MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb"

# gpu N [MIGMODE [FABRIC]]: a line of a scenario: the N-th H100
gpu()
{
	printf 'gpu 0000:%02x:00.0 %s%02d %d 14 9.0 %s %s NVIDIA H100 80GB HBM3\n' $((6 + $1)) "$UUID" "$1" "$1" \
		"${2:-0}" "${3:--}"
}

# world NAME: its scenario is on standard input, after the driver's line and CUDA's
world()
{
	WORLD=$SCRATCH/$1
	mkdir -p "$WORLD"
	{
		printf 'driver 999.10.01\ncuda 13000\n'
		cat
	} >"$WORLD/scenario"
	"$TESTS/nvml-world" "$WORLD"
	DRIVER_ROOT=$WORLD/root PROC_ROOT=$WORLD/proc DEV_ROOT=$WORLD/dev
	# The limit is for tests that wait for it.
	write_config "nvml_timeout = 2" "settle = 0"
}

# scenario SED: change it, and what /proc says with it
scenario()
{
	sed -i "$1" "$WORLD/scenario"
	"$TESTS/nvml-world" "$WORLD"
}

nvml_is()
{
	[ "$(nvfs status --json | jq -r .nvml.state)" = "$1" ]
}

# told STATE: wait until NVML has
told()
{
	ok "NVML: $1" wait_for 20 nvml_is "$1"
}

findings()
{
	nvfs status --json | jq -r '.nvml.findings[]'
}

# node FILTER: of `nvfs info`
node()
{
	nvfs info --json | jq -r "$1"
}

with_daemon()
{
	[ -z "$DAEMON_PID" ] || stop_daemon
	start_daemon --config "$CONFIG"
}

has_finding()
{
	findings | grep -q "$1"
}

nvml_process()
{
	pgrep -P "$(worker_pid)" -x nvfs-nvml
}

# ---- eight GPUs ----------------------------------------------------------------------------------

world eight < <(for i in 0 1 2 3 4 5 6 7; do gpu "$i" 0 3; done)
sed -i "1a open $WORLD/dev/nvidiactl" "$WORLD/scenario"
# A device that can be opened, as the real ones by anybody.
rm "$WORLD/dev/nvidiactl"
mknod -m 0666 "$WORLD/dev/nvidiactl" c 1 3
with_daemon
told told
is "eight: index, minor, bus id, UUID and model are the module's" \
	"$(node '.gpus[7] | "\(.index) \(.minor.value) \(.bus_id.value) \(.uuid.value) \(.uuid.source) \(.model.value)"')" \
	"7 7 0000:0d:00.0 ${UUID}07 proc NVIDIA H100 80GB HBM3"
is "eight: architecture, brand, MIG and fabric are NVML's" \
	"$(node '.gpus[] | "\(.architecture.value) \(.brand.value) \(.mig_mode.value) \(.fabric.value) \(.architecture.source) \(.mig_mode.source)"' |
		sort | uniq -c | sed 's/^ *//')" '8 9.0 Nvidia off completed nvml nvml'
is "eight: CUDA is NVML's where libcuda does not say" "$(node '"\(.cuda_version.value) \(.cuda_version.source)"')" '13.0 nvml'
is "eight: nothing to complain" "$(findings)" ''
is "nvfs devices tells the same" "$(nvfs devices --json | jq -S 'del(.nvml)')" "$(nvfs info --json | jq -S 'del(.nvml)')"
like "nvfs devices, for people" "$(nvfs devices)" 'Fabric: +completed \(nvml\)'
like "nvfs info, for people" "$(nvfs info)" 'known from: UUID proc.* arch nvml'
like "nvfs status, for people" "$(nvfs status)" 'NVML +answered within [0-9]+ ms'
not_ok "the process that asked has ended" nvml_process
is "nobody has a device open" "$(for pid in "$DAEMON_PID" "$(worker_pid)"; do ls -l "/proc/$pid/fd"; done |
	grep -c "$WORLD/dev/nvidia")" 0
ok "a user may ask" setpriv --reuid 1000 --clear-groups "$NVFS" info --socket "$SOCKET"
fails "a container's root may not" 5 "in the host's namespaces alone" \
	unshare --user --map-root-user --mount "$NVFS" info --socket "$SOCKET"
is "without a daemon: what /proc and tables say" \
	"$("$NVFS" info --driver-root "$DRIVER_ROOT" --proc-root "$PROC_ROOT" --json |
		jq -r '"\(.nvml.state) \(.gpus | length) \(.gpus[0].architecture.source) \(.gpus[0].mig_mode.value)"')" \
	'unasked 8 table null'
for command in info devices; do
	fails "$command: the admin's rules are the daemon's" 2 "unrecognized option '--rules-dir'" "$NVFS" "$command" --rules-dir /nonexistent
done
fails "a socket at which nobody listens" 7 'daemon' "$NVFS" info --socket "$SCRATCH/nobody"
ok "what was told is kept over kill -9" kill -KILL "$(worker_pid)"
ok "another daemon serves" wait_for 10 nvml_is told
is "and has the facts" "$(node '.gpus[3].brand | "\(.value) \(.source)"')" 'Nvidia nvml'

# ---- MIG -----------------------------------------------------------------------------------------

world mig < <(
	gpu 0 1
	gpu 1 0
	gpu 2 1
	echo "mig 0 0 3 0 ${MIG}00"
	echo "mig 0 1 5 0 ${MIG}01"
	echo "mig 0 6 13 0 ${MIG}06"
	echo "mig 2 0 1 0 ${MIG}20"
	echo "mig 2 1 1 1 ${MIG}21"
)
with_daemon
told told
is "MIG: index, GI, CI and UUID, with holes" \
	"$(node '.gpus[] | .index as $g | .migs[] | "\($g):\(.index) \(.gi)/\(.ci) \(.uuid.value)"')" \
	"0:0 3/0 ${MIG}00
0:1 5/0 ${MIG}01
0:6 13/0 ${MIG}06
2:0 1/0 ${MIG}20
2:1 1/1 ${MIG}21"
like "MIG: for people" "$(nvfs info)" "MIG 0:6 +GI 13 +CI 0 +${MIG}06"
is "MIG: off and on" "$(node '[.gpus[].mig_mode.value] | join(" ")')" 'on off on'

make_rootfs glibc mig
run_container mig "$ROOTFS"

# nodes DEVICES: of a plan
nodes()
{
	nvinject --pid "$PID" --id mig --devices "$1" --dry-run --json |
		jq -r '[.plan[].target | select(test("^/dev/nvidia[0-9]")) | ltrimstr("/dev/")] | join(" ")'
}

is "chosen by index" "$(nodes 0:6)" nvidia0
is "chosen by UUID" "$(nodes "${MIG}21")" nvidia2
is "chosen by the ids of its instances" "$(nodes "MIG-${UUID}02/1/1")" nvidia2
fails "an index in a hole" 3 '0:2: unknown device' nvinject --pid "$PID" --id mig --devices 0:2 --dry-run
fails "a UUID of nobody" 3 'unknown device' nvinject --pid "$PID" --id mig --devices "${MIG}99" --dry-run

scenario "/^mig 0 1 /d; \$a mig 0 2 9 0 ${MIG}02"
has_mig()
{
	[ "$(node '[.gpus[0].migs[].uuid.value] | join(" ")')" = "$1" ]
}
ok "MIG devices come and go: found without being asked" wait_for 15 has_mig "${MIG}00 ${MIG}02 ${MIG}06"
is "the new one can be chosen" "$(nodes "${MIG}02")" nvidia0
fails "the one that has gone cannot" 3 'unknown device' nvinject --pid "$PID" --id mig --devices "${MIG}01" --dry-run

# NVML and the module do not agree.
sed -i '/^mig 2 1 /d' "$WORLD/scenario"
ok "NVML does not tell of one that the module has: asked again" nvfs rescan
ok "that is a finding" wait_for 10 has_finding 'MIG device gi1/ci1'
is "it has no index and no UUID" "$(node '.gpus[2].migs[] | select(.ci == 1) | "\(.index) \(.uuid.value)"')" 'null null'
is "and is chosen by its ids" "$(nodes "MIG-${UUID}02/1/1")" nvidia2
fails "and by nothing else" 3 'unknown device' nvinject --pid "$PID" --id mig --devices 2:1 --dry-run

# Without NVML: by order, and without UUIDs.
stop_daemon
write_config "nvml = no"
start_daemon --config "$CONFIG"
told off
is "NVML is off: by order, no UUID" \
	"$(node '[.gpus[0].migs[] | "\(.index):\(.gi) \(.uuid.value) \(.source)"] | join(", ")')" \
	'0:3 null proc, 1:9 null proc, 2:13 null proc'
is "NVML is off: chosen by index" "$(nodes 0:2)" nvidia0
is "NVML is off: chosen by ids" "$(nodes "MIG-${UUID}00/9/0")" nvidia0
fails "NVML is off: a UUID is unknown" 3 'unknown device' nvinject --pid "$PID" --id mig --devices "${MIG}00" --dry-run
kill_container mig

# ---- no container waits --------------------------------------------------------------------------

world hang < <(
	gpu 0 1
	gpu 1
	echo "mig 0 0 3 0 ${MIG}00"
	echo 'hang nvmlInit_v2'
)
write_config "nvml_timeout = $((20 * SLOW))" "settle = 0"
with_daemon
ok "the daemon is ready before NVML answers" nvml_is pending
ok "the process that asks runs" nvml_process
make_rootfs glibc hang
run_container hang "$ROOTFS"
ok "a container by UUID starts meanwhile" nvinject --pid "$PID" --id hang --devices "${UUID}01"
ok "and by index" nvinject --pid "$PID" --id hang --devices 0,1
ok "and all" nvinject --pid "$PID" --id hang --devices all --dry-run
fails "a MIG UUID is not known yet: try again" 75 'NVML has not told the names' \
	timeout 20 "$NVINJECT" --socket "$SOCKET" --timeout 2 --pid "$PID" --id hang --devices "${MIG}00"
fails "nor which device is 0:0" 75 'NVML has not told the names' \
	timeout 20 "$NVINJECT" --socket "$SOCKET" --timeout 1 --pid "$PID" --id hang --devices 0:0
ok "its instances name it at any time" \
	nvinject --pid "$PID" --id hang --devices "MIG-${UUID}00/3/0" --dry-run
sed -i '/^hang/d' "$WORLD/scenario"
(
	sleep 1
	nvfs rescan
) >/dev/null 2>&1 &
ok "nvinject waits, and goes on when NVML has told" nvinject --pid "$PID" --id hang --devices "${MIG}00" --dry-run
wait $!
kill_container hang

# ---- failures ------------------------------------------------------------------------------------

# The rest goes on.
goes_on()
{
	local name=$1

	is "$name: /proc's facts are there" "$(node '.gpus[1] | "\(.uuid.value) \(.bus_id.value) \(.minor.value)"')" \
		"${UUID}01 0000:07:00.0 1"
	make_rootfs glibc "$name"
	run_container "$name" "$ROOTFS"
	ok "$name: a container gets its GPU" nvinject --pid "$PID" --id "$name" --devices 1
	ok "$name: and it is taken back" nvinject --remove --pid "$PID" --id "$name"
	kill_container "$name"
	not_ok "$name: no process is left" nvml_process
}

# broken NAME STATE REGEX LINE...: two GPUs, and this in the scenario
broken()
{
	local name=$1 state=$2 regex=$3

	shift 3
	world "$name" < <(
		gpu 0
		gpu 1
		printf '%s\n' "$@"
	)
	with_daemon
	told "$state"
	like "$name: it is a finding" "$(findings)" "$regex"
	like "$name: nvfs info shows it" "$(nvfs info)" "! .*$regex"
	like "$name: the log says it" "$(cat "$SCRATCH/daemon.log")" "$regex"
	goes_on "$name"
}

broken mismatch failed 'NVML: nvmlInit: driver/library version mismatch' 'fail nvmlInit_v2 18'
is "mismatch: architecture is the table's" "$(node '.gpus[0].architecture | "\(.value) \(.source)"')" '9.0 table'
broken unloaded failed 'NVML: nvmlInit: the driver is not loaded' 'fail nvmlInit_v2 9'
broken hangs failed 'NVML has not answered within 2 s in nvmlInit; GPUs are known' 'hang nvmlInit_v2'
broken crashes failed 'NVML was killed by signal 11 .Segmentation fault. in nvmlInit' 'crash nvmlInit_v2'
broken at-end failed 'NVML has not answered within 2 s in nvmlShutdown' 'hang nvmlShutdown'
is "at-end: what was told counts" "$(node '.gpus[0].brand.source')" nvml
broken lost told 'GPU 0 .0000:06:00.0.: NVML: nvmlDeviceGetHandleByIndex: the GPU is lost' \
	'fail nvmlDeviceGetHandleByIndex_v2 15 0'
is "lost: it is noted, the other one is whole" "$(node '[.gpus[] | .note + "," + .mig_mode.source] | join(" ")')" \
	'NVML: the GPU is lost,unknown ,nvml'
broken gpu-hangs told 'GPU 0: NVML has not answered within 2 s in nvmlDeviceGetBrand; it is known by /proc' \
	'hang nvmlDeviceGetBrand 0'
is "gpu-hangs: NVML tells of the other one" "$(node '[.gpus[].mig_mode.source] | join(" ")')" 'unknown nvml'
broken gpu-crashes told 'GPU 0: NVML was killed by signal 11 .Segmentation fault. in nvmlDeviceGetName' \
	'crash nvmlDeviceGetName 0'
is "gpu-crashes: NVML tells of the other one" "$(node '[.gpus[].mig_mode.source] | join(" ")')" 'unknown nvml'

# lying SED REGEX: what NVML says is another thing than what the module does, of GPU 0
lying()
{
	world lying < <(
		gpu 0
		gpu 1
	)
	sed -i "$1" "$WORLD/scenario"
	with_daemon
	told told
	like "NVML lies ($1): a finding" "$(findings)" "$2"
	is "NVML lies ($1): the module is believed" "$(node '[.gpus[] | "\(.uuid.value) \(.minor.value) \(.mig_mode.source)"] | join(", ")')" \
		"${UUID}00 0 unknown, ${UUID}01 1 nvml"
	rm -r "$WORLD/scenario"
}
lying "s/^\(gpu 0000:06:00.0 [^ ]*\) 0/\1 5/" 'GPU 0000:06:00.0: NVML says minor 5, /proc 0'
lying "s/${UUID}00/${UUID}09/" "GPU 0000:06:00.0: NVML calls it ${UUID}09"
lying 's/^gpu 0000:06/gpu 0000:55/' 'NVML tells of GPU 0 .*which /proc does not have'
is "NVML says another driver: a finding" "$(
	world other-driver < <(gpu 0; gpu 1)
	sed -i 's/^driver .*/driver 999.99.99/' "$WORLD/scenario"
	with_daemon >/dev/null
	wait_for 10 nvml_is told
	findings
	stop_daemon >/dev/null
)" 'NVML says driver 999.99.99, the libraries are of 999.10.01'
DAEMON_PID=

# Another library than NVML, and one that is none.
library()
{
	find "$WORLD/root/usr/lib" -name 'libnvidia-ml.so.999*'
}
world no-symbols < <(
	gpu 0
	gpu 1
)
cp "$(find "$WORLD/root/usr/lib" -name 'libnvidia-cfg.so.999*')" "$(library)"
patched=$(library)
echo 'const char *sample_soname(void) { return ""; }' >"$SCRATCH/none.c"
cc -shared -fPIC -nostdlib -Wl,-soname,libnvidia-ml.so.1 -o "$patched" "$SCRATCH/none.c"
with_daemon
told failed
like "a library without NVML's functions" "$(findings)" 'NVML: dlsym: the library has no functions of NVML'
goes_on no-symbols
stop_daemon
cc -shared -fPIC -nostdlib -Wl,-soname,libnvidia-ml.so.1 -Wl,--no-as-needed -o "$patched" "$SCRATCH/none.c" \
	"$(find "$WORLD/root/usr/lib" -name 'libnvidia-unheardof.so.999*')"
start_daemon --config "$CONFIG"
told failed
like "a library that cannot be loaded" "$(findings)" 'NVML: dlopen: libnvidia-unheardof.so.1: cannot open'
stop_daemon
rm "$patched"
start_daemon --config "$CONFIG"
told failed
like "no library" "$(findings)" "no 'libnvidia-ml.so.1' among the driver's files"
is "no library: /proc's facts are there" "$(node '.gpus[1].uuid.value')" "${UUID}01"

# NVIDIA's own library in its walls: it finds out that there is no GPU, and can say so.
if use_real_driver 550; then
	stop_daemon
	start_daemon --config "$CONFIG"
	told failed
	like "NVIDIA's own 550, without a GPU" "$(findings)" 'NVML: nvmlInit: the driver is not loaded'
else
	skip "NVIDIA's own 550, without a GPU" "no driver: $(tail -n 1 "$SCRATCH/fetch.log")"
fi

# ---- the walls -----------------------------------------------------------------------------------

world walls < <(
	gpu 0
	echo "walls /bin/true"
)
write_config "nvml_uid = 12345" "nvml_gid = 23456"
with_daemon
told told
like "another uid and gid, no fork, program, network, node, file, signal, nor a way to be seen or left behind" \
	"$(findings)" 'uid-12345-gid-23456-named-yes-fsize-0-end'

# ---- 64 GPUs with 7 MIG devices each -------------------------------------------------------------

world many < <(
	for ((i = 0; i < 64; i++)); do gpu "$i" 1; done
	for ((i = 0; i < 448; i++)); do echo "mig $((i / 7)) $((i % 7)) $((i % 7 + 7)) 0 $MIG-$i"; done
)
with_daemon
told told
is "64 GPUs, 448 MIG devices" "$(node '"\(.gpus | length) \([.gpus[].migs[] | select(.uuid.source == "nvml")] | length)"')" \
	'64 448'
diag "$(nvfs status | grep NVML)"
make_rootfs glibc many
run_container many "$ROOTFS"
ok "the last of them is chosen" nvinject --pid "$PID" --id many --devices "$MIG-447" --dry-run

# ---- nothing of NVML on the start path -----------------------------------------------------------

if command -v strace >/dev/null; then
	worker=$(worker_pid)
	in_background strace -f -qq -e trace=open,openat,openat2,execve -o "$SCRATCH/strace" -p "$worker"
	ok "the daemon is traced" wait_for 5 grep -q 'TracerPid:.[1-9]' "/proc/$worker/status"
	ok "a container starts" strace -f -qq -e trace=open,openat,openat2,execve -o "$SCRATCH/strace-inject" \
		"$NVINJECT" --socket "$SOCKET" --pid "$PID" --id many --devices 0:3
	kill -INT "$CHILD"
	wait "$CHILD" 2>/dev/null || true
	is "neither daemon nor nvinject opens libnvidia-ml or a device, or asks NVML" \
		"$(cat "$SCRATCH/strace" "$SCRATCH/strace-inject" | grep -v O_PATH |
			grep -cE 'libnvidia-ml|"nvml"|/nvidia(ctl|[0-9])"' || true)" 0
	like "the trace is one" "$(cat "$SCRATCH/strace-inject")" 'execve.*nvinject'
else
	skip "neither daemon nor nvinject opens libnvidia-ml" "no strace"
fi
kill_container many
done_testing
