#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# cli/PARITY.md: 98 rows, each with a state and a test or a reason; what is named there as a test is there.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

TABLE=$(dirname "$TESTS")/cli/PARITY.md
[ -e "$TABLE" ] || skip_all "no cli/PARITY.md in this bundle"
[ -e "$TESTS/unit/test_dropin.c" ] || skip_all "no unit tests in this bundle"

# script NUMBER-NAME or NUMBER: its path; nothing where there is none. 70 alone is 70-dropin.
script()
{
	local found name=$1

	[ "$name" != 70 ] || name=70-dropin
	for found in "$TESTS"/e2e/"$name".sh "$TESTS"/attack/"$name".sh; do
		[ ! -e "$found" ] || { echo "$found"; return; }
	done
}

# missing_in TEXT: each test that a row names and that there is not. "..." at its end stands for any rest.
missing_in()
{
	local word file='' name

	while IFS= read -r word; do
		case $word in
		\"*)
			name=${word#\"}
			name=${name%\"}
			grep -qF -- "\"${name%...}" "${file:-/dev/null}" || echo "$word of ${file##*/}"
			;;
		*\`test_* | *\`fuzz_*)
			name=${word//[: \`]/}
			file=$TESTS/unit/$name.c
			[ -e "$file" ] || file=$TESTS/fuzz/$name.c
			[ -e "$file" ] || echo "$word"
			;;
		:\ \`*)
			name=${word//[: \`]/}
			grep -q "START_TEST($name)" "$file" || echo "$word of ${file##*/}"
			;;
		*)
			file=$(script "$word")
			[ -n "$file" ] || echo "$word"
			;;
		esac
	done < <(grep -oE '"[^"]+"|: `[a-z0-9_]+`|`(test|fuzz)_[a-z0-9_]+`|\b[0-9]{2}-[a-z][a-z-]*\b|\b70\b' <<<"$1")
}

# names_a_test TEXT
names_a_test()
{
	grep -qE '`(test|fuzz)_|\b[0-9]{2}-[a-z]|\b70 "|make cross' <<<"$1"
}

number=0
while IFS='|' read -r _ row feature state text _; do
	[[ $row =~ ^\ [0-9]+\ $ ]] || continue
	number=$((number + 1))
	row=${row// /}
	[ "$row" = "$number" ] || fail "row $number is there" "found $row"
	missing=$(missing_in "$text")
	case $state in
	' done ' | ' better ') names_a_test "$text" || missing+="a test" ;;
	' dropped ') [ "${#text}" -gt 20 ] || missing+="a reason" ;;
	*) missing+="a state" ;;
	esac
	is "row $row:$feature" "$missing" ''
done <"$TABLE"
is "all rows are there" "$number" 98
done_testing
