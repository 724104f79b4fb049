#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# contrib/nvfs.service under a real systemd (tests/machine.sh).
set -eu
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/machine.sh
. "$TESTS/machine.sh"

TREE=/usr/local/nvidia

outside()
{
	local took

	use_sample_driver
	write_config 'grace = 1'
	run_machine
	took=$((MACHINE_ENDED - $(stat -c %Y "$SCRATCH/out.log")))
	diag "from the end of the script to the end of the machine: $took s"
	ok "the machine ends in time, with a container that lives, and one that does not listen" test "$took" -le 20
	done_testing
}

# ---- inside -------------------------------------------------------------------------------------

main_pid()
{
	systemctl show -P MainPID nvfs
}

worker()
{
	nvfs status --json | jq .daemon_pid
}

is_active()
{
	[ "$(systemctl is-active nvfs)" = active ] && nvfs status >/dev/null
}

# is_another OLD-KEEPER OLD-DAEMON: both are others, and serve
is_another()
{
	local keeper worker

	keeper=$(main_pid) && worker=$(worker) && is_active &&
		[ "$keeper" != 0 ] && [ "$keeper" != "$1" ] && [ "$worker" != "$2" ]
}

container_works()
{
	in_container box cat "$TREE/.nvfs/manifest.json"
}

journal_of()
{
	journalctl -q --no-pager -o json NVFS_CONTAINER_ID="$1"
}

# shellcheck disable=SC2317 # called by wait_for
journal_has()
{
	[ -n "$(journal_of "$1")" ]
}

# journal_explains MESSAGE-ID SUBJECT: as installed
journal_explains()
{
	like "the journal's catalog explains: $2" "$(journalctl --no-pager --dump-catalog "$1" 2>&1)" "Subject: $2"
}

# In another directory: systemd itself has much in /run.
tmpfiles()
{
	mkdir -p /mnt/run/nvfsd /mnt/run/others
	touch /mnt/run/nvfsd/state /mnt/run/others/file
	sed 's|/run/|/mnt/run/|' /usr/local/lib/tmpfiles.d/nvfs.conf >/mnt/nvfs.conf
	echo 'd /mnt/run - - - 0' >/mnt/run.conf
	ok "systemd-tmpfiles knows the lines" systemd-tmpfiles --clean /mnt/nvfs.conf /mnt/run.conf
	is "and cleans what is not nvfs's" "$(cd /mnt/run && find . -type f)" ./nvfsd/state
	is "without a word" "$OUT" ""
}

start_and_inject()
{
	local injected refused

	mount -t tmpfs tmpfs /mnt
	NVFS=/usr/local/bin/nvfs
	SOCKET=/run/nvfsd/nvfs.sock
	ok "the journal's catalog takes ours" journalctl --update-catalog
	is "without a word about it" "$(grep nvfs <<<"$OUT" || true)" ""
	ok "systemctl start" systemctl start nvfs
	is "it is active once it serves" "$(systemctl is-active nvfs)" active
	is "systemd keeps three descriptors" "$(systemctl show -P NFileDescriptorStore nvfs)" 3
	is "it starts before whoever starts containers" "$(for unit in docker containerd crio podman kubelet k3s slurmd lxc incus; do
		[[ " $(systemctl show -P Before nvfs) " == *" $unit.service "* ]] || echo "$unit"
	done)" ""
	like "the mount is seen by the first process" "$(cat /proc/1/mountinfo)" ' /run/nvfs .* fuse\.nvfs '
	like "nvfs doctor sees that, too" "$(nvfs doctor)" 'ok +mount: process 1 sees it'
	make_rootfs busybox box
	run_container box "$ROOTFS"
	ok "a container gets its tree" nvinject --json --pid "$PID" --id box --devices all
	injected=$OUT
	ok "which the journal has, with fields" wait_for 10 journal_has box
	is "that say what was given to whom" \
		"$(journal_of box | jq -rs '.[0] | [.NVFS_PID, .NVFS_UID, .NVFS_DEVICES, .PRIORITY, .SYSLOG_IDENTIFIER] | join(" ")')" \
		"$PID 0 all 6 nvfs"
	is "by the trace that nvinject told" "$(journal_of box | jq -rs '.[0].NVFS_TRACE')" "$(jq -r .trace <<<"$injected")"
	journal_explains "$(journal_of box | jq -rs '.[0].MESSAGE_ID')" "A container has the NVIDIA driver"
	like "in a line" "$(journal_of box | jq -rs '.[0].MESSAGE')" "^injected 'box' in [0-9]+ us$"
	fails "an injection is refused" 3 'device: 77: unknown device' nvinject --pid "$PID" --id other --devices 77
	refused=$OUT
	ok "which the journal has, too" wait_for 10 journal_has other
	is "with who asked for what" "$(journal_of other | jq -rs '.[0] | [.NVFS_UID, .NVFS_DEVICES] | join(" ")')" "0 77"
	like "and with its trace" "$refused" "trace $(journal_of other | jq -rs '.[0].NVFS_TRACE')"
	journal_explains "$(journal_of other | jq -rs '.[0].MESSAGE_ID')" "A container was refused the NVIDIA driver"
	start_watch box "$TREE"
}

# lives_through NAME COMMAND...: keeper and daemon are others afterwards, and the container works
lives_through()
{
	local name=$1 keeper worker

	shift
	keeper=$(main_pid)
	worker=$(worker)
	ok "$name" "$@"
	ok "$name: others serve" wait_for 20 is_another "$keeper" "$worker"
	ok "$name: the daemon before has ended" wait_for 5 has_ended "$worker"
	ok "$name: the container works" container_works
	is "$name: systemd keeps three descriptors" "$(systemctl show -P NFileDescriptorStore nvfs)" 3
}

kill_keeper()
{
	kill -KILL "$(main_pid)"
}

kill_daemon_and_keeper()
{
	kill -KILL "$(main_pid)" "$(worker)"
}

stop_and_start()
{
	local worker

	worker=$(worker)
	ok "systemctl stop does not wait for containers" timeout 10 systemctl stop nvfs
	is "the unit has stopped" "$(systemctl is-active nvfs)" inactive
	ok "the daemon goes on" container_works
	is "it is the same one" "$(worker)" "$worker"
	systemctl start nvfs
}

reload()
{
	local keeper worker

	keeper=$(main_pid)
	worker=$(worker)
	cp /usr/local/bin/nvfs /usr/local/bin/.new
	printf 'another build' >>/usr/local/bin/.new
	mv /usr/local/bin/.new /usr/local/bin/nvfs
	ok "systemctl reload" systemctl reload nvfs
	ok "reload: the daemon is another one" test "$(worker)" != "$worker"
	is "reload: the main process is the same" "$(main_pid)" "$keeper"
	is "reload: and both are the new program" \
		"$(stat -L -c %i "/proc/$keeper/exe" "/proc/$(worker)/exe" | sort -u)" "$(stat -c %i /usr/local/bin/nvfs)"
	ok "reload: the container works" container_works
	cp /bin/false /usr/local/bin/.new && mv /usr/local/bin/.new /usr/local/bin/nvfs
	not_ok "a reload that cannot be is an error" systemctl reload nvfs
	ok "and nothing has changed" container_works
	cp "$BUILD/nvfs" /usr/local/bin/.new && mv /usr/local/bin/.new /usr/local/bin/nvfs
}

# The same unit with a watchdog that one need not wait for.
watchdog()
{
	is "the unit has a watchdog" "$(systemctl show -P WatchdogUSec nvfs)" 30s
	mkdir -p /etc/systemd/system/nvfs.service.d
	printf '%s\n' '[Service]' 'WatchdogSec=2' >/etc/systemd/system/nvfs.service.d/watchdog.conf
	systemctl daemon-reload
	systemctl restart nvfs
	wait_for 10 is_active
	KEEPER=$(main_pid)
	sleep 5
	is "a keeper that has its turn is not killed" "$(main_pid)" "$KEEPER"
	lives_through "a keeper that hangs" hang_keeper
	is "the watchdog has told" "$(journalctl -q -u nvfs --no-pager | grep -c 'Watchdog timeout')" 1
	rm -r /etc/systemd/system/nvfs.service.d
	systemctl daemon-reload
	lives_through "and without that" systemctl restart nvfs
}

hang_keeper()
{
	kill -STOP "$(main_pid)"
}

neighbours()
{
	ok "nvfs-rescan.service, which udev starts" systemctl start nvfs-rescan
	mkdir -p /var/lib/prometheus/node-exporter
	ok "nvfs-metrics.service" systemctl start nvfs-metrics
	like "writes the numbers" "$(cat /var/lib/prometheus/node-exporter/nvfs.prom)" 'nvfs_containers 1'
	rm /var/lib/prometheus/node-exporter/nvfs.prom
	ok "nvfs-metrics.timer" systemctl start nvfs-metrics.timer
	ok "writes them again and again" wait_for 40 test -s /var/lib/prometheus/node-exporter/nvfs.prom
	systemctl stop nvfs-metrics.timer
}

# The state is another program's: that is said, no container waits for ever, and that program goes on.
another_layout()
{
	local state=/run/nvfsd/state layout status=0

	layout=$(od -A n -t u1 -j 4 -N 1 "$state" | tr -d ' ')
	printf '\115' | dd of="$state" bs=1 seek=4 conv=notrunc status=none
	kill_daemon_and_keeper
	ok "a state of another layout: the unit fails" wait_for 30 systemctl is-failed -q nvfs
	like "the layout is named" "$(journalctl -q -u nvfs --no-pager | tail -n 40)" 'what systemd has kept: .*layout 77'
	is "systemd keeps nothing any more" "$(systemctl show -P NFileDescriptorStore nvfs)" 0
	in_container box timeout 20 ls /usr/local/nvidia >/dev/null 2>&1 || status=$?
	ok "a container is told so, and does not wait ($status)" test $status -ne 0 -a $status -lt 124
	# shellcheck disable=SC2059 # the number of a byte
	printf "\\$(printf %o "$layout")" | dd of="$state" bs=1 seek=4 conv=notrunc status=none
	systemctl reset-failed nvfs
	ok "the program that wrote it starts" systemctl start nvfs
	ok "and puts the tree back" wait_for 10 in_container box ls /usr/local/nvidia/lib64/libcuda.so.1
}

last_stop()
{
	ok "with no container left, systemctl stop ends everything" timeout 10 systemctl stop nvfs
	is "nothing is mounted" "$(grep -c ' /run/nvfs ' /proc/self/mountinfo)" 0
	is "nothing is left" "$(ls /run/nvfsd)" ""
	is "no process either" "$(pgrep -x nvfs || true)" ""
	ok "without a daemon nvfs-metrics.service does not fail" systemctl start nvfs-metrics
	like "and the file says so" "$(cat /var/lib/prometheus/node-exporter/nvfs.prom)" 'nvfs_up 0$'
	is "systemd keeps nothing" "$(systemctl show -P NFileDescriptorStore nvfs)" 0
	systemctl start nvfs
	ok "and it can be started again" is_active
}

# container_for_the_end NAME COMMAND: at SIGTERM it runs the command
container_for_the_end()
{
	make_rootfs busybox "$1"
	run_container "$1" "$ROOTFS" \
		".process.args = [\"sh\", \"-c\", \"trap '$2' TERM; while :; do sleep 1; done\"]"
	ok "$1: a container for the end" nvinject --pid "$PID" --id "$1" --devices all
}

inside()
{
	start_and_inject
	tmpfiles
	lives_through "systemctl restart" systemctl restart nvfs
	lives_through "a killed keeper" kill_keeper
	lives_through "keeper and daemon killed" kill_daemon_and_keeper
	systemctl daemon-reload
	systemctl daemon-reexec
	lives_through "keeper and daemon killed after daemon-reexec" kill_daemon_and_keeper
	lives_through "systemctl stop, then start" stop_and_start
	reload
	watchdog
	neighbours
	end_watch box
	is "a program of the container noticed none of it" "$(sed '$d' "$SCRATCH/watch.box")" "999.10.01"
	another_layout
	kill_containers
	last_stop
	journalctl -q -u nvfs --no-pager >"$OUTER/journal" 2>&1 || true
	# The machine ends with a container that lives until it is told to end, one that must be killed, and a daemon
	# that serves them. Who does not listen is waited for in any machine: for so long.
	mkdir -p /etc/systemd/system.conf.d
	printf '%s\n' '[Manager]' DefaultTimeoutStopSec=5 >/etc/systemd/system.conf.d/end.conf
	systemctl daemon-reload
	container_for_the_end last "exit 0"
	container_for_the_end stubborn ""
	CONTAINERS=() # not to be ended by us
	diag end
	exit 0
}

machine_main "$@"
