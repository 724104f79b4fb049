/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/icd.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static bool has(void *data, const char *soname)
{
	(void)data;
	return !strcmp(soname, "libGLX_nvidia.so.0") || !strcmp(soname, "libnvidia-opencl.so.1");
}
static const struct icd_libraries libraries = { has, NULL };

#define LIBRARY(path) "\"library_path\": \"" path "\""
#define ICD(path)                                                  \
	"{\"file_format_version\": \"1.0.0\", \"ICD\": {" LIBRARY( \
		path) ", \"api_version\": \"1.3.277\"}}"

/* Each case names its rule. @want: part of the new text; "": the file is right as it is; NULL: refused */
static const struct {
	const char *rule, *text, *want, *error;
	bool json;
	int r;
} cases[] = {
	{ "a soname stays", ICD("libGLX_nvidia.so.0"), "", NULL, true, 0 },
	{ "an absolute path becomes a soname", ICD("/usr/lib64/libGLX_nvidia.so.0"),
	  LIBRARY("libGLX_nvidia.so.0"), NULL, true, 0 },
	{ "what else it says is kept", ICD("/usr/lib64/libGLX_nvidia.so.0"),
	  "\"api_version\": \"1.3.277\"", NULL, true, 0 },
	{ "a path from the file's own directory becomes a soname", ICD("../../libGLX_nvidia.so.0"),
	  LIBRARY("libGLX_nvidia.so.0"), NULL, true, 0 },
	{ "a layer", "{\"layer\": {" LIBRARY("/x/libGLX_nvidia.so.0") "}}",
	  LIBRARY("libGLX_nvidia.so.0"), NULL, true, 0 },
	{ "each layer of several",
	  "{\"layers\": [{" LIBRARY("libGLX_nvidia.so.0") "}, {\"name\": \"b\", " LIBRARY(
		  "/x/libGLX_nvidia.so.0") "}]}",
	  "\"name\": \"b\",\n            " LIBRARY("libGLX_nvidia.so.0"), NULL, true, 0 },
	{ "a library that the driver has not", ICD("libGLX_mesa.so.0"), NULL,
	  "'libGLX_mesa.so.0', which", true, -ENOENT },
	{ "one of several layers that the driver has not",
	  "{\"layers\": [{" LIBRARY("libGLX_nvidia.so.0") "}, {" LIBRARY("/x/liby.so") "}]}", NULL,
	  "'/x/liby.so'", true, -ENOENT },
	{ "a directory", ICD("/usr/lib64/"), NULL, "'/usr/lib64/', which", true, -ENOENT },
	{ "no JSON", "{\n\"ICD\": }", NULL, "line 2 is no JSON", true, -EBADMSG },
	{ "an empty file", "", NULL, "no JSON", true, -EBADMSG },
	{ "another JSON", "[1, 2]", NULL, "names no library", true, -EBADMSG },
	{ "no library", "{\"ICD\": {}}", NULL, "names no library", true, -EBADMSG },
	{ "a library that is no text", "{\"ICD\": {\"library_path\": 3}}", NULL, "no text", true,
	  -EBADMSG },
	{ "an ICD that is no object", "{\"ICD\": \"x\", \"layers\": {}}", NULL, "names no library",
	  true, -EBADMSG },
	{ "OpenCL: a soname stays", "libnvidia-opencl.so.1\n", "", NULL, false, 0 },
	{ "OpenCL: a path becomes a soname", "\n /usr/lib64/libnvidia-opencl.so.1\n",
	  "libnvidia-opencl.so.1\n", NULL, false, 0 },
	{ "OpenCL: a library that the driver has not", "libmesa.so.1\n", NULL, "'libmesa.so.1'",
	  false, -ENOENT },
	{ "OpenCL: an empty file", "\n\n", NULL, "names no library", false, -EBADMSG },
};

START_TEST(libraries_are_named_as_a_container_finds_them)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };
		char *text = NULL;
		int r = icd_rewrite(cases[i].text, cases[i].json, &libraries, &text, &err);

		ck_assert_msg(r == cases[i].r, "%s: %d", cases[i].rule, r);
		if (cases[i].want && !*cases[i].want)
			ck_assert_msg(!text, "%s: %s", cases[i].rule, text);
		else if (cases[i].want)
			ck_assert_msg(text && strstr(text, cases[i].want), "%s: %s", cases[i].rule,
				      text);
		else
			ck_assert_msg(!text && strstr(err.text, cases[i].error), "%s: %s",
				      cases[i].rule, err.text);
		free(text);
	}
}
END_TEST

UNIT_MAIN("icd", libraries_are_named_as_a_container_finds_them)
