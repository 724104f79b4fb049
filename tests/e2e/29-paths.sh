#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fixed paths: links to the driver's programs where people look for them, sockets of its daemons, and
# the linker's files. What an image has at such a path stays, and what was made is taken away again.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia
UTILITIES="nvidia-smi nvidia-debugdump nvidia-persistenced"
MPS_PROGRAMS="nvidia-cuda-mps-control nvidia-cuda-mps-server"
SOCKETS="/run/nvidia-persistenced/socket /run/nvidia-fabricmanager/socket"
BASE=100000
USERNS='.linux.namespaces += [{ type: "user" }]
	| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
	| .linux.gidMappings = .linux.uidMappings
	| .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'

# Names, types, modes, owners and contents, but of the cache, whose entries count; and mounts.
state()
{
	(cd "$ROOTFS" && find . -xdev ! -path './proc*' ! -path './sys*' ! -path './dev*' ! -name ld.so.cache \
		! -path './var/cache/ldconfig/*' \( -type d -printf '%p %y %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %l\n' \) | sort
		find etc -type f ! -name ld.so.cache -exec md5sum {} + | sort -k 2
		[ ! -f etc/ld.so.cache ] || ldconfig -p -C etc/ld.so.cache | grep -F '=>')
	mounts_in "$PID" | sort
}

# Prints what differs from $SCRATCH/before.
differs()
{
	state >"$SCRATCH/now"
	diff -U0 "$SCRATCH/before" "$SCRATCH/now" || true
}

# start NAME KIND [FILTER]: PREPARE is called with the root before; then $SCRATCH/before is written.
PREPARE=true
start()
{
	make_rootfs "$2" "$1"
	"$PREPARE" "$ROOTFS"
	run_container "$1" "$ROOTFS" "${3:-.}"
	NAME=$1
	state >"$SCRATCH/before"
}

inject()
{
	nvinject --pid "$PID" --id "$NAME" --devices all "$@"
}

# result TARGET: of the step with this target, as the daemon has it recorded
result()
{
	nvfs show "$NAME" --json | jq -r --arg target "$1" '.done[] | select(.target == $target) | .result'
}

link_at()
{
	readlink "$ROOTFS$1" || echo none
}

# Injected again: nothing changes. Taken back: all is as it was.
again_and_back()
{
	state >"$SCRATCH/once"
	cp "/proc/$PID/mountinfo" "$SCRATCH/mounts.once"
	ok "$NAME: a second time" inject
	state >"$SCRATCH/twice"
	is "$NAME: changes nothing" "$(diff "$SCRATCH/once" "$SCRATCH/twice" || true)" ""
	ok "$NAME: and no mount" diff "$SCRATCH/mounts.once" "/proc/$PID/mountinfo"
	ok "$NAME: remove" nvinject --remove --id "$NAME"
	is "$NAME: leaves everything as it was" "$(differs)" ""
	kill_container "$NAME"
}

sockets_answer()
{
	local socket

	for socket in $SOCKETS /tmp/nvidia-mps/control; do
		is "$NAME: who asks at $socket hears the host's daemon" \
			"$(in_container "$NAME" unixsock ask "$socket" || true)" "$IPC_ROOT$socket"
	done
	is "$NAME: every one is read-only, nosuid, nodev and noexec" \
		"$(mounts_in "$PID" | grep -E '^/(run|tmp)/nvidia' | grep -c ' ro,nosuid,nodev,noexec')" 3
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
use_sample_sockets
PERSISTENCED=$IPC_ROOT/run/nvidia-persistenced/socket
start_daemon --config "$CONFIG"

# ---- what there is -------------------------------------------------------------------------------

start whole glibc
ok "a dry run" inject --dry-run
for program in $UTILITIES $MPS_PROGRAMS; do
	like "shows the link to $program" "$OUT" "link +/usr/bin/$program -> $TREE/bin/$program"
done
for target in $SOCKETS /tmp/nvidia-mps; do
	like "and the bind of $target" "$OUT" "socket +$target"
done
is "and changes nothing" "$(differs)" ""
ok "inject" inject
for program in $UTILITIES $MPS_PROGRAMS; do
	is "/usr/bin/$program leads into the tree" "$(link_at "/usr/bin/$program")" "$TREE/bin/$program"
	like "and runs by name" "$(in_container whole "$program")" 'NVIDIA-SMI 999'
done
sockets_answer
for command in 'chmod 777 /run/nvidia-persistenced/socket' 'rm /tmp/nvidia-mps/control' \
	'touch /tmp/nvidia-mps/x' 'chmod 700 /tmp/nvidia-mps'; do
	fails "the container's root: $command" '[1-9]*' 'Read-only file system' in_container whole sh -c "$command"
done
again_and_back

start utility glibc
ok "utility alone" inject --driver-capabilities utility
is "has no program of MPS" "$(link_at /usr/bin/nvidia-cuda-mps-control)" none
is "nor its pipes" "$(mounts_in "$PID" | grep -c nvidia-mps)" 0
is "but sockets" "$(mounts_in "$PID" | grep -c '^/run/nvidia')" 2
ok "taken back" nvinject --remove --id utility
is "wholly" "$(differs)" ""
ok "compute alone" inject --driver-capabilities compute
is "has the pipes of MPS" "$(mounts_in "$PID" | grep -c nvidia-mps)" 1
is "and no socket" "$(mounts_in "$PID" | grep -c '^/run/nvidia')" 0
ok "taken back, too" nvinject --remove --id utility
is "and wholly" "$(differs)" ""
kill_container utility

# ---- other roots ---------------------------------------------------------------------------------

start busybox busybox
ok "busybox: inject" inject
is "busybox: /usr/bin/nvidia-smi leads into the tree" "$(link_at /usr/bin/nvidia-smi)" "$TREE/bin/nvidia-smi"
sockets_answer
again_and_back

move_directories()
{
	mkdir -p "$1/opt"
	mv "$1/usr/bin" "$1/opt/bin"
	ln -s ../opt/bin "$1/usr/bin"
	mv "$1/tmp" "$1/opt/tmp"
	ln -s /opt/tmp "$1/tmp"
}
PREPARE=move_directories start links glibc
ok "links: directories of the image are links: inject" inject
is "links: the link lies where they lead" "$(readlink "$ROOTFS/opt/bin/nvidia-smi")" "$TREE/bin/nvidia-smi"
is "links: so do the pipes" "$(mounts_in "$PID" | grep -c '^/opt/tmp/nvidia-mps ')" 1
again_and_back

bad_directories()
{
	mv "$1/usr/bin" "$1/opt/bin"
	ln -s /proc/1/root/usr/bin "$1/usr/bin"
	rm -rf "$1/run"
	ln -s /proc/1/root/tmp "$1/run"
}
mkdir -p "$SCRATCH/path"
PREPARE=bad_directories start hostile glibc '.process.env = ["PATH=/opt/bin:/usr/local/bin:/bin"]'
ok "hostile: directories that lead out of the root: inject" inject
is "hostile: no link is made" "$(result /usr/bin/nvidia-smi)" omitted
is "hostile: no socket is bound" "$(result /run/nvidia-persistenced/socket)" omitted
again_and_back

shifted()
{
	find "$1" -xdev -exec chown -h "$BASE:$BASE" {} +
}
PREPARE=shifted start user glibc "$USERNS"
ok "user: a user namespace: inject" inject
is "user: the link is the container's" "$(stat -c %u "$ROOTFS/usr/bin/nvidia-smi")" "$BASE"
sockets_answer
for target in $SOCKETS /tmp/nvidia-mps; do
	for flag in rw suid dev exec; do
		fails "user: its root may not clear a flag of $target: $flag" 1 EPERM \
			in_container user remount "$target" $flag
	done
done
again_and_back

start readonly glibc '.root.readonly = true'
ok "readonly: a read-only root: inject" inject
is "readonly: the link leads into the tree" "$(link_at /usr/bin/nvidia-smi)" "$TREE/bin/nvidia-smi"
is "readonly: the linker's cache is a file, and no mount" "$(result /etc/ld.so.cache)" replaced
ok "readonly: the driver loads" in_container readonly dlopen libcuda.so.1
is "readonly: the linker's list is there" "$(result /etc/ld.so.conf.d/00-nvfs.conf)" created
sockets_answer
for command in 'touch /usr/bin/x' 'rm /usr/bin/nvidia-smi' 'rmdir /usr/local/nvidia' 'mkdir /etc/x'; do
	fails "readonly: it stays so for the container: $command" '[1-9]*' 'Read-only file system|busy' \
		in_container readonly sh -c "$command"
done
is "readonly: and as a mount" "$(mounts_in "$PID" | sed -n 's,^/ [^ ]* \(r[ow]\).*,\1,p')" ro
again_and_back

# The filesystem itself is.
PREPARE=read_only_superblock start squashed glibc '.root.readonly = true'
ok "squashed: a read-only filesystem: inject" inject
is "squashed: no link is made" "$(result /usr/bin/nvidia-smi)" omitted
is "squashed: no socket is bound" "$(result /run/nvidia-persistenced/socket)" omitted
is "squashed: the linker's cache is bound" "$(result /etc/ld.so.cache)" bound
ok "squashed: the driver loads" in_container squashed dlopen libcuda.so.1
again_and_back

# The mount was read-only before the user namespace was made: nobody clears that flag in there.
read_only_before()
{
	shifted "$1"
	mount -o remount,bind,ro "$1"
}
PREPARE=read_only_before start locked glibc "$USERNS | .root.readonly = true"
ok "locked: a root that is locked read-only: inject" inject
is "locked: no link is made" "$(result /usr/bin/nvidia-smi)" omitted
is "locked: the linker's cache is bound" "$(result /etc/ld.so.cache)" bound
ok "locked: the driver loads" in_container locked dlopen libcuda.so.1
again_and_back

start tmpfs glibc '.root.readonly = true
	| .mounts += [{ type: "tmpfs", source: "tmpfs", destination: "/run", options: ["mode=755"] }]'
ok "tmpfs: a read-only root with a /run of its own: inject" inject
is "tmpfs: has the sockets" "$(in_container tmpfs unixsock ask /run/nvidia-fabricmanager/socket || true)" \
	"$IPC_ROOT/run/nvidia-fabricmanager/socket"
again_and_back

# ---- what the image has stays --------------------------------------------------------------------

own_files()
{
	echo '#!/bin/sh' >"$1/usr/bin/nvidia-smi"
	ln -s elsewhere "$1/usr/bin/nvidia-debugdump"
	mkdir "$1/usr/bin/nvidia-persistenced"
	mkfifo "$1/usr/bin/nvidia-cuda-mps-control"
	mkdir "$1/run/nvidia-persistenced" "$1/tmp/nvidia-mps"
	echo mine >"$1/run/nvidia-persistenced/socket"
	echo mine >"$1/tmp/nvidia-mps/control"
	echo '/opt/lib' >"$1/etc/ld.so.conf.d/00-nvfs.conf"
}
PREPARE=own_files start own glibc
ok "own: an image with files of its own: inject" inject
said=$OUT
for target in /usr/bin/nvidia-smi /usr/bin/nvidia-debugdump /usr/bin/nvidia-persistenced \
	/usr/bin/nvidia-cuda-mps-control /run/nvidia-persistenced/socket /tmp/nvidia-mps; do
	is "own: $target stays" "$(result "$target")" kept
	like "own: and that is said" "$said" "'$target' is the container's own and stays"
done
is "own: nothing that was there has changed" "$(diff "$SCRATCH/before" <(state) | grep -v '=>' | grep '^<' || true)" ""
is "own: what is free gets its link" "$(link_at /usr/bin/nvidia-cuda-mps-server)" "$TREE/bin/nvidia-cuda-mps-server"
is "own: the linker's file has another name" "$(tail -n 1 "$ROOTFS/etc/ld.so.conf.d/00-nvfs-driver.conf")" "$TREE/lib64"
like "own: which is said" "$said" "00-nvfs\.conf' is the container's own and stays, '.*00-nvfs-driver\.conf'"
ok "own: ldconfig in the container" in_container own ldconfig
ok "own: keeps the driver" in_container own dlopen libcuda.so.1
again_and_back

both_taken()
{
	echo '/opt/lib' | tee "$1/etc/ld.so.conf.d/00-nvfs.conf" >"$1/etc/ld.so.conf.d/00-nvfs-driver.conf"
}
PREPARE=both_taken start taken glibc
ok "taken: both names of the linker's file are the image's: inject" inject
like "taken: what that means is said" "$OUT" 'after an ldconfig .* do not find the driver; rename one of them'
ok "taken: the driver is found" in_container taken dlopen libcuda.so.1
again_and_back

# A committed image keeps what we put there: for another target it is ours to change.
left_behind()
{
	printf '%s\n' '# made by nvfs; its libraries of the NVIDIA driver' /dev/nvfs/lib64 \
		>"$1/etc/ld.so.conf.d/00-nvfs.conf"
}
PREPARE=left_behind start left glibc
ok "left: a linker's file of an earlier run: inject" inject
is "left: is changed" "$(tail -n 1 "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf")" "$TREE/lib64"
ok "left: remove" nvinject --remove --id left
is "left: and goes" "$(ls "$ROOTFS/etc/ld.so.conf.d/00-nvfs.conf" 2>/dev/null || true)" ""
kill_container left

# ---- a linker's cache that is none ---------------------------------------------------------------

make_cache()
{
	rm -f "$1/etc/ld.so.cache"
	case $CACHE in
	FIFO) mkfifo "$1/etc/ld.so.cache" ;;
	directory) mkdir "$1/etc/ld.so.cache" ;;
	link) ln -s ../var/cache/ld.so.cache "$1/etc/ld.so.cache" ;;
	device) mknod "$1/etc/ld.so.cache" c 1 3 ;;
	esac
}
for CACHE in FIFO directory link device; do
	PREPARE=make_cache start "$CACHE" glibc
	what=$(stat -c %F "$ROOTFS/etc/ld.so.cache")
	ok "$CACHE: the linker's cache is a $CACHE: inject" inject
	said=$OUT
	is "$CACHE: it stays" "$(stat -c %F "$ROOTFS/etc/ld.so.cache")" "$what"
	is "$CACHE: as the record says" "$(result /etc/ld.so.cache)" omitted
	like "$CACHE: and the warning" "$said" \
		"ld\.so\.cache is not changed \(.*\): its programs need LD_LIBRARY_PATH=$TREE/lib64"
	unlike "$CACHE: and nothing else" "$said" "driver's entries only"
	# The loader of every program waits at a FIFO, whatever we do.
	[ "$CACHE" = FIFO ] || ok "$CACHE: and so it is" in_container "$CACHE" env LD_LIBRARY_PATH="$TREE/lib64" dlopen libcuda.so.1
	again_and_back
done

# ---- sockets that come and go --------------------------------------------------------------------

start restart glibc
ok "restart: inject" inject
rm "$PERSISTENCED"
is "restart: the daemon of the host has ended, its name is gone" \
	"$(in_container restart unixsock ask /run/nvidia-persistenced/socket || true)" "$PERSISTENCED"
listen_at run/nvidia-persistenced/socket
ok "restart: a new one listens: inject" inject
is "restart: the new one is bound" "$(result /run/nvidia-persistenced/socket)" mounted
is "restart: in the place of the old one" "$(mounts_in "$PID" | grep -c '^/run/nvidia-persistenced')" 1
again_and_back

start given glibc "$(printf '.mounts += [{ type: "bind", source: "%s", options: ["bind", "rw"],
	destination: "/run/nvidia-persistenced/socket" }]' "$PERSISTENCED")"
ok "given: the runtime has bound a socket itself: inject" inject
is "given: it is one mount" "$(mounts_in "$PID" | grep -c '^/run/nvidia-persistenced')" 1
again_and_back

chown 4321:4321 "$IPC_ROOT/tmp/nvidia-mps"
start stranger glibc
ok "stranger: a user of the host has made /tmp/nvidia-mps: inject" inject
like "stranger: it is not given" "$OUT" 'nvidia-mps. of the host belongs to uid 4321'
is "stranger: to nobody" "$(mounts_in "$PID" | grep -c nvidia-mps)" 0
again_and_back
chown 0:0 "$IPC_ROOT/tmp/nvidia-mps"

# ---- standalone ----------------------------------------------------------------------------------

make_rootfs glibc alone
unshare --mount --propagation private sleep 1000 </dev/null >/dev/null 2>&1 &
PID=$!
disown "$PID"
at_exit kill -KILL "$PID"
wait_for 5 sh -c "! test /proc/$PID/ns/mnt -ef /proc/$$/ns/mnt"
inside()
{
	timeout -k 5 $((60 * SLOW)) nsenter --mount --target "$PID" "$@"
}
standalone()
{
	inside "$NVINJECT" --socket "$SOCKET" --standalone --rootfs "$ROOTFS" --id alone "$@"
}
inside sh -c "mount --rbind '$ROOTFS' '$ROOTFS'; mount -t tmpfs dev '$ROOTFS/dev'; mount -t proc proc '$ROOTFS/proc'"
state >"$SCRATCH/before"
ok "standalone: inject" standalone --devices all
is "standalone: the link is there" "$(link_at /usr/bin/nvidia-smi)" "$TREE/bin/nvidia-smi"
for socket in $SOCKETS /tmp/nvidia-mps/control; do
	is "standalone: $socket answers" "$(inside chroot "$ROOTFS" unixsock ask "$socket" || true)" "$IPC_ROOT$socket"
done
ok "standalone: remove" standalone --remove
is "standalone: leaves everything as it was" "$(differs)" ""
kill -KILL "$PID"

stop_daemon
host_compare
done_testing
