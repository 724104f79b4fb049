#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon on a small sample driver: comes up, shows the whole driver in the host tree, refuses
# every write with EROFS, and leaves nothing behind when it stops.
set -eu
. "$(dirname "$0")/../lib.sh"

tree=$MOUNTPOINT/host

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"

ok "the host tree is there" ls -la "$tree"
like "the mount is one of FUSE" "$(mounts_in $$ | awk -v m="$MOUNTPOINT" '$1 == m { print $2 }')" '^fuse'
try ls "$tree/lib64"
like "libraries stand under their version names" "$OUT" 'libcuda\.so\.999\.10\.01'
like "and under their sonames" "$OUT" 'libcuda\.so\.1'
like "a library that no table knows is served too" "$OUT" 'libnvidia-unheardof\.so\.1'
try readlink "$tree/lib64/libcuda.so.1"
is "a soname is a link to the version name" "$OUT" libcuda.so.999.10.01
try readlink "$tree/lib"
is "lib is a link to lib64" "$OUT" lib64
ok "a library reads as the host's own file" cmp "$tree/lib64/libcuda.so.1" \
	"$(find "$DRIVER_ROOT" -name libcuda.so.999.10.01)"
ok "a program can be executed by path" test -x "$tree/bin/nvidia-smi"
ok "firmware is there" test -s "$tree/firmware/nvidia/999.10.01/gsp_ga10x.bin"
ok "the manifest is JSON" jq -e . "$tree/.nvfs/manifest.json"

erofs='Read-only file system'
fails "creating a file is refused" 1 "$erofs" touch "$tree/new"
fails "writing to a library is refused" 1 "$erofs" dd if=/dev/zero bs=1 count=1 conv=notrunc \
	"of=$tree/lib64/libcuda.so.999.10.01"
fails "mkdir is refused" 1 "$erofs" mkdir "$tree/new"
fails "removing is refused" 1 "$erofs" rm -f "$tree/bin/nvidia-smi"
fails "renaming is refused" 1 "$erofs" mv "$tree/bin/nvidia-smi" "$tree/bin/other"
fails "a link is refused" 1 "$erofs" ln -s x "$tree/link"
fails "chmod is refused" 1 "$erofs" chmod 777 "$tree/bin/nvidia-smi"
fails "chown is refused" 1 "$erofs" chown 1:1 "$tree/bin/nvidia-smi"

ok "nvfs status answers" nvfs status
like "nvfs ls --json is JSON" "$(nvfs ls --json | jq -r type)" '^(array|object)$'
fails "a second daemon on the same mountpoint is refused" "[1-9]*" . \
	"$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SCRATCH/other.sock"

stop_daemon
is "SIGTERM ends it with success" "$DAEMON_STATUS" 0
unlike "the mount is gone" "$(cat /proc/self/mountinfo)" "$MOUNTPOINT"
fails "status without a daemon is an error of its own" 7 'daemon' nvfs status
host_compare
done_testing
