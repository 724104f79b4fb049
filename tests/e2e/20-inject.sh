#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The main line: a driver tree in a runc container, with the sample driver and with NVIDIA's own user
# space. What is there before, after, after a second time, and after it has been taken back.
set -eu
. "$(dirname "$0")/../lib.sh"

# Everything that an injection may touch, with checksums, and the mounts.
container_state()
{
	in_container "$1" sh -c 'cd / && find dev etc usr/bin usr/local -xdev ! -path "dev/pts/*" -exec ls -ld --time-style=+ {} + | sort -k 6;
		find etc -xdev -type f -exec md5sum {} + | sort -k 2' | sed 's/ \+/ /g; s/^\(d[^ ]*\) [0-9]* \([^ ]* [^ ]*\) [0-9]*/\1 \2/'
	mounts_in "$PID" | sort
}

# What the container's loader is told of the tree, in one order.
driver_entries()
{
	in_container "$1" ldconfig -p | grep -F '=> /usr/local/nvidia/' | sort
}

# lists_the_driver NAME [WHEN]: the libraries that programs ask for, by the whole line
lists_the_driver()
{
	local soname

	in_container "$1" ldconfig -p >"$SCRATCH/libraries"
	for soname in libcuda.so.1 libnvidia-ml.so.1 libnvidia-ptxjitcompiler.so.1; do
		ok "$1: ldconfig -p lists $soname${2:-}" grep -q \
			"$soname .*=> /usr/local/nvidia/lib64/$soname" "$SCRATCH/libraries"
	done
}

main_line()
{
	local name=$1 version=$2

	make_rootfs glibc "$name"
	run_container "$name" "$ROOTFS" '.process.noNewPrivileges = false'
	container_state "$name" >"$SCRATCH/before"
	not_ok "$name: no libcuda before" in_container "$name" dlopen libcuda.so.1
	ok "$name: a dry run" nvinject --pid "$PID" --id "$name" --devices all --dry-run
	container_state "$name" >"$SCRATCH/now"
	ok "$name: a dry run changes nothing" cmp "$SCRATCH/before" "$SCRATCH/now"
	ok "$name: inject" nvinject --pid "$PID" --id "$name" --devices all
	is "$name: exactly one mount for the tree" "$(mounts_in "$PID" | grep -c '^/usr/local/nvidia ')" 1
	lists_the_driver "$name"
	driver_entries "$name" >"$SCRATCH/entries"
	ok "$name: the image's own libraries are still listed" grep -q 'libc\.so\.6 ' "$SCRATCH/libraries"
	ok "$name: a program loads libcuda" in_container "$name" dlopen libcuda.so.1
	like "$name: from the tree" "$OUT" "/usr/local/nvidia/lib64/libcuda.so.$version"
	ok "$name: a setuid program, too" in_container_as 1000 "$name" dlopen-setuid libcuda.so.1
	like "$name: from the tree, and as a setuid program" "$OUT" "secure 1.*/usr/local/nvidia/lib64/libcuda.so.$version"
	for command in 'touch x' 'mkdir x' 'rm lib64/libcuda.so.1' 'chmod 777 bin' 'mv bin bin2' 'ln -s a b'; do
		fails "$name: $command in the tree" "[1-9]*" 'Read-only file system' \
			in_container "$name" sh -c "cd /usr/local/nvidia && $command"
	done
	ok "$name: ldconfig in the container" in_container "$name" ldconfig
	lists_the_driver "$name" ' afterwards'
	make_library_deb extra "$SCRATCH"
	cp "$SCRATCH/extra.deb" "$ROOTFS/tmp/"
	ok "$name: a package whose trigger runs ldconfig" in_container "$name" dpkg -i /tmp/extra.deb
	is "$name: dpkg has run the trigger and left nothing half-configured" \
		"$(in_container "$name" dpkg-query -W -f '${db:Status-Status} ${db:Status-Want}' extra)$(in_container "$name" dpkg --audit)" \
		'installed install'
	lists_the_driver "$name" ' after the package, too'
	ok "$name: and every entry that the injection made" diff "$SCRATCH/entries" <(driver_entries "$name")
	ok "$name: libcuda is found after both" in_container "$name" dlopen libcuda.so.1
	ok "$name: and so is the package's library" in_container "$name" sh -c 'ldconfig -p | grep -q libextra'
}

use_sample_driver
write_config 'grace = 1'
host_snapshot
start_daemon --config "$CONFIG"
main_line sample 999.10.01
like "nvidia-smi is found by name" "$(in_container sample nvidia-smi)" 'NVIDIA-SMI 999'
fails "the GPU's node may be opened: no driver answers, nobody forbids" 1 ENXIO in_container sample opendev /dev/nvidia0
like "nvfs ls names it" "$(nvfs ls)" "sample +$PID +GPU-5a3d1e00"
like "nvfs show takes a beginning of the id" "$(nvfs show sam)" 'tree: /usr/local/nvidia mounted'
fails "but not one that nothing begins with" 2 "usage: no tree 'xyz'" nvfs show xyz
is "by-pid leads to it" "$(readlink "$MOUNTPOINT/by-pid/$PID")" ../sample
unlike "the manifest names no path of the host" "$(cat "$MOUNTPOINT/sample/.nvfs/manifest.json")" "$DRIVER_ROOT"
ok "--json is JSON" jq -e '.result == "done"' <<<"$(nvinject --pid "$PID" --id sample --devices all --json)"

make_rootfs glibc second
FIRST_PID=$PID
run_container second "$ROOTFS"
container_state second >"$SCRATCH/before"
before_libraries=$(in_container second ldconfig -p | grep '=>')
ok "another container, without a GPU" nvinject --pid "$PID" --id second --devices none
ok "has the driver" in_container second dlopen libcuda.so.1
not_ok "and no GPU" in_container second test -e /dev/nvidia0
container_state second >"$SCRATCH/once"
ok "a second time" nvinject --pid "$PID" --id second --devices none
container_state second >"$SCRATCH/twice"
ok "changes nothing" diff "$SCRATCH/once" "$SCRATCH/twice"
ok "remove" nvinject --remove --id second
# The linker's cache is written anew, with the entries that it had.
container_state second | grep -v 'etc/ld\.so\.cache' >"$SCRATCH/after"
sed -i '/etc\/ld\.so\.cache/d' "$SCRATCH/before"
ok "leaves everything as it was" diff "$SCRATCH/before" "$SCRATCH/after"
is "and the linker's cache with its entries" "$(in_container second ldconfig -p | grep '=>')" "$before_libraries"
unlike "the daemon has forgotten it" "$(nvfs ls)" second
kill_container second
PID=$FIRST_PID
ok "remove takes the permission back" nvinject --remove --id sample
not_ok "no libcuda afterwards" in_container sample dlopen libcuda.so.1
kill_container sample

for kind in busybox nocache; do
	make_rootfs $kind
	run_container $kind "$ROOTFS"
	ok "$kind: inject" nvinject --pid "$PID" --id $kind --devices all
	is "$kind: one mount for the tree" "$(mounts_in "$PID" | grep -c '^/usr/local/nvidia ')" 1
	ok "$kind: the tree is readable" in_container $kind ls /usr/local/nvidia/lib64/libcuda.so.1
	kill_container $kind
done
gone()
{
	[ "$(nvfs ls | wc -l)" = 1 ]
}
ok "trees go when their containers have ended and the grace is over" wait_for 60 gone
[ "$STATUS" = 0 ] || diag "$(nvfs ls; nvfs status)"

# The daemon behind the containers dies; nobody notices.
make_rootfs glibc survivor
run_container survivor "$ROOTFS"
ok "inject" nvinject --pid "$PID" --id survivor --devices all
failures=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	kill -KILL "$(worker_pid)"
	in_container survivor dlopen libcuda.so.1 >/dev/null 2>&1 || failures=$((failures + 1))
done
is "ten kill -9 of the daemon: every program loads its libraries" "$failures" 0
is "the tree is still its own" "$(readlink "$MOUNTPOINT/by-pid/$PID")" ../survivor
kill -STOP "$(worker_pid)"
ok "a daemon that stands still is replaced" in_container survivor ls /usr/local/nvidia/lib64
ok "and injection goes on" nvinject --remove --id survivor
kill_container survivor

# A container with every GPU: what it may open, a second time, and back.
make_rootfs glibc whole
run_container whole "$ROOTFS"
container_state whole >"$SCRATCH/before"
is "no node before" "$(in_container whole opendev /dev/nvidia0 || true)" "/dev/nvidia0 ENOENT"
mknod -m 666 "/proc/$PID/root/dev/probe" c 195 0
is "and no permission" "$(in_container whole opendev /dev/probe || true)" "/dev/probe EPERM"
rm "/proc/$PID/root/dev/probe"
ok "all GPUs" nvinject --pid "$PID" --id whole --devices all
is "may be opened: no driver answers" "$(in_container whole opendev /dev/nvidia0 || true)" "/dev/nvidia0 ENXIO"
is "no library is listed twice" "$(in_container whole ldconfig -p | grep -F '=> /usr/local/nvidia' | sort | uniq -d)" ''
container_state whole >"$SCRATCH/once"
cp "/proc/$PID/mountinfo" "$SCRATCH/mounts.once"
ok "a second time" nvinject --pid "$PID" --id whole --devices all
container_state whole >"$SCRATCH/twice"
ok "changes no file" diff "$SCRATCH/once" "$SCRATCH/twice"
ok "and no mount" diff "$SCRATCH/mounts.once" "/proc/$PID/mountinfo"
ok "--dry-run --json is JSON" jq -e '.result == "plan"' <<<"$(nvinject --pid "$PID" --id whole --devices all --dry-run --json)"
ok "remove says so in JSON" jq -e '.result == "removed"' <<<"$(nvinject --remove --id whole --json)"
container_state whole | grep -v 'etc/ld\.so\.cache' >"$SCRATCH/after"
sed -i '/etc\/ld\.so\.cache/d' "$SCRATCH/before"
ok "leaves everything as it was" diff "$SCRATCH/before" "$SCRATCH/after"
mknod -m 666 "/proc/$PID/root/dev/probe" c 195 0
is "the permission is gone" "$(in_container whole opendev /dev/probe || true)" "/dev/probe EPERM"
kill_container whole

# A container with -v /dev:/dev. The /dev of this test's own mount namespace stands for the machine's.
if [ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ]; then
	skip "-v /dev:/dev" "needs a mount namespace of its own"
else
	for nodes in with without; do
		mkdir "$SCRATCH/dev-$nodes"
		mount -t tmpfs -o mode=755 nvfs-test-dev "$SCRATCH/dev-$nodes"
		cp -a /dev/{null,zero,full,random,urandom,tty,fuse} "$SCRATCH/dev-$nodes"
		[ $nodes = without ] || cp -a "$DEV_ROOT"/. "$SCRATCH/dev-$nodes"
		make_rootfs glibc "dev-$nodes"
		mount --bind "$SCRATCH/dev-$nodes" /dev
		run_container "dev-$nodes" "$ROOTFS" '.mounts |= map(select(.destination | startswith("/dev") | not))
			+ [{ destination: "/dev", type: "bind", source: "/dev", options: ["rbind", "rw"] }]'
		ls -l --time-style=full-iso /dev >"$SCRATCH/dev.before"
		try nvinject --pid "$PID" --id "dev-$nodes" --devices all
		ls -l --time-style=full-iso /dev >"$SCRATCH/dev.after"
		umount -l /dev
		if [ $nodes = with ]; then
			is "-v /dev:/dev with nodes: they may be opened" \
				"$(in_container dev-with opendev /dev/nvidia0 || true)" "/dev/nvidia0 ENXIO"
		else
			is "-v /dev:/dev without nodes: refused" "$STATUS" 3
			like "-v /dev:/dev without nodes: the error says what to do" "$OUT" \
				"device: no '/dev/nvidiactl' in the host's /dev.*nvidia-modprobe"
		fi
		ok "-v /dev:/dev $nodes nodes: the host's /dev is untouched" diff "$SCRATCH/dev.before" "$SCRATCH/dev.after"
		kill_container "dev-$nodes"
	done
fi
stop_daemon
is "the daemon ends well" "$DAEMON_STATUS" 0

for branch in 535 550; do
	if ! use_real_driver $branch; then
		skip "NVIDIA's $branch user space" "not fetchable"
		continue
	fi
	start_daemon --config "$CONFIG"
	main_line "real$branch" "$(driver_version "$DRIVER_ROOT")"
	try in_container "real$branch" nvidia-smi
	like "nvidia-smi of $branch starts and says in its own words that there is no driver" "$OUT" \
		"couldn't communicate with the NVIDIA driver"
	kill_container "real$branch"
	stop_daemon
done

# No driver is a state, not an error.
use_sample_driver late
mv "$DRIVER_ROOT" "$DRIVER_ROOT.away"
mkdir "$DRIVER_ROOT"
# Not through ok: in its subshell the daemon's pid would be lost, and the daemon stay.
if start_daemon --config "$CONFIG"; then
	pass "a daemon comes up without a driver"
else
	fail "a daemon comes up without a driver"
fi
like "and says so" "$(nvfs status)" 'none yet'
rmdir "$DRIVER_ROOT"
mv "$DRIVER_ROOT.away" "$DRIVER_ROOT"
ok "and serves it once it is there" wait_for 10 test -e "$MOUNTPOINT/host/lib64/libcuda.so.1"
stop_daemon
host_compare
done_testing
