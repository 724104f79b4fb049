# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For tests of container engines, sourced after lib.sh: what an engine writes outside of the directories that it
# can be told lands in this script's own mount namespace.

# private_host: /etc is a copy, /run, /opt and /dev/shm are empty, /dev/null is a node of ours, and where the
# machine shows both versions of cgroups the second one is hidden, which crun refuses.
private_host()
{
	[ "$(readlink /proc/self/ns/mnt)" != "$(readlink /proc/1/ns/mnt)" ] || skip_all "needs a mount namespace of its own"
	mkdir -p "$SCRATCH/etc" "$SCRATCH/null"
	cp -a /etc/. "$SCRATCH/etc/"
	mount --bind "$SCRATCH/etc" /etc
	for dir in /run /opt /dev/shm; do
		mount -t tmpfs -o mode=755 nvfs-test-host "$dir"
	done
	chmod 1777 /dev/shm
	mkdir -p /run/lock /run/cdi
	mount -t tmpfs nvfs-test-null "$SCRATCH/null"
	mknod -m 666 "$SCRATCH/null/null" c 1 3
	mount --bind "$SCRATCH/null/null" /dev/null
	if mountpoint -q /sys/fs/cgroup/unified; then
		umount /sys/fs/cgroup/unified
		mount -t tmpfs nvfs-test-cgroup /sys/fs/cgroup/unified
	fi
	at_exit private_host_end
}

# Before the machine is compared with what it was.
private_host_end()
{
	! grep -q '^nvfs-test-cgroup ' /proc/self/mounts || umount /sys/fs/cgroup/unified
	umount -l /dev/null /dev/shm /opt /run /etc "$SCRATCH/null"
	find /sys/fs/cgroup -depth -type d -name "$RUN_ID*" -exec rmdir {} + 2>/dev/null || true
}

# engine_image: a root with busybox and the test programs, as a tar archive; its path in $IMAGE
engine_image()
{
	make_rootfs busybox image
	IMAGE=$SCRATCH/image.tar
	tar -C "$ROOTFS" -cf "$IMAGE" .
}

# What is asked of a container, and how one with a GPU answers: ls finds it, and the node may be opened.
# shellcheck disable=SC2034
WHAT='export PATH=/usr/bin:/bin; exec 2>&1; ls /usr/local/nvidia/lib64/libcuda.so.1; /usr/local/bin/opendev /dev/nvidia0 || true'
# shellcheck disable=SC2034
HAS_GPU='libcuda\.so\.1.*/dev/nvidia0 ENXIO'
# shellcheck disable=SC2034
HAS_NONE='No such file.*/dev/nvidia0 ENOENT'
