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

# own_dev: a /dev of this script's own, with the sample driver's nodes where a driver has them
own_dev()
{
	local dev=$SCRATCH/dev node

	mkdir "$dev"
	mount -t tmpfs -o mode=755 nvfs-test-dev "$dev"
	for node in null:3 zero:5 full:7 random:8 urandom:9; do
		mknod -m 666 "$dev/${node%:*}" c 1 "${node#*:}"
	done
	mknod -m 666 "$dev/tty" c 5 0
	cp -a /dev/fuse "$dev/fuse"
	ln -s pts/ptmx "$dev/ptmx"
	ln -s /proc/self/fd "$dev/fd"
	mkdir -m 1777 "$dev/pts" "$dev/shm" "$dev/mqueue"
	mount --bind /dev/pts "$dev/pts"
	cp -a "$DEV_ROOT/." "$dev/"
	mount --rbind "$dev" /dev
	# Not -R, which from util-linux 2.41 on takes what was there before, too: a lazy one takes all that is below.
	at_exit umount -l /dev "$dev"
}

# start_user: $TESTER, a user with subordinate ids, a home and a runtime directory; as_user COMMAND...
start_user()
{
	TESTER=61234
	echo "nvfs-test:x:$TESTER:$TESTER::$SCRATCH/home:/bin/sh" >>/etc/passwd
	echo "nvfs-test:x:$TESTER:" >>/etc/group
	echo nvfs-test:600000:65536 | tee -a /etc/subuid >>/etc/subgid
	install -d -m 755 -o "$TESTER" -g "$TESTER" "$SCRATCH/home"
	install -d -m 700 -o "$TESTER" -g "$TESTER" "$SCRATCH/xdg"
}

as_user()
{
	setpriv --reuid "$TESTER" --regid "$TESTER" --clear-groups env -i HOME="$SCRATCH/home" USER=nvfs-test \
		XDG_RUNTIME_DIR="$SCRATCH/xdg" PATH=/usr/sbin:/usr/bin:/sbin:/bin NVFS_TEST_TAG="$NVFS_TEST_TAG" \
		CONTAINERS_CONF="$CONTAINERS_CONF" "$@" <"$SCRATCH/no-input"
}

# podman_conf: what podman is told by a file that is this script's own
podman_conf()
{
	printf '%s\n' '[containers]' 'log_driver="k8s-file"' pids_limit=0 \
		'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' '[network]' 'network_backend="netavark"' \
		'[engine]' 'events_logger="none"' >"$SCRATCH/containers.conf"
	export CONTAINERS_CONF=$SCRATCH/containers.conf
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

# The same of a root with glibc: the driver's own libcuda is loaded, and its program runs. Where nothing can be
# mounted at /usr/local/nvidia the tree is at /dev/nvfs.
# shellcheck disable=SC2034
LOOK='exec 2>&1; export PATH=/usr/local/bin:/usr/bin:/bin; dlopen libcuda.so.1; nvidia-smi; opendev /dev/nvidia0; true'
# The same with the PATH of NVIDIA's images: an image's own file at /usr/bin/nvidia-smi stays, nvinject(1), FIXED PATHS.
# shellcheck disable=SC2034
LOOK_STALE=${LOOK/PATH=/PATH=/usr/local/nvidia/bin:}
# shellcheck disable=SC2034
GOOD='/usr/local/nvidia/lib64/libcuda\.so.*NVIDIA-SMI.*/dev/nvidia0 ENXIO'
# shellcheck disable=SC2034
GOOD_READONLY='/(usr/local/nvidia|dev/nvfs)/lib64/libcuda\.so.*/dev/nvidia0 ENXIO'
# shellcheck disable=SC2034
LACKS='libcuda.*(cannot|No such).*/dev/nvidia0 ENOENT'

# stale ROOT [OWNER]: what an image has that was saved under another driver, by another tool
stale()
{
	local dir

	dir=$(dirname "$(find "$1/usr/lib" -name libc.so.6 | head -n 1)")
	rm -f "$dir"/libcuda.so* "$dir/libnvidia-ml.so.1" "$1/usr/bin/nvidia-smi"
	: >"$dir/libcuda.so.999.10.01"
	ln -s libcuda.so.535.1 "$dir/libcuda.so.1"
	: >"$dir/libnvidia-ml.so.1"
	: >"$1/usr/bin/nvidia-smi"
	echo "an old one" >"$dir/libnvidia-ptxjitcompiler.so.535.1"
	[ -z "${2:-}" ] || chown -h "$2:$2" "$dir"/libcuda.so* "$dir"/libnvidia-* "$1/usr/bin/nvidia-smi"
}

# skip_when_down: from now on a container starts without a GPU where nobody serves the driver. The hooks read the
# one file, nvfs-runtime the one that it is told.
skip_when_down()
{
	mkdir -p /etc/nvfs
	echo 'on_daemon_down = skip' >/etc/nvfs/nvfs.conf
	echo 'on_daemon_down = skip' >>"$CONFIG"
}
