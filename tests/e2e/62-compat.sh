#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Images with libraries for CUDA forward compatibility: which libcuda their programs get, in each mode, with a
# driver that is older than the image's and one that is newer; by the cache, by LD_LIBRARY_PATH and after an
# ldconfig; when the driver changes; and what hostile images come to.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
command -v objcopy >/dev/null || skip_all "no objcopy"

NUMBER=0
C=
TREE=/usr/local/nvidia
IMAGES_PATH=$TREE/lib:$TREE/lib64 # LD_LIBRARY_PATH of NVIDIA's images

# As images have it: a directory for the version, and a link to it. Files by hard links or copies.
# give_compat DRIVER-ROOT: libraries of that driver for $ROOTFS
give_compat()
{
	local dir=$ROOTFS/usr/local/cuda-12/compat file soname

	rm -rf "$ROOTFS/usr/local/cuda-12"
	mkdir -p "$dir"
	ln -sfn cuda-12 "$ROOTFS/usr/local/cuda"
	while IFS= read -r file; do
		cp "$file" "$dir/"
		soname=$(readelf -d "$file" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
		ln -sf "${file##*/}" "$dir/$soname"
	done < <(find "$1" -type f \( -name 'libcuda.so.*' -o -name 'libnvidia-ptxjitcompiler.so.*' -o \
		-name 'libnvidia-nvvm.so.*' \))
	ln -sf libcuda.so.1 "$dir/libcuda.so"
}

# note FILE BRANCHES BRANDS: put the note of newer ones into this libcuda
note()
{
	local text

	text="{\"format\":1,\"CUDA version\":\"12.4\",\"driver\":[$2],\"device\":[$3]}"
	{
		printf '\023\0\0\0%b\0\0\0\0\0\0\0' "\\$(printf '%03o' $((${#text} + 1)))"
		printf 'NVIDIA Corporation\0\0%s\0' "$text"
		printf '%*s' $(((3 - ${#text} % 4) % 4)) '' | tr ' ' '\0'
	} >"$SCRATCH/note"
	objcopy --remove-section .note.cuda.fwd_compatibility "$1"
	objcopy --add-section .note.cuda.fwd_compatibility="$SCRATCH/note" "$1"
}

# loaded NAME [ENV...]: the file that a program of this container gets for libcuda.so.1
loaded()
{
	local name=$1

	shift
	in_container "$name" env "$@" dlopen libcuda.so.1 2>&1 | sed -n 's/^libcuda.so.1 .* //p'
}

# gets NAME FILE: by each way to find it
gets()
{
	is "$1: by the cache" "$(loaded "$C")" "$2"
	is "$1: by LD_LIBRARY_PATH" "$(loaded "$C" LD_LIBRARY_PATH=$IMAGES_PATH)" "$2"
}

# each_mode WHAT AUTO LDCONFIG MOUNT DISABLED: inject, look, take back
each_mode()
{
	local what=$1 mode

	shift
	for mode in auto ldconfig mount disabled; do
		ok "$what, $mode: injected" nvinject --pid "$PID" --id "$C" --devices all --cuda-compat-mode $mode
		is "$what, $mode: without a word" "$OUT" ''
		gets "$what, $mode" "$1"
		ok "$what, $mode: taken back" nvinject --remove --id "$C"
		shift
	done
}

# new_container [JQ-FILTER]: a fresh one; its name in $C
new_container()
{
	[ -z "$C" ] || kill_container "$C"
	NUMBER=$((NUMBER + 1))
	C=c$NUMBER
	make_rootfs glibc "$C"
	run_container "$C" "$ROOTFS" "$@"
}

why()
{
	nvfs show "$C" --json | jq -r .cuda_compat.why
}

host_snapshot
if ! use_real_driver 550; then
	skip_all "no real driver: $(tail -n 1 "$SCRATCH/fetch.log")"
fi
NEW=$DRIVER_ROOT
use_real_driver 535
OLD=$DRIVER_ROOT
IMAGES=/usr/local/cuda-12/compat/libcuda.so.$(driver_version "$NEW")
HOSTS=$TREE/lib64/libcuda.so.$(driver_version "$OLD")
sed -i 's/NVIDIA Sample GPU/NVIDIA H100 80GB HBM3/' "$PROC_ROOT"/driver/nvidia/gpus/*/information

# ---- an older driver -----------------------------------------------------------------------------

start_daemon --config "$CONFIG"
new_container
each_mode "no compatibility libraries" "$HOSTS" "$HOSTS" "$HOSTS" "$HOSTS"
give_compat "$NEW"
LIBCUDA=$ROOTFS$IMAGES
each_mode "newer than the driver, no note" "$IMAGES" "$IMAGES" "$IMAGES" "$HOSTS"
note "$LIBCUDA" 525,535,550 2,14
each_mode "a note that lists the branch" "$IMAGES" "$IMAGES" "$IMAGES" "$HOSTS"
note "$LIBCUDA" 545,550 2,14
each_mode "a note that does not" "$HOSTS" "$IMAGES" "$IMAGES" "$HOSTS"
note "$LIBCUDA" 535,550 1,2
each_mode "a note without the GPU's brand" "$HOSTS" "$IMAGES" "$IMAGES" "$HOSTS"
printf 'not ELF' >"$LIBCUDA"
ok "a libcuda that is none: injected" nvinject --pid "$PID" --id "$C" --devices all
is "by its name it is newer" "$(why)" "the image's libcuda is of a higher branch than the host's"
nvinject --remove --id "$C"

new_container
give_compat "$NEW"
note "$ROOTFS$IMAGES" 535 14
ok "injected" nvinject --pid "$PID" --id "$C" --devices all
is "show says why" "$(why)" "the image's libcuda is newer, and works on the host's branch"
like "also to a person" "$(nvfs show "$C")" 'cuda compat  auto, [0-9]+ libraries of the image: the image.s libcuda is newer'
like "why: the link" "$(nvfs why libcuda.so.1 --id "$C")" 'a link to the image.s own library: the image.s libcuda is newer'
like "why: the driver's own" "$(nvfs why "libcuda.so.$(driver_version "$OLD")" --id "$C")" \
	'the image has a library of this soname'
is "nothing of the image is mounted" "$(mounts_in "$PID" | grep -c 'cuda')" 0
is "the libraries that belong to it are the image's too" \
	"$(in_container "$C" dlopen libnvidia-ptxjitcompiler.so.1 libnvidia-nvvm.so.4 | grep -c "/usr/local/cuda-12/compat/")" 2
is "the driver's other libraries are its own" \
	"$(in_container "$C" dlopen libnvidia-ml.so.1 | sed -n 's/^libnvidia-ml.so.1 .* //p')" \
	"$TREE/lib64/libnvidia-ml.so.$(driver_version "$OLD")"
is "a setuid program gets the same" "$(in_container_as 1000 "$C" dlopen-setuid libcuda.so.1 | sed -n 's/^libcuda.so.1 .* //p')" "$IMAGES"
ok "an ldconfig in the container" in_container "$C" ldconfig
is "has nothing to say" "$OUT" ''
gets "after the ldconfig" "$IMAGES"
ok "injected again: nothing changes" nvinject --pid "$PID" --id "$C" --devices all
gets "injected again" "$IMAGES"
is "no library is listed twice" "$(in_container "$C" ldconfig -p | grep -F "=> $TREE" | sort | uniq -d)" ''
ok "taken back" nvinject --remove --id "$C"
is "and the cache has nothing of it" "$(in_container "$C" ldconfig -p | grep -c libcuda)" 0

ok "utility alone" nvinject --pid "$PID" --id "$C" --devices all --driver-capabilities utility
is "has no libcuda of anybody" "$(in_container "$C" ls $TREE/lib64 | grep -c libcuda)" 0
nvinject --remove --id "$C"
fails "an unknown mode" 2 'invalid option: cuda-compat-mode=always' \
	nvinject --pid "$PID" --id "$C" --devices all --cuda-compat-mode always

stop_daemon
write_config 'cuda_compat_mode = disabled'
start_daemon --config "$CONFIG"
ok "nvfs.conf says disabled" nvinject --pid "$PID" --id "$C" --devices all
gets "nvfs.conf says disabled" "$HOSTS"
nvinject --remove --id "$C"
ok "but the request decides" nvinject --pid "$PID" --id "$C" --devices all --cuda-compat-mode auto
gets "but the request decides" "$IMAGES"
nvinject --remove --id "$C"
stop_daemon
write_config 'cuda_compat_mode = maybe'
fails "nvfs.conf with another word" 2 'invalid option: cuda-compat-mode=maybe' "$NVFS" serve --config "$CONFIG" \
	--mountpoint "$MOUNTPOINT" --socket "$SOCKET"

# ---- a newer driver ------------------------------------------------------------------------------

use_real_driver 550
start_daemon --config "$CONFIG"
HOSTS=$TREE/lib64/libcuda.so.$(driver_version "$NEW")
new_container
give_compat "$OLD"
each_mode "older than the driver, no note" "$HOSTS" "$HOSTS" "$HOSTS" "$HOSTS"
give_compat "$NEW"
each_mode "the driver's own version" "$HOSTS" "$HOSTS" "$HOSTS" "$HOSTS"
stop_daemon

# ---- the driver changes --------------------------------------------------------------------------

# version V: sample libraries of it; their folder in $LIBRARIES
sample_version()
{
	SAMPLE_VERSION=$1 use_sample_driver "sample-$1"
	LIBRARIES=$DRIVER_ROOT
}

sample_version 560.28.03
newer=$LIBRARIES
sample_version 550.54.14
images=$LIBRARIES
sample_version 535.54.03
cp -a "$DRIVER_ROOT" "$SCRATCH/changing"
DRIVER_ROOT=$SCRATCH/changing
write_config 'settle = 1'
start_daemon --config "$CONFIG"
new_container
give_compat "$images"
# shellcheck disable=SC2317 # for wait_for
is_loaded()
{
	[ "$(loaded "$C")" = "$1" ]
}
ok "injected" nvinject --pid "$PID" --id "$C" --devices all
gets "before the driver changes" /usr/local/cuda-12/compat/libcuda.so.550.54.14
rm -rf --one-file-system "$SCRATCH/changing.old"
find "$DRIVER_ROOT" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} +
cp -a "$newer/." "$DRIVER_ROOT/"
sed 's/535\.54\.03/560.28.03/g' "$PROC_ROOT/driver/nvidia/version" >"$SCRATCH/version.new"
mv "$SCRATCH/version.new" "$PROC_ROOT/driver/nvidia/version"
ok "a driver that is newer than the image's takes over" \
	wait_for 15 is_loaded "$TREE/lib64/libcuda.so.560.28.03"
gets "after the driver has changed" "$TREE/lib64/libcuda.so.560.28.03"
is "and why" "$(why)" "the image's libcuda is of no higher branch than the host's"

# ---- hostile images ------------------------------------------------------------------------------

# harmless NAME [REGEX]: the container gets the driver's own libcuda, and what is said matches
harmless()
{
	ok "$1: injected" nvinject --timeout 4 --pid "$PID" --id "$C" --devices all
	like "$1: what is said" "$OUT" "${2:-^$}"
	gets "$1" "$TREE/lib64/libcuda.so.560.28.03"
	ok "$1: taken back" nvinject --remove --id "$C"
}

compat=/usr/local/cuda-12/compat
new_container
give_compat "$images"
rm -rf "$ROOTFS$compat"/*
mkfifo "$ROOTFS$compat/libcuda.so.590.1.1"
harmless "a FIFO"
rm "$ROOTFS$compat/libcuda.so.590.1.1"
mkdir "$ROOTFS$compat/libcuda.so.590.1.1"
harmless "a directory"
rmdir "$ROOTFS$compat/libcuda.so.590.1.1"
ln -s /proc/1/root/etc/passwd "$ROOTFS$compat/libcuda.so.590.1.1"
harmless "a link that leads out"
rm "$ROOTFS$compat/libcuda.so.590.1.1"
mknod "$ROOTFS$compat/libcuda.so.590.1.1" c 1 5
harmless "a device"
rm "$ROOTFS$compat/libcuda.so.590.1.1"
echo x >"$ROOTFS$compat/libcuda.so.590.1.1"
echo x >"$ROOTFS$compat/libcuda.so.591.1.1"
harmless "two libcudas"
rm "$ROOTFS$compat"/*
for i in $(seq 100); do
	echo x >"$ROOTFS$compat/libx$i.so.590.1.1"
done
harmless "a hundred names" 'CUDA compatibility libraries of the container: .*too large, using the driver.s'
rm "$ROOTFS$compat"/*
touch "$ROOTFS$compat/"$'lib\e[31mx.so.590.1.1' "$ROOTFS$compat/lib x.so.590.1.1"
harmless "names that a terminal obeys"
rm -rf "$ROOTFS$compat" "$ROOTFS/usr/local/cuda"
ln -s cuda "$ROOTFS/usr/local/cuda"
harmless "a loop of links" 'CUDA compatibility libraries of the container: .*using the driver.s'
new_container '.mounts += [{ destination: "/usr/local/cuda/compat", type: "tmpfs", source: "tmpfs" }]'
in_container "$C" touch /usr/local/cuda/compat/libcuda.so.590.1.1
harmless "a mount" 'CUDA compatibility libraries of the container: .*using the driver.s'
stop_daemon
kill_containers
host_compare
done_testing
