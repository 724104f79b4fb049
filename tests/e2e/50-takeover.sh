#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon is killed, handed over and stopped, over and over, while containers work on their trees: no
# operation fails, and none waits for long. With passthrough and RESEND; with reads by the daemon; and
# with the journal in place of RESEND.
#
# TAKEOVER_KILLS (20), TAKEOVER_HANDOVERS (2) and TAKEOVER_STOPS (2, and 1 in the settings after the
# first): how often. The full form has 200, 20 and 5; it has one setting more. TAKEOVER_DRIVER=550 takes NVIDIA's own libraries
# instead of the sample.
#
# ALONE: it measures how long operations wait.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
KILLS=${TAKEOVER_KILLS:-20}
HANDOVERS=${TAKEOVER_HANDOVERS:-2}
STOPS=
TREE=/usr/local/nvidia
LIMIT=$(((120 + KILLS * 3 + HANDOVERS * 3) * SLOW))
LOADS=()
SETTING=0

# The keeper's only child is the daemon.
child_of_keeper()
{
	WORKER=
	read -r WORKER <"/proc/$DAEMON_PID/task/$DAEMON_PID/children" || true
	WORKER=${WORKER%% *}
}

is_replaced()
{
	child_of_keeper
	[ -n "$WORKER" ] && [ "$WORKER" != "$1" ]
}

start_container()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all >/dev/null
}

# start_load MODE NAME: in a container of its own, until its /stop is there. Not in_container, whose time limit
# is a short one.
start_load()
{
	start_container "$2"
	timeout -k 5 "$LIMIT" runc --root "$SCRATCH/runc" exec "$(container_id "$2")" \
		treeload "$1" $TREE /stop </dev/null >"$SCRATCH/load-$2" 2>&1 &
	LOADS+=("$2" $!)
}

stop_loads()
{
	local i

	for ((i = 0; i < ${#LOADS[@]}; i += 2)); do
		touch "$SCRATCH/rootfs-${LOADS[i]}/stop"
	done
	for ((i = 0; i < ${#LOADS[@]}; i += 2)); do
		STATUS=0
		wait "${LOADS[i + 1]}" || STATUS=$?
		is "${LOADS[i]}: no operation failed" \
			"$STATUS $(grep -v '^wait' "$SCRATCH/load-${LOADS[i]}" | sed 's/^ops [0-9]* //' | tail -n 5)" \
			"0 failed 0"
	done
	LOADS=()
}

# Not so often that the keeper takes it for a daemon that dies of itself (20 in a row within a second
# each), and at any moment of a daemon's life.
pause_before_kill()
{
	if [ $(($1 % 10)) = 9 ]; then
		sleep 1.1
	else
		sleep "0.$((RANDOM % 300 + 100))"
	fi
}

kill_often()
{
	local i old

	for ((i = 0; i < KILLS; i++)); do
		pause_before_kill "$i"
		child_of_keeper
		old=$WORKER
		echo "end ${EPOCHREALTIME/./}" >>"$SCRATCH/ends"
		kill -KILL "$old"
		wait_for 5 is_replaced "$old" || return 1
	done
}

hand_over_often()
{
	local i

	for ((i = 0; i < HANDOVERS; i++)); do
		pause_before_kill "$i"
		echo "end ${EPOCHREALTIME/./}" >>"$SCRATCH/ends"
		nvfs handover || return 1
	done
}

# waits [BEFORE_US]: how long each operation took that the end of a daemon, or the 5 ms after it, fell
# into; or the moment that long before it. ms, sorted.
waits()
{
	cat "$SCRATCH/ends" "$SCRATCH"/load-* | awk -v before="${1:-0}" '
		$1 == "end" { ends[n++] = $2 - before }
		$1 == "wait" { start[m] = $3; long[m++] = $4 }
		END {
			for (i = 0; i < m; i++)
				for (k = 0; k < n; k++)
					if (start[i] < ends[k] + 5000 && start[i] + long[i] > ends[k]) {
						printf "%.1f\n", long[i] / 1000
						break
					}
		}' | sort -n
}

# percentile P <NUMBERS-SORTED
percentile()
{
	awk -v p="$1" '{ v[NR] = $1 } END { i = int((p * NR + 99) / 100); print v[i < 1 ? 1 : i] }'
}

under()
{
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

count_ops()
{
	cat "$SCRATCH"/load-* | awk '$1 == "ops" { n += $2 } END { print n + 0 }'
}

# under_load WHAT TIMES LIMIT_MS COMMAND...: COMMAND ends that many daemons while four containers work on
# their trees, and one touches new pages of what it has mapped. $LONGEST is the longest wait, in ms.
under_load()
{
	local name limit p99 usual what=$1 times=$2

	limit=$(($3 * SLOW))
	shift 3
	: >"$SCRATCH/ends"
	for name in one two three four; do
		start_load loop "$name-$SETTING-$what"
	done
	start_load map "mapper-$SETTING-$what"
	ok "$times times $what, and each time there is a new daemon" "$@"
	stop_loads
	waits >"$SCRATCH/waits"
	p99=$(percentile 99 <"$SCRATCH/waits")
	usual=$(waits 50000 | percentile 99)
	LONGEST=$(tail -n 1 "$SCRATCH/waits")
	diag "$(count_ops) operations, $times times $what; $(wc -l <"$SCRATCH/waits") waited then:" \
		"median $(percentile 50 <"$SCRATCH/waits") ms, 99th percentile $p99 ms, longest $LONGEST ms;" \
		"50 ms before it the 99th percentile is ${usual:-0} ms"
	# Operations wait for a processor too: that is what they do while nothing ends.
	ok "$what: it makes them wait less than $limit ms (99th percentile $p99 ms, usually ${usual:-0} ms)" \
		under "$p99" "$(awk -v u="${usual:-0}" -v l=$limit 'BEGIN { print u + l }')"
	kill_containers
	rm -f "$SCRATCH"/load-*
}

# A thread on another processor may serve one more request after kill(2) has returned.
is_stopped()
{
	! grep -qvE '^[0-9]+ \(.*\) T ' /proc/"$1"/task/*/stat
}

# SIGSTOP; a read in the meantime waits as long as the filesystem is gone: a line of
# $SCRATCH/reads, in ms.
stop_often()
{
	local i old start

	for ((i = 0; i < STOPS; i++)); do
		pause_before_kill "$i"
		child_of_keeper
		old=$WORKER
		start=${EPOCHREALTIME/./}
		echo "end $start" >>"$SCRATCH/ends"
		kill -STOP "$old"
		wait_for 5 is_stopped "$old" || return 1
		timeout -k 5 $((60 * SLOW)) cat "$MOUNTPOINT/host/.nvfs/manifest.json" >/dev/null || return 1
		echo $(((${EPOCHREALTIME/./} - start) / 1000)) >>"$SCRATCH/reads"
		is_replaced "$old" || return 1
	done
}

# A machine that stood still: the keeper has heard nothing for long, and has not asked either.
starved()
{
	child_of_keeper
	kill -STOP "$DAEMON_PID"
	sleep 3
	kill -CONT "$DAEMON_PID"
	sleep 1
	not_ok "a keeper that did not run itself does not blame the daemon" is_replaced "$WORKER"
	kill -STOP "$WORKER" "$DAEMON_PID"
	sleep 3
	kill -CONT "$WORKER" "$DAEMON_PID"
	sleep 1
	not_ok "nor one that stood still together with it" is_replaced "$WORKER"
	unlike "nobody says so" "$(cat "$SCRATCH/daemon.log")" "pid $WORKER.*has been silent"
}

# setting NAME STOPS
setting()
{
	local worst

	SETTING=$((SETTING + 1))
	diag "NVFS_DISABLE=$1"
	NVFS_DISABLE=$1 start_daemon --config "$CONFIG"
	under_load kill-9 "$KILLS" 100 kill_often
	under_load handover "$HANDOVERS" 100 hand_over_often
	STOPS=$2
	: >"$SCRATCH/reads"
	under_load stop "$STOPS" 2500 stop_often
	worst=$(sort -n "$SCRATCH/reads" | tail -n 1)
	ok "stop: a read from the host waits, and not longer than $((2500 * SLOW)) ms (${worst:-no read} ms)" \
		under "${worst:-999999}" $((2500 * SLOW))
	ok "stop: no operation waits longer than that ($LONGEST ms)" under "$LONGEST" $((2500 * SLOW))
	[ "$SETTING" != 1 ] || starved
	unlike "the daemon has nothing to complain of" "$(cat "$SCRATCH/daemon.log")" 'error|EIO|<3>'
	stop_daemon
}

choose_driver()
{
	if [ -z "${TAKEOVER_DRIVER:-}" ]; then
		use_sample_driver
	else
		use_real_driver "$TAKEOVER_DRIVER" || skip_all "no driver $TAKEOVER_DRIVER: $(tail -n 1 "$SCRATCH/fetch.log")"
	fi
}

host_snapshot
choose_driver
setting "" "${TAKEOVER_STOPS:-2}"
setting passthrough "${TAKEOVER_STOPS:-1}"
setting passthrough,resend "${TAKEOVER_STOPS:-1}"
[ "$KILLS" -lt 200 ] || setting resend "${TAKEOVER_STOPS:-1}"
host_compare
done_testing
