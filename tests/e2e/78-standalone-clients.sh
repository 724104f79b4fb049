#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runtimes that are not packaged, by the command lines that their sources have, each in namespaces as that runtime
# makes them: enroot (hook 98-nvidia.sh), apptainer --nvccli (both of its ways), gVisor's gofer, and a script that
# makes the shared root of Slurm's jobs.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

# What apptainer keeps where it is started as root.
APPTAINER_CAPS=+chown,+dac_override,+dac_read_search,+fowner,+kill,+mknod,+net_admin,+setgid,+setpcap,+setuid,+sys_admin,+sys_chroot,+sys_ptrace

# Who runs the runtime: root, or (as_tester) a user, who is root in a user namespace of its own
AS=() USERNS=()
as_root()
{
	AS=() USERNS=()
}

as_tester()
{
	AS=(setpriv --reuid "$TESTER" --regid "$TESTER" --clear-groups)
	USERNS=(--user --preserve-credentials)
}

# namespace: a process in new namespaces, in $NS
namespace()
{
	set -- ${USERNS[@]+--user --map-root-user}
	${AS[@]+"${AS[@]}"} unshare --mount --propagation private "$@" sleep 1000 </dev/null >/dev/null 2>&1 &
	disown $!
	at_exit kill -KILL "$!"
	NS=$!
	wait_for 5 is_in_namespaces
}

is_in_namespaces()
{
	[ "$(cat "/proc/$NS/comm")" = sleep ] && [ ! "/proc/$NS/ns/mnt" -ef "/proc/$$/ns/mnt" ]
}

end_namespace()
{
	kill -KILL "$NS"
}

# inside COMMAND...: with the ids and capabilities that the runtime has there
inside()
{
	timeout -k 5 $((60 * SLOW)) ${AS[@]+"${AS[@]}"} nsenter --mount --target "$NS" ${USERNS[@]+"${USERNS[@]}"} "$@" \
		<"$SCRATCH/no-input"
}

# rootfs_of NAME [OWNER]
rootfs_of()
{
	make_rootfs glibc "$1"
	[ -z "${2:-}" ] || find "$ROOTFS" -xdev -exec chown -h "$2:$2" {} +
}

# As enroot's fstab, and apptainer's session directory, have it before the hook.
prepare()
{
	inside sh -ec 'mount --rbind "$1" "$1"; mount -t tmpfs dev "$1/dev"; mount --rbind /proc "$1/proc"' sh "$ROOTFS"
}

look()
{
	inside chroot "$ROOTFS" sh -c "$LOOK"
}

good()
{
	ok "$1: a shell in its root" look
	like "$1: has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$GOOD"
}

# readonly_root NAME CALL: what the client gives a root that cannot be written to
readonly_root()
{
	inside mount -o remount,bind,ro "$ROOTFS"
	not_ok "$1: its root cannot be written to" inside touch "$ROOTFS/written"
	ok "$1: configure" "$2" --device=all --compute --utility
	ok "$1: a shell in it" look
	like "$1: has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$GOOD_READONLY"
}

cli()
{
	inside "$SCRATCH/bin/nvidia-container-cli" "$@"
}

enroot()
{
	cli --user configure --no-cgroups --ldconfig=@/usr/sbin/ldconfig "$@" "$ROOTFS"
}

# bad NAME COMMAND: what each of these runtimes may be asked for, and cannot be had; nothing is changed
bad()
{
	local name=$1 call=$2 roots

	roots=$(find "$ROOTFS" -xdev -printf '%p %l %s\n' | sort | md5sum)
	fails "$name: an unknown device" 1 '^nvidia-container-cli: device error: 7: unknown device$' "$call" --device=7 --compute
	fails "$name: a requirement" 1 \
		'^nvidia-container-cli: requirement error: unsatisfied condition: cuda>=999, please update your driver to a newer version, or use an earlier cuda container$' \
		"$call" --device=all --compute '--require=cuda>=999'
	fails "$name: an unknown capability" 1 "unrecognized option '--teleport'" "$call" --device=all --teleport
	is "$name: none of them changes its root" "$(find "$ROOTFS" -xdev -printf '%p %l %s\n' | sort | md5sum)" "$roots"
}

# ---- enroot --------------------------------------------------------------------------------------

enroot_user()
{
	local before=$TEST_FAILED

	as_tester
	rootfs_of users "$TESTER"
	IMAGE=$ROOTFS # apptainer's, later
	namespace
	prepare
	bad "enroot, a user" enroot
	ok "enroot, a user" enroot --device=all --compute --utility '--require=cuda>=11.0 brand=tesla,driver>=470'
	good "enroot, a user"
	ok "enroot, a user: again, with other words" enroot --device=0 --mig-config= --mig-monitor= --compute --utility
	end_namespace
	as_root
	client "enroot" "98-nvidia.sh's line, a user's namespace" "$before" "driver, GPU; device, require, option refused"
}

enroot_kinds()
{
	local before=$TEST_FAILED

	rootfs_of shared
	stale "$ROOTFS"
	namespace
	prepare
	ok "enroot, stale root: configure" enroot --device=all --compute --utility
	good "enroot, stale root"
	first=$NS
	namespace
	prepare
	ok "enroot, its root in a second container: configure" enroot --device=all --compute --utility
	good "enroot, its root in a second container"
	end_namespace
	wait_for 5 has_ended "$NS"
	NS=$first
	good "enroot, the first has kept it when the second has ended"
	end_namespace
	client "enroot" "the same, root" "$before" "stale files, two containers of one root"
	before=$TEST_FAILED
	rootfs_of readonly
	namespace
	prepare
	readonly_root "enroot, read-only root" enroot
	end_namespace
	client "enroot" "the same, read-only root" "$before" "driver and GPU"
}

# ---- apptainer -----------------------------------------------------------------------------------

# --writable-tmpfs, which --nvccli wants: an overlay of the image, made in the namespaces.
apptainer_root()
{
	ROOTFS=$SCRATCH/final
	mkdir -p "$ROOTFS" "$SCRATCH/session"
	inside sh -ec 'mount -t tmpfs session "$1"; mkdir "$1/upper" "$1/work"
		mount -t overlay -o "lowerdir=$3,upperdir=$1/upper,workdir=$1/work$4" overlay "$2"
		mount -t tmpfs dev "$2/dev"; mount --rbind /proc "$2/proc"' \
		sh "$SCRATCH/session" "$ROOTFS" "$IMAGE" "${USERNS[0]+,userxattr}"
}

apptainer_user_line()
{
	cli --user configure --no-cgroups "$@" --ldconfig=@/sbin/ldconfig "$ROOTFS"
}

apptainer_setuid_line()
{
	inside setpriv --bounding-set "-all,$APPTAINER_CAPS" --inh-caps "-all,$APPTAINER_CAPS" \
		--ambient-caps "-all,$APPTAINER_CAPS" "$SCRATCH/bin/nvidia-container-cli" configure --no-cgroups "$@" \
		--ldconfig=@/sbin/ldconfig "$ROOTFS"
}

apptainer()
{
	local before=$TEST_FAILED way=$1 call=$2

	namespace
	apptainer_root
	ok "apptainer, $way" "$call" --device=all --compute --utility '--require=cuda>=11.0'
	good "apptainer, $way"
	fails "apptainer, $way: a requirement" 1 'requirement error: unsatisfied condition: cuda>=999' \
		"$call" --device=all --compute --utility '--require=cuda>=999'
	fails "apptainer, $way: an unknown device" 1 'device error: GPU-1: unknown device' "$call" --device=GPU-1 --compute --utility
	fails "apptainer, $way: an unknown capability" 1 "unrecognized option '--teleport'" "$call" --device=all --teleport
	end_namespace
	client "apptainer" "--nvccli, $way" "$before" "--writable-tmpfs; driver, GPU; refusals"
}

# apptainer_roots WAY CALL: $IMAGE as it should not be; it stays so
apptainer_roots()
{
	local before=$TEST_FAILED way=$1 call=$2 first

	namespace
	apptainer_root
	readonly_root "apptainer, $way, read-only root" "$call"
	end_namespace
	stale "$IMAGE" "${USERNS[0]+$TESTER}"
	namespace
	apptainer_root
	ok "apptainer, $way, stale image: configure" "$call" --device=all --compute --utility
	good "apptainer, $way, stale image"
	end_namespace
	# A sandbox, with --writable: the directory is the root, of two at the same time.
	ROOTFS=$IMAGE
	namespace
	prepare
	ok "apptainer, $way, --writable: configure" "$call" --device=all --compute --utility
	good "apptainer, $way, --writable"
	first=$NS
	namespace
	prepare
	ok "apptainer, $way, its sandbox in a second container: configure" "$call" --device=all --compute --utility
	good "apptainer, $way, its sandbox in a second container"
	kill -KILL "$first"
	wait_for 5 has_ended "$first"
	good "apptainer, $way, the second when the first has ended"
	end_namespace
	client "apptainer" "the same, $way" "$before" "read-only, stale image; one sandbox for two"
}

# ---- gVisor, Slurm -------------------------------------------------------------------------------

runsc()
{
	"$SCRATCH/bin/nvidia-container-cli" --load-kmods configure --ldconfig=@/sbin/ldconfig --no-cgroups --utility \
		--compute --pid="$NS" "$@" "$ROOTFS"
}

gvisor()
{
	local before=$TEST_FAILED

	rootfs_of gofer
	namespace
	prepare
	ok "gVisor: the gofer's container is configured" runsc --device=all
	good "gVisor's gofer"
	fails "gVisor: an unknown device" 1 'device error: 9: unknown device' runsc --device=9
	# It asks for neither of these by itself.
	fails "gVisor: an unknown capability" 1 "unrecognized option '--teleport'" runsc --device=all --teleport
	fails "gVisor: a requirement" 1 'requirement error: unsatisfied condition: cuda>=999' \
		runsc --device=all '--require=cuda>=999'
	end_namespace
	rootfs_of gofer-readonly
	namespace
	prepare
	readonly_root "gVisor, read-only root" runsc
	end_namespace
	rootfs_of gofer-stale
	stale "$ROOTFS"
	namespace
	prepare
	ok "gVisor, stale root: configure" runsc --device=all
	good "gVisor, stale root"
	end_namespace
	client "gVisor" "runsc's line, --pid of the gofer" "$before" "driver and GPU in the gofer's root; refusals; ro, stale"
}

jail()
{
	cli --user --debug=/dev/stderr --no-pivot configure --no-cgroups --cuda-compat-mode=disabled \
		--ldconfig=/usr/bin/true --device=all --compute --utility "$@" "$ROOTFS"
}

# It makes placeholders first, so that nodes which share the root do not fall over each other.
slurm_jail()
{
	local before=$TEST_FAILED dir

	rootfs_of jail
	dir=$(dirname "$(find "$ROOTFS/usr/lib" -name libc.so.6 | head -n 1)")
	namespace
	prepare
	for path in $(cli list -l); do
		echo placeholder >"$dir/${path##*/}"
	done
	ok "Slurm's jail is configured" jail
	like "with its log" "$OUT" 'WARNING, the following logs are for debugging'
	good "Slurm's jail, whatever placeholders stand in it"
	ok "Slurm's jail, by a second node" jail
	end_namespace
	namespace
	prepare
	readonly_root "Slurm's jail, which is read-only" jail
	end_namespace
	client "Slurm jail script" "list, placeholders, configure" "$before" "the driver's libraries win over placeholders"
}

# ---- no daemon -----------------------------------------------------------------------------------

# down CLIENT WAY CALL: refused; and where nvfs.conf says so it has none
down()
{
	local before=$TEST_FAILED name=$1 way=$2 call=$3

	rm -f /etc/nvfs/nvfs.conf
	namespace
	prepare
	fails "$name, $way, without a daemon" 1 \
		'nvidia-container-cli: initialization error: nvfs does not answer: .*; systemctl start nvfs' \
		"$call" --device=all --compute
	skip_when_down
	fails "$name, $way, without a daemon, to be skipped" 0 'no GPU for this container' "$call" --device=all --compute
	fails "$name, $way, to be skipped: it has none" 0 "$LACKS" look
	end_namespace
	client "$name" "$way, daemon down" "$before" "refused; on_daemon_down = skip"
}

host_snapshot
private_host
start_user
mkdir -p /etc/nvfs "$SCRATCH/bin"
cp "$BUILD/nvidia-container-cli" "$NVINJECT" "$SCRATCH/bin/"
# Nobody tells these programs of another socket.
SOCKET=/run/nvfsd/nvfs.sock MOUNTPOINT=/run/nvfs
SAMPLE_CUDA=13.0 use_sample_driver
start_daemon --config "$CONFIG"
enroot_user
enroot_kinds
as_tester
apptainer "a user's namespace" apptainer_user_line
apptainer_roots "a user's namespace" apptainer_user_line
users=$IMAGE # to give one to a user copies all of it
as_root
rootfs_of setuid
IMAGE=$ROOTFS
apptainer "setuid, 13 capabilities" apptainer_setuid_line
apptainer_roots "setuid, 13 capabilities" apptainer_setuid_line
gvisor
slurm_jail
stop_daemon
ROOTFS=$users
as_tester
down apptainer "a user's namespace" apptainer_user_line
as_root
rootfs_of down
down enroot "98-nvidia.sh's line" enroot
down apptainer "setuid, 13 capabilities" apptainer_setuid_line
down gVisor "runsc's line" runsc
down "Slurm jail script" configure jail
host_compare
done_testing
