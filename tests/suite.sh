# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/suite.sh - sourced by rootfs and cross.

# This machine's suite where it is Debian's, else the one whose libraries are nearest.
own_suite()
{
	local VERSION_CODENAME=''

	. /etc/os-release
	case $VERSION_CODENAME in
	trixie | noble) echo trixie ;;
	*) echo bookworm ;;
	esac
}
