#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An image in which the places that an injection works at are something else: links of every kind,
# files, FIFOs, sockets, nodes. Each gets its refusal or another place, all of it is as before after a
# removal, nothing outside of the root is touched, and no call waits for what is there.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TRY_TIMEOUT=20
OUTSIDE=$SCRATCH/outside
LINKS="absolute relative upward dangling host-path loop root-of-init root-of-self descriptor"
OTHERS="fifo socket null disk"

# put FORM PATH: the thing at this path of the container, as the image's author would have made it
put()
{
	rm -rf "$2"
	mkdir -p "${2%/*}"
	case $1 in
	absolute) ln -s /opt/x "$2" ;;
	relative) ln -s ../../opt/x "$2" ;;
	upward) ln -s ../../../../../../../../../opt/x "$2" ;;
	dangling) ln -s /nowhere/at/all "$2" ;;
	host-path) ln -s "$OUTSIDE/dir" "$2" ;;
	loop) ln -s "${2##*/}" "$2" ;;
	root-of-init) ln -s /proc/1/root/opt/x "$2" ;;
	root-of-self) ln -s /proc/self/root/opt/x "$2" ;;
	descriptor) ln -s /proc/self/fd/3 "$2" ;;
	file) echo text >"$2" ;;
	fifo) mkfifo "$2" ;;
	socket) perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Listen => 1, Local => shift) or die' "$2" ;;
	null) mknod "$2" c 1 3 ;;
	disk) mknod "$2" b 8 0 ;;
	directory) mkdir "$2" ;;
	esac
}

# Names, types, modes, sizes and link targets, not times: a directory's own changes with what comes and goes.
state()
{
	find "$ROOTFS" "/proc/$PID/root/dev" -xdev \( -type d -printf '%p %y %m\n' -o -printf '%p %y %m %s %l\n' \) |
		sort
	mounts_in "$PID"
}

outside()
{
	find "$OUTSIDE" -printf '%p %y %m %s %T@ %C@ %l\n' | sort
}

tree_at()
{
	mounts_in "$PID" | awk '$2 ~ /^fuse/ { print $1 }'
}

inject()
{
	nvinject --pid "$PID" --id c1 --devices all
}

# After each: taken back, and as before
back()
{
	if [ "$STATUS" = 0 ]; then
		try nvinject --remove --id c1
		[ "$STATUS" = 0 ] || diag "remove: $OUT"
	fi
	state >"$SCRATCH/after"
	ok "$1: and then all is as before" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
}

# elsewhere|there|refused NAME FORM PATH
attack()
{
	local outcome=$1 name="$2 as $3" where=$4 tree

	put "$3" "$where"
	state >"$SCRATCH/before"
	try inject
	case $outcome in
	elsewhere) tree=/dev/nvfs ;;
	there) tree=/usr/local/nvidia ;;
	esac
	case $outcome in
	refused) is "$name: refused" "$STATUS $(tree_at)" "6 " ;;
	*) is "$name: the tree" "$STATUS $(tree_at)" "0 $tree" ;;
	esac
	back "$name"
	rm -rf "$where"
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
make_rootfs busybox
mkdir -p "$OUTSIDE/dir" "$ROOTFS/opt/x"
echo secret >"$OUTSIDE/file"
outside >"$SCRATCH/outside.before"
run_container c1 "$ROOTFS"
mounts=$(cat /proc/self/mountinfo)

for form in $LINKS $OTHERS file; do
	attack elsewhere /usr/local/nvidia "$form" "$ROOTFS/usr/local/nvidia"
done
attack there /usr/local/nvidia directory "$ROOTFS/usr/local/nvidia"
for form in $LINKS $OTHERS directory; do
	attack there /etc/ld.so.cache "$form" "$ROOTFS/etc/ld.so.cache"
	attack there /etc/ld.so.conf.d/00-nvfs.conf "$form" "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf"
	attack there /usr/bin/nvidia-smi "$form" "$ROOTFS/usr/bin/nvidia-smi"
	attack refused /dev/nvidia0 "$form" "/proc/$PID/root/dev/nvidia0"
done
for form in dangling host-path loop root-of-init descriptor file fifo null disk; do
	attack there /etc/ld.so.conf.d "$form" "$ROOTFS/etc/ld.so.conf.d"
done

outside >"$SCRATCH/outside.after"
ok "nothing outside of the root was touched" diff -U0 "$SCRATCH/outside.before" "$SCRATCH/outside.after"
is "nothing was mounted outside of the container" "$(cat /proc/self/mountinfo)" "$mounts"
ok "the daemon answers" nvfs status
is "and has no tree left" "$(nvfs ls --json | jq '[.trees[] | select(.pid > 0)] | length')" 0
kill_containers
stop_daemon
host_compare
done_testing
