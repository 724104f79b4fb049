#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Published vulnerabilities of NVIDIA's Container Toolkit, replayed on nvfs. What each one was is told at
# its place, from the public bulletins, with the reason why nvfs does not have it. Where the attack can be
# shown to work on something else here (a dynamic program as hook), it is.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
OUTSIDE=$SCRATCH/outside
COMPAT=usr/local/cuda/compat
UP=../../../../../../../../../..

# hook STAGE [PATH ARG...]: a filter that adds a hook, without an environment of its own
hook()
{
	local stage=$1

	shift
	[ $# -gt 0 ] || set -- "$NVINJECT" nvinject hook --socket "$SOCKET"
	printf '.hooks.%s = [{ path: "%s", args: %s, timeout: 30 }]' "$stage" "$1" \
		"$(printf '%s\n' "${@:2}" | jq -Rnc '[inputs]')"
}

# env_of NAME=VALUE...: a filter
env_of()
{
	echo ".process.env += $(printf '%s\n' "$@" | jq -Rnc '[inputs]')"
}

outside()
{
	find "$OUTSIDE" "$DRIVER_ROOT" "$DEV_ROOT" -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
	sha256sum "$NVINJECT" "$NVFS"
	grep -v "$SCRATCH/rootfs-" /proc/self/mountinfo
}

untouched()
{
	outside >"$SCRATCH/after"
	ok "$1: nothing of the host was touched" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
}

# Source within its filesystem, target and type; those of cgroups name the container.
mounts()
{
	awk '{ for (i = 7; $i != "-"; i++); print $4, $5, $(i + 1) }' "/proc/$PID/mountinfo" | grep -v ' cgroup2*$' | sort
}

# Every mount of the container beyond those that it has without nvfs: trees, and nodes of devices.
foreign_mounts()
{
	mounts | grep -v ' fuse\.nvfs$' | grep -v -E '/(nvidia[^ /]*) /dev/\1 ' >"$SCRATCH/mounts"
	diff "$SCRATCH/mounts.plain" "$SCRATCH/mounts" | grep '^>' || true
}

# no_secret NAME: of the host's files the container can read none
no_secret()
{
	is "$1: nothing but trees and device nodes was mounted" "$(foreign_mounts)" ""
	is "$1: the container finds no file of the host's" \
		"$(in_container "$1" sh -c 'grep -rls "secret-of-the-host" /usr /etc /opt /dev /mnt /srv 2>/dev/null' || true)" ""
}

started()
{
	ok "$1: the container starts" run_container "$1" "$ROOTFS" "$2"
	PID=$(container_pid "$1")
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"
mkdir -p "$OUTSIDE/dir"
echo secret-of-the-host >"$OUTSIDE/dir/libcuda.so.999.99"
echo secret-of-the-host >"$OUTSIDE/nvidia-smi"
chmod 755 "$OUTSIDE/nvidia-smi"
cp "$OUTSIDE/nvidia-smi" "$OUTSIDE/ld.so.cache"
ASKS=$(env_of NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=all)
make_rootfs glibc plain
run_container plain "$ROOTFS"
mounts >"$SCRATCH/mounts.plain"
kill_container plain
outside >"$SCRATCH/before"

# ---- CVE-2024-0132 -------------------------------------------------------------------------------
#
# Toolkit 1.16.1 and earlier, time of check to time of use: the path of a library below the image's CUDA
# compatibility directory was resolved, checked, and mounted by its text again. Names in that directory that
# were links to elsewhere, or became so in between, had the host's root mounted into the container.
#
# nvfs mounts nothing that the image names: every source is a descriptor that the daemon opened on the
# host, and a target is one descriptor for the check and for the mount. tests/attack/20-swaps.sh has the
# exchange in between, a million times; here is the image as it was published.

make_rootfs glibc cve-2024-0132
mkdir -p "$ROOTFS/$COMPAT" "$ROOTFS/usr/lib/x86_64-linux-gnu"
ln -s "$UP$OUTSIDE" "$ROOTFS/$COMPAT/libcuda.so.999.99"
ln -s "$UP$OUTSIDE/dir/libcuda.so.999.99" "$ROOTFS/$COMPAT/libcuda.so.999.100"
ln -s / "$ROOTFS/$COMPAT/libnvidia-ptxjitcompiler.so.999.99"
ln -s "$UP/" "$ROOTFS/usr/local/nvidia"
for lib in libcuda.so.1 libcuda.so.999.10.01 libnvidia-ml.so.1; do
	ln -sf "$UP$OUTSIDE/dir" "$ROOTFS/usr/lib/x86_64-linux-gnu/$lib"
done
started cve-2024-0132 "$ASKS | $(hook createRuntime)"
no_secret cve-2024-0132
untouched cve-2024-0132
kill_container cve-2024-0132

# ---- CVE-2025-23359 ------------------------------------------------------------------------------
#
# Toolkit 1.17.3 and earlier: the first repair could be passed by. The directory itself, or one above it,
# was the link, and what lay in it was mounted at a place in the container's library directory.
#
# The same two reasons; names in the compatibility directory are read, and nothing of it is mounted.

for form in directory parent usr-local; do
	name=cve-2025-23359-$form
	make_rootfs glibc "$name"
	mkdir -p "$ROOTFS/usr/local/cuda"
	case $form in
	directory) ln -s "$UP$OUTSIDE/dir" "$ROOTFS/$COMPAT" ;;
	parent)
		rmdir "$ROOTFS/usr/local/cuda"
		mkdir "$OUTSIDE/compat"
		ln -s "$UP$OUTSIDE" "$ROOTFS/usr/local/cuda"
		outside >"$SCRATCH/before"
		;;
	usr-local)
		mv "$ROOTFS/usr/local" "$ROOTFS/usr/local.real"
		ln -s "$UP$OUTSIDE" "$ROOTFS/usr/local"
		;;
	esac
	started "$name" "$ASKS | $(hook createRuntime)"
	no_secret "$name"
	untouched "$name"
	kill_container "$name"
done

# ---- CVE-2024-0135 -------------------------------------------------------------------------------
#
# Toolkit 1.17.2 and earlier, improper isolation: a crafted image led to the modification of a binary of
# the host. What enters a container with the host's file as its program, or follows its names, is what
# such an image waits for.
#
# nvinject executes nothing inside. Who sees its process, since the container shares the host's pid
# namespace, cannot open its program, its descriptors or its root: it is not dumpable. What stands where a
# program's link goes stays as it is.

make_rootfs glibc cve-2024-0135
for program in nvidia-smi nvidia-debugdump nvidia-persistenced; do
	ln -sf "$UP$OUTSIDE/nvidia-smi" "$ROOTFS/usr/bin/$program"
done
ln -sf /proc/self/exe "$ROOTFS/usr/bin/nvidia-cuda-mps-server"
ln -sf /proc/1/exe "$ROOTFS/usr/bin/nvidia-cuda-mps-control"
cat >"$ROOTFS/look" <<'LOOK'
for proc in /proc/[0-9]*; do
	[ "$(cat "$proc/comm" 2>/dev/null)" = nvinject ] || continue
	echo seen
	(echo x >>"$proc/exe") 2>/dev/null && echo "wrote to its program"
	ls "$proc/root/" >/dev/null 2>&1 && echo "entered its root"
	ls "$proc/cwd/" >/dev/null 2>&1 && echo "entered its directory"
	[ -z "$(readlink "$proc"/fd/* 2>/dev/null)" ] || echo "knows its descriptors"
	for fd in "$proc"/fd/*; do
		(cat "$fd" >/dev/null) 2>/dev/null && echo "has its descriptors"
	done
	(cat "$proc/environ" "$proc/maps" >/dev/null) 2>/dev/null && echo "read its memory's layout"
done
LOOK
started cve-2024-0135 'del(.linux.namespaces[] | select(.type == "pid"))
	| .mounts |= map(if .destination == "/proc" then { destination: "/proc", type: "bind", source: "/proc",
		options: ["rbind"] } else . end)
	| .process.capabilities |= map_values(. + ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER"])'
worker=$(worker_pid)
kill -STOP "$worker"
"$NVINJECT" --socket "$SOCKET" --pid "$PID" --id cve-2024-0135 --devices all >"$SCRATCH/said" 2>&1 </dev/null &
CHILD=$!
wait_for 1 grep -q '^47 ' "/proc/$CHILD/syscall" || true # recvmsg(2)
# Until it has been looked at, however long that takes.
kill -STOP "$CHILD"
kill -CONT "$worker" 2>/dev/null || true # after two seconds another daemon stands in its place
try in_container cve-2024-0135 sh /look
kill -CONT "$CHILD"
wait "$CHILD" || true
# nvinject is one process or two.
is "cve-2024-0135: it sees nvinject and gets nothing of it" "$(sort -u <<<"$OUT")" seen
ok "cve-2024-0135: the container is injected" nvinject --pid "$PID" --id cve-2024-0135 --devices all
untouched cve-2024-0135
ok "cve-2024-0135: and taken back" nvinject --remove --id cve-2024-0135
untouched "cve-2024-0135, taken back"
kill_container cve-2024-0135

# ---- CVE-2025-23266 ------------------------------------------------------------------------------
#
# Toolkit 1.17.7 and earlier ("NVIDIAScape"): its createContainer hook ran with the image's environment and
# in the image's root as its directory. LD_PRELOAD in the environment of an image had a library of the
# image loaded into a process of the host's root.
#
# nvinject is static: no loader reads that environment. It clears it and leaves the directory before
# anything else, and belongs at createRuntime. Shown at createContainer all the same.

cat >"$SCRATCH/evil.c" <<EVIL
#include <fcntl.h>
#include <unistd.h>
unsigned int la_version(unsigned int v) { return v; }
__attribute__((constructor)) static void own(void)
{
	int fd = open("$OUTSIDE/owned", O_CREAT | O_WRONLY, 0600);

	if (fd >= 0)
		(void)close(fd);
}
EVIL
cc -shared -fPIC -o "$SCRATCH/evil.so" "$SCRATCH/evil.c"

# hostile NAME VARIABLE...: a root with the library at every place that these may mean
hostile()
{
	make_rootfs glibc "$1"
	cp "$SCRATCH/evil.so" "$ROOTFS/evil.so"
	for lib in libc.so.6 libtinfo.so.6 libjansson.so.4 libcap.so.2 libnss_files.so.2; do
		cp "$SCRATCH/evil.so" "$ROOTFS/opt/$lib"
	done
	mkdir -p "$ROOTFS/gconv"
	cp /bin/busybox "$ROOTFS/bin/busybox" # static: what runs in the container is not to be hit itself
	cp "$SCRATCH/evil.so" "$ROOTFS/gconv/EVIL.so"
}

dynamic=$(readlink -f "$(command -v env)")
for variable in LD_PRELOAD=./evil.so LD_AUDIT=./evil.so; do
	name=control-${variable%%=*}
	hostile "$name"
	run_container "$name" "$ROOTFS" "$(env_of "$variable") | $(hook createContainer "$dynamic" env)" || true
	if [ -e "$OUTSIDE/owned" ]; then
		pass "cve-2025-23266: the attack works on a dynamic program ($variable)"
	else # crun, and later runc, give hooks another environment
		skip "cve-2025-23266: the attack works on a dynamic program ($variable)" "this runtime does not hand it on"
	fi
	rm -f "$OUTSIDE/owned"
	kill_container "$name" || true
done

i=0
for variable in LD_PRELOAD=./evil.so LD_PRELOAD=/evil.so LD_AUDIT=./evil.so LD_LIBRARY_PATH=./opt:/opt \
	GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=A GLIBC_TUNABLES=glibc.malloc.check=3:glibc.rtld.nns=9 \
	GCONV_PATH=./gconv LOCPATH=./gconv MALLOC_TRACE="$OUTSIDE/owned" LD_DEBUG_OUTPUT="$OUTSIDE/owned" \
	LD_PROFILE=libc.so.6 NVFS_DISABLE=seccomp; do
	for stage in createContainer createRuntime; do
		name=cve-2025-23266-$((++i))
		hostile "$name"
		outside >"$SCRATCH/before"
		started "$name" "$ASKS | $(env_of "$variable" LD_DEBUG=all) | $(hook $stage)
			| .process.args = [\"/bin/busybox\", \"sleep\", \"1000\"]"
		not_ok "$name: $variable at $stage: nothing of the image ran" test -e "$OUTSIDE/owned"
		is "$name: it has its tree" "$(mounts_in "$PID" | grep -c '^/usr/local/nvidia fuse')" 1
		untouched "$name"
		kill_container "$name"
	done
done

# ---- CVE-2025-23267 ------------------------------------------------------------------------------
#
# Toolkit 1.17.7 and earlier: the hook that updates the linker's cache followed links of the image when it
# wrote: files of the host's were overwritten.
#
# nvfs runs no ldconfig. The cache is a file made anew (O_EXCL) beside the old one and renamed over it,
# both in one directory that is held by a descriptor and was found below the container's root; a link in
# the place of the cache is left alone.

for form in cache cache-tilde etc conf.d conf.d-entry aux; do
	name=cve-2025-23267-$form
	make_rootfs glibc "$name"
	mkdir -p "$ROOTFS/etc/ld.so.conf.d" "$ROOTFS/var/cache"
	case $form in
	cache) ln -sf "$UP$OUTSIDE/ld.so.cache" "$ROOTFS/etc/ld.so.cache" ;;
	cache-tilde) ln -sf "$UP$OUTSIDE/ld.so.cache" "$ROOTFS/etc/ld.so.cache~" ;;
	etc)
		mv "$ROOTFS/etc" "$ROOTFS/etc.real"
		ln -s "$UP$OUTSIDE" "$ROOTFS/etc"
		;;
	conf.d)
		rm -rf "$ROOTFS/etc/ld.so.conf.d"
		ln -s "$UP$OUTSIDE" "$ROOTFS/etc/ld.so.conf.d"
		;;
	conf.d-entry) ln -s "$UP$OUTSIDE/ld.so.cache" "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf" ;;
	aux) ln -s "$UP$OUTSIDE" "$ROOTFS/var/cache/ldconfig" ;;
	esac
	outside >"$SCRATCH/before"
	started "$name" "$ASKS | $(hook createRuntime)"
	untouched "$name"
	ok "$name: it is taken back" nvinject --remove --pid "$PID"
	untouched "$name, taken back"
	kill_container "$name"
done

kill_containers
ok "the daemon answers" nvfs status
stop_daemon
host_compare
done_testing
