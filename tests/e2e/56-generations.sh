#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The driver changes while containers run: its packages, then its module; files that come in addition;
# files that are rewritten in place; trees that are pinned.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia

# The module's version is a text; a rename makes its change one moment.
set_module()
{
	sed "s/\(Module\( for x86_64\)*  *\)[0-9][0-9.]*/\1$1/" "$PROC_ROOT/driver/nvidia/version" \
		>"$SCRATCH/version.new"
	mv "$SCRATCH/version.new" "$PROC_ROOT/driver/nvidia/version"
}

current_driver()
{
	nvfs status --json | jq -r .driver_version
}

current_is()
{
	[ "$(current_driver)" = "$1" ]
}

generation_count()
{
	nvfs generations --json | jq '.generations | length'
}

generation_count_is()
{
	[ "$(generation_count)" = "$1" ]
}

warning_is_there()
{
	nvfs generations --json | jq -e --arg w "$1" '.warnings | any(contains($w))'
}

start_injected()
{
	make_rootfs glibc "$1"
	run_container "$1" "$ROOTFS"
	nvinject --pid "$PID" --id "$(container_id "$1")" --devices all
}

# Checksums of the libraries in a container, by name.
sums_in()
{
	in_container "$1" sh -c "cd $TREE/lib64 && for f in *.so.*.*; do [ -L \$f ] || sha256sum \$f; done" |
		sort
}

# The same of a folder of the host, for the names that the tree has.
sums_of()
{
	find "$1" -type f -name '*.so.*' | while read -r f; do
		(cd "$(dirname "$f")" && sha256sum "$(basename "$f")")
	done | sort -u
}

# are_sums NAME GOT WANTED: GOT is not nothing, and all of it is in WANTED
are_sums()
{
	local n

	n=$(grep -c . <<<"$2" || true)
	ok "$1 ($n libraries)" [ "$n" -ge 8 ]
	is "$1" "$(comm -23 <(echo "$2") <(echo "$3"))" ""
}

# has_epoch: all names change in one moment; else an old one may be seen once more
has_epoch()
{
	[ "$(nvfs status --json | jq .features.epoch)" = true ]
}

# saw FILE: the versions that a watcher saw, with every return; without epoch only the first and the last
saw()
{
	grep -E '^[0-9]' "$1" | if has_epoch; then cat; else sed -n '1p;$p'; fi | xargs
}

version_in()
{
	in_container "$1" readlink $TREE/lib64/libcuda.so.1 | sed 's/.*\.so\.//'
}

# A driver root of our own, which a test may change: names are hard links, which are unlinked and never
# written to.
copy_root()
{
	mkdir -p "$SCRATCH/changing"
	cp -al "$1/." "$SCRATCH/changing/" 2>/dev/null || cp -a "$1/." "$SCRATCH/changing/"
	DRIVER_ROOT=$SCRATCH/changing
}

# As a package manager does it: new files beside, then renamed over; what is not in the new one goes.
upgrade_root()
{
	rm -rf --one-file-system "$SCRATCH/newer"
	mkdir "$SCRATCH/newer"
	cp -al "$1/." "$SCRATCH/newer/" 2>/dev/null || cp -a "$1/." "$SCRATCH/newer/"
	find "$DRIVER_ROOT" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} +
	find "$SCRATCH/newer" -mindepth 1 -maxdepth 1 -exec mv {} "$DRIVER_ROOT/" \;
}

upgrade_of_real_drivers()
{
	local old new root_new old_sums new_sums before_sums c

	use_real_driver 550 && root_new=$DRIVER_ROOT && new=$(driver_version "$root_new") || {
		skip "an upgrade from 535 to 550" "no real driver: $(tail -n 1 "$SCRATCH/fetch.log")"
		return 0
	}
	use_real_driver 535
	old=$(driver_version "$DRIVER_ROOT")
	old_sums=$(sums_of "$DRIVER_ROOT")
	new_sums=$(sums_of "$root_new")
	copy_root "$DRIVER_ROOT"
	write_config "settle = 1" "grace = 2"
	start_daemon --config "$CONFIG" "$@"
	start_injected before >/dev/null
	is "a container has $old" "$(version_in before)" "$old"
	before_sums=$(sums_in before)
	are_sums "before has every library byte for byte" "$before_sums" "$old_sums"
	start_watch before $TREE

	upgrade_root "$root_new"
	sleep 4 # longer than it takes to settle and to be looked at
	is "with new packages and the old module the driver is still $old" "$(current_driver)" "$old"
	is "the running container has every library as before" "$(sums_in before)" "$before_sums"
	start_injected between >/dev/null
	is "a new container has the old one too" "$(version_in between)" "$old"
	is "byte for byte" "$(sums_in between)" "$before_sums"
	ok "and the daemon says what it does" wait_for 10 warning_is_there "no longer fit the loaded module"
	kill_worker
	for c in before between; do
		is "after the daemon was replaced $c has the same" "$(sums_in $c)" "$before_sums"
	done
	is "the replaced daemon serves the old one" "$(current_driver)" "$old"
	start_injected taken >/dev/null
	is "a new container of the new daemon has the old one" "$(version_in taken)" "$old"

	set_module "$new"
	ok "when the module is loaded anew, every tree gets what fits it" wait_for 20 current_is "$new"
	for c in before between taken; do
		is "$c has $new" "$(version_in $c)" "$new"
		are_sums "$c has all of it byte for byte" "$(sums_in $c)" "$new_sums"
		is "its /proc says so" \
			"$(in_container $c cat $TREE/proc/driver/nvidia/version | grep -o "$new" | sort -u)" "$new"
	done
	like "ls shows it" "$(nvfs ls --json | jq -r '.trees[].driver_version' | sort -u)" "^$new\$"
	ok "libcuda loads" in_container before dlopen libcuda.so.1
	ok "ldconfig in a container finds it" in_container before ldconfig
	like "and lists it" "$(in_container before ldconfig -p)" 'libcuda\.so\.1 .*/usr/local/nvidia'
	ok "the old generation goes when nothing shows it" wait_for 20 generation_count_is 1
	kill_worker
	is "after another replacement it is still $new" "$(version_in before)" "$new"
	end_watch before "$(has_epoch && echo 0 || echo '[0-9]+')"
	is "the watcher saw $old, then $new, and never the old one again" "$(saw "$SCRATCH/watch.before")" "$old $new"
	kill_containers
	stop_daemon
}

# mixwatch for some seconds around the change: its own counts.
no_moment_of_a_mix()
{
	local old new

	use_sample_driver mix
	old=$(driver_version "$DRIVER_ROOT")
	new=999.20.02
	SAMPLE_VERSION=$new "$TESTS/sample-driver" "$SCRATCH/newer-sample" >/dev/null
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start_injected mixed >/dev/null
	in_container mixed mixwatch $TREE 6 >"$SCRATCH/watch" 2>&1 &
	CHILD=$!
	wait_for 10 test -s "$SCRATCH/watch"
	cp -a --remove-destination "$SCRATCH/newer-sample/root/." "$DRIVER_ROOT/"
	set_module "$new"
	STATUS=0
	wait "$CHILD" || STATUS=$?
	diag "$(tail -n 1 "$SCRATCH/watch")"
	if has_epoch; then
		is "no moment with a mix of two versions" "$STATUS" 0
	else
		like "no mix within a directory" "$(tail -n 1 "$SCRATCH/watch")" 'mixed 0 .* failed 0$'
	fi
	is "from the old version to the new one, once" "$(saw "$SCRATCH/watch")" "$old $new"
	kill_containers
	stop_daemon
}

# One more file of the driver's version, $EXTRA.
add_library()
{
	local lib

	lib=$(find "$DRIVER_ROOT" -name 'libnvidia-ml.so.*.*' -printf '%h\n' | sed -n 1p)
	EXTRA=libnvidia-extra.so.$(driver_version "$DRIVER_ROOT")
	echo "int extra;" | cc -x c -shared -fPIC -nostdlib -Wl,-soname,"$EXTRA" -o "$lib/.new" -
	mv "$lib/.new" "$lib/$EXTRA"
}

# what_is_mapped_stays NAME [DISABLE]: the kernel has the file itself with passthrough; else we keep it
what_is_mapped_stays()
{
	local old new=999.20.02 mode generations

	use_sample_driver "$1"
	old=$(driver_version "$DRIVER_ROOT")
	write_config "settle = 0" "grace = 1"
	NVFS_DISABLE=${NVFS_DISABLE:-}${2:+,$2} start_daemon --config "$CONFIG"
	mode=$(nvfs status --json | jq -r .mode)
	[ "$mode" = passthrough ] && generations=2 || generations=3
	start_injected "$1" >/dev/null
	in_container "$1" mapheld "$TREE/lib64/libcuda.so.$old" $((15 * SLOW)) >"$SCRATCH/mapheld" 2>&1 &
	CHILD=$!
	wait_for 10 grep -q held "$SCRATCH/mapheld"
	upgrade_root "$SCRATCH/newer-sample/root"
	set_module "$new"
	ok "$1, $mode: the driver is the new one" wait_for 20 current_is "$new"
	add_library
	ok "$1: and has a library in addition" wait_for 10 test -e "$MOUNTPOINT/host/lib64/$EXTRA"
	sleep $((5 * SLOW)) # the grace, and a look after it
	kill_worker
	not_ok "$1: which no takeover gives to a container that was there" in_container "$1" ls "$TREE/lib64/$EXTRA"
	is "$1: generations while a file of the old one is mapped" "$(generation_count)" $generations
	STATUS=0
	wait "$CHILD" || STATUS=$?
	is "$1: every page of it is what it was" "$STATUS" 0
	diag "$(tail -n 1 "$SCRATCH/mapheld")"
	ok "$1: the old generation goes when nobody has it" wait_for 20 generation_count_is 2
	kill_containers
	stop_daemon
}

# The same of a container that has been revoked meanwhile: its tree is gone, and the kernel's names of it go too,
# while another program of it looks them up until there are none.
what_was_revoked_goes()
{
	local new=999.20.02 looker

	use_sample_driver revoked
	write_config "settle = 0" "grace = 1"
	NVFS_DISABLE=${NVFS_DISABLE:-},passthrough start_daemon --config "$CONFIG"
	start_injected revoked >/dev/null
	rm -f "$SCRATCH/mapheld"
	in_container revoked mapheld "$TREE/lib64/libcuda.so.$(driver_version "$DRIVER_ROOT")" $((6 * SLOW)) \
		>"$SCRATCH/mapheld" 2>&1 &
	CHILD=$!
	wait_for 10 grep -q held "$SCRATCH/mapheld"
	in_container revoked sh -c "cd $TREE && while ls -lR . && [ -e lib64 ]; do :; done" >/dev/null 2>&1 &
	looker=$!
	ok "a container is revoked while it has a file mapped" nvfs revoke "$(container_id revoked)"
	upgrade_root "$SCRATCH/newer-sample/root"
	set_module "$new"
	ok "and the driver changes" wait_for 20 current_is "$new"
	STATUS=0
	wait "$CHILD" || STATUS=$?
	is "every page of it is what it was" "$STATUS" 0
	ok "the old generation goes when nobody has it" wait_for 20 generation_count_is 1
	wait "$looker" || true
	kill_containers
	stop_daemon
}

files_in_addition()
{
	use_sample_driver more
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start_injected first >/dev/null
	add_library
	ok "a library that comes in addition is in the reference tree" \
		wait_for 10 test -e "$MOUNTPOINT/host/lib64/$EXTRA"
	start_injected second >/dev/null
	not_ok "a container that was there does not have it" \
		in_container first ls "$TREE/lib64/$EXTRA"
	is "two generations are in use" "$(generation_count)" 2
	is "the same file is the same inode in both" \
		"$(in_container first stat -c %i $TREE/lib64/libcuda.so."$(driver_version "$DRIVER_ROOT")")" \
		"$(in_container second stat -c %i $TREE/lib64/libcuda.so."$(driver_version "$DRIVER_ROOT")")"
	kill_container first
	is "rescan finds nothing new" "$(nvfs rescan)" unchanged
	nvinject --remove --id "$(container_id second)" >/dev/null 2>&1 || true
	kill_containers
	stop_daemon
}

rewritten_in_place()
{
	local file

	use_sample_driver rewritten
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	file=$(find "$DRIVER_ROOT" -name 'libcuda.so.*.*' -type f | sed -n 1p)
	cp "$file" "$SCRATCH/copy"
	printf 'x' >>"$SCRATCH/copy"
	cat "$SCRATCH/copy" >"$file"
	ok "a file that is rewritten in place is noticed" wait_for 10 warning_is_there "rewritten in place"
	like "and named in the log" "$(cat "$SCRATCH/daemon.log")" "libcuda.so.* was rewritten in place"
	stop_daemon
}

pinned()
{
	local old new=999.20.02

	use_sample_driver pinned
	old=$(driver_version "$DRIVER_ROOT")
	write_config "settle = 0" "pin = yes"
	start_daemon --config "$CONFIG"
	start_injected pinned >/dev/null
	upgrade_root "$SCRATCH/newer-sample/root"
	set_module "$new"
	wait_for 20 current_is "$new" || true
	is "with pin the driver is the new one" "$(current_driver)" "$new"
	is "but a container keeps its own" "$(version_in pinned)" "$old"
	ok "and can read it, though it is unlinked" in_container pinned sha256sum "$TREE/lib64/libcuda.so.$old"
	start_injected unpinned >/dev/null
	is "a new container has the new one" "$(version_in unpinned)" "$new"
	is "generations shows both" "$(generation_count)" 2
	kill_worker
	is "after a replaced daemon too" "$(version_in pinned) $(version_in unpinned) $(generation_count)" "$old $new 2"
	kill_containers
	stop_daemon
}

a_module_without_its_files()
{
	use_sample_driver nofiles
	write_config "settle = 0"
	start_daemon --config "$CONFIG"
	start_injected there >/dev/null
	set_module 999.30.03
	make_rootfs glibc refused
	run_container refused "$ROOTFS"
	fails "a container gets no driver that does not fit the module" 8 "999.30.03" \
		nvinject --pid "$PID" --id "$(container_id refused)" --devices all
	is "the one that is there keeps what it has" "$(version_in there)" "$(driver_version "$DRIVER_ROOT")"
	ok "status says why" wait_for 10 warning_is_there 999.30.03
	kill_containers
	stop_daemon
}

host_snapshot
upgrade_of_real_drivers
no_moment_of_a_mix
what_is_mapped_stays held
what_is_mapped_stays held-by-us passthrough
what_was_revoked_goes
files_in_addition
rewritten_in_place
pinned
a_module_without_its_files
host_compare
done_testing
