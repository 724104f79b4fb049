#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# contrib/nvfs.service under a real systemd: a Debian root of its own, with systemd as the first process of
# a pid namespace. There this same script runs as a unit; what it prints comes out through a file.
set -eu
. "$(dirname "$0")/../lib.sh"

TREE=/usr/local/nvidia

# ---- outside ------------------------------------------------------------------------------------

# What the machine shares with us, at the same paths.
shared_folders()
{
	printf '%s\n' "$TESTS" "$BUILD" "$SCRATCH" "${NVFS_TEST_CACHE:-/var/tmp/nvfs-tests}"
}

write_test_unit()
{
	printf '%s\n' '[Unit]' After=multi-user.target SuccessAction=exit FailureAction=exit \
		'[Service]' Type=oneshot TimeoutStartSec=240 \
		"Environment=BUILD=$BUILD OUTER=$SCRATCH NVFS_TEST_CACHE=${NVFS_TEST_CACHE:-/var/tmp/nvfs-tests}" \
		"ExecStart=/bin/bash $TESTS/e2e/54-systemd.sh inside" \
		"StandardOutput=file:$SCRATCH/out.log" StandardError=inherit >"$SCRATCH/e2e.service"
}

# In a mount namespace with nothing but cgroup2, in a cgroup of its own, which is the machine's root.
own_cgroup()
{
	umount -R -l /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir "/sys/fs/cgroup/$RUN_ID-systemd"
	echo "$BASHPID" >"/sys/fs/cgroup/$RUN_ID-systemd/cgroup.procs"
}

make_dev()
{
	local d

	mount -t tmpfs -o mode=755 tmpfs dev
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	for d in null:c:1:3 zero:c:1:5 full:c:1:7 random:c:1:8 urandom:c:1:9 tty:c:5:0 fuse:c:10:229; do
		# shellcheck disable=SC2086 # three words
		mknod -m 666 dev/${d//:/ }
	done
}

install_nvfs()
{
	install -D -t usr/local/bin "$BUILD/nvfs" "$BUILD/nvinject"
	install -D -m 644 -t etc/systemd/system "$(dirname "$TESTS")/contrib/nvfs.service" "$SCRATCH/e2e.service"
	install -D -m 644 "$CONFIG" etc/nvfs/nvfs.conf
	mkdir -p etc/systemd/system/multi-user.target.wants
	ln -sf ../e2e.service etc/systemd/system/multi-user.target.wants/
	echo nvfs-test >etc/hostname
}

# Called in new mount, uts, ipc, pid and cgroup namespaces; the root is in $1.
become_machine()
{
	local d

	cd "$1"
	install_nvfs
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs -o mode=755 tmpfs run
	mount -t tmpfs tmpfs tmp
	make_dev
	shared_folders | while read -r d; do
		mkdir -p "./$d"
		mount --rbind "$d" "./$d"
	done
	pivot_root . mnt
	umount -l /mnt
	cd /
	hostname nvfs-test
	exec env -i container=nvfs-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
}

remove_cgroups()
{
	umount -R -l /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	find "/sys/fs/cgroup/$RUN_ID-systemd" -depth -type d -exec rmdir {} \;
}

# boot ROOT: until the machine has ended; its exit status
boot()
{
	(
		own_cgroup
		exec timeout -k 5 200 unshare -muipC --propagation private --fork --kill-child \
			bash "$TESTS/e2e/54-systemd.sh" machine "$1" "$SCRATCH" "$CONFIG"
	) </dev/null >"$SCRATCH/console" 2>&1
}

outside()
{
	local ended took

	[ -e "$(dirname "$TESTS")/contrib/nvfs.service" ] || skip_all "no contrib/nvfs.service beside the tests"
	"$TESTS/rootfs" systemd "$SCRATCH/machine" >/dev/null 2>"$SCRATCH/rootfs.log" ||
		skip_all "no root with systemd: $(tail -n 1 "$SCRATCH/rootfs.log")"
	"$TESTS/rootfs" busybox >/dev/null 2>&1
	use_sample_driver
	write_config 'grace = 1'
	write_test_unit
	at_exit remove_cgroups
	boot "$SCRATCH/machine" || true
	ended=$(date +%s)
	if [ ! -s "$SCRATCH/out.log" ]; then
		diag "$(tail -n 20 "$SCRATCH/console")"
		fail "systemd comes up as the first process"
		done_testing
	fi
	cat "$SCRATCH/out.log"
	TEST_NUMBER=$(grep -cE '^(not )?ok ' "$SCRATCH/out.log")
	TEST_FAILED=$(grep -c '^not ok ' "$SCRATCH/out.log" || true)
	is "the script in the machine came to its end" "$(tail -n 1 "$SCRATCH/out.log")" "# end"
	took=$((ended - $(stat -c %Y "$SCRATCH/out.log")))
	diag "from the end of the script to the end of the machine: $took s"
	ok "the machine ends in time, with a container that lives" test "$took" -le 20
	[ "$TEST_FAILED" = 0 ] || diag "$(cat "$SCRATCH/journal" 2>/dev/null)"
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

has_ended()
{
	[ ! -e "/proc/$1/exe" ]
}

start_and_inject()
{
	mount -t tmpfs tmpfs /mnt
	NVFS=/usr/local/bin/nvfs
	SOCKET=/run/nvfsd/nvfs.sock
	ok "systemctl start" systemctl start nvfs
	is "it is active once it serves" "$(systemctl is-active nvfs)" active
	is "systemd keeps three descriptors" "$(systemctl show -P NFileDescriptorStore nvfs)" 3
	make_rootfs busybox box
	run_container box "$ROOTFS"
	ok "a container gets its tree" nvinject --pid "$PID" --id box --devices all
	in_container box mixwatch "$TREE" 1000 >"$SCRATCH/watch" 2>&1 &
	WATCH=$!
	wait_for 10 test -s "$SCRATCH/watch"
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

last_stop()
{
	ok "with no container left, systemctl stop ends everything" timeout 10 systemctl stop nvfs
	is "nothing is mounted" "$(grep -c ' /run/nvfs ' /proc/self/mountinfo)" 0
	is "nothing is left" "$(ls /run/nvfsd)" ""
	is "no process either" "$(pgrep -x nvfs || true)" ""
	is "systemd keeps nothing" "$(systemctl show -P NFileDescriptorStore nvfs)" 0
	systemctl start nvfs
	ok "and it can be started again" is_active
}

inside()
{
	start_and_inject
	lives_through "systemctl restart" systemctl restart nvfs
	lives_through "a killed keeper" kill_keeper
	lives_through "keeper and daemon killed" kill_daemon_and_keeper
	systemctl daemon-reload
	systemctl daemon-reexec
	lives_through "keeper and daemon killed after daemon-reexec" kill_daemon_and_keeper
	lives_through "systemctl stop, then start" stop_and_start
	reload
	in_container box killall mixwatch 2>/dev/null || true
	wait "$WATCH" 2>/dev/null || true
	is "a program of the container noticed none of it" "$(grep -vcE '^[0-9]' "$SCRATCH/watch" || true)" 0
	kill_containers
	last_stop
	journalctl -q -u nvfs --no-pager >"$OUTER/journal" 2>&1 || true
	# The machine ends with a container that lives until it is told to end, and a daemon that serves it.
	make_rootfs busybox last
	run_container last "$ROOTFS" \
		'.process.args = ["sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 1; done"]'
	ok "a container for the end" nvinject --pid "$PID" --id last --devices all
	CONTAINERS=() # not to be ended by us
	diag end
	exit 0
}

case ${1:-} in
machine)
	shift
	RUN_SCRATCH=$SCRATCH SCRATCH=$2 CONFIG=$3
	trap - EXIT
	rmdir "$RUN_SCRATCH"
	become_machine "$1"
	;;
inside) inside ;;
*) outside ;;
esac
