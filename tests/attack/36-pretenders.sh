#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Who is the host's root, to the daemon? uid 0 of its namespaces; and uid 0 of a mount namespace of its
# own, as podman runs the hook of a container with a user namespace, if it could enter the daemon's
# by itself: it grants nothing that such a one lacks. Each of those that lack one thing is a stranger.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

command -v runc >/dev/null || skip_all "no runc"
[ -x "$HELPERS/sockabuse" ] || skip_all "sockabuse is not built"
TRY_TIMEOUT=30
ASK='send={"method":"io.nvfs.Rescan","parameters":{}}'
OWN=(unshare --mount --propagation private)

# may|may_not NAME COMMAND...: a command line that begins with how the client is run
may()
{
	try "${@:2}" "$HELPERS/sockabuse" "$SOCKET" "$ASK" recv
	like "$1: is root" "$OUT" '"result":'
}

may_not()
{
	try "${@:2}" "$HELPERS/sockabuse" "$SOCKET" "$ASK" recv
	like "$1: is a stranger" "$OUT" '"class":"permission"'
}

host_snapshot
use_sample_driver
start_daemon --config "$CONFIG"

may "root of the daemon's namespaces" env
may "root in a copy of the daemon's mount namespace" "${OWN[@]}"
for cap in sys_admin sys_chroot sys_ptrace; do
	may_not "the same without CAP_${cap^^}" "${OWN[@]}" setpriv --bounding-set "-$cap"
done
may_not "the same in a pid namespace of its own" "${OWN[@]}" --pid --fork
may_not "the same in a user namespace" "${OWN[@]}" --user --map-root-user
CAPS=+sys_admin,+sys_chroot,+sys_ptrace
may_not "another uid with these capabilities" "${OWN[@]}" setpriv --reuid 1234 --clear-groups --inh-caps "$CAPS" \
	--ambient-caps "$CAPS"
may_not "another uid in the daemon's namespaces" setpriv --reuid 1234 --clear-groups

# The rest is of containers: all that a runtime can give them but the host's root directory.
make_rootfs busybox privileged
ALL=$(jq -Rnc '[inputs | "CAP_" + .]' <<<"$(capsh --print | sed -n 's/^Bounding set =//p' | tr , '\n' |
	sed 's/^cap_//' | tr a-z A-Z)")
# The machine's own limit of capabilities is the container's.
run_container privileged "$ROOTFS" ".process.capabilities |= map_values($ALL) | .process.noNewPrivileges = false
	| del(.linux.namespaces[] | select(.type == \"pid\")) | del(.linux.seccomp)
	| .linux.resources.devices = [{ allow: true, access: \"rwm\" }]
	| .mounts |= map(if .destination == \"/proc\" then { destination: \"/proc\", type: \"bind\", source: \"/proc\",
		options: [\"rbind\"] } else . end)
	| .mounts += [{ destination: \"/nvfsd\", type: \"bind\", source: \"${SOCKET%/*}\", options: [\"bind\"] }]"
try in_container privileged sockabuse /nvfsd/nvfs.sock "$ASK" recv
like "root of a container with every capability and the host's pid namespace: is a stranger" "$OUT" '"class":"permission"'
is "(it has the capabilities)" "$(in_container privileged grep CapPrm /proc/self/status)" \
	"$(grep CapPrm /proc/self/status)"
try in_container privileged chroot /proc/self/cwd sockabuse /nvfsd/nvfs.sock "$ASK" recv
like "also in a root of its choice" "$OUT" '"class":"permission"'
kill_containers
ok "the daemon answers" nvfs status
stop_daemon
host_compare
done_testing
