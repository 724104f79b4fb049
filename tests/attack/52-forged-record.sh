#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A user tells of an injection into his own container, which is a process of his in a user namespace with a
# directory of the host for its root, that it made what is the host's there. Root takes the container's
# driver away: by that record root may change nothing that the user could not.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

AS_USER=(setpriv --reuid 1234 --regid 1234 --clear-groups)
HOSTS=$SCRATCH/hosts

call()
{
	printf '{"method":"io.nvfs.%s","parameters":{%s}}' "$1" "$2"
}

record='{"step":"file","target":"/passwd","result":"created","content":"root\n"},
	{"step":"link","target":"/unit","result":"created","to":"/lib/unit"},
	{"step":"cache","target":"/shadow","result":"replaced"},
	{"step":"device","target":"/mount-point","result":"mounted","made":true,"dev":"0:1","ino":1},
	{"step":"link","target":"/empty/none","result":"created","to":"x","dirs":1}'

state()
{
	find "$HOSTS" -printf '%p %y %m %U %s %l\n' | sort
	cat "$HOSTS"/passwd "$HOSTS"/shadow
}

host_snapshot
use_sample_driver
write_config 'grace = 0'
start_daemon --config "$CONFIG"
mkdir -p "$HOSTS/empty" "$HOSTS/etc"
echo root >"$HOSTS/passwd"
echo secret >"$HOSTS/shadow"
: >"$HOSTS/mount-point"
cp /etc/ld.so.cache "$HOSTS/etc/"
ln -s /lib/unit "$HOSTS/unit"
mkdir "$SCRATCH/mnt"
chmod 755 "$SCRATCH"
state >"$SCRATCH/before"

"${AS_USER[@]}" unshare --user --map-root-user --mount --propagation private sh -c "mount --bind '$HOSTS' '$SCRATCH/mnt' &&
	exec perl -e 'chroot(\$ARGV[0]) && chdir(\"/\") or die; \$| = 1; print \"ready\n\"; sleep 1000' '$SCRATCH/mnt'" \
	</dev/null >"$SCRATCH/ready" 2>&1 &
CHILD=$!
at_exit kill -KILL "$CHILD"
ok "a user has a root that is the host's directory" wait_for 10 grep -q ready "$SCRATCH/ready"
try "${AS_USER[@]}" "$HELPERS/sockabuse" "$SOCKET" "fd=pidfd:$CHILD" \
	"send=$(call Inject '"fds":1,"pidfd":0,"id":"forged","devices":"none"')" recv \
	"send=$(call Commit "\"token\":\"@TOKEN@\",\"done\":[$record]" | tr -d '\n\t')" recv
like "he has a tree, with a record of his own" "$OUT" '"parameters":\{\}'
like "which root sees whole" "$(nvfs show --json forged | jq -c '[.done[].target]')" '"/passwd".*"/unit"'
ok "root takes his driver away" nvfs revoke forged
state >"$SCRATCH/after"
ok "what is the host's is what it was" diff -U0 "$SCRATCH/before" "$SCRATCH/after"
is "his tree has gone" "$(nvfs ls --json | jq '[.trees[] | select(.id == "forged")] | length')" 0
kill -KILL "$CHILD"
stop_daemon
host_compare
done_testing
