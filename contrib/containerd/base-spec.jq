# SPDX-License-Identifier: Apache-2.0
# containerd's own default specification with nvinject's hook: ctr oci spec | jq -f base-spec.jq
.hooks.createRuntime += [{
	path: "/usr/local/bin/nvinject",
	args: ["nvinject", "hook"],
	env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
	timeout: 30
}]
