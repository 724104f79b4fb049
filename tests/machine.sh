# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/machine.sh - sourced after lib.sh by scripts that need a real systemd: a Debian root of its own,
# with systemd as the first process of a pid namespace. The script runs once more in there, as a unit; what
# it prints comes out through a file. Such a script ends
# with `machine_main "$@"`, which calls its function outside, where run_machine is called, and in there its
# function inside, which ends with `diag end; exit 0`.

# Set by lib.sh, and for the scripts that source this, which have set -e.
# shellcheck disable=SC2034,SC2154,SC2164

# As the machine's own root sees it.
THIS_SCRIPT=$TESTS/e2e/$(basename "$0")

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
		"ExecStart=/bin/bash $THIS_SCRIPT inside" \
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
	install -D -m 644 -t etc/systemd/system "$(dirname "$TESTS")"/contrib/nvfs*.service \
		"$(dirname "$TESTS")"/contrib/nvfs*.timer "$SCRATCH/e2e.service"
	install -D -m 644 "$(dirname "$TESTS")/contrib/nvfs.tmpfiles" usr/local/lib/tmpfiles.d/nvfs.conf
	install -D -m 644 "$(dirname "$TESTS")/contrib/nvfs.catalog" usr/local/lib/systemd/catalog/nvfs.catalog
	install -D -m 644 "$CONFIG" etc/nvfs/nvfs.conf
	mkdir -p etc/systemd/system/multi-user.target.wants
	ln -sf ../e2e.service etc/systemd/system/multi-user.target.wants/
	echo nvfs-test >etc/hostname
}

# become_machine ROOT SCRATCH CONFIG: in new mount, uts, ipc, pid and cgroup namespaces
become_machine()
{
	local d

	trap - EXIT
	rm -r "$SCRATCH" # this run's own
	SCRATCH=$2 CONFIG=$3
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
			bash "$THIS_SCRIPT" machine "$1" "$SCRATCH" "$CONFIG"
	) </dev/null >"$SCRATCH/console" 2>&1
}

# run_machine: boot, and take over what the script in there found out; $MACHINE_ENDED: when
run_machine()
{
	local failed

	[ -e "$(dirname "$TESTS")/contrib/nvfs.service" ] || skip_all "no contrib/nvfs.service beside the tests"
	"$TESTS/rootfs" systemd "$SCRATCH/machine" >/dev/null 2>"$SCRATCH/rootfs.log" ||
		skip_all "no root with systemd: $(tail -n 1 "$SCRATCH/rootfs.log")"
	"$TESTS/rootfs" busybox >/dev/null 2>&1
	write_test_unit
	at_exit remove_cgroups
	boot "$SCRATCH/machine" || true
	MACHINE_ENDED=$(date +%s)
	if [ ! -s "$SCRATCH/out.log" ]; then
		diag "$(tail -n 20 "$SCRATCH/console")"
		fail "systemd comes up as the first process"
		done_testing
	fi
	failed=$(grep -c '^not ok ' "$SCRATCH/out.log" || true)
	# The script in there counts from 1.
	awk -v number="$TEST_NUMBER" 'match($0, /^(not )?ok [0-9]+/) {
		sub(/[0-9]+/, ++number)
	} { print }' "$SCRATCH/out.log"
	TEST_NUMBER=$((TEST_NUMBER + $(grep -cE '^(not )?ok ' "$SCRATCH/out.log")))
	TEST_FAILED=$((TEST_FAILED + failed))
	is "the script in the machine came to its end" "$(tail -n 1 "$SCRATCH/out.log")" "# end"
	[ "$failed" = 0 ] || diag "$(cat "$SCRATCH/journal" 2>/dev/null)"
}

machine_main()
{
	case ${1:-} in
	machine)
		shift
		become_machine "$@"
		;;
	inside) inside ;;
	*) outside ;;
	esac
}
