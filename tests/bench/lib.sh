# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/bench/lib.sh - sourced after tests/lib.sh by what measures containers: the driver that is there, fresh
# roots, percentiles, the table and the JSON.
#
# A result is one line of $RESULTS: "WHAT WHICH NVFS OTHER", in nanoseconds or, where WHICH says so, a number.

# shellcheck disable=SC2034

DRIVER=
CGROUPS=
RESULTS=$SCRATCH/results
EXISTING_PIDS=()
at_exit existing_end

# Version 2 alone, where the machine has both: what it is like on a machine of today. Our own mount namespace.
cgroup2_only()
{
	[ -d /sys/fs/cgroup/devices ] || return 0
	umount -R -l /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

serve()
{
	cgroup2_only
	CGROUPS=$(stat -f -c %T /sys/fs/cgroup)
	if [ -e /proc/driver/nvidia/version ]; then
		DRIVER="this machine's"
		start_daemon
	elif use_real_driver 550; then
		DRIVER="NVIDIA's 550 user space, no GPU"
		start_daemon --config "$CONFIG"
	else
		DRIVER=sample
		use_sample_driver
		start_daemon --config "$CONFIG"
	fi
}

# What changes in roots of containers is kept in memory, unless fresh_root is told otherwise: a disk's journal,
# which is busy with the roots before, would be much of what is measured.
roots_in_memory()
{
	mkdir -p "$SCRATCH/roots"
	mountpoint -q "$SCRATCH/roots" || mount -t tmpfs -o mode=0755 nvfs-bench "$SCRATCH/roots"
}

# fresh_root NAME [DIR]: an overlay over Debian, without the test programs; path in $ROOTFS.
fresh_root()
{
	roots_in_memory
	ROOTFS=${2:-$SCRATCH/roots}/rootfs-$1
	"$TESTS/rootfs" glibc "$ROOTFS" >/dev/null
}

# drop_root NAME [DIR]
drop_root()
{
	local root=${2:-$SCRATCH/roots}/rootfs-$1

	umount "$root" 2>/dev/null || true
	rm -rf --one-file-system "$root" "$root.layers"
}

# existing_for_process ROOT: NVIDIA's own tool, for a process that is in a mount namespace of its own and has not
# changed its root yet, as in a hook. It is in our cgroup, which is not to be changed. Where the tool mounts in
# /proc, a kernel without the module has no directory.
existing_for_process()
{
	local pid

	unshare --mount --propagation private sh -c '
		if [ -d /proc/driver/nvidia ]; then mount -t proc proc "$1/proc"; else mkdir -p "$1/proc/driver/nvidia"; fi
		exec sleep 3600' sh "$1" </dev/null >/dev/null 2>&1 &
	pid=$!
	EXISTING_PIDS+=("$pid")
	wait_for 5 [ -d "/proc/$pid/root$1/proc/driver/nvidia" ] || {
		echo "bench: no mount namespace with '$1/proc/driver/nvidia'" >&2
		return 1
	}
	read -ra EXISTING <<<"$EXISTING_CLI"
	EXISTING+=(configure --no-cgroups --ldconfig=@/sbin/ldconfig --device=all --compute --utility
		"--pid=$pid" "$1")
}

# existing_begin ROOT: the command that does it, in $EXISTING; driver_copies has been called. What stands for NVIDIA's
# tool starts NVML where there is a GPU, as that one does for every container.
existing_begin()
{
	local nvml=()

	[ ! "${EXISTING_CLI:-}" ] || { existing_for_process "$1"; return; }
	[ ! -e /proc/driver/nvidia/version ] || nvml=(--nvml "$SCRATCH/copies/libnvidia-ml.so.1")
	mapfile -t EXISTING < <(printf '%s\n' "$HELPERS/bindmounts" "${nvml[@]}" "$1" 45 && cat "$SCRATCH/files")
}

# existing_end: of all that was begun
existing_end()
{
	local pid

	for pid in ${EXISTING_PIDS[@]+"${EXISTING_PIDS[@]}"}; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	EXISTING_PIDS=()
}

# From the host's filesystem, not from the tree: the existing way knows no tree.
driver_copies()
{
	cp -r "$MOUNTPOINT/host/lib64" "$SCRATCH/copies"
	find "$SCRATCH/copies" -type f >"$SCRATCH/files"
}

# percentile_ns FILE P: of one number of microseconds per line
percentile_ns()
{
	sort -n "$1" | awk -v p="$2" '{ v[NR] = $1 } END { i = int((p * NR + 99) / 100)
		printf "%.0f\n", v[i < 1 ? 1 : i] * 1000 }'
}

# result WHAT WHICH NVFS OTHER
result()
{
	echo "$*" >>"$RESULTS"
}

# results_of WHAT FILE OTHER-FILE PERCENTILE...
results_of()
{
	local what=$1 p

	for p in "${@:4}"; do
		result "$what" "p$p" "$(percentile_ns "$2" "$p")" "$(percentile_ns "$3" "$p")"
	done
}

table()
{
	printf '%-16s %-16s %12s %12s %8s\n' what which 'nvfs us' 'other us' ratio
	awk '{ r = $4 ? sprintf("%.2f", $3 / $4) : "-"
		if ($2 ~ /failures|per-second/) printf "%-16s %-16s %12d %12d %8s\n", $1, $2, $3, $4, r
		else printf "%-16s %-16s %12.1f %12.1f %8s\n", $1, $2, $3 / 1000, $4 / 1000, r }' "$RESULTS"
	echo "driver: $DRIVER; kernel $(uname -r), $CGROUPS; $(nproc) processors; $*"
}

# existing_name: for the table
existing_name()
{
	echo "the existing way (${EXISTING_CLI:-bind mounts and ldconfig, in its place})"
}

json()
{
	jq -Rn --arg driver "$DRIVER" --arg kernel "$(uname -r)" --arg cgroups "$CGROUPS" \
		--arg existing "${EXISTING_CLI:-}" \
		'{ driver: $driver, kernel: $kernel, cgroups: $cgroups, existing_cli: $existing, results: [ inputs | split(" ") |
		(if .[1] | test("failures|per-second") then "" else "_ns" end) as $unit |
		{ what: .[0], which: .[1], ("nvfs" + $unit): (.[2] | tonumber),
			("other" + $unit): (.[3] | tonumber),
			ratio: (if .[3] == "0" then null else (.[2] | tonumber) / (.[3] | tonumber) end) } ] }' \
		<"$RESULTS" >"$1"
	echo "JSON: $1"
}

: >"$RESULTS"
