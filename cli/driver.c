/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs driver`: discovery told to a person on one screen, or to a program as
 * JSON. It asks nobody: no daemon, no NVML, no privilege.
 */
#include "cli/driver.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/local.h"
#include "common/error.h"
#include "nvml/driver.h"
#include "nvml/elf.h"
#include "nvml/gpu.h"
#include "nvml/node.h"

static const char usage[] =
	"Usage: nvfs driver [--driver-root DIR] [--proc-root DIR] [--rules-dir DIR] [--json]\n"
	"Show the driver's files, what is missing, what was left out and why, and the GPUs.\n";

static void print_size(intmax_t bytes)
{
	if (bytes >= 1000000)
		(void)printf("%7.1f MB", (double)bytes / 1e6);
	else
		(void)printf("%7.1f kB", (double)bytes / 1e3);
}

static void print_files(const struct driver *driver, enum driver_file_kind kind, const char *title)
{
	char caps[DRIVER_CAPS_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < driver->n_files; i++)
		n += driver->files[i].kind == kind;
	(void)printf("\n%s: %zu\n", title, n);
	for (size_t i = 0; i < driver->n_files; i++) {
		const struct driver_file *file = &driver->files[i];

		if (file->kind != kind)
			continue;
		driver_caps_print(file->caps, caps, sizeof(caps));
		(void)printf("  ");
		print_size((intmax_t)file->st.st_size);
		(void)printf("  %s  [%s%s]%s\n", file->path,
			     file->caps == DRIVER_CAP_ALL ? "every container" : caps,
			     file->elf_class == 32 && elf_native_class() == 64 ? " with compat32"
									       : "",
			     file->text ? ", rewritten" : "");
	}
}

static void print_findings(const struct driver *driver)
{
	(void)printf("\nFindings: %zu\n", driver->n_findings);
	for (size_t i = 0; i < driver->n_findings; i++)
		(void)printf("  %s %s\n", driver->findings[i].problem ? "!" : "-",
			     driver->findings[i].text);
}

static void print_gpus(const struct gpu_list *gpus)
{
	(void)printf("\nGPUs: %zu\n", gpus->n);
	for (size_t i = 0; i < gpus->n; i++) {
		const struct gpu *gpu = &gpus->gpus[i];

		if (gpu->index == GPU_NO_INDEX)
			(void)printf("  -: ");
		else
			(void)printf("  %u: ", gpu->index);
		(void)printf("%s, %s, %s", gpu->model[0] ? gpu->model : "unknown model",
			     gpu->uuid[0] ? gpu->uuid : "UUID unknown", gpu->bus_id);
		if (gpu->usable)
			(void)printf(", /dev/nvidia%u", gpu->minor);
		(void)printf("%s%s%s\n", gpu->note[0] ? " (" : "", gpu->note,
			     gpu->note[0] ? ")" : "");
	}
}

static void print_text(const struct driver *driver, const struct gpu_list *gpus)
{
	(void)printf("Driver %s below %s (%s)\n", driver->version[0] ? driver->version : "of WSL2",
		     driver->root,
		     !driver->version[0] ? "its version is the Windows host's to tell" :
		     driver->version_from_module
			     ? "version of the loaded module"
			     : "no module is loaded: version of most libraries");
	print_files(driver, DRIVER_LIBRARY, "Libraries");
	print_files(driver, DRIVER_PROGRAM, "Programs");
	print_files(driver, DRIVER_FIRMWARE, "Firmware");
	print_files(driver, DRIVER_MODULE, "Modules");
	print_files(driver, DRIVER_DATA, "Data");
	print_files(driver, DRIVER_CONFIG, "Configuration of loaders");
	print_findings(driver);
	print_gpus(gpus);
}

static json_t *gpu_json(const struct gpu *gpu)
{
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "uuid",
				 node_text_json(gpu->uuid), "bus_id", node_text_json(gpu->bus_id),
				 "model", node_text_json(gpu->model), "firmware",
				 node_text_json(gpu->firmware), "excluded", gpu->excluded, "usable",
				 gpu->usable, "note", node_text_json(gpu->note));

	if (gpu->index != GPU_NO_INDEX)
		(void)json_object_set_new(json, "index", json_integer(gpu->index));
	if (gpu->usable)
		(void)json_object_set_new(json, "minor", json_integer(gpu->minor));
	return json;
}

static json_t *driver_json(const struct driver *driver, const struct gpu_list *gpus)
{
	json_t *files = json_array(), *findings = json_array(), *list = json_array();

	for (size_t i = 0; i < driver->n_files; i++)
		(void)json_array_append_new(files, node_file_json(&driver->files[i]));
	for (size_t i = 0; i < driver->n_findings; i++)
		(void)json_array_append_new(
			findings, json_pack("{s:b, s:o}", "problem", driver->findings[i].problem,
					    "text", node_text_json(driver->findings[i].text)));
	for (size_t i = 0; i < gpus->n; i++)
		(void)json_array_append_new(list, gpu_json(&gpus->gpus[i]));
	return json_pack("{s:s, s:b, s:o, s:o, s:o, s:o}", "version", driver->version,
			 "version_from_module", driver->version_from_module, "driver_root",
			 node_text_json(driver->root), "files", files, "findings", findings, "gpus",
			 list);
}

static int show(const struct driver *driver, const struct gpu_list *gpus, bool json)
{
	int status = EXIT_SUCCESS;

	if (json)
		status = local_print_json(driver_json(driver, gpus));
	else
		print_text(driver, gpus);
	return local_flush(status);
}

int cmd_driver(int argc, char **argv)
{
	struct local_options options;
	struct gpu_list *gpus = NULL;
	struct driver *driver = NULL;
	struct error err = { 0 };
	int r, status;

	if (local_options(argc, argv, false, &options) < 0) {
		(void)fputs(usage, stderr);
		return ERROR_USAGE;
	}
	if (options.help) {
		(void)fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	r = driver_discover(&options.config, &driver, &err);
	r = r ? r : gpu_list_new(options.config.proc_root, &gpus, &err);
	status = r < 0 ? local_tell_error(&err, NULL, options.json) :
			 show(driver, gpus, options.json);
	gpu_list_free(gpus);
	driver_free(driver);
	return status;
}
