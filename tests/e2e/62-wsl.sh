#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# WSL2, made up: no module, libraries without versions in one directory, the store of the Windows driver,
# and /dev/dxg. What stands for that node is a device that nothing answers to.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
STORE=usr/lib/wsl/drivers/nv_dispi.inf_amd64_1

# From the sample: its libraries under WSL2's names, copies where Linux would have links.
make_wsl()
{
	local wsl=$DRIVER_ROOT/usr/lib/wsl lib soname

	lib=$(dirname "$(find "$DRIVER_ROOT" -name libcuda.so.999.10.01)")
	mkdir -p "$wsl/lib" "$DRIVER_ROOT/$STORE"
	for soname in libcuda.so libcuda.so.1 libnvidia-ml.so.1 libnvidia-opencl.so.1; do
		cp -L "$lib/$soname" "$wsl/lib/$soname"
	done
	echo 'int dxcore(void) { return 0; }' |
		cc -x c - -shared -fPIC -nostdlib -Wl,-soname,libdxcore.so -o "$wsl/lib/libdxcore.so"
	cp "$DRIVER_ROOT/usr/bin/nvidia-smi" "$wsl/lib/"
	cp "$lib/libcuda.so.1" "$DRIVER_ROOT/$STORE/libcuda.so.1.1"
	echo cubins >"$DRIVER_ROOT/$STORE/nvcubins.bin"
	rm -rf "$lib" "$DRIVER_ROOT"/usr/bin/nvidia-* "$DRIVER_ROOT/usr/lib/firmware" "$PROC_ROOT/driver"
	printf 'Character devices:\n  1 mem\n\nBlock devices:\n  8 sd\n' >"$PROC_ROOT/devices"
	printf '229 fuse\n 58 dxg\n' >"$PROC_ROOT/misc"
	rm -f "$DEV_ROOT"/nvidia*
	mknod -m 0666 "$DEV_ROOT/dxg" c 10 58
}

host_snapshot
use_sample_driver
make_wsl
start_daemon --config "$CONFIG"
like "the driver is of WSL2" "$("$NVFS" driver --driver-root "$DRIVER_ROOT" --proc-root "$PROC_ROOT" --rules-dir /nonexistent)" \
	'^Driver of WSL2'

make_rootfs glibc
run_container one "$ROOTFS"
ok "inject" nvinject --pid "$PID" --id one --devices all --driver-capabilities compute,utility
is "the node is there" "$(in_container one stat -c '%t:%T' /dev/dxg)" a:3a
is "and no node of NVIDIA's" "$(in_container one sh -c 'ls /dev | grep -c nvidia' || true)" 0
for soname in libcuda.so libcuda.so.1 libnvidia-ml.so.1 libdxcore.so; do
	try in_container one dlopen "$soname"
	like "$soname is the tree's" "$OUT" "$soname $TREE/lib64/"
done
ok "the store is at its path" in_container one cmp "/$STORE/nvcubins.bin" "$TREE/wsl/drivers/nv_dispi.inf_amd64_1/nvcubins.bin"
ok "its libraries can be loaded by it" in_container one dlopen "/$STORE/libcuda.so.1.1"
ok "and those beside it" in_container one dlopen /usr/lib/wsl/lib/libcuda.so.1
like "nvidia-smi runs" "$(in_container one nvidia-smi)" 'sample driver'
like "the daemon says so" "$(nvfs status)" 'driver +of WSL2'
ok "remove" nvinject --remove --id one
ok "takes the link away" test ! -e "$ROOTFS/usr/lib/wsl" -a ! -L "$ROOTFS/usr/lib/wsl"
ok "and the node" test ! -e "$ROOTFS/dev/dxg"
kill_container one
stop_daemon
host_compare
done_testing
