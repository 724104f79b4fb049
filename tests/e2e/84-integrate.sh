#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# nvfs integrate, in a scratch root: what it writes for each client is what contrib/ shows (and 72, 73 and 85 give to
# dockerd, containerd and podman), --dry-run and a second run write nothing, --revert leaves what was there before.
# CRI-O, Incus, enroot and apptainer are not in Debian 12: their files are compared with what their sources read.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

contrib=$(dirname "$TESTS")/contrib
[ -e "$contrib/podman/90-nvfs.json" ] || skip_all "no contrib/podman in this bundle"
ROOT=$SCRATCH/root
LOCAL=$ROOT/usr/local

integrate()
{
	timeout -k 5 30 "$LOCAL/bin/nvfs" integrate --root "$ROOT" "$@"
}

# Everything but directories, by name, kind, mode, owner, inode, time of change of the content, and content.
state()
{
	find "$ROOT" ! -type d -printf '%P %y %m %U:%G %i %T@ %l\n' | sort
	find "$ROOT" -type f -exec md5sum {} + | sort -k 2
}

mkdir -p "$LOCAL/bin" "$LOCAL/libexec/nvfs" "$ROOT/etc/containerd" "$ROOT/etc/apptainer"
cp "$NVFS" "$LOCAL/bin/nvfs"
touch "$LOCAL/bin/nvinject" "$LOCAL/bin/nvfs-runtime" "$LOCAL/libexec/nvfs/nvidia-container-cli" \
	"$LOCAL/libexec/nvfs/nvidia-container-runtime-hook"
printf '%s\n' 'allow setuid = yes' '# nvidia-container-cli path =' >"$ROOT/etc/apptainer/apptainer.conf"
# As Debian's containerd has it.
cat >"$ROOT/etc/containerd/config.toml" <<'TOML'
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
TOML
CLIENTS=(docker podman crio lxc incus enroot apptainer)
if command -v containerd >/dev/null; then
	CLIENTS+=(containerd)
else
	skip "containerd" "no containerd"
fi
state >"$SCRATCH/before"

for client in "${CLIENTS[@]}"; do
	state >"$SCRATCH/client"
	ok "$client: --dry-run" integrate "$client" --dry-run
	like "$client: --dry-run tells each file" "$OUT" ': would be (created|changed|unchanged)'
	is "$client: --dry-run writes nothing" "$(state)" "$(cat "$SCRATCH/client")"
	ok "$client" integrate "$client"
	state >"$SCRATCH/client"
	ok "$client, again" integrate "$client"
	unlike "$client, again: nothing is told to be new" "$OUT" ': (created|changed)|then:'
	is "$client, again: nothing is written" "$(state)" "$(cat "$SCRATCH/client")"
done

ok "docker: contrib's file" diff <(jq -S . "$ROOT/etc/docker/daemon.json") <(jq -S . "$contrib/docker/daemon.json")
is "docker: and the name that --gpus looks for" "$(readlink "$LOCAL/bin/nvidia-container-runtime-hook")" \
	/usr/local/libexec/nvfs/nvidia-container-runtime-hook
ok "podman: contrib's file" diff "$ROOT/usr/share/containers/oci/hooks.d/90-nvfs.json" "$contrib/podman/90-nvfs.json"
ok "crio: contrib's file" diff "$ROOT/etc/crio/crio.conf.d/90-nvfs.conf" "$contrib/crio/90-nvfs.conf"
is "lxc, incus, enroot: the name that their hooks look for" "$(readlink "$LOCAL/bin/nvidia-container-cli")" \
	/usr/local/libexec/nvfs/nvidia-container-cli
is "apptainer: the program" "$(sed -n 's/^nvidia-container-cli path = //p' "$ROOT/etc/apptainer/apptainer.conf")" \
	/usr/local/libexec/nvfs/nvidia-container-cli
if [[ " ${CLIENTS[*]} " == *" containerd "* ]]; then
	dumped=$(containerd --config "$ROOT/etc/containerd/config.toml" config dump)
	like "containerd: it knows the runtime" "$dumped" "runtimes\\.nvidia\\.options\\][[:space:]]*BinaryName = [\"']/usr/local/bin/nvfs-runtime"
	like "containerd: and its default is still there" "$dumped" 'runtimes\.runc\]'
	like "containerd: and what the file said" "$dumped" 'bin_dir = ["'\'']/usr/lib/cni'
fi

is "--json" "$(integrate docker --json | jq -c '[.schema, .client, .files[].what]')" '[1,"docker","unchanged","unchanged"]'
ok "--revert --dry-run" integrate all --revert --dry-run
is "--revert --dry-run writes nothing" "$(state)" "$(cat "$SCRATCH/client")"
ok "--revert, one after the other" integrate docker --revert
like "tells what came back" "$OUT" '/etc/docker/daemon\.json: removed.*then: systemctl restart docker'
ok "all --revert" integrate all --revert
is "everything is what it was, to the inode" "$(state)" "$(cat "$SCRATCH/before")"
ok "nothing is left to revert" integrate all --revert
is "and it says so" "$OUT" "nothing to do"

# Neither is in Debian 12: no container of theirs is run by any test.
client CRI-O "not in Debian 12; nvfs integrate crio" 0 "its file and back; no container was run"
client Incus "not in Debian 12; nvfs integrate incus" 0 "its link and back; no container was run (LXC's hook: 76-lxc)"

# ---- all, one of which fails ---------------------------------------------------------------------

HOOKS=usr/share/containers/oci/hooks.d/90-nvfs.json
for client in docker podman crio lxc; do
	ok "$client, once more" integrate "$client"
done
echo '{}' >"$ROOT/$HOOKS"
echo nonsense >"$ROOT/var/lib/nvfs/integrate/lxc.json"
fails "all --revert: the first failure" 2 "podman: '/$HOOKS': it was changed since" integrate all --revert
like "and the other one" "$OUT" "usage: lxc: '/var/lib/nvfs/integrate/lxc.json' is no record"
like "what came back is told" "$OUT" "/etc/docker/daemon\\.json: removed.*/etc/crio/crio\\.conf\\.d/90-nvfs\\.conf: removed"
not_ok "a client before the one that fails" test -e "$ROOT/etc/docker/daemon.json"
not_ok "a client after it" test -e "$ROOT/etc/crio/crio.conf.d/90-nvfs.conf"
is "what somebody has changed stays" "$(cat "$ROOT/$HOOKS")" '{}'
rm "$ROOT/$HOOKS" "$ROOT/var/lib/nvfs/integrate/lxc.json" "$LOCAL/bin/nvidia-container-cli"
ok "podman's is gone" integrate podman --revert

# ---- refusals ------------------------------------------------------------------------------------

mkdir -p "$ROOT/etc/docker"
printf '{\n  "runtimes": {\n    "nvidia": { "path": "/opt/mine" }\n  }\n}\n' >"$ROOT/etc/docker/daemon.json"
fails "somebody's runtime" 2 "'/etc/docker/daemon.json': line 3: a runtime 'nvidia' of another kind, '/opt/mine'" integrate docker
like "and what would be to be added" "$OUT" 'by hand.*"nvidia": \{ "path": "/usr/local/bin/nvfs-runtime" \}'
printf '{\n  "a": 1,\n}\n' >"$ROOT/etc/docker/daemon.json"
fails "no JSON" 2 "'/etc/docker/daemon.json': line 3: " integrate docker
echo 'version = 1' >"$ROOT/etc/containerd/config.toml"
fails "a version of containerd's file that nobody knows" 2 "'/etc/containerd/config.toml': line 1: version 1 is not known" integrate containerd
fails "no such client" 2 "'rkt' is no client" integrate rkt
fails "no client" 2 "which client" integrate
fails "all, without --revert" 2 "'all' is no client" integrate all
fails "no such root" 1 "open '/nonexistent'" "$NVFS" integrate docker --root /nonexistent
fails "nvfs is not installed there" 1 "find '.*/nvfs-runtime'.*install nvfs" "$NVFS" integrate docker --root "$ROOT"
ok "a root that anybody may read" chmod -R go+rX "$ROOT"
fails "as a user" 5 "Permission denied; run it as root" setpriv --reuid 1000 --clear-groups "$LOCAL/bin/nvfs" integrate lxc --root "$ROOT"
done_testing
