#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A kernel before 5.12 is refused by name before anything is mounted; what such a kernel lacks is taken
# away here where the kernel is a newer one.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# Whether this kernel is older than 5.12 itself.
is_old()
{
	printf '%s\n' "$(uname -r)" 5.12 | sort -V -C
}

# refused WORDS COMMAND...: the command before "nvfs serve", if any
refused()
{
	local words=$1

	shift
	fails "$words: nvfs serve is refused, with what it needs" 6 \
		"mount: this kernel \\([^)]*\\) has no mount_setattr\\(2\\); nvfs needs Linux 5.12 or later" \
		"$@" "$NVFS" serve --config "$CONFIG" --mountpoint "$MOUNTPOINT" --socket "$SOCKET"
	is "$words: in one line" "$(wc -l <<<"$OUT")" 1
	unlike "$words: nothing is mounted" "$(cat /proc/self/mountinfo)" "$MOUNTPOINT"
	not_ok "$words: no mount point is made" test -e "$MOUNTPOINT"
	not_ok "$words: and no socket" test -e "$SOCKET"
}

host_snapshot
use_sample_driver
refused "without mount_setattr" "$HELPERS/without" mount_setattr --
if is_old; then
	refused "on Linux $(uname -r)"
else
	diag "Linux $(uname -r) has mount_setattr"
fi
host_compare
done_testing
