#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# MIG devices and IMEX channels, from made-up /proc and /dev to the container: the nodes and files of what
# was chosen and no others, whoever asks, and through a change of what there is.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
type -P busybox >/dev/null || skip_all "no busybox"
CAPS=241 IMEX=242 # no driver stands behind either: an open that is permitted says ENXIO
NEW=240
UUID0=GPU-5a3d1e00-0000-4000-8000-000000000000
UUID1=GPU-5a3d1e00-0000-4000-8000-000000000001
VIEW=/usr/local/nvidia/proc/driver/nvidia/capabilities
STRANGER=1234
USERNS='.linux.namespaces += [{ type: "user" }]
	| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
	| .linux.gidMappings = .linux.uidMappings'

# ---- a host with MIG ------------------------------------------------------------------------------

# capability PATH MINOR MODE: as the module writes it; the mode is decimal there
capability()
{
	local file=$PROC_ROOT/driver/nvidia/capabilities/$1

	mkdir -p "${file%/*}"
	printf 'DeviceFileMinor: %d\nDeviceFileMode: %d\nDeviceFileModify: 1\n' "$2" "$((0$3))" >"$file"
}

# As 580.159.04 numbers them: 15 GPU instances of 8 compute instances for each GPU, from 3 on
gi_minor()
{
	echo $(($1 * 135 + $2 * 9 + 3))
}

# instance GPU GI [CI...]
instance()
{
	local gpu=$1 gi=$2 ci

	shift 2
	capability "gpu$gpu/mig/gi$gi/access" "$(gi_minor "$gpu" "$gi")" 444
	for ci in "$@"; do
		capability "gpu$gpu/mig/gi$gi/ci$ci/access" $(($(gi_minor "$gpu" "$gi") + 1 + ci)) 444
	done
}

no_instance()
{
	rm -r "$PROC_ROOT/driver/nvidia/capabilities/gpu$1/mig/gi$2"
}

# Two GPUs: the first is divided, with holes, the second not yet
divided_host()
{
	local gpu=$PROC_ROOT/driver/nvidia/gpus

	cp -r "$gpu/0000:00:06.0" "$gpu/0000:00:07.0"
	sed -i "s/$UUID0/$UUID1/; s/00:06.0/00:07.0/; s/Device Minor: .*/Device Minor: \t 1/" \
		"$gpu/0000:00:07.0/information"
	mknod -m 0666 "$DEV_ROOT/nvidia1" c 195 1
	sed -i "s/^241 nvidia-caps\$/&\n$IMEX nvidia-caps-imex-channels/" "$PROC_ROOT/devices"
	capability mig/config 1 400
	capability mig/monitor 2 444
	instance 0 1 0 1
	instance 0 13 0
	mkdir -p "$PROC_ROOT/driver/nvidia/capabilities/gpu1/mig"
}

# ---- what a container has ---------------------------------------------------------------------------

start()
{
	make_rootfs glibc "$1"
	[ $# = 1 ] || find "$ROOTFS" -xdev -exec chown -h 100000:100000 {} +
	run_container "$1" "$ROOTFS" "${2:-.}"
}

# give NAME ARGS...
give()
{
	nvinject --pid "$(container_pid "$1")" --id "$(container_id "$1")" "${@:2}"
}

# limited OPTION NUMBER COMMAND...: with that limit of open files
limited()
{
	(ulimit "$1" "$2" && "${@:3}")
}

# nodes NAME: minors of capabilities, in order; "c0" of a channel
nodes()
{
	in_container "$1" sh -c 'ls /dev/nvidia-caps /dev/nvidia-caps-imex-channels 2>/dev/null' |
		sed -n 's/^nvidia-cap\([0-9]\)/\1/p; s/^channel/c/p' | sort -V | tr '\n' ' '
}

view()
{
	in_container "$1" sh -c "cd $VIEW 2>/dev/null && find . -type f" | sed 's/^..//' | sort | tr '\n' ' '
}

# opens NAME MINOR [MODE]
opens()
{
	in_container "$1" opendev "-${3:-r}" "/dev/nvidia-caps/nvidia-cap$2" 2>&1 | awk '{ print $2 }'
}

# permitted NAME MAJOR MINOR: what the cgroup says, by a node of ours
permitted()
{
	local root

	root=/proc/$(container_pid "$1")/root
	rm -f "$root/dev/probe"
	mknod -m 666 "$root/dev/probe" c "$2" "$3"
	in_container "$1" opendev -r /dev/probe 2>&1 | awk '{ print $2 }'
}

# shellcheck disable=SC2317 # called by wait_for
nodes_are()
{
	[ "$(nodes "$1")" = "$2" ]
}

chosen()
{
	start chosen
	ok "a MIG device by its index is given" give chosen --devices 0:0
	is "the nodes of its two instances" "$(nodes chosen)" "12 13 "
	is "can be opened" "$(opens chosen 12) $(opens chosen 13)" "ENXIO ENXIO"
	is "its neighbour's cannot" "$(permitted chosen $CAPS 14) $(permitted chosen $CAPS 1)" "EPERM EPERM"
	is "the tree shows these" "$(view chosen)" "gpu0/mig/gi1/access gpu0/mig/gi1/ci0/access "
	is "as the module has them, but that nobody is to make nodes" \
		"$(in_container chosen cat "$VIEW/gpu0/mig/gi1/ci0/access")" \
		$'DeviceFileMinor: 13\nDeviceFileMode: 292\nDeviceFileModify: 0'
	is "its GPU came along" "$(in_container chosen opendev /dev/nvidia0)" "/dev/nvidia0 ENXIO"
	is "and no other" "$(in_container chosen opendev /dev/nvidia1 || true)" "/dev/nvidia1 ENOENT"
	is "the record names it" "$(nvfs show "$(container_id chosen)" --json | jq -r '.migs[].name')" "MIG-$UUID0/1/0"
	not_ok "the host's /dev is as it was" ls "$DEV_ROOT/nvidia-caps"
	like "nvfs why explains a capability" \
		"$(nvfs why --id "$(container_id chosen)" "$VIEW/gpu0/mig/gi1/access" 2>&1 || true)" "capability"
	ok "once more is fine" give chosen --devices 0:0
	is "and gives nothing twice" "$(mounts_in "$(container_pid chosen)" | grep -c nvidia-cap)" 2
	ok "another one is added" give chosen --devices 0:2
	is "to the nodes" "$(nodes chosen)" "12 13 120 121 "
	ok "all of it is taken back" nvinject --remove --id "$(container_id chosen)"
	is "nodes" "$(nodes chosen)" ""
	is "and permission" "$(permitted chosen $CAPS 12) $(permitted chosen $CAPS 121)" "EPERM EPERM"
	not_ok "and directories" in_container chosen ls /dev/nvidia-caps
	kill_container chosen
}

by_names()
{
	local name

	start names
	for name in "MIG-$UUID0/13/0" "nvidia.com/gpu=0:2" "mig-${UUID0,,}/13/0"; do
		like "by $name" "$(give names --devices "$name" --dry-run)" "nvidia-cap120 .*nvidia-cap121 "
	done
	like "all is every MIG device" "$(give names --devices all --dry-run | grep -o 'cap[0-9]* ' | tr -d '\n')" \
		"cap12 cap13 cap14 cap120 cap121 "
	unlike "a GPU brings none" "$(give names --devices 0,1 --dry-run)" nvidia-cap
	fails "one that is not there" 3 "0:3: unknown device" give names --devices 0:3
	fails "one of a GPU that is not divided" 3 "1:0: unknown device" give names --devices 1:0
	rm "$PROC_ROOT/driver/nvidia/capabilities/gpu0/mig/gi13/access"
	nvfs rescan >/dev/null
	fails "whose GPU instance the module does not tell" 3 "$UUID0/13/0: .*no capability gpu0/mig/gi13/access" \
		give names --devices "MIG-$UUID0/13/0"
	mkdir -p "$PROC_ROOT/driver/nvidia-caps"
	printf 'DeviceFileMin' >"$PROC_ROOT/driver/nvidia/capabilities/gpu0/mig/gi13/access"
	echo 'gpu0/gi13/access 120' >"$PROC_ROOT/driver/nvidia-caps/mig-minors"
	nvfs rescan >/dev/null
	like "or tells in its list of all alone" "$(give names --devices 0:2 --dry-run)" "nvidia-cap120 "
	instance 0 13 0
	nvfs rescan >/dev/null
	kill_container names
}

# ---- whose nodes ------------------------------------------------------------------------------------

hosts_own()
{
	start own
	mkdir -p "$DEV_ROOT/nvidia-caps"
	mknod -m 0400 "$DEV_ROOT/nvidia-caps/nvidia-cap12" c $CAPS 12
	mknod -m 0444 "$DEV_ROOT/nvidia-caps/nvidia-cap13" c 1 3
	fails "a node of the host that is another device is refused by name" 3 \
		"nvidia-cap13 is device 1:3, the module's is $CAPS:13" give own --devices 0:0
	is "and nothing was done" "$(nodes own) $(permitted own $CAPS 12)" " EPERM"
	rm "$DEV_ROOT/nvidia-caps/nvidia-cap13"
	ok "one that is right is taken" give own --devices 0:0
	is "it is the host's own" "$(stat -c %i "/proc/$(container_pid own)/root/dev/nvidia-caps/nvidia-cap12")" \
		"$(stat -c %i "$DEV_ROOT/nvidia-caps/nvidia-cap12")"
	is "beside one that was made" "$(nodes own)" "12 13 "
	kill_container own
}

user_namespace()
{
	start user "$USERNS"
	ok "in a user namespace" give user --devices 0:0
	is "the container's root owns the nodes" \
		"$(in_container user stat -c '%u:%g %a %t:%T' /dev/nvidia-caps/nvidia-cap12 /dev/nvidia-caps/nvidia-cap13)" \
		$'0:0 400 f1:c\n0:0 444 f1:d'
	is "and can open them, 0400 or not" "$(opens user 12) $(opens user 13)" "ENXIO ENXIO"
	is "which nobody else there can" \
		"$(in_container_as 1000 user opendev -r /dev/nvidia-caps/nvidia-cap12 2>&1 | awk '{ print $2 }')" EACCES
	not_ok "their mode is not the container's to change" in_container user chmod 666 /dev/nvidia-caps/nvidia-cap12
	is "nor are the mounts' flags" "$(mounts_in "$(container_pid user)" | grep nvidia-cap | awk '{ print $3 }' | sort -u)" \
		"ro,nosuid,noexec,relatime"
	is "the host's node is untouched" "$(stat -c '%u %a' "$DEV_ROOT/nvidia-caps/nvidia-cap12")" "0 400"
	ok "again" give user --devices 0:0
	is "there is one mount for each" "$(mounts_in "$(container_pid user)" | grep -c nvidia-cap)" 2
	ok "all of it is taken back" nvinject --remove --id "$(container_id user)"
	is "nodes and permission" "$(nodes user) $(mounts_in "$(container_pid user)" | grep -c nvidia)" " 0"
	kill_container user
	rm -r "$DEV_ROOT/nvidia-caps"
}

# ---- dividing and watching --------------------------------------------------------------------------

control()
{
	start control
	fails "only all GPUs are divided" 3 "0: only 'all' devices are currently supported" \
		give control --devices all --mig-config 0
	fails "and not beside a MIG device" 3 "cannot enable mig-config with specific MIG devices selected" \
		give control --devices 0:0 --mig-config all
	fails "nor watched" 3 "cannot enable mig-monitor with specific MIG devices selected" \
		give control --devices 0:0 --mig-monitor all
	ok "who divides GPUs" give control --devices all --mig-config all
	is "has what is on them" "$(nodes control)" "1 12 13 14 120 121 "
	is "and sees it" "$(view control)" "gpu0/mig/gi1/access gpu0/mig/gi1/ci0/access gpu0/mig/gi1/ci1/access \
gpu0/mig/gi13/access gpu0/mig/gi13/ci0/access mig/config "
	is "with permission" "$(opens control 1) $(permitted control $CAPS 2)" "ENXIO EPERM"
	ok "and may watch them, too" give control --devices all --mig-monitor all
	is "by one node more" "$(nodes control)" "1 2 12 13 14 120 121 "

	instance 1 2 0
	ok "a GPU is divided" nvfs rescan
	# The daemon looks by itself every two seconds: it may have been there first.
	like "which is said" "$OUT" "other GPUs or MIG devices, for all containers|^unchanged"
	ok "who divides GPUs gets what is new" wait_for 20 nodes_are control "1 2 12 13 14 120 121 $(gi_minor 1 2) $(($(gi_minor 1 2) + 1)) "
	no_instance 1 2
	nvfs rescan >/dev/null
	kill_container control
}

changes()
{
	start first
	start second
	give first --devices 0:0 >/dev/null
	give second --devices 0:2 >/dev/null
	kill -KILL "$(worker_pid)"
	ok "after a takeover the same is given" give second --devices 0:2
	no_instance 0 13
	instance 0 2 0
	ok "the GPU is divided otherwise" nvfs rescan
	is "a container keeps the nodes that it has" "$(nodes second) $(opens second 121)" "120 121  ENXIO"
	is "and sees what is still there of its own" "$(view second)" ""
	is "another's is as it was" "$(view first)" "gpu0/mig/gi1/access gpu0/mig/gi1/ci0/access "
	ok "its files are still the driver's" in_container second dlopen libcuda.so.1
	fails "the old one is unknown now" 3 "unknown device" give second --devices "MIG-$UUID0/13/0"
	start third
	ok "a new one gets the new device" give third --devices "MIG-$UUID0/2/0"
	is "with its nodes" "$(nodes third)" "$(gi_minor 0 2) $(($(gi_minor 0 2) + 1)) "

	number=$(generation)
	no_instance 0 1
	ok "what goes without a word is seen, too" wait_for 20 view_is first ""
	is "that is another generation" "$(generation)" $((number + 1))
	ok "which all have" eval '[ "$(generation_of first) $(generation_of third)" = "$(generation) $(generation)" ]'
	is "by those alone who had it" "$(view third)" "gpu0/mig/gi2/access gpu0/mig/gi2/ci0/access "
	instance 0 1 0
	ok "and what comes back" wait_for 20 view_is first "gpu0/mig/gi1/access gpu0/mig/gi1/ci0/access "

	sed -i "s/^$CAPS nvidia-caps\$/$NEW nvidia-caps/" "$PROC_ROOT/devices"
	ok "when the major moves a running container gets new nodes" wait_for 30 moved third
	is "permitted by the new number alone" \
		"$(permitted third $NEW "$(gi_minor 0 2)") $(permitted third $CAPS "$(gi_minor 0 2)")" "ENXIO EPERM"
	sed -i "s/^$NEW nvidia-caps\$/$CAPS nvidia-caps/" "$PROC_ROOT/devices"
	kill_containers
}

# shellcheck disable=SC2317 # called by wait_for
view_is()
{
	[ "$(view "$1")" = "$2" ]
}

generation()
{
	nvfs status --json | jq .generation
}

generation_of()
{
	nvfs show "$(container_id "$1")" --json | jq .generation
}

# shellcheck disable=SC2317 # likewise
moved()
{
	[ "$(in_container "$1" stat -c %t "/dev/nvidia-caps/nvidia-cap$(gi_minor 0 2)")" = f0 ]
}

# ---- IMEX -------------------------------------------------------------------------------------------

imex()
{
	local dir=$DEV_ROOT/nvidia-caps-imex-channels

	start imex
	for bad in -1 2048 x 0,2048 1-4; do
		fails "no channel: $bad" 3 "IMEX channel '.*' is not one from 0 to 2047" \
			give imex --devices all "--imex-channel=$bad"
	done
	ok "channels are given" give imex --devices 0 --imex-channel 0,2047 --imex-channel 5
	is "each by its node" "$(nodes imex)" "c0 c5 c2047 "
	is "and permission" "$(in_container imex opendev /dev/nvidia-caps-imex-channels/channel2047) \
$(permitted imex $IMEX 5) $(permitted imex $IMEX 1)" "/dev/nvidia-caps-imex-channels/channel2047 ENXIO ENXIO EPERM"
	not_ok "the host's /dev is as it was" ls "$dir"
	ok "'all' asks for none" give imex --devices 0 --imex-channel all
	fails "a hard limit of open files that is too low is named" 6 "Too many open files; raise the hard limit" \
		limited -n 300 give imex --devices 0 --imex-channel "$(seq -s, 100 299)"
	is "and nothing was done" "$(nodes imex | wc -w)" 3
	ok "more than eight GPUs of seven MIG devices have, whatever the soft limit" \
		limited -Sn 1024 give imex --devices 0 --imex-channel "$(seq -s, 100 299)"
	is "are as many nodes" "$(nodes imex | wc -w)" 203
	fails "more than a message has descriptors are refused" 3 "more than 249 mounts" \
		give imex --devices 0 --imex-channel "$(seq -s, 100 399)"
	is "and nothing was done" "$(nodes imex | wc -w)" 203
	ok "all are taken back" nvinject --remove --id "$(container_id imex)"
	is "every one" "$(nodes imex)" ""
	mkdir "$dir"
	mknod "$dir/channel7" c $IMEX 8
	fails "a node that is another channel's is refused by name" 3 "channel7 is device $IMEX:8, the module's is $IMEX:7" \
		give imex --devices 0 --imex-channel 7
	rm -r "$dir"
	sed -i '/imex/d' "$PROC_ROOT/devices"
	fails "without the module's major there are none" 3 "IMEX channel 7: the module has no nvidia-caps-imex-channels" \
		give imex --devices 0 --imex-channel 7
	sed -i "s/^241 nvidia-caps\$/&\n$IMEX nvidia-caps-imex-channels/" "$PROC_ROOT/devices"
	kill_container imex
}

fabric()
{
	start fabric
	fails "without its module there is no NVSwitch" 3 "the module has no nvidia-nvswitch" \
		give fabric --devices none --fabric nvswitch
	sed -i "s/^241 nvidia-caps\$/&\n239 nvidia-nvswitch/" "$PROC_ROOT/devices"
	mknod -m 0666 "$DEV_ROOT/nvidia-nvswitchctl" c 239 255
	mknod -m 0666 "$DEV_ROOT/nvidia-nvswitch0" c 239 0
	capability fabric-imex-mgmt 4323 400
	nvfs rescan >/dev/null
	ok "the fabric's nodes are given" give fabric --devices none --fabric nvswitch,imex-mgmt
	is "the switches" "$(in_container fabric opendev /dev/nvidia-nvswitchctl /dev/nvidia-nvswitch0 | tr '\n' ' ')" \
		"/dev/nvidia-nvswitchctl ENXIO /dev/nvidia-nvswitch0 ENXIO "
	is "and what manages IMEX" "$(nodes fabric) $(opens fabric 4323) $(view fabric)" "4323  ENXIO fabric-imex-mgmt "
	fails "by no other word" 2 "fabric 'nvlink' is none of nvswitch, imex-mgmt" \
		give fabric --devices none --fabric nvlink
	rm "$PROC_ROOT/driver/nvidia/capabilities/fabric-imex-mgmt"
	nvfs rescan >/dev/null
	kill_container fabric
}

# ---- hooks ------------------------------------------------------------------------------------------

words()
{
	printf '%s\n' "$@" | jq -Rnc '[inputs]'
}

# hooked NAME FILTER ENV...: exit status in $STATUS and runc's words in $OUT
hooked()
{
	local name=$1 filter=$2

	shift 2
	make_rootfs glibc "$name"
	STATUS=0
	run_container "$name" "$ROOTFS" "$filter | .process.env += $(words NVIDIA_VISIBLE_DEVICES=all "$@")
		| .hooks.createRuntime = [{ path: \"$NVINJECT\", env: [], timeout: 30,
			args: $(words nvinject hook --socket "$SOCKET") }]" >"$SCRATCH/hooked" 2>&1 || STATUS=$?
	OUT=$(cat "$SCRATCH/hooked")
}

PRIVILEGED='.process.capabilities.bounding += ["CAP_SYS_ADMIN"]'

channel_mount()
{
	echo '.mounts += [{ type: "bind", source: "/dev/null", options: ["bind", "ro"],' \
		"destination: \"/var/run/nvidia-container-devices/imex/$1\" }]"
}

hooks()
{
	hooked plain . NVIDIA_MIG_CONFIG_DEVICES=all
	unlike "an unprivileged container that wants to divide GPUs does not start" "$STATUS" '^0$'
	like "and the runtime shows why" "$OUT" "cannot set MIG_CONFIG_DEVICES in non privileged container"
	hooked watcher . NVIDIA_MIG_MONITOR_DEVICES=all
	like "likewise to watch them" "$OUT" "cannot set MIG_MONITOR_DEVICES in non privileged container"
	hooked privileged "$PRIVILEGED" NVIDIA_MIG_CONFIG_DEVICES=all NVIDIA_MIG_MONITOR_DEVICES=all
	like "a privileged one does, with both" "$STATUS $(nodes privileged)" "^0 1 2 12 "
	hooked one "$PRIVILEGED" NVIDIA_MIG_CONFIG_DEVICES=1
	like "but for all GPUs alone" "$OUT" "1: only 'all' devices are currently supported"
	hooked channels . NVIDIA_IMEX_CHANNELS=0,3
	like "channels of the environment" "$STATUS $(nodes channels)" "^0 .*c0 c3 "
	hooked legacy . NVIDIA_IMEX_CHANNELS=all
	unlike "of which 'all' are none" "$STATUS $(nodes legacy)" "^[1-9]| c[0-9]"
	hooked mounts "$(channel_mount 9)" NVIDIA_IMEX_CHANNELS=0
	like "mounts count more" "$STATUS $(nodes mounts)" "^0 .*c9 "
	unlike "than the environment" "$(nodes mounts)" "c0 "
	hooked none . NVIDIA_IMEX_CHANNELS=2048
	like "one that is none is named" "$OUT" "IMEX channel '2048' is not one from 0 to 2047"
	kill_containers
	stop_daemon
	write_config "settle = 0" "accept_env = never"
	start_daemon --config "$CONFIG"
	hooked policy "$PRIVILEGED | $(channel_mount 9) | .mounts += [{ type: \"bind\", source: \"/dev/null\",
		options: [\"bind\"], destination: \"/var/run/nvidia-container-devices/0\" }]" \
		NVIDIA_MIG_CONFIG_DEVICES=all NVIDIA_IMEX_CHANNELS=1
	is "where the environment does not count mounts alone do" "$STATUS $(nodes policy)" "0 c9 "
	kill_containers
}

# ---- users ------------------------------------------------------------------------------------------

# ask DEVICES [MORE]: as a user, for a process of its own: the reply
ask()
{
	timeout -k 5 $((30 * SLOW)) setpriv --reuid $STRANGER --regid $STRANGER --clear-groups "$HELPERS/sockabuse" \
		"$SOCKET" "fd=pidfd:$CHILD" "send={\"method\":\"io.nvfs.Inject\",\"parameters\":{\"fds\":1,\"pidfd\":0,\
\"id\":\"u\",\"devices\":\"$1\"${2:-}}}" recv 2>&1
}

users()
{
	stop_daemon
	write_config "settle = 0" 'user_devices = 0:0'
	start_daemon --config "$CONFIG"
	unshare -m --propagation private setpriv --reuid $STRANGER --regid $STRANGER --clear-groups sleep 1000 \
		</dev/null >/dev/null 2>&1 &
	CHILD=$!
	at_exit kill -KILL $CHILD
	wait_for 5 sh -c "test \$(cat /proc/$CHILD/comm) = sleep"
	like "no node is made for a user" "$(ask 0:0)" "nvidia-cap12 does not exist"
	mkdir -p "$DEV_ROOT/nvidia-caps"
	mknod -m 0400 "$DEV_ROOT/nvidia-caps/nvidia-cap12" c $CAPS 12
	mknod -m 0444 "$DEV_ROOT/nvidia-caps/nvidia-cap13" c $CAPS 13
	like "the host's are given, in the user's ceiling" "$(ask 0:0)" '/dev/nvidia-caps/nvidia-cap13"'
	like "with the GPU's own" "$OUT$(ask all)" '/dev/nvidia0"'
	like "a neighbour is refused by name" "$(ask 0:1)" "MIG-$UUID0/1/1 is not for users"
	like "and the whole GPU" "$(ask 0)" "$UUID0 is not for users"
	unlike "of all there is the ceiling" "$(ask all)" "nvidia-cap14|nvidia1"
	like "no user divides GPUs" "$(ask all ',"mig_config":"all"')" "uid $STRANGER may not divide or watch GPUs"
	like "nor manages IMEX" "$(ask all ',"fabric":"imex-mgmt"')" "uid $STRANGER may not manage IMEX"
	like "nor has channels made" "$(ask all ',"imex_channels":"3"')" "channel3 does not exist"
	rm -r "$DEV_ROOT/nvidia-caps"
}

# ---- nonsense ---------------------------------------------------------------------------------------

# Whatever /proc holds, the daemon lives and gives what can be told.
nonsense()
{
	local caps=$PROC_ROOT/driver/nvidia/capabilities minors=$PROC_ROOT/driver/nvidia-caps/mig-minors

	stop_daemon
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start nonsense
	mkdir -p "${minors%/*}"
	awk 'BEGIN { for (i = 0; i < 100000; i++) printf "gpu%d/gi%d/ci%d/access %d\n", i / 1024, i / 8 % 128, i % 8, i }' >"$minors"
	printf 'x' >"$caps/gpu0/mig/gi1/ci0/access"
	ok "a list of 100,000 lines" wait_for 10 nvfs rescan # 75: it is still being looked at
	like "is used" "$(give nonsense --devices 0:0 --dry-run)" "nvidia-cap8 "
	head -c 5000000 /dev/zero | tr '\0' 7 >"$caps/gpu0/mig/gi1/ci1/access"
	printf 'DeviceFileMinor: 13\n\0DeviceFileMinor: 1\n' >"$caps/gpu0/mig/gi1/ci0/access"
	head -c 20000000 /dev/zero >"$minors"
	ok "files that are huge, or have NUL bytes" nvfs rescan
	like "count as far as they can be read" "$(give nonsense --devices 0:0 --dry-run)" "nvidia-cap13 "
	fails "and what cannot be told is named" 3 "unknown device|no capability gpu0/mig/gi1/ci1" \
		give nonsense --devices "MIG-$UUID0/1/1"
	(cd "$PROC_ROOT/driver/nvidia/gpus" && for i in $(seq 4096); do printf '%04x:01:00.0\n' "$i"; done | xargs mkdir)
	ok "4,096 GPUs" nvfs rescan
	ok "do not end the daemon" nvfs status
	find "$PROC_ROOT/driver/nvidia/gpus" -name '*:01:00.0' -exec rmdir {} +
	instance 0 1 0 1
	rm "$minors"
	nvfs rescan >/dev/null
	ok "afterwards all is as before" give nonsense --devices 0:0
	is "with its nodes" "$(nodes nonsense)" "12 13 "
	kill_container nonsense
}

host_snapshot
use_sample_driver
divided_host
write_config "settle = 0"
start_daemon --config "$CONFIG"
chosen
by_names
hosts_own
user_namespace
control
imex
fabric
hooks
users
nonsense
changes
stop_daemon
host_compare
done_testing
