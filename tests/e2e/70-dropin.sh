#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvidia-container-cli: the output of info and list byte for byte, every option that callers of
# libnvidia-container's program use, its classes of errors, and configure: supervised by runc's hook, and
# standalone in a mount namespace and in a user namespace. The host's GPUs are a stand-in.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

CLI=$BUILD/nvidia-container-cli
UUID=GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf
UUID2=GPU-5a3d1e00-0000-4000-8000-000000000001
MIG="MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb"
MULTIARCH=usr/lib/$(gcc -dumpmachine 2>/dev/null || echo "$(uname -m)-linux-gnu")

# cli ARGS: as callers do, but for the socket
cli()
{
	timeout -k 5 $((30 * SLOW)) "$CLI" --socket "$SOCKET" "$@"
}

# error NAME TEXT ARGS: exit status 1 and this one line, as a whole
error()
{
	local name=$1 wanted=$2

	shift 2
	try cli "$@"
	is "$name" "$STATUS $OUT" "1 nvidia-container-cli: $wanted"
}

# world NAME: a stand-in host; its scenario, after the driver's lines, is standard input
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
	write_config "settle = 0" "grace = 1"
	[ -z "$DAEMON_PID" ] || stop_daemon
	start_daemon --config "$CONFIG"
	wait_for 20 told
}

told()
{
	[ "$(nvfs status --json | jq -r .nvml.state)" != pending ]
}

# lib NAME...: as list prints the sample's libraries
lib()
{
	printf "/$MULTIARCH/%s.so.999.10.01\n" "$@"
}

# namespace NAME UNSHARE-OPTION...: a mount namespace with a root in it, before pivot_root; $NS, $ROOTFS
namespace()
{
	local name=$1

	shift
	make_rootfs glibc "$name"
	unshare --mount --propagation private "$@" sleep 1000 </dev/null >/dev/null 2>&1 &
	NS=$!
	disown "$NS"
	at_exit kill -KILL "$NS"
	wait_for 5 sh -c "! test /proc/$NS/ns/mnt -ef /proc/$$/ns/mnt"
	wait_for 5 sh -c "[ \"\$(cat /proc/$NS/comm)\" = sleep ]"
	inside sh -c "mount --rbind '$ROOTFS' '$ROOTFS'; mount -t tmpfs dev '$ROOTFS/dev'; mount --rbind /proc '$ROOTFS/proc'"
}

# inside COMMAND...: in the namespaces of $NS, outside its root
inside()
{
	timeout -k 5 $((60 * SLOW)) nsenter --mount --target "$NS" ${USERNS:+--user --preserve-credentials} "$@"
}

USERNS=
host_snapshot
use_sample_sockets
world one < <(echo "gpu 0000:00:06.0 $UUID 0 14 9.0 0 - NVIDIA H100 80GB HBM3")

# ---- info ----------------------------------------------------------------------------------------

is "info" "$(cli info)" "NVRM version:   999.10.01
CUDA version:   13.0

Device Index:   0
Device Minor:   0
Model:          NVIDIA H100 80GB HBM3
Brand:          Nvidia
GPU UUID:       $UUID
Bus Location:   00000000:00:06.0
Architecture:   9.0"
is "info --csv" "$(cli info --csv)" "NVRM version,CUDA version
999.10.01,13.0

Device Index,Device Minor,Model,Brand,GPU UUID,Bus Location,Architecture
0,0,NVIDIA H100 80GB HBM3,Nvidia,$UUID,00000000:00:06.0,9.0"
is "and no byte more" "$(cli info --csv | tail -c 4 | od -An -c | tr -d ' ')" '9.0\n'
is "with what bug reports ask for" "$(cli -k -d "$SCRATCH/log" info)" "$(cli info)"
is "a user gets the same" "$(setpriv --reuid 1000 --clear-groups "$CLI" --socket "$SOCKET" info --csv)" "$(cli info --csv)"

# ---- version, help, log --------------------------------------------------------------------------

is "--version is seven lines" "$(cli --version | sed 's/: .*/:/')" 'cli-version:
lib-version:
build date:
build revision:
build compiler:
build platform:
build flags:'
like "the first of which scripts read" "$(cli -V)" $'^cli-version: 1\.[0-9]+\.[0-9]+\nlib-version'
like "--help" "$(cli --help)" 'configure .*info .*list '
like "configure --help" "$(cli configure --help)" '--cuda-compat-mode'
like "the log has that program's form" "$(cat "$SCRATCH/log")" \
	'^.-- WARNING, the following logs are for debugging purposes only --..I[0-9]{4} [0-9:]{8}\.[0-9]{6} [0-9]+ [a-z_]+\.c:[0-9]+\] '
NVC_DEBUG_FILE=$SCRATCH/log2 cli info >/dev/null
ok "NVC_DEBUG_FILE" grep -q WARNING "$SCRATCH/log2"
cli --debug="$SCRATCH/log2" info >/dev/null
is "a log is appended to" "$(grep -c WARNING "$SCRATCH/log2")" 2

# ---- global options ------------------------------------------------------------------------------

ok "--load-kmods --no-pivot --no-create-imex-channels --ldcache" \
	cli --load-kmods --no-pivot --no-create-imex-channels --ldcache=/etc/ld.so.cache info
ok "short ones" cli -k -n -u -l /etc/ld.so.cache info
for user in '' =0 =0:0 =root =root:root =12345:0; do
	ok "--user$user" cli --user$user info
done
error "--user: nobody's uid without a group" 'input error: parse user/group failed: no such entry' --user=12345 info
error "--user: nobody's name" 'input error: parse user/group failed: no such entry' --user=nobody-has-this info
ok "--root: what the daemon serves" cli --root="$DRIVER_ROOT/" list -b
error "--root: anything else" "initialization error: driver root '/elsewhere' is not what nvfs serves, which is '$DRIVER_ROOT'; set driver_root in nvfs.conf" \
	--root=/elsewhere info
fails "an unknown option" 1 "nvidia-container-cli: unrecognized option '--what'.*Try" cli --what info
fails "an unknown option of a command" 1 "nvidia-container-cli: unrecognized option '--what'.*Try" cli info --what
fails "options of the program come before the command" 1 "unrecognized option '--no-pivot'" cli info --no-pivot
fails "an unknown command" 1 "unknown command 'what'" cli what
fails "no command" 1 '^Usage: ' cli
fails "info takes no argument" 1 'Too many arguments' cli info what
error "a log that cannot be written" 'initialization error: open failed: /nowhere/log: No such file or directory' -d /nowhere/log info

# ---- list ----------------------------------------------------------------------------------------

cli list >"$SCRATCH/list"
is "list: devices, then binaries" "$(sed -n '1,/libnvidia/p' "$SCRATCH/list" | sed '$d')" "/dev/nvidiactl
/dev/nvidia-uvm
/dev/nvidia-uvm-tools
/dev/nvidia0
/usr/bin/nvidia-smi
$(cli list -b | sed 1d)"
is "list: the order of libraries is that program's" "$(grep '\.so\.' "$SCRATCH/list" | head -n 4)" \
	"$(lib libnvidia-ml libnvidia-cfg libcuda libcudadebugger)"
is "list: what that program does not know comes last" "$(cli list -l | tail -n 1)" "$(lib libnvidia-unheardof)"
is "list: sockets, then firmware" "$(tail -n 5 "$SCRATCH/list")" "/run/nvidia-persistenced/socket
/run/nvidia-fabricmanager/socket
/tmp/nvidia-mps
/usr/lib/firmware/nvidia/999.10.01/gsp_ga10x.bin
/usr/lib/firmware/nvidia/999.10.01/gsp_tu10x.bin"
is "list is list --device=all --compat32 -lbif" "$(cli list --device=all --compat32 -l -b -i -f)" "$(cat "$SCRATCH/list")"
is "in whatever order" "$(cli list -f -i --libraries --binaries --compat32 -d all)" "$(cat "$SCRATCH/list")"
is "nothing twice" "$(sort "$SCRATCH/list" | uniq -d)" ''
is "each is there" "$(grep -v '^/dev\|^/run\|^/tmp' "$SCRATCH/list" | while read -r file; do
	[ -f "$DRIVER_ROOT$file" ] && [ ! -L "$DRIVER_ROOT$file" ] || echo "$file"
done)" ''
is "list -i" "$(cli list -i)" '/run/nvidia-persistenced/socket
/run/nvidia-fabricmanager/socket
/tmp/nvidia-mps'
is "--no-persistenced" "$(cli list -i --no-persistenced)" '/run/nvidia-fabricmanager/socket
/tmp/nvidia-mps'
is "--no-fabricmanager" "$(cli list -i --no-fabricmanager)" '/run/nvidia-persistenced/socket
/tmp/nvidia-mps'
is "list -f" "$(cli list --firmwares)" "$(tail -n 2 "$SCRATCH/list")"
is "what Charliecloud calls" "$(cli list --binaries --libraries)" "$(cli list -b; cli list -l)"
is "a user gets the same files" "$(setpriv --reuid 1000 --clear-groups "$CLI" --socket "$SOCKET" list -l -b -f -d all)" \
	"$(cli list -l -b -f -d all)"
for name in 0 all ALL 00000000:00:06.0 0:6.0 "$UUID" "${UUID,,}" ",0,,0,"; do
	is "list -d $name" "$(cli list -d "$name" | tail -n 1)" /dev/nvidia0
done
is "list --imex-channel" "$(cli list --imex-channel 0,7 -b | sed 2q)" '/dev/nvidia-caps-imex-channels/channel0
/dev/nvidia-caps-imex-channels/channel7'
is "with IMEX channels alone, everything" "$(cli list --imex-channel=3 | grep -v imex)" "$(cat "$SCRATCH/list")"
error "an IMEX channel that is none" "error parsing IMEX info: IMEX channel 'x' is not one from 0 to 2047" \
	list --imex-channel x
error "an unknown device" 'device error: 7: unknown device' list -d 7
error "none is no device here" "device error: GPU-1: unknown device" list -d GPU-1
error "--mig-config takes all" "mig-config error: 0: only 'all' devices are currently supported" list -d 0 --mig-config 0
error "--mig-monitor takes all" "mig-monitor error: x: only 'all' devices are currently supported" list -d 0 --mig-monitor x

# ---- 32 bits, graphics ---------------------------------------------------------------------------

if [ "$(uname -m)" = x86_64 ]; then
	stop_daemon
	SAMPLE_COMPAT32=1 use_sample_driver
	start_daemon --config "$CONFIG"
	is "list --compat32: after the others" "$(cli list -l --compat32 | tail -n 3)" \
		"/usr/lib/i386-linux-gnu/libnvidia-ml.so.999.10.01
/usr/lib/i386-linux-gnu/libcuda.so.999.10.01
/usr/lib/i386-linux-gnu/libnvidia-opencl.so.999.10.01"
	is "not without it" "$(cli list -l | grep -c i386)" 0
fi

# ---- MIG, more GPUs ------------------------------------------------------------------------------

world mig < <(
	echo "gpu 0000:00:06.0 $UUID 0 14 9.0 1 - NVIDIA H100 80GB HBM3"
	echo "gpu 0000:00:07.0 $UUID2 1 14 9.0 0 - NVIDIA H100 80GB HBM3"
	echo "mig 0 0 1 0 ${MIG}00"
	echo "mig 0 1 5 0 ${MIG}01"
)
rm "$DEV_ROOT/nvidia-uvm-tools"
is "info: two GPUs" "$(cli info | grep -c '^Device Index')" 2
is "info --csv: the second" "$(cli info --csv | tail -n 1)" "1,1,NVIDIA H100 80GB HBM3,Nvidia,$UUID2,00000000:00:07.0,9.0"
ACCESS=/proc/driver/nvidia/capabilities/gpu0/mig
mig_lines()
{
	echo "$ACCESS/gi$1/access"
	echo "$ACCESS/gi$1/ci0/access"
	echo "/dev/nvidia-caps/nvidia-cap$((3 + $1 * 9))"
	echo "/dev/nvidia-caps/nvidia-cap$((4 + $1 * 9))"
}
is "list: MIG devices" "$(cli list -d all)" "/dev/nvidiactl
/dev/nvidia-uvm
/dev/nvidia0
/dev/nvidia1
$(mig_lines 1)
$(mig_lines 5)"
for name in 0:1 "${MIG}01" "MIG-$UUID/5/0"; do
	is "list: one MIG device by $name" "$(cli list -d "$name" | sed 1,2d)" "/dev/nvidia0
$(mig_lines 5)"
done
is "list: order of selection" "$(cli list -d 1,0 | sed 1,2d)" "/dev/nvidia1
/dev/nvidia0"
is "list --mig-config" "$(cli list -d all --mig-config=all | sed 1,4d)" "/proc/driver/nvidia/capabilities/mig/config
/dev/nvidia-caps/nvidia-cap1
/proc/driver/nvidia/capabilities/gpu0
/dev/nvidia-caps
$(mig_lines 1 | grep 'nvidia-cap[0-9]')
$(mig_lines 5 | grep 'nvidia-cap[0-9]')
/proc/driver/nvidia/capabilities/gpu1
/dev/nvidia-caps"
is "list --mig-monitor" "$(cli list -d 1 --mig-monitor=all | sed 1,3d)" "/proc/driver/nvidia/capabilities/mig/monitor
/dev/nvidia-caps/nvidia-cap2
/proc/driver/nvidia/capabilities/gpu1
/dev/nvidia-caps"
error "not with one MIG device" 'mig-config error: cannot enable mig-config with specific MIG devices selected' \
	list -d 0:0 --mig-config all
error "neither the other" 'mig-monitor error: cannot enable mig-monitor with specific MIG devices selected' \
	list -d 0:0 --mig-monitor all

# ---- configure: what it refuses ------------------------------------------------------------------

# A runtime's container before it enters its root, whose cgroup is this script's.
namespace one
PID=$NS
find "$ROOTFS" -xdev | sort >"$SCRATCH/before"
for root in / // relative ''; do
	error "configure '$root'" 'input error: invalid rootfs directory' configure --pid="$PID" "$root"
done
fails "configure without a root" 1 'Too few arguments.*Try' cli configure --compute
fails "configure with two" 1 'Too many arguments.*Try' cli configure / /
error "a pid that is none" 'input error: invalid process id: x' configure --pid=x "$ROOTFS"
error "a pid of nobody" 'container error: no process has the id 4194303' configure --pid=4194303 --no-cgroups --device=0 "$ROOTFS"
error "an unknown device" 'device error: GPU-x: unknown device' configure --pid="$PID" --no-cgroups --device=GPU-x "$ROOTFS"
error "a word for none" "device error: 'none' beside other devices" configure --pid="$PID" --no-cgroups --device=0,none "$ROOTFS"
error "a requirement that does not hold" 'requirement error: unsatisfied condition: cuda>=999, please update your driver to a newer version, or use an earlier cuda container' \
	configure --pid="$PID" --no-cgroups --device=0 --require='cuda>=999' "$ROOTFS"
error "a requirement that is none" "requirement error: invalid expression: 'what'" \
	configure --pid="$PID" --no-cgroups --device=0 --require=what "$ROOTFS"
mapfile -t many < <(for _ in $(seq 33); do echo '--require=cuda>=1'; done)
error "33 requirements" 'input error: too many requirements' configure --pid="$PID" "${many[@]}" "$ROOTFS"
error "a mode that is none" 'container error: invalid option: cuda-compat-mode=what' \
	configure --pid="$PID" --cuda-compat-mode=what "$ROOTFS"
error "MIG control is for all" "mig-config error: 0: only 'all' devices are currently supported" \
	configure --pid="$PID" --device=0 --mig-config=0 "$ROOTFS"
error "IMEX channels are numbers" "error parsing IMEX info: IMEX channel '-1' is not one from 0 to 2047" \
	configure --pid="$PID" --imex-channel=-1 "$ROOTFS"
fails "a root that is not there" 1 '^nvidia-container-cli: mount error: .*no such file or directory' \
	cli configure --pid="$PID" --no-cgroups --device=0 /nowhere
fails "a user, and a container of root's" 1 '^nvidia-container-cli: permission error: ' \
	setpriv --reuid 1000 --clear-groups "$CLI" --socket "$SOCKET" configure --pid="$PID" --no-cgroups --device=0 "$ROOTFS"
fails "nobody listens" 1 "^nvidia-container-cli: initialization error: nvfs does not answer: connect to .*; systemctl start nvfs$" \
	"$CLI" --socket "$SCRATCH/nobody" configure --pid="$PID" --no-cgroups --device=0 "$ROOTFS"
find "$ROOTFS" -xdev | sort >"$SCRATCH/now"
ok "none of them changes anything" diff "$SCRATCH/before" "$SCRATCH/now"
is "nor leaves a tree" "$(nvfs ls --json | jq '.trees | length')" 0
kill -KILL "$NS"

# ---- configure, supervised: as the toolkit's and containerd's hooks call it ----------------------

# hooked NAME ARGS: a container whose prestart hook configures it; $PID, $ROOTFS
hooked()
{
	local name=$1

	shift
	make_rootfs glibc "$name"
	[ -z "${PREPARE:-}" ] || "$PREPARE"
	cat >"$SCRATCH/hook-$name" <<-HOOK
		#!/bin/sh
		pid=\$(jq .pid)
		exec "$CLI" --socket "$SOCKET" --load-kmods --no-pivot --debug="$SCRATCH/log-$name" configure \
			--ldconfig=@/sbin/ldconfig "\$@" --pid=\$pid "$ROOTFS"
	HOOK
	chmod 755 "$SCRATCH/hook-$name"
	run_container "$name" "$ROOTFS" ".hooks.prestart = [ { path: \"$SCRATCH/hook-$name\", args: ([ \"hook\" ] +
		$(printf '%s\n' "$@" | jq -R . | jq -sc .)), env: [ \"PATH=$PATH\" ] } ]"
}

TARGET=/usr/local/nvidia/lib64
# What an image has that was saved under another driver: a mount point, links, and a library of its own.
stale()
{
	mkdir -p "$ROOTFS/$MULTIARCH"
	: >"$ROOTFS/$MULTIARCH/libcuda.so.999.10.01"
	ln -s libcuda.so.535.1 "$ROOTFS/$MULTIARCH/libcuda.so.1"
	echo "an image's own" >"$ROOTFS/$MULTIARCH/libnvidia-ml.so.1"
	: >"$ROOTFS/usr/bin/nvidia-smi"
	chown 1234:5678 "$ROOTFS/usr/bin/nvidia-smi"
	chmod 755 "$ROOTFS/usr/bin/nvidia-smi"
	: >"$ROOTFS/etc/debian_version"
}

# classic NAME...: what stands at these names, in the container
classic()
{
	(cd "$ROOTFS/$MULTIARCH" && for name; do readlink "$name" || wc -c <"$name"; done)
}

PREPARE=stale
hooked smi --device=0 --compute --utility --require='cuda>=11.0' --cuda-compat-mode=ldconfig
ok "supervised: a program loads libcuda" in_container smi dlopen libcuda.so.1
like "from the tree, whatever the image has" "$OUT" '/usr/local/nvidia/lib64/libcuda\.so\.999\.10\.01'
like "nvidia-smi at its old path" "$(in_container smi /usr/bin/nvidia-smi)" 'NVIDIA-SMI'
is "the GPU, and no other" "$(in_container smi sh -c 'ls /dev/nvidia[0-9]*')" /dev/nvidia0
is "libraries at the old path, in the place of an empty file and a stale link" \
	"$(classic libcuda.so.1 libcuda.so.999.10.01 libcuda.so libnvidia-ptxjitcompiler.so.1)" \
	"$TARGET/libcuda.so.1
$TARGET/libcuda.so.999.10.01
$TARGET/libcuda.so
$TARGET/libnvidia-ptxjitcompiler.so.1"
is "an image's own library is not touched" "$(cat "$ROOTFS/$MULTIARCH/libnvidia-ml.so.1")" "an image's own"
ok "a program opens it by its path" in_container smi dlopen "/$MULTIARCH/libcuda.so.1"
like "the linker still finds the driver's" "$(in_container smi dlopen libnvidia-ml.so.1)" '/usr/local/nvidia/lib64/libnvidia-ml'
ok "ldconfig in the container" in_container smi ldconfig
ok "keeps all that" in_container smi dlopen libcuda.so.1
is "the image's cgroup rules have the device" "$(in_container smi opendev /dev/nvidia0 2>&1 | grep -c EPERM)" 0
is "nothing is said on success" "$(cat "$SCRATCH/bundle-smi/log")" ''
like "the log has what was run" "$(cat "$SCRATCH/log-smi")" 'nvinject.*--classic-paths'
ok "and taken back" nvinject --remove --pid "$PID"
is "the image has what it had" "$(classic libcuda.so.1 libcuda.so.999.10.01; find "$ROOTFS/$MULTIARCH" -name "*ptxjit*" | wc -l)" \
	"libcuda.so.535.1
0
0"
is "the empty nvidia-smi, too, whose it was" "$(stat -c '%s %a %u:%g' "$ROOTFS/usr/bin/nvidia-smi")" '0 755 1234:5678'
is "nothing is kept beside any more" "$(find "$ROOTFS" -xdev -name '.nvfs-*')" ''
kill_container smi
PREPARE=

hooked video --device=1 --video --graphics --display --ngx --utility --compat32 --no-gsp-firmware --no-persistenced \
	--no-cntlibs
is "every capability is asked for" "$(nvfs show "pid-$PID" --json | jq -r .driver_capabilities)" \
	utility,video,graphics,display,ngx,compat32
ok "ngx has its library" in_container video dlopen libnvidia-ngx.so.1
is "libcuda and the optical flow by the names that programs are linked with" \
	"$(in_container video readlink "$TARGET/libcuda.so" "$TARGET/libnvidia-opticalflow.so" | tr '\n' ' ')" \
	'libcuda.so.1 libnvidia-opticalflow.so.1 '
like "--no-cntlibs is another word for disabled" "$(tr '\n' ' ' <"$SCRATCH/log-video")" '\] +\.\.\.: --cuda-compat-mode .*: disabled '
is "--no-persistenced" "$(mounts_in "$PID" | grep -c 'nvidia-persistenced')" 0
is "and the fabric manager's socket is there" "$(mounts_in "$PID" | grep -c 'nvidia-fabricmanager')" 1
is "video has libcuda, and not the programs of compute" \
	"$(in_container video sh -c 'ls /usr/local/nvidia/lib64/libcuda.so.1 /usr/bin/nvidia-cuda-mps-control 2>/dev/null')" \
	/usr/local/nvidia/lib64/libcuda.so.1
is "a container that is none of Debian's has links in /usr/lib64" \
	"$(in_container video sh -c 'test -e /etc/debian_version || readlink /usr/lib64/libcuda.so.1')" \
	"$(in_container video sh -c 'test -e /etc/debian_version || echo /usr/local/nvidia/lib64/libcuda.so.1')"
is "nothing at /lib/firmware" "$(in_container video sh -c 'ls /lib/firmware/nvidia 2>/dev/null')" ''
kill_container video

hooked bare --device=0 --no-fabricmanager
is "no capability: the GPU and its control node" "$(in_container bare sh -c 'ls -d /dev/nvidia*' | tr '\n' ' ')" \
	'/dev/nvidia0 /dev/nvidiactl '
not_ok "and no libcuda" in_container bare dlopen libcuda.so.1
is "the request is repeated as it was" "$(nvfs show "pid-$PID" --json | jq -r '"\(.driver_capabilities) \(.without) \(.classic_paths)"')" \
	'none fabricmanager true'
kill_container bare

hooked none --compute --utility
is "no --device: the driver without GPUs" "$(in_container none sh -c 'ls /dev/nvidia[0-9]* 2>/dev/null')" ''
ok "whose libraries load" in_container none dlopen libcuda.so.1
kill_container none

hooked nobind --device=all --compute --no-devbind
is "--no-devbind: no node is there" "$(in_container nobind sh -c 'ls /dev/nvidia* 2>/dev/null')" ''
like "nvfs show tells so" "$(nvfs show "pid-$PID")" \
	'device: /dev/nvidia0 omitted'
nsenter --mount --target "$PID" mknod /dev/nvidia0 c 195 0
unlike "but it is permitted" "$(in_container nobind opendev /dev/nvidia0 2>&1)" EPERM
kill_container nobind

hooked nocg --device=0 --compute --no-cgroups
like "--no-cgroups: the node is there and not permitted" "$(in_container nocg opendev /dev/nvidia0 2>&1)" EPERM
kill_container nocg

hooked migs --device=0:1 --compute
is "a MIG device: its two nodes" "$(in_container migs sh -c 'ls /dev/nvidia-caps' | tr '\n' ' ')" 'nvidia-cap48 nvidia-cap49 '
kill_container migs
for control in config:1 monitor:2; do
	printf 'DeviceFileMinor: %s\nDeviceFileMode: 256\nDeviceFileModify: 1\n' "${control#*:}" \
		>"$PROC_ROOT/driver/nvidia/capabilities/mig/${control%:*}"
done
nvfs rescan >/dev/null
hooked migctl --device=all --compute --mig-config=all --mig-monitor=all
is "MIG's control, and all there is of it" "$(in_container migctl sh -c 'ls /dev/nvidia-caps' | sort -V | tr '\n' ' ')" \
	'nvidia-cap1 nvidia-cap2 nvidia-cap12 nvidia-cap13 nvidia-cap48 nvidia-cap49 '
kill_container migctl

make_rootfs glibc refused
fails "a hook that fails is runc's error, in these words" '[1-9]*' \
	'nvidia-container-cli: requirement error: unsatisfied condition: cuda>=999' \
	hooked refused --device=0 --compute --require='cuda>=999'

# ---- configure, standalone: LXC, enroot, apptainer -----------------------------------------------

enroot()
{
	inside "$CLI" --socket "$SOCKET" --user --debug=/dev/stderr configure --no-cgroups --ldconfig=@/usr/sbin/ldconfig \
		--device=0 --compute --utility "$@" "$ROOTFS"
}

USERNS=
namespace mounts
ok "standalone as root" enroot
like "with a log on standard error" "$OUT" 'WARNING, the following logs'
ok "a program in the root loads libcuda" inside chroot "$ROOTFS" dlopen libcuda.so.1
like "nvfs knows it by its root and namespace" "$(nvfs ls --json | jq -r '.trees[].id | select(startswith("rootfs"))')" "^rootfs-mounts-[0-9a-f]{8}-$(stat -Lc %i "/proc/$NS/ns/mnt")\$"
ok "a second time" enroot
is "it is one container" "$(nvfs ls --json | jq '[.trees[] | select(.id | startswith("rootfs"))] | length')" 1
is "and one mount" "$(mounts_in "$NS" | grep -c "^$ROOTFS/usr/local/nvidia fuse")" 1
fails "a root that is none" 1 '^nvidia-container-cli: mount error: ' cli configure --no-cgroups --device=0 "$SCRATCH"
ok "without a word about cgroups" inside "$CLI" --socket "$SOCKET" --debug=/dev/stderr configure --device=0 --compute "$ROOTFS"
like "that cgroups are left alone is in the log" "$OUT" 'no --pid: device cgroups are left alone'
# A hook whose time is up.
worker=$(worker_pid)
at_exit kill -CONT "$DAEMON_PID" "$worker"
kill -STOP "$DAEMON_PID" "$worker"
inside "$CLI" --socket "$SOCKET" configure --no-cgroups --device=all "$ROOTFS" >/dev/null 2>&1 &
runner=$!
running()
{
	pgrep -f "^$CLI --socket $SOCKET configure"
}
# Two: one of them is in the container.
both_run()
{
	[ "$(running | wc -l)" = 2 ]
}
none_runs()
{
	! running
}
ok "it waits for the daemon" wait_for 5 both_run
kill -KILL "$(running | head -n 1)"
ok "who is in the container ends with it" wait_for 5 none_runs
kill -CONT "$worker" "$DAEMON_PID"
wait "$runner" || true
kill -KILL "$NS"

USERNS=yes
namespace user --user --map-root-user
ok "standalone as the root of a user namespace" enroot
ok "a program in the root loads libcuda" inside chroot "$ROOTFS" dlopen libcuda.so.1
is "it has its GPU" "$(inside stat -c %F "$ROOTFS/dev/nvidia0")" 'character special file'
kill -KILL "$NS"
USERNS=

# ---- no GPU, no driver, no daemon ----------------------------------------------------------------

world empty </dev/null
is "info without a GPU" "$(cli info)" 'NVRM version:   999.10.01
CUDA version:   13.0'
is "list without a GPU" "$(cli list -d GPU-x)" "$(cli list -d all)"
hooked empty --device=0,1 --compute
ok "no GPU: any device is none" in_container empty dlopen libcuda.so.1
like "which the log tells" "$(cat "$SCRATCH/log-empty")" 'this host has no GPU, using none'
kill_container empty
stop_daemon
rm -r "$DRIVER_ROOT/usr/lib"
start_daemon --config "$CONFIG"
for command in info list; do
	fails "$command without a driver" 1 '^nvidia-container-cli: initialization error: nvml error: driver not loaded: no driver yet: ' cli "$command"
done
stop_daemon
is "the daemon ends well" "$DAEMON_STATUS" 0
for command in info list; do
	fails "$command without the daemon" 1 \
		"^nvidia-container-cli: initialization error: nvfs does not answer: .*; systemctl start nvfs$" cli "$command"
done
host_compare
done_testing
