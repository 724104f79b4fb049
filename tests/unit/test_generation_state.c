/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/unit/unit.h"

#define FILE_TEXT(kind, name, object)                                                      \
	"{\"kind\":" kind ",\"name\":\"" name "\",\"path\":\"/usr/lib/x\",\"soname\":\"x.so.1\"," \
	"\"caps\":1,\"class\":64,\"machine\":62,\"size\":10,\"mode\":33261,\"object\":" object "}"
#define GPU_TEXT(bus_id) "{\"uuid\":\"GPU-1\",\"bus_id\":\"" bus_id "\",\"usable\":true}"
#define TEXT(version, files, gpus)                                                    \
	"[{\"number\":3,\"root\":\"/\",\"version\":\"" version "\",\"files\":[" files \
	"],\"gpus\":[" gpus "]}]"

static struct generation *generation;
static struct error err;

/* Load what stands in a store that has one object. */
static int load(const char *text)
{
	struct store_object object = { .mode = 0100755, .path = STORE_NONE };
	struct store *store;
	int r;

	generation = NULL;
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	ck_assert_uint_eq(store_object_add(store, &object), 0);
	store_set_generation(store, store_blob_put(store, text, strlen(text)));
	r = generation_load(store, &generation, &err);
	store_free(store);
	return r;
}

START_TEST(what_was_saved_is_loaded)
{
	ck_assert_int_eq(
		load(TEXT("535.1", FILE_TEXT("1", "nvidia-smi", "0"), GPU_TEXT("0000:00:06.0"))),
		0);
	ck_assert_uint_eq(generation->number, 3);
	ck_assert_str_eq(generation->driver->files[0].name, "nvidia-smi");
	ck_assert_int_eq(generation->driver->files[0].kind, DRIVER_PROGRAM);
	ck_assert_str_eq(generation->gpus->gpus[0].uuid, "GPU-1");
	generation_free(generation);
}
END_TEST

START_TEST(what_is_shown_elsewhere_or_rewritten_is_loaded_as_such)
{
	const struct driver_file *file;

	ck_assert_int_eq(
		load(TEXT("535.1",
			  FILE_TEXT("5", "x.json\",\"dir\":\"share/a\",\"text\":\"{}", "0"), "")),
		0);
	file = &generation->driver->files[0];
	ck_assert_int_eq(file->kind, DRIVER_CONFIG);
	ck_assert_str_eq(file->dir, "share/a");
	ck_assert_str_eq(file->text, "{}");
	generation_free(generation);
}
END_TEST

START_TEST(facts_are_derived_anew_from_what_was_saved)
{
	ck_assert_int_eq(
		load("[{\"number\":3,\"root\":\"/\",\"version\":\"999.1\",\"files\":[],"
		     "\"cuda_note\":\"{\\\"CUDA version\\\":\\\"13.0\\\"}\","
		     "\"gpus\":[{\"bus_id\":\"0000:00:06.0\",\"model\":\"NVIDIA H100 PCIe\"},"
		     "{\"bus_id\":\"0000:00:07.0\",\"device_id\":7864}]}]"),
		0);
	ck_assert_str_eq(generation->driver->cuda, "13.0");
	ck_assert_int_eq(generation->driver->cuda_source, FACT_LIBCUDA);
	ck_assert_str_eq(generation->gpus->gpus[0].arch, "9.0");
	ck_assert_str_eq(generation->gpus->gpus[0].brand, "Nvidia");
	ck_assert_str_eq(generation->gpus->gpus[1].arch, "7.5");
	ck_assert_str_eq(generation->gpus->gpus[1].brand, "");
	generation_free(generation);
	/* As a program saved it that knew nothing of such facts. */
	ck_assert_int_eq(load(TEXT("535.1", "", GPU_TEXT("0000:00:06.0"))), 0);
	ck_assert_str_eq(generation->driver->cuda, "12.2");
	ck_assert_int_eq(generation->driver->cuda_source, FACT_TABLE);
	generation_free(generation);
}
END_TEST

START_TEST(what_nvml_told_is_kept)
{
	static const char gpu[] =
		"{\"bus_id\":\"0000:00:06.0\",\"model\":\"NVIDIA H100 PCIe\",\"arch\":\"9.9\","
		"\"mig_mode\":3,\"mig_source\":5,\"fabric\":\"completed\"}";
	static const char told[] =
		"[{\"number\":3,\"root\":\"/\",\"version\":\"999.1\",\"files\":[],\"gpus\":[%s],"
		"\"migs\":[{\"gpu\":%d,\"index\":6,\"gi\":1,\"ci\":2,\"uuid\":\"MIG-1\","
		"\"source\":5}],"
		"\"nvml\":{\"state\":%d,\"cuda\":\"13.5\",\"print_migs\":-7,\"findings\":"
		"[{\"problem\":true,\"text\":\"x\"}]}}]";
	struct store *store;
	char text[1024];

	(void)snprintf(text, sizeof(text), told, gpu, 0, GENERATION_NVML_TOLD);
	ck_assert_int_eq(load(text), 0);
	/* and is saved, and loaded again */
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	ck_assert_int_eq(generation_save(generation, store, NULL), 0);
	generation_free(generation);
	ck_assert_int_eq(generation_load(store, &generation, NULL), 0);
	store_free(store);
	ck_assert_str_eq(generation->driver->cuda, "13.5");
	ck_assert_int_eq(generation->driver->cuda_source, FACT_NVML);
	ck_assert_str_eq(generation->gpus->gpus[0].arch, "9.9");
	ck_assert_int_eq(generation->gpus->gpus[0].arch_source, FACT_NVML);
	ck_assert_int_eq(generation->gpus->gpus[0].mig_mode, GPU_MIG_ON);
	ck_assert_str_eq(generation->gpus->gpus[0].fabric, "completed");
	ck_assert_int_eq(generation->gpus->gpus[0].brand_source, FACT_TABLE);
	ck_assert_uint_eq(generation->gpus->n_migs, 1);
	ck_assert_uint_eq(generation->gpus->migs[0].index, 6);
	ck_assert_str_eq(generation->gpus->migs[0].uuid, "MIG-1");
	ck_assert_int_eq(generation->nvml.state, GENERATION_NVML_TOLD);
	ck_assert_uint_eq(generation->nvml.print.migs, (uint64_t)-7);
	ck_assert_uint_eq(generation->nvml.findings.n, 1);
	generation_free(generation);
	/* As a program saved it that asked nobody. */
	ck_assert_int_eq(load(TEXT("535.1", "", GPU_TEXT("0000:00:06.0"))), 0);
	ck_assert_int_eq(generation->nvml.state, GENERATION_NVML_PENDING);
	generation_free(generation);
	(void)snprintf(text, sizeof(text), told, gpu, 1, GENERATION_NVML_TOLD);
	ck_assert_int_eq(load(text), -EBADMSG);
	(void)snprintf(text, sizeof(text), told, gpu, 0, GENERATION_NVML_OFF + 1);
	ck_assert_int_eq(load(text), -EBADMSG);
}
END_TEST

START_TEST(the_same_driver_is_another_generation)
{
	static const char told[] =
		"[{\"number\":3,\"root\":\"/\",\"version\":\"535.1\",\"files\":[" FILE_TEXT(
			"1", "nvidia-smi",
			"0") "],\"gpus\":[" GPU_TEXT("0000:00:06.0") "],"
								     "\"nvml\":{\"state\":1,"
								     "\"cuda\":\"13.5\",\"print_"
								     "migs\":-7}}]";
	struct generation *next;

	ck_assert_int_eq(load(told), 0);
	ck_assert_int_eq(generation->nvml.state, GENERATION_NVML_TOLD);
	ck_assert_int_eq(generation_again(generation, 4, &next), 0);
	ck_assert_uint_eq(next->number, 4);
	ck_assert_int_ge(next->made_s, time(NULL) - 60);
	ck_assert_ptr_null(next->older);
	ck_assert_uint_eq(next->driver->n_files, 1);
	ck_assert_uint_eq(next->objects[0], generation->objects[0]);
	ck_assert_int_eq(next->driver->files[0].fd, -1);
	ck_assert(generation_has_files_of(generation, next));
	ck_assert_str_eq(next->gpus->gpus[0].uuid, "GPU-1");
	/* it is to be asked anew, and until then what it told is the best that there is */
	ck_assert_int_eq(next->nvml.state, GENERATION_NVML_PENDING);
	ck_assert_str_eq(next->driver->cuda, "13.5");
	generation_free(next);
	generation_free(generation);
}
END_TEST

START_TEST(what_no_discovery_gives_is_refused)
{
	static const char *const texts[] = {
		"[{\"version\":\"535.1\"}]", /* no driver root */
		TEXT("../535", "", ""),
		TEXT("535.1", FILE_TEXT("6", "x", "0"), ""),
		TEXT("535.1", FILE_TEXT("5", "x", "0"), ""), /* no directory */
		TEXT("535.1", FILE_TEXT("5", "x\",\"dir\":\"a/../b", "0"), ""),
		TEXT("535.1", FILE_TEXT("5", "x\",\"dir\":\"/a", "0"), ""),
		TEXT("535.1", FILE_TEXT("0", "x\",\"text\":\"no place", "0"), ""),
		TEXT("535.1", FILE_TEXT("-1", "x", "0"), ""),
		TEXT("535.1", FILE_TEXT("0", "../x", "0"), ""),
		TEXT("535.1", FILE_TEXT("0", "", "0"), ""),
		TEXT("535.1", FILE_TEXT("0", "x", "1"), ""),
		TEXT("535.1", "", GPU_TEXT("../06.0")),
		TEXT("535.1", "", GPU_TEXT("")),
		"[]",
		"{}",
		"[1]",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_msg(load(texts[i]) == -EBADMSG, "%s", texts[i]);
		ck_assert_ptr_null(generation);
		ck_assert(err.text[0]);
	}
}
END_TEST

/* Files behind the bad one were counted with descriptor 0, and closed with it. */
START_TEST(a_refusal_closes_no_descriptor_of_anybody_else)
{
	int zero = open("/dev/null", O_RDONLY);

	if (fcntl(0, F_GETFD) < 0)
		ck_assert_int_eq(dup2(zero, 0), 0);
	ck_assert_int_eq(
		load(TEXT("535.1", FILE_TEXT("0", "x", "9") "," FILE_TEXT("0", "y", "0"), "")),
		-EBADMSG);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
}
END_TEST

UNIT_MAIN("generation_state", what_nvml_told_is_kept, the_same_driver_is_another_generation,
	  what_was_saved_is_loaded, what_is_shown_elsewhere_or_rewritten_is_loaded_as_such,
	  facts_are_derived_anew_from_what_was_saved, what_no_discovery_gives_is_refused,
	  a_refusal_closes_no_descriptor_of_anybody_else)
