#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Each command of README.md is run by some test: tests/data/readme-commands says by which, and a text that this test has
# where it does so, or why none does. A command that is not there, an entry that README.md has no more, a test that is gone: all fail.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

TOP=$(dirname "$TESTS")
TABLE=$TESTS/data/readme-commands
[ -e "$TOP/README.md" ] || skip_all "a bundle has no README.md"

# In code blocks, where a line begins like a command, and `nvfs ...` in text; comments and blanks go.
commands()
{
	{
		grep -E '^    (make|nvfs|nvinject|podman|docker|dpkg|apt|systemctl|ln|tests/|/usr/)' "$TOP/README.md" || true
		grep -vE '^    ' "$TOP/README.md" | grep -oE '`(nvfs|nvinject|systemctl|make|tests/)[^`:]* [^`:]*`' | tr -d '`'
	} | sed 's/ *#.*//; s/^ *//; s/ *&$//; s/  */ /g' | sort -u
}

# runs TEST TEXT: it is a file below the top that has the text; "-": a reason
runs()
{
	[ "$1" = - ] && [ -n "$2" ] || grep -qF -- "$2" "$TOP/$1"
}

wanted=$(commands)
ok "README.md has commands" test "$(wc -l <<<"$wanted")" -gt 30
is "tests/data/readme-commands names each, and no other" "$(grep -v '^#' "$TABLE" | cut -f 1 | sort -u)" "$wanted"
while IFS=$'\t' read -r command file text; do
	ok "$command: run by $file" runs "$file" "$text"
done < <(grep -v '^#' "$TABLE")
done_testing
