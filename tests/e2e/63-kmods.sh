#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# --load-kmods: the driver's modules by a made-up modprobe, and the host's device nodes by the rules that
# the driver has for them; before the daemon limits itself, and by a child when the module is loaded anew.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

nodes()
{
	find "$DEV_ROOT" -type c -printf '%P %m %U:%G\n' | sort | tr '\n' ','
}

# What /dev/char has: numbers, and the nodes that they lead to
links()
{
	find "$DEV_ROOT/char" -type l -printf '%P %l\n' 2>/dev/null | sort | tr '\n' ','
}

numbers()
{
	stat -c '%n %t:%T' "$@" | sed "s|^$DEV_ROOT/||" | tr '\n' ','
}

# shellcheck disable=SC2317 # called by wait_for
numbers_are()
{
	[ "$(numbers "$DEV_ROOT/nvidia-uvm")" = "$1" ]
}

# shellcheck disable=SC2317 # called by wait_for
links_are()
{
	[ "$(links)" = "$1" ]
}

# A host whose modules are not loaded. modprobe puts a module's part of /proc there, and keeps a list.
unloaded_host()
{
	use_sample_driver "$1"
	mkdir -p "$SCRATCH/loaded" "$PROC_ROOT/sys/kernel" "$PROC_ROOT/bus/pci"
	rm -rf "$SCRATCH/loaded/nvidia"
	mv "$PROC_ROOT/driver/nvidia" "$SCRATCH/loaded/nvidia"
	sed -i '/nvidia/d' "$PROC_ROOT/devices"
	find "$DEV_ROOT" -type c -delete
	printf '0030\t10de2330\t29\n' >"$PROC_ROOT/bus/pci/devices"
	: >"$PROC_ROOT/modules"
	: >"$SCRATCH/calls"
	cat >"$SCRATCH/modprobe" <<-END
		#!/bin/sh
		echo "\$* PATH=\$PATH \$(env | wc -l)" >>"$SCRATCH/calls"
		case \$1 in
		nvidia)
			cp -r "$SCRATCH/loaded/nvidia" "$PROC_ROOT/driver/"
			line='195 nvidia\\n241 nvidia-caps' ;;
		nvidia-uvm) line='238 nvidia-uvm' ;;
		*) exit 1 ;;
		esac
		sed -i "s/^ *1 mem\$/&\\n\$line/" "$PROC_ROOT/devices"
		echo "\$1 1 0 - Live 0x0" | tr - _ >>"$PROC_ROOT/modules"
	END
	chmod 755 "$SCRATCH/modprobe"
	echo "$SCRATCH/modprobe" >"$PROC_ROOT/sys/kernel/modprobe"
}

host_snapshot
unloaded_host host
mkdir -p "$SCRATCH/loaded/nvidia/capabilities/mig" "$SCRATCH/loaded/nvidia/capabilities/gpu0/mig/gi1"
printf 'DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n' >"$SCRATCH/loaded/nvidia/capabilities/mig/config"
printf 'DeviceFileMinor: 2\nDeviceFileMode: 292\nDeviceFileModify: 0\n' >"$SCRATCH/loaded/nvidia/capabilities/mig/monitor"
printf 'DeviceFileMinor: 12\nDeviceFileMode: 292\nDeviceFileModify: 1\n' \
	>"$SCRATCH/loaded/nvidia/capabilities/gpu0/mig/gi1/access"

write_config "settle = 0"
start_daemon --config "$CONFIG"
is "without being told nvfs loads no module" "$(cat "$SCRATCH/calls")" ""
is "and makes no node" "$(nodes)" ""
stop_daemon

start_daemon --config "$CONFIG" --load-kmods
is "each module is loaded, with an environment of its own" "$(cut -d' ' -f1,2 "$SCRATCH/calls" | tr '\n' ',')" \
	"nvidia PATH=/usr/sbin:/usr/bin:/sbin:/bin,nvidia-uvm PATH=/usr/sbin:/usr/bin:/sbin:/bin,nvidia-modeset PATH=/usr/sbin:/usr/bin:/sbin:/bin,"
like "one that cannot be is told" "$(cat "$SCRATCH/daemon.log")" "modprobe nvidia-modeset' ended with 1 and the module is not"
is "the nodes are there, but those that are not to be made" "$(nodes)" \
	"nvidia-caps/nvidia-cap1 400 0:0,nvidia-caps/nvidia-cap12 444 0:0,nvidia-uvm 666 0:0,nvidia-uvm-tools 666 0:0,nvidia0 666 0:0,nvidiactl 666 0:0,"
is "by the numbers of the module" "$(numbers "$DEV_ROOT/nvidia0" "$DEV_ROOT/nvidiactl" "$DEV_ROOT/nvidia-uvm-tools" "$DEV_ROOT/nvidia-caps/nvidia-cap12")" \
	"nvidia0 c3:0,nvidiactl c3:ff,nvidia-uvm-tools ee:1,nvidia-caps/nvidia-cap12 f1:c,"
is "which lead to them" "$(links)" \
	"195:0 ../nvidia0,195:255 ../nvidiactl,238:0 ../nvidia-uvm,238:1 ../nvidia-uvm-tools,241:1 ../nvidia-caps/nvidia-cap1,241:12 ../nvidia-caps/nvidia-cap12,"
like "and the driver is served" "$(nvfs status)" "999.10.01"
: >"$SCRATCH/calls"

# ---- when the module is loaded anew --------------------------------------------------------------

sed -i 's/^238 nvidia-uvm/236 nvidia-uvm/' "$PROC_ROOT/devices"
ok "when majors move, the nodes follow" wait_for 20 numbers_are "nvidia-uvm ec:0,"
ok "and their links, of which none stays behind" wait_for 5 links_are \
	"195:0 ../nvidia0,195:255 ../nvidiactl,236:0 ../nvidia-uvm,236:1 ../nvidia-uvm-tools,241:1 ../nvidia-caps/nvidia-cap1,241:12 ../nvidia-caps/nvidia-cap12,"
is "nobody's else" "$(numbers "$DEV_ROOT/nvidia0")" "nvidia0 c3:0,"
rm "$DEV_ROOT/nvidia-uvm"
mkdir "$DEV_ROOT/nvidia-uvm"
sed -i 's/^236 nvidia-uvm/237 nvidia-uvm/' "$PROC_ROOT/devices"
# shellcheck disable=SC2016 # for grep
ok "what is no node is left, and said" wait_for 20 grep -q "node 'nvidia-uvm': something else stands there" "$SCRATCH/daemon.log"
rmdir "$DEV_ROOT/nvidia-uvm"
stop_daemon
is "no module was loaded by then" "$(cat "$SCRATCH/calls")" ""

# ---- parameters ----------------------------------------------------------------------------------

printf '%s\n' 'ModifyDeviceFiles: 1' 'DeviceFileUID: 7' 'DeviceFileGID: 44' 'DeviceFileMode: 432' \
	>"$PROC_ROOT/driver/nvidia/params"
chmod 600 "$DEV_ROOT/nvidiactl"
write_config "settle = 0" "load_kmods = yes"
start_daemon --config "$CONFIG"
is "owner and mode are the parameters'" "$(nodes)" \
	"nvidia-caps/nvidia-cap1 400 0:0,nvidia-caps/nvidia-cap12 444 0:0,nvidia-uvm 660 7:44,nvidia-uvm-tools 660 7:44,nvidia0 660 7:44,nvidiactl 660 7:44,"
stop_daemon
is "a module that is loaded is not loaded again" "$(cut -d' ' -f1 "$SCRATCH/calls")" nvidia-modeset
printf '%s\n' 'ModifyDeviceFiles: 0' >"$PROC_ROOT/driver/nvidia/params"
rm "$DEV_ROOT/nvidia0"
start_daemon --config "$CONFIG"
unlike "where they say no, none is made" "$(nodes)" "nvidia0"
stop_daemon

# ---- where nothing is to be loaded ---------------------------------------------------------------

unloaded_host none
printf '0030\t8086a0c8\t29\n' >"$PROC_ROOT/bus/pci/devices"
start_daemon --config "$CONFIG" --load-kmods
is "without a device of NVIDIA's modprobe is not run" "$(cat "$SCRATCH/calls")" ""
like "which is said" "$(cat "$SCRATCH/daemon.log")" "no PCI device of NVIDIA's"
stop_daemon
unloaded_host broken
echo "$SCRATCH/no-such-modprobe" >"$PROC_ROOT/sys/kernel/modprobe"
start_daemon --config "$CONFIG" --load-kmods
like "without a modprobe there is a daemon, too" "$(cat "$SCRATCH/daemon.log")" "no-such-modprobe nvidia': No such file"
ok "which waits for a driver" nvfs status
stop_daemon
mkdir -p "$MOUNTPOINT" "${SOCKET%/*}"
try timeout -k 5 10 unshare --user --map-root-user "$NVFS" serve --config "$CONFIG" --load-kmods \
	--mountpoint "$MOUNTPOINT" --socket "$SOCKET"
like "root of a user namespace loads none" "$OUT" "kernel modules are for root of the initial user namespace"
is "and modprobe was not run" "$(cat "$SCRATCH/calls")" ""
unmount_below "$MOUNTPOINT"
host_compare
done_testing
