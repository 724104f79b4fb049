# SPDX-License-Identifier: Apache-2.0
#
# Completion of nvfs(1) for bash; nothing but bash is needed. For /usr/share/bash-completion/completions/nvfs.

_nvfs_commands='serve status doctor ls show why generations rescan driver revoke info devices config metrics events cdi
	integrate handover shutdown help version'

# _nvfs_options COMMAND: its long options
_nvfs_options()
{
	case $1 in
	'') echo --help --version ;;
	serve) echo --driver-root --mountpoint --socket --config --load-kmods --debug --help ;;
	status) echo --check --metrics --json --socket --help ;;
	doctor) echo --pid --config --socket --json --help ;;
	ls | show | generations | rescan | revoke | events) echo --json --socket --help ;;
	why) echo --id --json --socket --help ;;
	driver) echo --driver-root --proc-root --rules-dir --json --help ;;
	info | devices) echo --driver-root --proc-root --socket --json --help ;;
	config) echo --config --origin --json --help ;;
	metrics) echo --textfile --socket --help ;;
	cdi) echo --format --output --vendor --class --no-hooks --json --socket --help ;;
	integrate) echo --dry-run --revert --root --json --help ;;
	handover) echo --json --socket --help ;;
	shutdown) echo --force --json --socket --help ;;
	version) echo --json --help ;;
	esac
}

# Ids of the containers that the caller may see.
_nvfs_ids()
{
	nvfs ls --json 2>/dev/null | sed -n 's/^ *"id": "\([^"\\]*\)",*$/\1/p'
}

_nvfs_reply()
{
	# Words without blanks, but for file names, which go by -o filenames.
	# shellcheck disable=SC2207
	COMPREPLY=($(compgen "$@"))
}

# _nvfs_value OPTION WORD: what an option takes; 1: it takes nothing
_nvfs_value()
{
	case $1 in
	--driver-root | --mountpoint | --proc-root | --rules-dir | --root)
		compopt -o filenames 2>/dev/null
		_nvfs_reply -d -- "$2"
		;;
	--socket | --config | --output | --textfile)
		compopt -o filenames 2>/dev/null
		_nvfs_reply -f -- "$2"
		;;
	--id) _nvfs_reply -W "$(_nvfs_ids)" -- "$2" ;;
	--pid) _nvfs_reply -W "$(cd /proc && echo [0-9]*)" -- "$2" ;;
	--format) _nvfs_reply -W 'json yaml' -- "$2" ;;
	--vendor | --class) COMPREPLY=() ;;
	*) return 1 ;;
	esac
}

_nvfs()
{
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=

	COMPREPLY=()
	[ "$COMP_CWORD" -lt 2 ] || command=${COMP_WORDS[1]}
	if [ -n "$command" ] && _nvfs_value "$before" "$current"; then
		return
	fi
	case $current in
	-*) _nvfs_reply -W "$(_nvfs_options "$command")" -- "$current" ;;
	*)
		case $command in
		'') _nvfs_reply -W "$_nvfs_commands" -- "$current" ;;
		show | revoke) _nvfs_reply -W "$(_nvfs_ids)" -- "$current" ;;
		cdi) [ "$COMP_CWORD" != 2 ] || _nvfs_reply -W 'generate list' -- "$current" ;;
		integrate)
			[ "$COMP_CWORD" != 2 ] ||
				_nvfs_reply -W 'docker containerd podman crio lxc incus enroot apptainer all' -- "$current"
			;;
		why)
			compopt -o filenames 2>/dev/null
			_nvfs_reply -f -- "$current"
			;;
		esac
		;;
	esac
}

complete -F _nvfs nvfs
