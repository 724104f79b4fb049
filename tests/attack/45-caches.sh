#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every ld.so.cache of the fuzzer's corpus, hostile ones and good ones, as that of an image: the container
# gets its driver, a program in it still starts, the daemon is the same one, and no entry of ours leads
# elsewhere than into the tree.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
CORPUS=$TESTS/fuzz/corpus/ldcache
[ -d "$CORPUS" ] || skip_all "no fuzz corpus here"

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
make_rootfs glibc
run_container c1 "$ROOTFS"
worker=$(worker_pid)
cp "$ROOTFS/etc/ld.so.cache" "$SCRATCH/good"
for file in "$CORPUS"/*; do
	name=${file##*/}
	cp "$file" "$ROOTFS/etc/ld.so.cache"
	ok "$name: the container is injected" nvinject --pid "$PID" --id c1 --devices all
	is "$name: what is said is printable" "$(tr -d '[:print:]\n' <<<"$OUT" | wc -c)" 0
	ok "$name: a program starts and loads libcuda" in_container c1 dlopen libcuda.so.1
	like "$name: the driver's" "$OUT" '/usr/local/nvidia/lib64/libcuda'
	is "$name: first of that name in the cache" \
		"$(ldconfig -p -C "$ROOTFS/etc/ld.so.cache" | grep -m 1 'libcuda\.so\.1 .*x86-64' | sed 's/.*=> //')" \
		/usr/local/nvidia/lib64/libcuda.so.1
	ok "$name: it is taken back" nvinject --remove --id c1
	cp "$SCRATCH/good" "$ROOTFS/etc/ld.so.cache"
done
is "the daemon is the same" "$(worker_pid)" "$worker"
kill_containers
stop_daemon
host_compare
done_testing
