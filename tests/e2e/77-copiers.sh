#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Who asks `nvidia-container-cli list` for paths and does the rest: Charliecloud copies the files into an image,
# wrappers of systemd-nspawn bind them, others label them. The driver is the host's own here: it is laid over /usr,
# in this script's mount namespace.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/engines.sh
. "$TESTS/engines.sh"

MULTIARCH=usr/lib/$(gcc -dumpmachine 2>/dev/null || echo "$(uname -m)-linux-gnu")

# What is answered to $LOOK where the driver is at the host's own paths.
COPIED="/$MULTIARCH/libcuda\\.so.*NVIDIA-SMI.*/dev/nvidia0 ENXIO"

# The same of Charliecloud, which copies libraries where its own ldconfig looks.
OWN_COPY='/usr/local/lib/libcuda\.so.*NVIDIA-SMI.*/dev/nvidia0 ENXIO'

# driver_on_host: what $DRIVER_ROOT has in usr is in /usr, too
driver_on_host()
{
	mount -t overlay -o "ro,lowerdir=$DRIVER_ROOT/usr:/usr" nvfs-test-usr /usr
	at_exit umount -l /usr
	ldconfig -X # of this script's own /etc
	write_config "driver_root = /" "dev_root = /dev"
}

# Both an image's owner and who runs it are the machine's root here, as CI has it.
fromhost()
{
	env USER=root PATH="$SCRATCH/bin:$PATH" timeout -k 5 $((60 * SLOW)) ch-fromhost --nvidia "$@" 2>&1 || return 1
}

image()
{
	env USER=root timeout -k 5 $((60 * SLOW)) ch-run --unset-env=PATH --set-env=PATH=/usr/local/bin:/usr/bin:/bin "$ROOTFS" -- "$@" 2>&1 || return 1
}

# image_root NAME: a fresh image with an /etc/ld.so.conf, which its ldconfig wants
image_root()
{
	make_rootfs glibc "$1"
	mkdir -p "$ROOTFS/sys" "$ROOTFS/dev" "$ROOTFS/proc" "$ROOTFS/tmp" "$ROOTFS/home" "$ROOTFS/root"
}

charliecloud()
{
	local before=$TEST_FAILED lib

	image_root image
	find "$ROOTFS" -xdev -type f | sort >"$SCRATCH/image.before"
	ok "ch-fromhost --nvidia" fromhost "$ROOTFS"
	is "copies what list has, and nothing else" \
		"$(find "$ROOTFS/usr" -xdev -type f | sort | comm -13 "$SCRATCH/image.before" - | sed 's|.*/||' | sort)" \
		"$(cli list --binaries --libraries | sed 's|.*/||' | sort)"
	lib=$(cd "$ROOTFS" && find . -name 'libcuda.so.999.10.01')
	is "the library is the host's, byte for byte" "$(md5sum <"$ROOTFS/$lib")" \
		"$(md5sum <"$DRIVER_ROOT/$MULTIARCH/libcuda.so.999.10.01")"
	ok "the image's programs load it" image dlopen libcuda.so.1
	like "by the name that its ldconfig gave it" "$OUT" 'libcuda\.so'
	ok "and there is nvidia-smi" image nvidia-smi
	is "no file of it is empty" "$(cli list -b -l | sed 's|.*/||' | while read -r name; do
		find "$ROOTFS/usr" -name "$name" -empty
	done)" ''
	ok "a second time" fromhost "$ROOTFS"
	image_root old
	stale "$ROOTFS"
	ok "charliecloud: an image with files of another driver, some empty" fromhost "$ROOTFS"
	ok "charliecloud, stale image: the driver's own libcuda is loaded" image dlopen libcuda.so.1
	ok "charliecloud, stale image: and there is nvidia-smi" image nvidia-smi
	client "$CHARLIECLOUD" "ch-fromhost --nvidia" "$before" "files copied, loaded; twice; 0-byte library"
}

# background COMMAND...: what it says is in $SCRATCH/first, its pid in $FIRST
background()
{
	"$@" >"$SCRATCH/first" 2>&1 &
	FIRST=$!
	at_exit kill -KILL "$FIRST"
}

# The first of two in $ROOTFS: it looks, waits until it is told, and looks again.
UNTIL_TOLD="$LOOK; echo waits; until [ -e /told ]; do sleep 0.1; done; $LOOK; echo ends"

# at_once CLIENT REGEX COMMAND...: two containers of one root, which they cannot write to, by this command
at_once()
{
	local name=$1 regex=$2

	shift 2
	rm -f "$ROOTFS/told" "$SCRATCH/first"
	background "$@" sh -c "$UNTIL_TOLD"
	ok "$name, two of one root: the first starts" wait_for 20 grep -q waits "$SCRATCH/first"
	like "$name, two of one root: the first has the driver and the GPU" "$(tr '\n' ' ' <"$SCRATCH/first")" "$regex.*waits"
	MACHINE=second
	ok "$name, two of one root: the second starts" "$@" sh -c "$LOOK"
	MACHINE=first
	like "$name, two of one root: the second has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "$regex"
	touch "$ROOTFS/told"
	wait "$FIRST" || true
	like "$name, two of one root: the first has kept both when the second has ended" \
		"$(tr '\n' ' ' <"$SCRATCH/first")" "waits.*$regex.*ends"
}
MACHINE=first

charliecloud_roots()
{
	local before=$TEST_FAILED

	# As ch-run has it where it is not told --write.
	image_root both
	ok "charliecloud: ch-fromhost, for a read-only root" fromhost "$ROOTFS"
	ok "charliecloud, read-only root: it runs" image sh -c "touch /written; $LOOK"
	like "charliecloud, read-only root: it has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "Read-only.*$OWN_COPY"
	at_once charliecloud "$OWN_COPY" image
	client "$CHARLIECLOUD" "ch-run, its read-only root" "$before" "driver and GPU; two of one root"
}

# nspawn_binds: options for each path that list has
nspawn_binds()
{
	local paths

	paths=$(cli list) || return 1
	sed 's|^/dev/|--bind=&|; s|^/|--bind-ro=&|' <<<"$paths"
}

nspawn()
{
	local listed binds

	# What cannot be listed is not started: an image without a driver would be the other choice.
	listed=$(nspawn_binds) || return 1
	mapfile -t binds <<<"$listed"
	timeout -k 5 $((60 * SLOW)) systemd-nspawn --quiet --register=no --keep-unit --machine="$RUN_ID-$MACHINE" \
		--directory="$ROOTFS" --as-pid2 --console=pipe --setenv=PATH=/usr/local/bin:/usr/sbin:/usr/bin \
		--link-journal=no --resolv-conf=off --timezone=off "${binds[@]}" "$@" <"$SCRATCH/no-input" 2>&1 || return 1
}

spawned()
{
	local before=$TEST_FAILED

	image_root nspawn
	ok "systemd-nspawn with what list has" nspawn sh -c \
		'exec 2>&1; ldconfig; dlopen libcuda.so.1; nvidia-smi; opendev /dev/nvidia0 /dev/nvidiactl; true'
	like "the driver is loaded, and the GPU's nodes are there" "$(tr '\n' ' ' <<<"$OUT")" \
		"/$MULTIARCH/libcuda\.so.*NVIDIA-SMI.*/dev/nvidia0 ENXIO /dev/nvidiactl ENXIO"
	client "$NSPAWN" "--bind, --bind-ro of list's paths" "$before" "library, program and nodes"
	before=$TEST_FAILED
	# nspawn makes no place to mount on in such a root: those of the run before are there, and its ldconfig's links.
	ok "nspawn --read-only" nspawn --read-only sh -c "touch /written; $LOOK"
	like "nspawn --read-only: it has the driver and the GPU" "$(tr '\n' ' ' <<<"$OUT")" "Read-only.*$COPIED"
	# A directory is one machine's alone where it can be written to.
	at_once nspawn "$COPIED" nspawn --read-only
	client "$NSPAWN" "the same, --read-only" "$before" "driver and GPU; two machines of one directory"
	before=$TEST_FAILED
	image_root nspawn-stale
	stale "$ROOTFS"
	ok "nspawn, a root with files of another driver, some empty" nspawn sh -c "exec 2>&1; ldconfig; $LOOK"
	like "nspawn, stale root: the driver's own libcuda is loaded" "$(tr '\n' ' ' <<<"$OUT")" "$COPIED"
	client "$NSPAWN" "the same, stale root" "$before" "0-byte and old files"
}

host_snapshot
private_host
IPC_ROOT=/ # whose /run is this script's own
listen_at run/nvidia-persistenced/socket
listen_at run/nvidia-fabricmanager/socket
use_sample_driver
own_dev
driver_on_host
mkdir "$SCRATCH/bin"
cp "$BUILD/nvidia-container-cli" "$NVINJECT" "$SCRATCH/bin/"
SOCKET=/run/nvfsd/nvfs.sock MOUNTPOINT=/run/nvfs
cli()
{
	"$SCRATCH/bin/nvidia-container-cli" "$@"
}
CHARLIECLOUD="charliecloud $(USER=root ch-run --version 2>&1 || true)"
NSPAWN=$(systemd-nspawn --version 2>/dev/null | sed -n 's/^systemd \([0-9.]*\).*/systemd-nspawn \1/p') || true
start_daemon --config "$CONFIG"
like "the driver is the host's own" "$(cli list -l)" "^/$MULTIARCH/libnvidia-ml\.so\.999\.10\.01"

if command -v ch-fromhost >/dev/null; then
	charliecloud
	charliecloud_roots
else
	no_client charliecloud "ch-fromhost --nvidia" "no charliecloud"
fi
if command -v systemd-nspawn >/dev/null; then
	spawned
else
	no_client systemd-nspawn "--bind of list's paths" "no systemd-nspawn"
fi

before=$TEST_FAILED
is "every path of list is there" "$(cli -k list | while IFS= read -r path; do [ -e "$path" ] || echo "$path"; done)" ''
client restorecon "nvidia-container-cli -k list | restorecon -f -" "$before" "each line is a path of the host (restorecon not run)"

# ---- no daemon -----------------------------------------------------------------------------------

stop_daemon
if command -v ch-fromhost >/dev/null; then
	before=$TEST_FAILED
	image_root down
	fails "ch-fromhost without a daemon" 1 'nvfs does not answer: .*; systemctl start nvfs.*nvidia-container-cli failed' \
		fromhost "$ROOTFS"
	is "and it copies nothing" "$(find "$ROOTFS/usr" -name 'libcuda*')" ''
	mkdir -p /etc/nvfs
	echo 'on_daemon_down = skip' >/etc/nvfs/nvfs.conf
	fails "whatever on_daemon_down says: a list of nothing is no list" 1 'systemctl start nvfs' fromhost "$ROOTFS"
	rm /etc/nvfs/nvfs.conf
	client "$CHARLIECLOUD" "the same, daemon down" "$before" "refused, nothing copied"
fi
if command -v systemd-nspawn >/dev/null; then
	before=$TEST_FAILED
	image_root nspawn-down
	fails "nspawn without a daemon" 1 'nvfs does not answer: .*; systemctl start nvfs' nspawn true
	skip_when_down
	fails "nspawn, whatever on_daemon_down says: a list of nothing is no list" 1 'systemctl start nvfs' nspawn true
	client "$NSPAWN" "the same, daemon down" "$before" "refused: list fails"
fi
host_compare
done_testing
