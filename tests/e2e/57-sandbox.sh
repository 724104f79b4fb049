#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What each process of the daemon may still do once it serves, read from /proc: keeper, daemon, its
# threads, the cache parser. Under these limits an injection, a takeover and an end work, and no system call
# that is needed is refused; one that is not on the list is, and is told.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"

# status_of PID FIELD: of /proc/PID/status
status_of()
{
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"
}

# has_not PID FIELD CAPABILITY...
has_not()
{
	local set list

	set=$(status_of "$1" "$2")
	list=$(capsh --decode="$set")
	shift 2
	for capability in "$@"; do
		[[ $list != *"$capability"* ]] || { echo "$list" && return 1; }
	done
}

parser_pid()
{
	pgrep -P "$1" -f 'nvfs cachebox'
}

refused()
{
	nvfs status --json | jq -c .sandbox.refused
}

limits_of_the_keeper()
{
	local pid=$DAEMON_PID

	is "keeper: nothing in effect" "$(status_of "$pid" CapEff)" 0000000000000000
	# MKNOD and CHOWN are: a child of the daemon makes device nodes for one container (fs/donor.h).
	ok "keeper: nor to be had that it does not hand on" \
		has_not "$pid" CapPrm cap_sys_module cap_sys_rawio cap_net_raw cap_sys_boot cap_setfcap
	is "keeper: nothing comes back by execve" "$(status_of "$pid" CapBnd)" "$(status_of "$pid" CapPrm)"
	is "keeper: no new privileges, system calls filtered" \
		"$(status_of "$pid" NoNewPrivs) $(status_of "$pid" Seccomp)" "1 2"
}

limits_of_the_daemon()
{
	local pid=$1 task n=0

	is "daemon: SYS_ADMIN and what else the table says" "$(capsh --decode="$(status_of "$pid" CapEff)")" \
		"0x$(status_of "$pid" CapEff)=cap_dac_read_search,cap_kill,cap_sys_ptrace,cap_sys_admin"
	ok "daemon: nothing else to be had" \
		has_not "$pid" CapPrm cap_sys_module cap_sys_rawio cap_net_raw cap_sys_boot cap_setfcap
	is "daemon: nothing comes back by execve" "$(status_of "$pid" CapBnd)" "$(status_of "$pid" CapPrm)"
	is "daemon: no new privileges" "$(status_of "$pid" NoNewPrivs)" 1
	is "daemon: its own list beside the keeper's" "$(status_of "$pid" Seccomp_filters)" 2
	fails "daemon: not dumpable, its descriptors are closed to a root without CAP_SYS_PTRACE" 1 "denied" \
		setpriv --bounding-set -all readlink -v "/proc/$pid/fd/0"
	for task in "/proc/$pid"/task/*; do
		[ "$(cat "$task/comm")" = nvfs-worker ] || continue
		n=$((n + 1))
		is "thread $n that serves containers: CAP_SYS_PTRACE alone, filtered" \
			"$(awk '/^Cap(Prm|Eff):|^Seccomp:/ { printf "%s ", $2 }' "$task/status")" \
			"0000000000080000 0000000000080000 2 "
	done
	ok "there are such threads" test "$n" -gt 0
}

limits_of_the_parser()
{
	local pid

	pid=$(parser_pid "$1")
	is "parser: no capability in any set" \
		"$(awk '/^Cap/ { printf "%s ", $2 }' "/proc/$pid/status")" \
		"0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 "
	is "parser: a uid of its own, in no group" "$(awk '/^(Uid|Gid|Groups):/ { printf "%s %s ", $2, $5 }' "/proc/$pid/status")" \
		"65531 65531 65531 65531   "
	is "parser: no new privileges, filtered" "$(status_of "$pid" NoNewPrivs) $(status_of "$pid" Seccomp)" "1 2"
}

main_line()
{
	local pid

	make_rootfs glibc confined
	run_container confined "$ROOTFS"
	ok "an injection works" nvinject --pid "$PID" --id "$(container_id confined)" --devices all
	ok "and a library loads in the container" in_container confined dlopen libcuda.so.1
	pid=$(worker_pid)
	kill -KILL "$(parser_pid "$pid")"
	make_rootfs glibc second
	run_container second "$ROOTFS"
	like "a cache parser that died is replaced, and the cache merged" \
		"$(nvinject --pid "$PID" --id "$(container_id second)" --devices all --driver-capabilities utility,compute,video 2>&1 && in_container second ldconfig -p)" \
		"libcuda.so.1"
	limits_of_the_parser "$pid"
	kill -KILL "$pid"
	ok "a killed daemon is replaced" wait_for 10 worker_is_not "$pid"
	ok "and the library still loads" in_container confined dlopen libcuda.so.1
	limits_of_the_daemon "$(worker_pid)"
	limits_of_the_parser "$(worker_pid)"
	ok "removal works" nvinject --remove --id "$(container_id confined)"
	is "rescan works" "$(nvfs rescan)" unchanged
	is "nothing was refused that is needed" "$(refused)" "[]"
	kill_containers
}

keepers_became()
{
	[ "$(grep -c 'the keeper is nvfs .* now' "$SCRATCH/daemon.log")" = "$1" ]
}

# The new program begins with what it inherits, and gives up the same.
after_handovers()
{
	for n in 1 2 3; do
		ok "handover $n" nvfs handover
		ok "handover $n: the keeper is the new program too" wait_for 10 keepers_became "$n"
	done
	limits_of_the_keeper
	is "keeper: one list, and not one more for each handover" "$(status_of "$DAEMON_PID" Seccomp_filters)" 1
	fails "keeper: not dumpable again" 1 "denied" \
		setpriv --bounding-set -all readlink -v "/proc/$DAEMON_PID/fd/0"
	limits_of_the_daemon "$(worker_pid)"
	is "no handover needed what is refused" "$(refused)" "[]"
}

# On a kernel that nobody has tried.
turned_off()
{
	NVFS_DISABLE=seccomp start_daemon --config "$CONFIG"
	is "NVFS_DISABLE=seccomp is told" "$(nvfs status --json | jq .sandbox.seccomp)" false
	is "and leaves system calls to the keeper" "$(status_of "$DAEMON_PID" Seccomp)" 0
	is "but no capability" "$(status_of "$DAEMON_PID" CapEff)" 0000000000000000
	stop_daemon
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"
like "status tells of the sandbox" "$(nvfs status)" "sandbox +capabilities, system calls"
limits_of_the_keeper
limits_of_the_daemon "$(worker_pid)"
limits_of_the_parser "$(worker_pid)"
main_line
after_handovers
unlike "the log tells of no refused call" "$(cat "$SCRATCH/daemon.log")" "was refused"
stop_daemon
is "it ends well" "$DAEMON_STATUS" 0
turned_off
host_compare
done_testing
