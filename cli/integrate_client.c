/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: dockerd(8) (--add-runtime; --gpus looks for nvidia-container-runtime-hook in dockerd's PATH); containers
 * oci-hooks(5), and the directory of it that podman and CRI-O read by default; crio.conf.d(5); lxc hooks/nvidia and
 * enroot hooks/98-nvidia.sh, which look for nvidia-container-cli in PATH, where /usr/local/bin comes before /usr/bin;
 * Incus and LXD, which use LXC's hook; apptainer.conf, "nvidia-container-cli path".
 */
#include "cli/integrate_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define CLI "@LIBEXEC@/nvidia-container-cli"
#define CLI_LINK                                                                      \
	{                                                                             \
		INTEGRATE_LINK, "/usr/local/bin/nvidia-container-cli", CLI, CLI, NULL \
	}

static const char hooks_d[] = "{\n"
			      "  \"version\": \"1.0.0\",\n"
			      "  \"hook\": {\n"
			      "    \"path\": \"@BIN@/nvinject\",\n"
			      "    \"args\": [\"nvinject\", \"hook\"],\n"
			      "    \"env\": [\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],\n"
			      "    \"timeout\": 30\n"
			      "  },\n"
			      "  \"when\": { \"always\": true },\n"
			      "  \"stages\": [\"createRuntime\"]\n"
			      "}\n";

static const char crio_conf[] =
	"# SPDX-License-Identifier: Apache-2.0\n"
	"# For /etc/crio/crio.conf.d/: a RuntimeClass with the handler \"nvidia\".\n"
	"[crio.runtime.runtimes.nvidia]\n"
	"runtime_path = \"@BIN@/nvfs-runtime\"\n"
	"runtime_type = \"oci\"\n";

static const char containerd_lines[] =
	"[plugins.\"@PLUGIN@\".containerd.runtimes.nvidia]\n"
	"  runtime_type = \"io.containerd.runc.v2\"\n"
	"  [plugins.\"@PLUGIN@\".containerd.runtimes.nvidia.options]\n"
	"    BinaryName = \"@BIN@/nvfs-runtime\"\n";

static const struct integrate_client clients[] = {
	{ "docker",
	  { { INTEGRATE_JSON, "/etc/docker/daemon.json", "@BIN@/nvfs-runtime", "@BIN@/nvfs-runtime",
	      NULL },
	    { INTEGRATE_LINK, "/usr/local/bin/nvidia-container-runtime-hook",
	      "@LIBEXEC@/nvidia-container-runtime-hook", "@LIBEXEC@/nvidia-container-runtime-hook",
	      NULL } },
	  "systemctl restart docker" },
	{ "containerd",
	  { { INTEGRATE_TOML, "/etc/containerd/config.toml", containerd_lines, "@BIN@/nvfs-runtime",
	      NULL } },
	  "systemctl restart containerd" },
	{ "podman",
	  { { INTEGRATE_FILE, "/usr/share/containers/oci/hooks.d/90-nvfs.json", hooks_d,
	      "@BIN@/nvinject", NULL } },
	  NULL },
	{ "crio",
	  { { INTEGRATE_FILE, "/etc/crio/crio.conf.d/90-nvfs.conf", crio_conf, "@BIN@/nvfs-runtime",
	      NULL } },
	  "systemctl restart crio" },
	{ "lxc", { CLI_LINK }, NULL },
	{ "incus", { CLI_LINK }, NULL },
	{ "enroot", { CLI_LINK }, NULL },
	{ "apptainer",
	  { { INTEGRATE_LINES, "/etc/apptainer/apptainer.conf",
	      "nvidia-container-cli path = " CLI "\n", CLI, "nvidia-container-cli path" } },
	  NULL },
};

const struct integrate_client *integrate_client(size_t i)
{
	return i < ARRAY_SIZE(clients) ? &clients[i] : NULL;
}

const struct integrate_client *integrate_client_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		if (strcmp(clients[i].name, name) == 0)
			return &clients[i];
	return NULL;
}

char *integrate_expand(const char *text, const struct integrate_paths *paths, const char *plugin)
{
	const struct {
		const char *word, *value;
	} words[] = { { "@BIN@", paths->bin },
		      { "@LIBEXEC@", paths->libexec },
		      { "@PLUGIN@", plugin } };
	char *expanded = NULL;
	size_t size, i;
	FILE *out = open_memstream(&expanded, &size);

	while (out && *text) {
		for (i = 0; i < ARRAY_SIZE(words) &&
			    strncmp(text, words[i].word, strlen(words[i].word)) != 0;)
			i++;
		if (i < ARRAY_SIZE(words)) {
			(void)fputs(words[i].value ? words[i].value : "", out);
			text += strlen(words[i].word);
		} else {
			(void)fputc(*text++, out);
		}
	}
	if (!out || fclose(out) != 0) {
		free(expanded);
		return NULL;
	}
	return expanded;
}
