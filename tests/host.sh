# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/host.sh - sourced by lib.sh and run: what the machine is, to compare it before and after, and
# who is still there. Other runs on the same machine, and their scratch folders, do not count: a run's
# own things bear its tag, "nvfs-test-..." and numbers.

# host_mounts TAG: mounts of the first process, without those that lie in a scratch folder of another
# run (/tmp/nvfs-WHAT.XXXXXX) or in the cache, which whoever comes first builds.
host_mounts()
{
	local cache=${NVFS_TEST_CACHE:-/var/tmp/nvfs-tests}

	awk -v tag="$1" -v cache="$cache/" '
		index($5, cache) == 1 { next }
		$5 ~ /\/nvfs-[a-z0-9-]*\.[A-Za-z0-9]+(\/|$)/ && $5 !~ "/" tag "[^0-9]" { next }
		{ $1 = $2 = ""; print "mount" $0 }' /proc/1/mountinfo | sort
}

# host_state TAG: mounts, this run's cgroups, every name in /dev with its numbers and mode, and the places
# that an injection into the wrong namespace would write to. Terminals and the machine's own cgroups
# come and go by themselves.
host_state()
{
	host_mounts "$1"
	find /sys/fs/cgroup -type d \( -name "*$1" -o -name "*$1[!0-9]*" \) 2>/dev/null | sort |
		sed 's/^/cgroup /'
	find /dev -path /dev/pts -prune -o -path /dev/shm -prune -o -type c -printf 'dev %p %m %U:%G\n' \
		-o -type b -printf 'dev %p %m %U:%G\n' -o -printf 'dev %p %y %m %U:%G %l\n' | sort
	ls -ld --time-style=full-iso /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d/* \
		/usr/bin/nvidia-smi /usr/local/nvidia /run/nvfs /run/nvfsd 2>/dev/null | sed 's/^/file /' || true
}

# is_of_run PID TAG: one that a run with this tag started. It has the tag in its environment, which it
# inherits; where it was given another one, in its command line, which names the scratch folder, or in
# the name of its cgroup, as containers do. Without any program, which would be one of the run itself.
is_of_run()
{
	local text

	{
		mapfile -d '' -t text <"/proc/$1/environ"
		[[ ! " ${text[*]} " =~ " NVFS_TEST_TAG=$2"[^0-9] ]] || return 0
		mapfile -d '' -t text <"/proc/$1/cmdline"
		[[ ! "${text[*]} " =~ "/$2"[^0-9] ]] || return 0
		mapfile -t text <"/proc/$1/cgroup"
		[[ "${text[*]} " =~ "/$2"[^0-9] ]]
	} 2>/dev/null
}

# is_in_namespace PID: in the mount namespace that was made for this script, of which it may know nothing
is_in_namespace()
{
	[ "/proc/$1/ns/mnt" -ef "/proc/$$/ns/mnt" ] && [ ! "/proc/$1/ns/mnt" -ef /proc/1/ns/mnt ]
}

# ancestors: pids of this shell and of those above it, each between blanks
ancestors()
{
	local pid=$BASHPID key value list=' '

	while [ "${pid:-0}" != 0 ]; do
		list+="$pid "
		while read -r key value; do
			[ "$key" != PPid: ] || pid=$value
		done <"/proc/$pid/status"
	done
	echo "$list"
}

# processes_of TAG [namespace]: pid and command of each that is alive and of this run, or in this script's
# mount namespace; who asks is none. Zombies have no command line.
processes_of()
{
	local dir pid cmdline above

	above=$(ancestors)
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		[[ "$above" != *" $pid "* ]] || continue
		is_of_run "$pid" "$1" || { [ $# -gt 1 ] && is_in_namespace "$pid"; } || continue
		mapfile -d '' -t cmdline 2>/dev/null <"$dir/cmdline" || continue
		[ ${#cmdline[@]} = 0 ] || printf '%s %s\n' "$pid" "${cmdline[*]}"
	done
}

# no_process_of TAG [namespace]: within five seconds; else prints which are left
no_process_of()
{
	local left tries=50

	while left=$(processes_of "$@") && [ -n "$left" ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || break
		sleep 0.1
	done
	[ -z "$left" ] || { printf 'still there: %s\n' "$left"; return 1; }
}
