#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runtimes that have systemd make their containers' cgroups (tests/machine.sh): systemd-nspawn, by itself, by
# systemd-machined and in a service; runc, crun and podman with the systemd cgroup manager. Each container gets
# its GPU, keeps it through what systemd does to units, and has it taken away. Prints a table.
# shellcheck disable=SC2317,SC2034 # functions that wait_for calls, variables of lib.sh's
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/machine.sh
. "$TESTS/machine.sh"

outside()
{
	use_sample_driver
	write_config 'grace = 1' 'heal = 1'
	run_machine
	done_testing
}

# ---- inside -------------------------------------------------------------------------------------

TABLE=()

cgroup_of()
{
	echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
}

# answers PID: what a process in its cgroup and mount namespace is told
answers()
{
	sh -c "echo \$\$ >'$(cgroup_of "$1")/cgroup.procs' && exec nsenter -t $1 -m /usr/local/bin/opendev /dev/nvidia0 /dev/nvidiactl" \
		</dev/null 2>&1 | awk '{ printf "%s ", $2 }'
}

# Where nobody has made them.
nodes()
{
	mknod -m 666 "/proc/$1/root/dev/nvidia0" c 195 0
	mknod -m 666 "/proc/$1/root/dev/nvidiactl" c 195 255
}

device_allow()
{
	systemctl show -P DeviceAllow "$1" | tr ')' '\n' | sed 's/^ *(*//' | sort | grep . || true
}

knows()
{
	device_allow "$1" | grep -q 195:0
}

restricts()
{
	[ "$(systemctl show -P DevicePolicy "$1")" != auto ] || [ -n "$(device_allow "$1")" ]
}

unit_of()
{
	tr / '\n' <"/proc/$1/cgroup" | grep -m 1 -E '\.(scope|service)$'
}

# check KIND PID
check()
{
	local kind=$1 pid=$2 unit before failed=$TEST_FAILED command

	unit=$(unit_of "$pid")
	before=$(device_allow "$unit")
	systemctl daemon-reload
	nodes "$pid"
	is "$kind: its unit, $unit, denies the GPU" "$(answers "$pid")" "EPERM EPERM "
	rm "/proc/$pid/root/dev/nvidia0" "/proc/$pid/root/dev/nvidiactl"
	ok "$kind: inject" nvinject --pid "$pid" --id "$kind" --devices all
	is "$kind: it has the GPU" "$(answers "$pid")" "ENXIO ENXIO "
	if restricts "$unit"; then
		ok "$kind: the unit is told" wait_for 10 knows "$unit"
	else
		pass "$kind: the unit permits everything, the program is the runtime's own"
	fi
	for command in daemon-reload "set-property --runtime $unit TasksMax=500" daemon-reexec daemon-reload; do
		# shellcheck disable=SC2086 # words
		systemctl $command
		is "$kind: ${command%% *}: it has the GPU" "$(answers "$pid")" "ENXIO ENXIO "
	done
	ok "$kind: remove" nvinject --remove --id "$kind"
	is "$kind: the unit is as it was" "$(device_allow "$unit")" "$before"
	nodes "$pid"
	is "$kind: denied" "$(answers "$pid")" "EPERM EPERM "
	systemctl daemon-reload
	is "$kind: and after a daemon-reload" "$(answers "$pid")" "EPERM EPERM "
	TABLE+=("$(printf '%-36s %s' "$kind" "$([ "$TEST_FAILED" = "$failed" ] && echo yes || echo no)")")
}

# ---- systemd-nspawn ------------------------------------------------------------------------------

payload()
{
	find /sys/fs/cgroup -path "*$1*/payload/cgroup.procs" -exec cat {} + | head -n 1
}

has_payload()
{
	[ -n "$(payload "$1")" ] && [ "$(cat "/proc/$(payload "$1")/comm")" = sleep ]
}

# nspawn NAME OPTIONS [COMMAND...]: run by COMMAND; its first process in $PID
nspawn()
{
	local name=$1 options=$2

	shift 2
	# shellcheck disable=SC2086 # words
	"$@" systemd-nspawn -q -D "$ROOTFS" --machine="$name" $options sleep 1000 </dev/null >"$SCRATCH/$name.log" 2>&1 &
	NSPAWN_PID=$!
	wait_for 20 has_payload "$name" || diag "$name: $(cat "$SCRATCH/$name.log")"
	PID=$(payload "$name")
	SUPERVISORS=/sys/fs/cgroup/system.slice/$name.service/supervisor/cgroup.procs
}

# A process that is not the host's root, where the supervisor is: it would get what the container gets.
a_stranger_beside_the_supervisor()
{
	sh -c "echo \$\$ >'$SUPERVISORS' && exec setpriv --reuid 1234 --regid 1234 --clear-groups sleep 1001" \
		</dev/null >"$SCRATCH/stranger.log" 2>&1 &
	CHILD=$!
	wait_for 5 grep -q ^sleep "/proc/$CHILD/cmdline" || diag "stranger: $(cat "$SCRATCH/stranger.log")"
	fails "a stranger beside the supervisor: refused by name" 5 "process $CHILD is not the container's" \
		nvinject --pid "$PID" --id stranger --devices all
	kill -KILL "$CHILD"
	wait "$CHILD" 2>/dev/null || true
}

# Two at a time cannot have one root.
end_machine()
{
	kill -KILL "$PID"
	wait "$NSPAWN_PID" || true
}

machines()
{
	nspawn alone --register=no
	check "systemd-nspawn" "$PID"
	end_machine
	nspawn machined --register=yes
	check "systemd-nspawn, machined" "$PID"
	end_machine
	nspawn service "--register=no --keep-unit" systemd-run -q --unit=service -p DevicePolicy=closed -p Delegate=yes
	like "service: systemd-nspawn itself is in the unit" "$(cat "/proc/$(head -n 1 "$SUPERVISORS")/comm")" systemd-nspawn
	a_stranger_beside_the_supervisor
	check "systemd-nspawn, service" "$PID"
	systemctl stop service
}

# ---- runc, crun ----------------------------------------------------------------------------------

runtimes()
{
	local name

	printf '#!/bin/sh\nLD_PRELOAD=%s exec /usr/bin/crun "$@"\n' "$HELPERS/nomemlock" >/mnt/crun
	chmod 755 /mnt/crun
	for RUNTIME in /usr/sbin/runc /mnt/crun; do
		name=${RUNTIME##*/}
		if run_container "$name" "$ROOTFS" ".linux.cgroupsPath = \"machine.slice:nvfs:$name\""; then
			check "$name, systemd" "$PID"
			kill_container "$name"
		else
			fail "$name, systemd: starts"
		fi
	done
}

# lib.sh's containers are made by this.
runc()
{
	timeout -k 5 60 "$RUNTIME" --systemd-cgroup --root "/run/state-${RUNTIME##*/}" "$@" <"$SCRATCH/no-input"
}

# ---- podman --------------------------------------------------------------------------------------

podmans()
{
	local id podman=(podman --root "$SCRATCH/podman" --runroot /run/podman --tmpdir /run/podman-tmp --storage-driver vfs
		--cgroup-manager systemd)

	printf '%s\n' '[containers]' 'log_driver="k8s-file"' pids_limit=0 \
		'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' '[engine]' 'events_logger="none"' >/run/containers.conf
	export CONTAINERS_CONF=/run/containers.conf
	tar -C "$ROOTFS" --exclude ./proc/\* --exclude ./sys/\* --exclude ./dev/\* -cf /mnt/image.tar .
	timeout 60 "${podman[@]}" import -q /mnt/image.tar localhost/image:1 >/dev/null
	for RUNTIME in /usr/sbin/runc /mnt/crun; do
		id=$(timeout 60 "${podman[@]}" --runtime "$RUNTIME" run --detach --network none localhost/image:1 sleep 1000 \
			</dev/null 2>"$SCRATCH/podman.log") || {
			fail "podman, ${RUNTIME##*/}, systemd: starts" "$(cat "$SCRATCH/podman.log")"
			continue
		}
		check "podman, ${RUNTIME##*/}, systemd" "$("${podman[@]}" inspect --format '{{.State.Pid}}' "$id")"
		timeout 60 "${podman[@]}" rm --force --time 0 "$id" >/dev/null
	done
}

inside()
{
	mount -t tmpfs tmpfs /mnt
	NVFS=/usr/local/bin/nvfs
	NVINJECT=/usr/local/bin/nvinject
	SOCKET=/run/nvfsd/nvfs.sock
	at_exit sh -c "journalctl -q --no-pager -n 300 >'$OUTER/journal' 2>&1"
	ok "systemctl start" systemctl start nvfs
	make_rootfs busybox box
	machines
	runtimes
	podmans
	is "no system call is refused" "$(nvfs status --json | jq -c .sandbox.refused)" "[]"
	kill_containers
	printf '# %s\n' "${TABLE[@]}"
	diag end
	exit 0
}

machine_main "$@"
