#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What stands beside the driver's libraries: files of loaders (Vulkan, EGL, OpenCL), GBM's backend, modules
# of X, OptiX's data, profiles. In the tree by driver capability, and linked where loaders look.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
MULTIARCH=$(cc -dumpmachine)
EGL_PROFILE=etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf

# start NAME CAPABILITIES [FILTER]: a container with these; PREPARE is called with its root before.
PREPARE=true
start()
{
	make_rootfs glibc "$1"
	"$PREPARE" "$ROOTFS"
	run_container "$1" "$ROOTFS" "${3:-.}"
	ok "$1: inject" nvinject --pid "$PID" --id "$1" --devices all --driver-capabilities "$2"
}

# tree_file PATH: its content in the container's tree
tree_file()
{
	in_container "$NAME" cat "$TREE/$1"
}

link_at()
{
	readlink "$ROOTFS$1" || echo none
}

# result TARGET: of the step with this target, as the daemon has it recorded
result()
{
	nvfs show "$NAME" --json | jq -r --arg target "$1" '.done[] | select(.target == $target) | .result'
}

host_snapshot
SAMPLE_GRAPHICS=yes use_sample_driver
start_daemon --config "$CONFIG"

# ---- graphics ------------------------------------------------------------------------------------

# shellcheck disable=SC2317 # called by its name
has_x()
{
	mkdir -p "$1/usr/lib/xorg/modules"
}
PREPARE=has_x
NAME=all
start all graphics,display,compute,utility

is "the Vulkan ICD names its library by soname" "$(tree_file share/vulkan/icd.d/nvidia_icd.x86_64.json | jq -r .ICD.library_path)" \
	libGLX_nvidia.so.0
is "and is what the loader finds" "$(link_at /etc/vulkan/icd.d/nvidia_icd.x86_64.json)" \
	"$TREE/share/vulkan/icd.d/nvidia_icd.x86_64.json"
ok "through the link" in_container all grep -q libGLX_nvidia /etc/vulkan/icd.d/nvidia_icd.x86_64.json
is "the one for 32 bits is left out" "$(in_container all ls $TREE/share/vulkan/icd.d)" nvidia_icd.x86_64.json
is "EGL's vendor file is linked" "$(link_at /usr/share/glvnd/egl_vendor.d/10_nvidia.json)" \
	"$TREE/share/glvnd/egl_vendor.d/10_nvidia.json"
is "an external platform is linked" "$(link_at /usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json)" \
	"$TREE/share/egl/egl_external_platform.d/15_nvidia_gbm.json"
is "one whose library is missing is left out" \
	"$(link_at /usr/share/egl/egl_external_platform.d/10_nvidia_wayland.json)" none
like "and that is told" "$("$NVFS" driver --driver-root "$DRIVER_ROOT" --proc-root "$PROC_ROOT" --rules-dir /nonexistent)" \
	"10_nvidia_wayland.json: it names 'libnvidia-egl-wayland.so.1', which the driver does not have"
is "OpenCL's ICD is linked" "$(in_container all cat /etc/OpenCL/vendors/nvidia.icd)" libnvidia-opencl.so.1
is "OptiX's data is there" "$(in_container all cat /usr/share/nvidia/nvoptix.bin)" "sample weights"
ok "application profiles are there" in_container all test -s \
	/usr/share/nvidia/nvidia-application-profiles-999.10.01-rc
is "GBM's backend is linked where libgbm looks" "$(link_at "/usr/lib/$MULTIARCH/gbm/nvidia-drm_gbm.so")" \
	"$TREE/lib64/gbm/nvidia-drm_gbm.so"
is "but not in the directory of other distributions" "$(result /usr/lib64/gbm/nvidia-drm_gbm.so)" omitted
ok "what it leads to can be loaded" in_container all dlopen "/usr/lib/$MULTIARCH/gbm/nvidia-drm_gbm.so"
for module in drivers/nvidia_drv.so extensions/libglxserver_nvidia.so; do
	ok "X: $module can be loaded" in_container all dlopen "/usr/lib/xorg/modules/$module"
done
for soname in libGLX_nvidia.so.0 libEGL_nvidia.so.0 libGLX_indirect.so.0 libnvidia-egl-gbm.so.1; do
	try in_container all dlopen "$soname"
	like "$soname is the tree's" "$OUT" "$soname $TREE/lib64/"
done
is "EGL is told of the GPU that was given" "$(in_container all cat "/$EGL_PROFILE" | tr -d '\n ')" \
	'{"profiles":[{"name":"_container_","settings":["EGLVisibleDGPUDevices",0x1]}],"rules":[{"pattern":[],"profile":"_container_"}]}'
like "why: a rewritten file names the host's" "$(nvfs why "$TREE/share/vulkan/icd.d/nvidia_icd.x86_64.json" --id all)" \
	"$DRIVER_ROOT/usr/share/vulkan/icd.d/nvidia_icd.x86_64.json"
like "why: a link with .. is followed" "$(nvfs why "$TREE/lib64/gbm/nvidia-drm_gbm.so" --id all)" libnvidia-allocator.so.999.10.01
like "why: the profile is made" "$(nvfs why "$TREE/$EGL_PROFILE" --id all)" 'made: tells EGL'
like "why: another distribution's loader is the image's" "$(nvfs why libGL.so.1 2>&1 || true)" 'never'
ok "remove" nvinject --remove --id all
is "takes every link away" "$(find "$ROOTFS" -xdev -lname "$TREE/*" 2>/dev/null)" ""
for dir in /etc/vulkan /usr/share/glvnd /usr/share/egl /etc/nvidia "/usr/lib/$MULTIARCH/gbm"; do
	ok "and $dir" test ! -e "$ROOTFS$dir"
done
kill_container all

# ---- other capabilities, and an image that has such files -----------------------------------------

PREPARE=true
NAME=compute
start compute compute
is "compute: OpenCL's ICD" "$(link_at /etc/OpenCL/vendors/nvidia.icd)" "$TREE/etc/OpenCL/vendors/nvidia.icd"
is "compute: nothing of graphics" "$(in_container compute find $TREE -path "$TREE/share/*" -o -path "$TREE/etc/*" ! -type d ! -name ld.so.cache)" \
	"$TREE/etc/OpenCL/vendors/nvidia.icd"
is "compute: nor a directory of GBM in the image" "$(link_at "/usr/lib/$MULTIARCH/gbm/nvidia-drm_gbm.so")" none
kill_container compute

# shellcheck disable=SC2317 # the same
has_icd()
{
	mkdir -p "$1/etc/OpenCL/vendors"
	echo image >"$1/etc/OpenCL/vendors/nvidia.icd"
}
PREPARE=has_icd
NAME=image
start image graphics,compute
is "an image's own file stays" "$(in_container image cat /etc/OpenCL/vendors/nvidia.icd)" image
is "and is told" "$(result /etc/OpenCL/vendors/nvidia.icd)" kept
is "without an X server no module is linked" "$(link_at /usr/lib/xorg/modules/drivers/nvidia_drv.so)" none
kill_container image
stop_daemon

# ---- the admin's rules -----------------------------------------------------------------------------

mkdir -p "$SCRATCH/rules.d" "$DRIVER_ROOT/opt/site"
cp "$(find "$DRIVER_ROOT/usr/lib" -name 'libnvidia-unheardof.so.999.10.01')" "$DRIVER_ROOT/opt/site/libsite.so.1"
echo '{}' >"$DRIVER_ROOT/opt/site/site.json"
cat >"$SCRATCH/rules.d/50-site.conf" <<-'END'
	[site]
	library = /opt/site/libsite.so.1
	file = /opt/site/site.json
	to = share/vulkan/implicit_layer.d
	driver_capabilities = compute
	colour = green
	[less]
	exclude = nvidia-debugdump
END
write_config "rules_dir = $SCRATCH/rules.d"
start_daemon --config "$CONFIG"
like "an unknown key is told by file and line" "$(cat "$SCRATCH/daemon.log")" \
	"rules: 50-site.conf:6: unknown key 'colour', ignoring"
PREPARE=true
NAME=rules
start rules compute,utility
ok "an added library can be loaded" in_container rules test -s $TREE/lib64/libsite.so.1
ok "an added file stands where it was told to" in_container rules test -s /etc/vulkan/implicit_layer.d/site.json
ok "a file that was left out is not there" in_container rules test ! -e $TREE/bin/nvidia-debugdump
like "and the rule is named" "$(nvfs why nvidia-debugdump 2>&1 || true)" 'excluded: .*left out by 50-site.conf:8'
kill_container rules
printf '[more]\nexclude = nvidia-persistenced\n' >"$SCRATCH/rules.d/60-more.conf"
ok "a rule that comes later counts for new trees" wait_for 15 test ! -e "$MOUNTPOINT/host/bin/nvidia-persistenced"
stop_daemon

# ---- NVIDIA's own files ----------------------------------------------------------------------------

if use_real_driver 550; then
	start_daemon --config "$CONFIG"
	NAME=real
	start real graphics,display,compute
	is "550: Vulkan's ICD" "$(in_container real cat /etc/vulkan/icd.d/nvidia_icd.json | jq -r .ICD.library_path)" libGLX_nvidia.so.0
	is "550: Vulkan's layer" "$(in_container real cat /etc/vulkan/implicit_layer.d/nvidia_layers.json | jq -r .layer.library_path)" \
		libGLX_nvidia.so.0
	is "550: EGL's vendor" "$(in_container real cat /usr/share/glvnd/egl_vendor.d/10_nvidia.json | jq -r .ICD.library_path)" \
		libEGL_nvidia.so.0
	is "550: EGL's platform" \
		"$(in_container real cat /usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json | jq -r .ICD.library_path)" \
		libnvidia-egl-gbm.so.1
	is "550: OpenCL" "$(in_container real cat /etc/OpenCL/vendors/nvidia.icd)" libnvidia-opencl.so.1
	ok "550: profiles" in_container real test -s \
		"/usr/share/nvidia/nvidia-application-profiles-$(driver_version "$DRIVER_ROOT")-rc"
	for file in lib64/gbm/nvidia-drm_gbm.so lib64/xorg/modules/drivers/nvidia_drv.so \
		lib64/xorg/modules/extensions/libglxserver_nvidia.so lib64/libnvidia-egl-gbm.so.1; do
		ok "550: $file" in_container real test -s "$TREE/$file"
	done
	kill_container real
	stop_daemon
else
	skip "NVIDIA's 550 user space" "not fetchable"
fi
host_compare
done_testing
