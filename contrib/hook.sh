#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An OCI createRuntime hook (`nvinject hook` does this and more): every container gets all GPUs.
# NVINJECT names the program; options, such as --socket PATH, are passed on. Needs jq.
set -eu
state=$(cat)
id=$(printf '%s' "$state" | jq -er .id)
pid=$(printf '%s' "$state" | jq -er .pid)
bundle=$(printf '%s' "$state" | jq -er .bundle)
root=$(jq -r --arg bundle "$bundle" '.root.path // "rootfs"
	| if startswith("/") then . else $bundle + "/" + . end' "$bundle/config.json")
exec "${NVINJECT:-nvinject}" --pid "$pid" --id "$id" --rootfs "$root" --devices all "$@"
