# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# tests/mirror.sh - sourced by fetch-driver, rootfs and qemu: where Debian's packages come from. The mirror
# is the one that this machine's own apt uses, so no host name stands in this repository.

# shellcheck disable=SC2034 # for who sources this
CACHE=${NVFS_TEST_CACHE:-/var/tmp/nvfs-tests}
# Changes when other packages of a driver are fetched, so that an old cache is not used.
# shellcheck disable=SC2034
DRIVER_FORMAT=2

# One "label<TAB>uri" per source. Sources never updated have no label yet: guess by the path.
# NVFS_TEST_MIRROR names a mirror for machines whose apt knows none (Ubuntu).
debian_mirror()
{
	[ -z "${NVFS_TEST_MIRROR:-}" ] || { echo "$NVFS_TEST_MIRROR"; return; }
	# shellcheck disable=SC2016 # these are apt's variables
	uri=$(apt-get indextargets --format '$(LABEL)	$(REPO_URI)' 'Created-By: Packages' |
		awk -F '\t' '$1 == "Debian" || ($1 == "" || $1 ~ /LABEL/) && $2 ~ /\/debian\/?$/ \
			{ print $2; exit }')
	if [ -z "$uri" ]; then
		echo "this machine's apt knows no Debian mirror; set NVFS_TEST_MIRROR" >&2
		return 1
	fi
	echo "$uri"
}

# bookworm's keyring verifies trixie too; the file's name changed between the two.
debian_keyring()
{
	for k in /usr/share/keyrings/debian-archive-keyring.pgp \
		/usr/share/keyrings/debian-archive-keyring.gpg; do
		[ ! -e "$k" ] || { echo "$k"; return; }
	done
	echo "no Debian keyring; install debian-archive-keyring" >&2
	return 1
}

# debian_source SUITE COMPONENT...: a line for sources.list
debian_source()
{
	keyring=$(debian_keyring) || return 1
	mirror=$(debian_mirror) || return 1
	echo "deb [signed-by=$keyring] $mirror $*"
}

# A mount made outside a mount namespace of the tests' own would stay.
in_own_mount_namespace()
{
	[ "$(readlink /proc/self/ns/mnt)" != "$(readlink /proc/1/ns/mnt)" ]
}

# own_apt DIR ARGUMENTS: apt-get with its own lists, cache and sources, and without the machine's
# installed packages; see prepare_apt.
own_apt()
{
	apt_dir=$1
	shift
	apt-get -q -o Dir::Etc::sourcelist="$apt_dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State="$apt_dir" -o Dir::State::status="$apt_dir/status" \
		-o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User="$(id -un)" \
		-o APT::Get::List-Cleanup=0 -o Acquire::Retries=3 -o Acquire::Languages=none "$@" >&2
}

# prepare_apt DIR SUITE COMPONENT...: what own_apt needs, with fresh lists
prepare_apt()
{
	apt_dir=$1
	shift
	mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
	: >"$apt_dir/status"
	debian_source "$@" >"$apt_dir/sources.list" || return 1
	own_apt "$apt_dir" update
}

# unpack_packages SUITE COMPONENTS PACKAGE...: into $work
unpack_packages()
{
	mkdir -p "$work/deb" "$work/root"
	# shellcheck disable=SC2086 # a list of words
	prepare_apt "$work/apt" "$1" $2 || { echo "no source for Debian's packages" >&2; return 1; }
	shift 2
	(cd "$work/deb" && own_apt "$work/apt" download "$@") || return 1
	# Beside the root, not in it: the root holds what the packages hold and nothing else.
	for deb in "$work"/deb/*.deb; do
		dpkg-deb -x "$deb" "$work/root" || return 1
		basename "$deb"
	done >"$work/packages"
	rm -rf "$work/apt" "$work/deb"
}

# fetched NAME SUITE COMPONENTS PACKAGE...: Debian's packages unpacked into the cache, once, and never installed: no
# maintainer script and no ldconfig runs. The root's path is printed. Ends the shell where it fails.
fetched()
{
	final=$CACHE/$1
	shift
	mkdir -p "$CACHE"
	exec 9>"$final.lock"
	flock 9
	if [ ! -d "$final/root" ]; then
		work=$(mktemp -d "$final.XXXXXX")
		trap 'rm -rf "$work"' EXIT
		trap 'exit 1' INT TERM
		chmod 755 "$work"
		unpack_packages "$@" || exit 1
		mv -T "$work" "$final"
	fi
	echo "$final/root"
}
