#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is installed beside the programs: units, the udev rule, completions, manual pages.
# shellcheck disable=SC2317 # functions that ok and wait_for call
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

SOURCE=$(dirname "$TESTS")
[ -e "$SOURCE/Makefile" ] || skip_all "no sources beside the tests"
DEST=$SCRATCH/dest

# ---- installed ------------------------------------------------------------------------------------

# By name: make install itself would build.
all_of_contrib()
{
	local file missing=

	for file in $(cd "$SOURCE/contrib" && find . -path ./debian -prune -o -path ./rpm -prune -o -type f -print | sed 's|.*/||'); do
		grep -q "$file" "$SOURCE/Makefile" || missing="$missing $file"
	done
	echo "not installed:$missing"
	[ -z "$missing" ]
}

all_pages()
{
	local page missing=

	for page in $(cd "$SOURCE" && ls cli/*.[1578] fs/*.[1578] inject/*.[1578]); do
		grep -q "$page" "$SOURCE/Makefile" || missing="$missing $page"
	done
	echo "not installed:$missing"
	[ -z "$missing" ]
}

# ---- systemd and udev ----------------------------------------------------------------------------

# Units as they are installed, with this build's program.
place_units()
{
	local unit

	mkdir -p "$DEST"
	for unit in "$SOURCE"/contrib/*.service "$SOURCE"/contrib/*.timer; do
		sed "s|/usr/local/bin/nvfs|$NVFS|" "$unit" >"$DEST/${unit##*/}"
	done
}

test_units()
{
	local unit

	if ! command -v systemd-analyze >/dev/null; then
		skip "units are what systemd takes" "no systemd-analyze"
		return
	fi
	place_units
	for unit in "$DEST"/*.service "$DEST"/*.timer; do
		# Pages and neighbours that this machine lacks are no fault of the unit; anything else is told.
		try systemd-analyze verify --man=no --recursive-errors=no "$unit"
		is "${unit##*/} is what systemd takes" "$STATUS $(grep -F "${unit##*/}" <<<"$OUT" || true)" "0 "
	done
	echo 'NoSuchKey=1' >>"$DEST/nvfs.service"
	try systemd-analyze verify --man=no --recursive-errors=no "$DEST/nvfs.service"
	like "and a wrong one would be told" "$OUT" 'NoSuchKey'
	unlike "nothing in nvfs.service makes a mount namespace" "$(grep -v '^#' "$SOURCE/contrib/nvfs.service")" \
		'Private(Tmp|Devices|Mounts|Users|Network)|Protect(System|Home|Kernel|Control|Proc)|ReadOnly|ReadWrite|InaccessiblePaths|ExecPaths|BindPaths|BindReadOnly|TemporaryFileSystem|MountFlags|MountAPIVFS|Root(Directory|Image)|DynamicUser|RestrictNamespaces|StateDirectory|RuntimeDirectory'
}

# udevadm: this machine's, or else Debian's, unpacked, with the library that not every machine has
udevadm()
{
	local root=${UDEVADM%/bin/udevadm}

	LD_LIBRARY_PATH=${root%/usr}/usr/lib/$(uname -m)-linux-gnu:${root%/usr}/lib/$(uname -m)-linux-gnu "$UDEVADM" "$@"
}

# What udev says of the rule, and does for a module, on a machine of which it is the only rule below /run.
udev_test()
{
	mount -t tmpfs nvfs-test-udev /run
	mkdir -p /run/udev/rules.d
	sed 's/KERNEL=="nvidia"/KERNEL=="?*"/' "$SOURCE/contrib/70-nvfs.rules" >/run/udev/rules.d/70-nvfs.rules
	udevadm test --action=add "$(find /sys/module -mindepth 1 -maxdepth 1 | head -n 1)" 2>&1 | grep 70-nvfs.rules: || true
	umount /run
}

test_udev()
{
	UDEVADM=$(type -P udevadm) || UDEVADM=$("$TESTS/fetch-udevadm" 2>"$SCRATCH/udevadm.log") || true
	if [ ! "$UDEVADM" ]; then
		skip "the udev rule is what udev takes" "no udevadm: $(tail -n 1 "$SCRATCH/udevadm.log")"
	elif udevadm verify --help >/dev/null 2>&1; then
		ok "the udev rule is what udev takes" udevadm verify "$SOURCE/contrib/70-nvfs.rules"
	else
		like "the udev rule is what udev takes" "$(udev_test)" \
			"^[^ ]*: [^ ]*70-nvfs.rules:[0-9]+ RUN '/bin/systemctl --no-block restart nvfs-rescan.service'\$"
	fi
	# By hand what can be: a key that is compared, one that is set, and a unit that there is.
	is "each line of the rule matches and acts" \
		"$(grep -vE '^(#|$)' "$SOURCE/contrib/70-nvfs.rules" |
			grep -vcE '^([A-Z]+(\{[a-z]+\})?=="[^"]+", )+RUN\+="/bin/systemctl --no-block restart nvfs-rescan\.service"$' || true)" 0
}

# ---- completions ---------------------------------------------------------------------------------

commands()
{
	"$NVFS" help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort
}

# options_of COMMAND: by its --help, and that itself
options_of()
{
	{
		"$NVFS" "$1" --help | grep -oE -- '--[a-z][a-z0-9-]*'
		echo --help
	} | sort -u
}

# complete_bash WORD...: what a real bash offers for the last one
complete_bash()
{
	PATH=$SCRATCH/bin:$PATH bash --norc --noprofile -c '
		. "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
		"$(complete -p nvfs | sed "s/.*-F \([^ ]*\).*/\1/")" nvfs "${!#}" "${@:$#-1:1}"
		printf "%s\n" "${COMPREPLY[@]}"' complete "$SOURCE/contrib/completion/nvfs.bash" "$@" | sort -u
}

# What a help names the command takes: with a value or without; --help then says it once more.
# needrestart(1) evaluates its files as Perl, and looks a unit up among the patterns of override_rc.
test_needrestart()
{
	ok "needrestart leaves the unit alone" perl -e 'our %nrconf; local $/; open my $f, "<", $ARGV[0] or die; eval <$f>;
		die $@ if $@; my ($rule) = grep { "nvfs.service" =~ /$_/ } keys %{$nrconf{override_rc}};
		exit(defined $rule && $nrconf{override_rc}{$rule} == 0 ? 0 : 1)' "$SOURCE/contrib/needrestart/nvfs.conf"
}

test_help()
{
	local command option wrong=

	for command in $(commands); do
		case $command in help) continue ;; esac
		for option in $(options_of "$command"); do
			# With a value first: it could be a file's name.
			"$NVFS" "$command" "$option" x --help >/dev/null 2>&1 || "$NVFS" "$command" "$option" --help >/dev/null 2>&1 ||
				wrong="$wrong $command $option"
		done
	done
	is "every option of a help is one" "$wrong" ""
}

# The daemon has a configuration, metrics a format of their own.
test_json()
{
	local command word wrong=

	for command in $(commands); do
		case $command in serve | metrics | help) continue ;; esac
		[[ "$("$NVFS" "$command" --help)" == *"[--json]"* ]] || wrong="$wrong $command"
	done
	is "every command has --json" "$wrong" ""
	is "version, too" "$("$NVFS" version --json | jq -r .version)" "$("$NVFS" version | sed 's/nvfs //')"
	wrong=
	for command in status ls show why generations rescan events revoke info devices cdi handover shutdown; do
		case $command in
		show | revoke) word=x ;;
		why) word=/x ;;
		cdi) word=list ;;
		*) word= ;;
		esac
		[ "$(timeout 30 "$NVFS" "$command" ${word:+"$word"} --json --socket "$SCRATCH/none" 2>/dev/null | jq -r .error.class)" = daemon ] ||
			wrong="$wrong $command"
	done
	is "and tells its errors so" "$wrong" ""
}

test_bash()
{
	local command wrong=

	mkdir -p "$SCRATCH/bin"
	ln -s "$NVFS" "$SCRATCH/bin/nvfs"
	ok "the completion for bash can be read" bash -n "$SOURCE/contrib/completion/nvfs.bash"
	is "it has every command, and no other" "$(complete_bash nvfs '')" "$(commands)"
	for command in $(commands); do
		case $command in help) continue ;; esac
		[ "$(complete_bash nvfs "$command" --)" = "$(options_of "$command")" ] ||
			wrong="$wrong$command: $(complete_bash nvfs "$command" -- | tr '\n' ' ') and not $(options_of "$command" | tr '\n' ' ')"$'\n'
	done
	is "and of each command every option, and no other" "$wrong" ""
	is "a part of a word is made whole" "$(complete_bash nvfs gen)" generations
	is "a directory for a root" "$(complete_bash nvfs serve --driver-root "$SCRATCH/b")" "$SCRATCH/bin"
	is "words of cdi" "$(complete_bash nvfs cdi '')" $'generate\nlist'
}

# complete_zsh LINE: what a real zsh offers behind it
complete_zsh()
{
	PATH=$SCRATCH/bin:$PATH timeout -k 5 $((30 * SLOW)) "$TESTS/complete-zsh" "$SOURCE/contrib/completion" "$1"
}

test_zsh()
{
	local command wrong=

	command -v zsh >/dev/null || { skip "the completion for zsh" "no zsh"; return; }
	is "zsh offers every command, and no other" "$(complete_zsh 'nvfs ')" "$(commands)"
	for command in $(commands); do
		case $command in help) continue ;; esac
		[ "$(complete_zsh "nvfs $command --")" = "$(options_of "$command")" ] ||
			wrong="$wrong$command: $(complete_zsh "nvfs $command --" | tr '\n' ' ')"$'\n'
	done
	is "and of each command every option, and no other" "$wrong" ""
	is "clients to integrate" "$(complete_zsh 'nvfs integrate d')" docker
	is "a directory for a root" "$(complete_zsh "nvfs serve --driver-root $SCRATCH/b")" bin
	is "words of cdi" "$(complete_zsh 'nvfs cdi ')" $'generate\nlist'
}

# ---- another libfuse ------------------------------------------------------------------------------

# From the objects that there are: it is the link alone.
link_statically()
{
	local part parts=(cli/nvfs.o libcli.a libfs.a libnvml.a libcommon.a) old=()

	for part in "${parts[@]}"; do
		install -D "$BUILD/$part" "$SCRATCH/static/$part"
		old+=(-o "$SCRATCH/static/$part")
	done
	make -C "$SOURCE" BUILD="$SCRATCH/static" FUSE_STATIC=/usr "${old[@]}" "$SCRATCH/static/nvfs"
}

test_fuse_static()
{
	if ! compgen -G '/usr/lib/*/libfuse3.a' >/dev/null; then
		skip "nvfs is linked with libfuse in it" "no libfuse3.a"
		return
	fi
	ok "nvfs is linked with libfuse in it" link_statically
	is "and asks for none" "$(ldd "$SCRATCH/static/nvfs" | grep -c libfuse)" 0
	like "as the other one does" "$(ldd "$BUILD/nvfs")" libfuse3
	ok "it runs" "$SCRATCH/static/nvfs" version
}

# ---- without systemd, and elsewhere ---------------------------------------------------------------

# From the objects that there are: one file is another.
test_without_systemd()
{
	local part

	mkdir "$SCRATCH/plain"
	for part in cli common fs inject nvml; do
		cp -a "$BUILD/$part" "$BUILD/lib$part.a" "$SCRATCH/plain/"
	done
	ok "make SYSTEMD=" make -C "$SOURCE" BUILD="$SCRATCH/plain" SYSTEMD= "$SCRATCH/plain/nvfs"
	is "asks for no libsystemd" "$(ldd "$SCRATCH/plain/nvfs" | grep -c libsystemd)" 0
	like "as the other one does" "$(ldd "$BUILD/nvfs")" libsystemd
	ok "it runs" "$SCRATCH/plain/nvfs" version
}

test_bundle()
{
	if ! command -v patchelf >/dev/null; then
		skip "make bundle" "no patchelf"
		return
	fi
	ok "make bundle" env BUILD="$BUILD" "$TESTS/bundle" "$SCRATCH/bundle"
	is "its programs run with its own libraries" \
		"$(env -i "$SCRATCH/bundle/build/nvfs" version; ldd "$SCRATCH/bundle/build/nvfs" | grep -c "=> $SCRATCH/bundle/build/lib/libfuse3")" \
		"$("$NVFS" version)"$'\n'1
	rm -rf "$SCRATCH/bundle"
}

# ---- manual pages --------------------------------------------------------------------------------

test_pages()
{
	local page

	if ! command -v man >/dev/null; then
		skip "manual pages have no warnings" "no man"
		return
	fi
	for page in "$SOURCE"/cli/*.[1578] "$SOURCE"/fs/*.5 "$SOURCE"/inject/*.1; do
		try env MANWIDTH=120 MANROFFSEQ=t man --warnings -l --encoding=UTF-8 "$page"
		is "${page##*/} has no warnings" "$(env MANWIDTH=120 man --warnings -l "$page" 2>&1 >"$SCRATCH/page" || true)" ""
		ok "and a text" test -s "$SCRATCH/page"
	done
}

test_commands_in_page()
{
	local command missing=

	for command in $(commands); do
		grep -qE "^\.(B|BI|BR) \"?$command\b" "$SOURCE/cli/nvfs.1" || missing="$missing $command"
	done
	is "nvfs(1) has every command" "$missing" ""
}

ok "make install names every file of contrib" all_of_contrib
ok "and every manual page" all_pages
test_units
test_udev
test_needrestart
test_help
test_json
test_bash
test_zsh
test_fuse_static
test_without_systemd
test_bundle
test_pages
test_commands_in_page
done_testing
