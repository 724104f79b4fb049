#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make deb: what lintian says, and the packages' life in a Debian with systemd (tests/machine.sh): installed they
# serve, podman gets GPUs by CDI and by `nvfs integrate podman`, an upgrade hands over while a container runs, removal
# does not wait for it and takes integrations back, and a purge leaves no file. contrib/rpm is read by rpm.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/machine.sh
. "$TESTS/machine.sh"

TOP=$(dirname "$TESTS")
DEB=$BUILD/deb
TREE=/usr/local/nvidia

# Not optimised: half the time, and the same files. What is built already, of these very sources, is taken.
make_packages()
{
	local made

	made=$(ls "$DEB"/nvfs_*.changes 2>/dev/null) &&
		[ -z "$(cd "$TOP" && find Makefile ./*.md common contrib cli fs inject nvml -newer "$made" -print -quit)" ] && return
	DEB_BUILD_OPTIONS="nocheck noautodbgsym noopt" timeout 600 make -C "$TOP" BUILD="$BUILD" deb >"$SCRATCH/deb.log" 2>&1
}

# tests/machine.sh would put the build's programs there.
install_nvfs()
{
	install -D -m 644 -t etc/systemd/system "$SCRATCH/e2e.service"
	install -D -m 644 "$CONFIG" etc/nvfs/nvfs.conf
	mkdir -p etc/systemd/system/multi-user.target.wants
	ln -sf ../e2e.service etc/systemd/system/multi-user.target.wants/
	echo nvfs-test >etc/hostname
}

# not_in_spec: files of the package for Debian that %files of the specification does not name
not_in_spec()
{
	local file pattern patterns

	patterns=$(rpmspec --define '_unitdir /usr/lib/systemd/system' --define '_tmpfilesdir /usr/lib/tmpfiles.d' -P "$TOP/contrib/rpm/nvfs.spec" | sed -n '/^%files/,$s|^/|/|p')
	dpkg-deb --fsys-tarfile "$DEB"/nvfs_*.deb | tar -t | grep -v '/$' | sed 's|^\./lib/|./usr/lib/|; s|^\.||; s|\.gz$||' |
		grep -v -e ^/usr/share/lintian/ -e ^/etc/needrestart/ -e '^/usr/share/doc/nvfs/\(changelog\|copyright\)' | while read -r file; do
		while read -r pattern; do
			# shellcheck disable=SC2053 # a pattern, or a directory
			[[ $file != $pattern && $file != $pattern* ]] || continue 2
		done <<<"$patterns"
		echo "$file"
	done
}

outside()
{
	[ -e "$TOP/Makefile" ] || skip_all "a bundle has no source"
	ok "make deb" make_packages
	[ "$STATUS" = 0 ] || diag "$(tail -n 20 "$SCRATCH/deb.log")"
	is "the changelog's version is the program's" "$(sed -n '1s/.*(\(.*\)).*/nvfs \1/p' "$TOP/contrib/debian/changelog")" "$("$NVFS" version)"
	ok "lintian" lintian --allow-root --fail-on error,warning "$DEB"/nvfs_*.changes
	is "lintian has nothing to say" "$OUT" ""
	is "the specification's version is the program's" "nvfs $(rpmspec -q --qf '%{version}\n' --srpm "$TOP/contrib/rpm/nvfs.spec")" "$("$NVFS" version)"
	ok "rpmlint" rpmlint --rpmlintrc "$TOP/contrib/rpm/rpmlintrc" "$TOP/contrib/rpm/nvfs.spec"
	like "rpmlint has nothing to say" "$OUT" '0 errors, 0 warnings'
	is "it names every file of the package" "$(not_in_spec)" ""
	use_sample_driver
	write_config 'grace = 1' 'cdi_dir = /var/run/cdi'
	run_machine
	done_testing
}

# ---- inside -------------------------------------------------------------------------------------

# Names and kinds; what dpkg, systemd and podman know themselves is theirs.
files()
{
	find /etc /usr /opt /var /lib/systemd /run/nvfs /run/nvfsd /run/cdi -xdev ! -path '/var/lib/dpkg/*' ! -path '/var/log/*' \
		! -path '/var/cache/*' ! -path '/var/lib/containers*' ! -path '/var/tmp/*' ! -path '/var/lib/systemd/*' ! -path '/etc/cni*' \
		-printf '%p %y\n' 2>/dev/null | sort
}

podman()
{
	timeout -k 5 60 /usr/bin/podman --root /mnt/podman --runroot /run/podman --tmpdir /run/podman-tmp --storage-driver vfs \
		--cgroup-manager systemd --runtime /usr/sbin/runc "$@" <"$SCRATCH/no-input"
}

in_podman()
{
	podman run --rm --network none "$@" localhost/image:1 ls "$TREE/lib64/libcuda.so.1" /dev/nvidia0 || return 1
}

prepare_podman()
{
	printf '%s\n' '[containers]' 'log_driver="k8s-file"' pids_limit=0 \
		'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' '[engine]' 'events_logger="none"' >/run/containers.conf
	export CONTAINERS_CONF=/run/containers.conf
	make_rootfs busybox image
	tar -C "$ROOTFS" --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' -cf /mnt/image.tar .
	podman import -q /mnt/image.tar localhost/image:1 >/dev/null
}

serves()
{
	[ "$(systemctl is-active nvfs)" = active ] && /usr/bin/nvfs status
}

worker()
{
	/usr/bin/nvfs status --json | jq .daemon_pid
}

box_works()
{
	podman exec box cat "$TREE/.nvfs/manifest.json"
}

installed()
{
	ok "dpkg --install" dpkg --install "$DEB"/nvfs_*.deb "$DEB"/nvfs-compat_*.deb
	like "the journal explains our entries" "$(journalctl --no-pager --dump-catalog 77e09129085049b688f962684c0bedca)" \
		'Subject: A container has the NVIDIA driver'
	ok "it serves" wait_for 20 serves
	is "and will after a boot" "$(systemctl is-enabled nvfs)" enabled
	like "nvidia-container-cli is nvfs's" "$(nvidia-container-cli list --libraries)" 'libcuda\.so'
	is "nvidia-container-runtime too" "$(readlink -f "$(command -v nvidia-container-runtime)")" /usr/bin/nvfs-runtime
	is "nvidia-container-runtime-hook too" "$(readlink -f "$(command -v nvidia-container-runtime-hook)")" /usr/bin/nvinject
}

clients()
{
	ok "the CDI file is there" wait_for 10 test -e /run/cdi/nvfs.json
	ok "podman: --device nvfs.dev/gpu=all" in_podman --device nvfs.dev/gpu=all
	not_ok "podman: before nvfs integrate the environment asks for nothing" in_podman -e NVIDIA_VISIBLE_DEVICES=all
	ok "nvfs integrate podman" nvfs integrate podman
	ok "podman: NVIDIA_VISIBLE_DEVICES=all" in_podman -e NVIDIA_VISIBLE_DEVICES=all
	not_ok "podman: asked for nothing" in_podman
	ok "nvfs integrate podman --revert" nvfs integrate podman --revert
	not_ok "podman: as before" in_podman -e NVIDIA_VISIBLE_DEVICES=all
	ok "nvfs integrate docker" nvfs integrate docker
	is "docker's runtime" "$(jq -r .runtimes.nvidia.path /etc/docker/daemon.json)" /usr/bin/nvfs-runtime
	ok "nvfs integrate docker --revert" nvfs integrate docker --revert
	ok "is gone" test ! -e /etc/docker
}

# As README.md's tour has it.
hot()
{
	podman run --detach --name live --network none localhost/image:1 sleep 1000 >/dev/null
	not_ok "a container without a GPU" podman exec live ls "$TREE" /dev/nvidia0
	ok "is given one while it runs" nvinject --pid "$(podman inspect --format '{{.State.Pid}}' live)" --devices all
	ok "and has it" podman exec live ls "$TREE/lib64/libcuda.so.1" /dev/nvidia0
	like "nvfs ls" "$(nvfs ls)" "$(podman inspect --format '{{.Id}}' live | cut -c 1-12)"
	ok "nvfs revoke" nvfs revoke "$(podman inspect --format '{{.Id}}' live)"
	not_ok "takes it away" podman exec live ls /dev/nvidia0
	podman rm -f -t 0 live >/dev/null
}

# A package of NVIDIA's, as far as names go.
theirs()
{
	local root=/mnt/theirs

	mkdir -p "$root/DEBIAN" "$root/usr/bin"
	printf '%s\n' 'Package: nvidia-container-toolkit-base' 'Version: 1.17.8-1' 'Architecture: all' \
		'Maintainer: nobody <nobody@example.com>' 'Description: names' >"$root/DEBIAN/control"
	for name in nvidia-container-cli nvidia-container-runtime-hook nvidia-container-runtime; do
		printf '#!/bin/sh\necho theirs\n' >"$root/usr/bin/$name"
		chmod 755 "$root/usr/bin/$name"
	done
	dpkg-deb --root-owner-group -b "$root" /mnt/theirs.deb
}

beside()
{
	theirs >/dev/null
	not_ok "NVIDIA's packages and nvfs-compat, which has their names, exclude each other" dpkg --install /mnt/theirs.deb
	ok "nvfs-compat goes" dpkg --remove nvfs-compat
	ok "NVIDIA's packages stand beside nvfs" dpkg --install /mnt/theirs.deb
	is "their name is theirs" "$(nvidia-container-cli list --libraries)" theirs
	like "and nvfs has its own" "$(/usr/libexec/nvfs/nvidia-container-cli list --libraries)" 'libcuda\.so'
	like "nvfs doctor tells whose it is" "$(nvfs doctor || true)" "'/usr/bin/nvidia-container-cli' is NVIDIA's own"
	ok "they go" dpkg --purge nvidia-container-toolkit-base
	ok "nvfs-compat comes back" dpkg --install "$DEB"/nvfs-compat_*.deb
}

# The same files, and a version that is newer.
newer()
{
	dpkg-deb -R "$DEB"/nvfs_*.deb /mnt/newer
	sed -i 's/^Version: .*/&+1/' /mnt/newer/DEBIAN/control
	dpkg-deb -b /mnt/newer /mnt/nvfs-newer.deb
}

upgraded()
{
	local worker since

	podman run --detach --name box --network none --device nvfs.dev/gpu=all localhost/image:1 sleep 1000 >/dev/null
	ok "a container" box_works
	worker=$(worker)
	since=$(systemctl show -P ActiveEnterTimestampMonotonic nvfs)
	newer >/dev/null
	# nvfs-compat is of the very version: both, as apt has it.
	ok "an upgrade" dpkg --install --force-depends /mnt/nvfs-newer.deb
	like "to another version" "$(dpkg-query -W -f '${Version}' nvfs)" '\+1$'
	ok "hands over: another daemon serves" test "$(worker)" != "$worker"
	is "the unit was not restarted" "$(systemctl show -P ActiveEnterTimestampMonotonic nvfs)" "$since"
	ok "the container works" box_works
}

removed()
{
	local worker

	worker=$(worker)
	nvfs integrate podman >/dev/null
	ok "removal does not wait for the container" timeout 60 dpkg --remove nvfs-compat nvfs
	ok "the container works" box_works
	ok "nor does purge" timeout 60 dpkg --purge nvfs-compat nvfs
	ok "and the container works" box_works
	ok "no hook is left that podman would not find" test ! -e /usr/share/containers/oci/hooks.d/90-nvfs.json
	ok "containers without a GPU start" podman run --rm --network none localhost/image:1 true
	podman rm -f -t 0 box >/dev/null
	ok "the daemon ends with the last container" wait_for 20 has_ended "$worker"
	# Empty directories of units' links that were there before deb-systemd-helper removes. Where it served
	# was in use when the package went.
	is "nothing is left that was not there before" "$(files | comm -13 "$SCRATCH/files.before" - | grep -v '^/run/nvfsd* d$')" ""
	ok "where it served is empty" rmdir /run/nvfs /run/nvfsd
	ok "and the configuration is" test -s /etc/nvfs/nvfs.conf
}

inside()
{
	# Here they are what the package has installed.
	unset -f nvfs nvinject
	mount -t tmpfs tmpfs /mnt
	prepare_podman
	files >"$SCRATCH/files.before"
	installed
	clients
	beside
	hot
	upgraded
	removed
	journalctl -q -u nvfs --no-pager >"$OUTER/journal" 2>&1 || true
	diag end
	exit 0
}

machine_main "$@"
