/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPUs as the loaded module's procfs names them: one directory per bus id, in
 * it a file "information". No NVML: what a container needs (UUID, minor, bus
 * id, model) is here, costs microseconds and does not wake a GPU.
 *
 *   index   order of bus ids, as NVML and nvidia-smi count; excluded GPUs have none
 *   minor   number of the device node, given in the order in which the module found them
 *
 * The rule: one broken entry never hides the others and never moves their indices.
 */
#include "nvml/gpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "nvml/pci.h"

#define INFORMATION_MAX_BYTES 4096
#define PCI_DEVICES_MAX_BYTES (4 * 1024 * 1024)
/* Minors are 8 bits; 254 and 255 are nvidia-modeset and nvidiactl. */
#define GPU_MINOR_MAX 253
#define GPU_MAX 256

/* Hexadecimal digits only, 1 to @max_digits of them, then @end; strtoull(3) takes signs and 0x. */
static const char *parse_hex(const char *s, int max_digits, char end, unsigned long long *ret)
{
	unsigned long long value = 0;
	int n;

	for (n = 0; n < max_digits && isxdigit((unsigned char)s[n]); n++)
		value = value << 4 |
			(unsigned long long)(isdigit((unsigned char)s[n])
						     ? s[n] - '0'
						     : tolower((unsigned char)s[n]) - 'a' + 10);
	if (n == 0 || s[n] != end)
		return NULL;
	*ret = value;
	return s + n + 1;
}

int gpu_bus_id_parse(const char *text, unsigned long long *ret)
{
	unsigned long long domain = 0, bus, device, function;
	const char *s, *rest;

	/* With a domain there are two colons. */
	rest = strchr(text, ':');
	s = text;
	if (rest && strchr(rest + 1, ':'))
		s = parse_hex(s, 8, ':', &domain);
	s = s ? parse_hex(s, 2, ':', &bus) : NULL;
	s = s ? parse_hex(s, 2, '.', &device) : NULL;
	s = s ? parse_hex(s, 1, '\0', &function) : NULL;
	if (!s || device > 0x1f || function > 7)
		return -EINVAL;
	*ret = domain << 16 | bus << 8 | device << 3 | function;
	return 0;
}

/* Copy without control characters; what does not fit is cut. */
static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[n] = '\0';
}

static void set_uuid(struct gpu *gpu, const char *value, size_t len)
{
	/* "GPU-????????-...": not known before somebody has opened the GPU. */
	if (len <= strlen("GPU-") || len >= sizeof(gpu->uuid) || strncmp(value, "GPU-", 4) != 0)
		return;
	for (size_t i = 4; i < len; i++)
		if (!isxdigit((unsigned char)value[i]) && value[i] != '-')
			return;
	copy_text(gpu->uuid, sizeof(gpu->uuid), value, len);
}

static bool is_word(const char *value, size_t len, const char *word)
{
	return strlen(word) == len && !strncasecmp(value, word, len);
}

static bool set_minor(struct gpu *gpu, const char *value, size_t len)
{
	char number[16];
	uint64_t minor;

	if (len >= sizeof(number))
		return false;
	copy_text(number, sizeof(number), value, len);
	if (parse_u64(number, GPU_MINOR_MAX, &minor) < 0)
		return false;
	gpu->minor = (unsigned int)minor;
	return true;
}

/* One line; returns true for a sound "Device Minor". */
static bool parse_line(const char *key, size_t key_len, const char *value, size_t len,
		       struct gpu *gpu)
{
	if (is_word(key, key_len, "Model"))
		copy_text(gpu->model, sizeof(gpu->model), value, len);
	else if (is_word(key, key_len, "GPU UUID"))
		set_uuid(gpu, value, len);
	else if (is_word(key, key_len, "GPU Firmware") && !is_word(value, len, "N/A"))
		copy_text(gpu->firmware, sizeof(gpu->firmware), value, len);
	else if (is_word(key, key_len, "GPU Excluded"))
		gpu->excluded = is_word(value, len, "Yes");
	else if (is_word(key, key_len, "Device Minor"))
		return set_minor(gpu, value, len);
	return false;
}

static void set_note(struct gpu *gpu, const char *note)
{
	(void)snprintf(gpu->note, sizeof(gpu->note), "%s", note);
}

void gpu_parse_information(const char *text, struct gpu *gpu)
{
	const char *lines = text, *line, *colon;
	size_t len, value_len;
	bool has_minor = false;
	struct gpu fresh = { .index = gpu->index };

	memcpy(fresh.bus_id, gpu->bus_id, sizeof(fresh.bus_id));
	while ((line = parse_field(&lines, '\n', &len))) {
		const char *rest, *value;

		colon = memchr(line, ':', len);
		if (!colon)
			continue;
		/* The value may have colons and commas of its own: trim it by hand. */
		value = colon + 1;
		rest = line + len;
		while (value < rest && isspace((unsigned char)*value))
			value++;
		value_len = (size_t)(rest - value);
		if (parse_line(line, (size_t)(colon - line), value, value_len, &fresh))
			has_minor = true;
	}
	fresh.usable = has_minor && !fresh.excluded;
	if (fresh.excluded)
		set_note(&fresh, "excluded by the module's parameter ExcludedGpus");
	else if (!has_minor)
		set_note(&fresh, "its information file names no device minor");
	else if (!fresh.uuid[0])
		set_note(&fresh, "its UUID is not known before it is first opened");
	*gpu = fresh;
}

static void read_gpu(int gpus_fd, struct gpu *gpu)
{
	auto_free char *text = NULL;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "%s/information", gpu->bus_id);
	r = file_read_at(gpus_fd, path, INFORMATION_MAX_BYTES, &text, NULL, NULL);
	if (r < 0) {
		(void)snprintf(gpu->note, sizeof(gpu->note), "its information is unreadable: %s",
			       strerror(-r));
		return;
	}
	gpu_parse_information(text, gpu);
}

static int compare_bus_ids(const void *a, const void *b)
{
	unsigned long long x = 0, y = 0;

	(void)gpu_bus_id_parse(((const struct gpu *)a)->bus_id, &x);
	(void)gpu_bus_id_parse(((const struct gpu *)b)->bus_id, &y);
	return x < y ? -1 : x > y;
}

static int append_gpu(struct gpu_list *list, const char *bus_id)
{
	struct gpu *gpus;

	gpus = reallocarray(list->gpus, list->n + 1, sizeof(*gpus));
	if (!gpus)
		return -ENOMEM;
	list->gpus = gpus;
	gpus[list->n] = (struct gpu){ 0 };
	copy_text(gpus[list->n].bus_id, sizeof(gpus->bus_id), bus_id, strlen(bus_id));
	list->n++;
	return 0;
}

static int read_names(DIR *dir, struct gpu_list *list, struct error *err)
{
	const struct dirent *entry;
	unsigned long long id;

	while ((errno = 0, entry = readdir(dir))) {
		if (gpu_bus_id_parse(entry->d_name, &id) < 0 || list->n == GPU_MAX)
			continue;
		if (append_gpu(list, entry->d_name) < 0)
			return error_set(err, -ENOMEM, "list GPUs");
	}
	if (errno)
		return error_set(err, -errno, "list GPUs");
	return 0;
}

static bool are_twins(const struct gpu *a, const struct gpu *b)
{
	if (!a->usable || !b->usable)
		return false;
	return a->minor == b->minor || (a->uuid[0] && !strcasecmp(a->uuid, b->uuid));
}

/* GPUs with one minor or one UUID: nobody can tell which is meant, so none of them is given. */
static void refuse_twins(struct gpu_list *list)
{
	bool twin[GPU_MAX] = { false };

	for (size_t i = 0; i < list->n; i++)
		for (size_t k = i + 1; k < list->n; k++)
			if (are_twins(&list->gpus[i], &list->gpus[k]))
				twin[i] = twin[k] = true;
	for (size_t i = 0; i < list->n; i++) {
		if (!twin[i])
			continue;
		list->gpus[i].usable = false;
		set_note(&list->gpus[i], "it has the minor or UUID of another GPU");
	}
}

static void number_gpus(struct gpu_list *list)
{
	unsigned int index = 0;

	for (size_t i = 0; i < list->n; i++)
		list->gpus[i].index = list->gpus[i].excluded ? GPU_NO_INDEX : index++;
}

/* What kind of device each is. Without it they are known by their models alone. */
static void read_device_ids(const char *proc_root, struct gpu_list *list)
{
	auto_free char *path = NULL, *text = NULL;
	unsigned long long bus_id;

	if (asprintf(&path, "%s/bus/pci/devices", proc_root ? proc_root : "/proc") < 0)
		path = NULL;
	if (!path || file_read_at(AT_FDCWD, path, PCI_DEVICES_MAX_BYTES, &text, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < list->n; i++)
		if (gpu_bus_id_parse(list->gpus[i].bus_id, &bus_id) == 0)
			list->gpus[i].device_id = pci_nvidia_device(text, bus_id);
}

static int open_gpus(const char *proc_root, struct error *err)
{
	auto_free char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/driver/nvidia/gpus", proc_root ? proc_root : "/proc") < 0) {
		path = NULL;
		return error_set(err, -ENOMEM, "list GPUs");
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return error_set(err, -errno, "open '%s'", path);
	return fd < 0 ? -ENOENT : fd;
}

static void cleanup_gpu_list(struct gpu_list **list)
{
	gpu_list_free(*list);
}

int gpu_list_new(const char *proc_root, struct gpu_list **ret, struct error *err)
{
	__attribute__((cleanup(cleanup_gpu_list))) struct gpu_list *list = NULL;
	auto_closedir DIR *dir = NULL;
	auto_close int fd = -1;
	int r;

	list = calloc(1, sizeof(*list));
	if (!list)
		return error_set(err, -ENOMEM, "list GPUs");
	fd = open_gpus(proc_root, err);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0) {
		dir = fdopendir(fd);
		if (!dir)
			return error_set(err, -errno, "list GPUs");
		(void)take_fd(&fd); /* dir's now */
		r = read_names(dir, list, err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < list->n; i++)
			read_gpu(dirfd(dir), &list->gpus[i]);
	}
	if (list->n > 0)
		qsort(list->gpus, list->n, sizeof(*list->gpus), compare_bus_ids);
	refuse_twins(list);
	number_gpus(list);
	if (list->n > 0)
		read_device_ids(proc_root, list);
	*ret = take_ptr(&list);
	return 0;
}

const char *gpu_mig_mode_name(enum gpu_mig_mode mode)
{
	switch (mode) {
	case GPU_MIG_NONE:
		return "none";
	case GPU_MIG_OFF:
		return "off";
	case GPU_MIG_ON:
		return "on";
	case GPU_MIG_UNKNOWN:
		break;
	}
	return "unknown";
}

void gpu_list_free(struct gpu_list *list)
{
	if (!list)
		return;
	free(list->gpus);
	free(list->migs);
	free(list);
}
