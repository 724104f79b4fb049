/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a user asks for to GPUs. An item of the list is tried as an index,
 * a bus id and a UUID, whose forms do not overlap; whatever is no GPU of this
 * host is refused by name, because a container with fewer GPUs than it asked
 * for fails later and less clearly.
 */
#include "nvml/select.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "nvml/gpu.h"

/* Longest item that can mean a GPU; UUIDs have 40 characters. */
#define ITEM_MAX 64

static bool is_word(const char *item, size_t len, const char *word)
{
	return strlen(word) == len && !strncasecmp(item, word, len);
}

static int unknown_device(const struct gpu_list *list, const char *item, const char *what,
			  struct error *err)
{
	(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%.48s: %s", item, what);
	if (list->n == 0)
		return error_remedy(err, -ENODEV, "this host has no GPU; is the module loaded?");
	return error_remedy(err, -ENODEV, "see `nvfs driver` for the %zu there %s", list->n,
			    list->n == 1 ? "is" : "are");
}

static bool find_by_index(const struct gpu_list *list, const char *item, size_t *ret)
{
	uint64_t index;

	if (parse_u64(item, GPU_NO_INDEX - 1, &index) < 0)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (list->gpus[i].index == index) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool find_by_bus_id(const struct gpu_list *list, const char *item, size_t *ret)
{
	unsigned long long wanted, have;

	if (gpu_bus_id_parse(item, &wanted) < 0)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (!gpu_bus_id_parse(list->gpus[i].bus_id, &have) && have == wanted) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* Number of GPUs whose UUID begins with the item: 1 is a hit, more are ambiguous. */
static size_t find_by_uuid(const struct gpu_list *list, const char *item, size_t *ret)
{
	size_t len = strlen(item), hits = 0;

	if (len <= strlen("GPU-") || strncasecmp(item, "GPU-", strlen("GPU-")) != 0)
		return 0;
	for (size_t i = 0; i < list->n; i++) {
		if (strncasecmp(list->gpus[i].uuid, item, len) != 0)
			continue;
		*ret = i;
		hits++;
	}
	return hits;
}

static int find_gpu(const struct gpu_list *list, const char *item, size_t *ret, struct error *err)
{
	size_t at = 0, hits;

	if (!find_by_index(list, item, &at) && !find_by_bus_id(list, item, &at)) {
		hits = find_by_uuid(list, item, &at);
		if (hits > 1)
			return unknown_device(list, item, "more than one GPU begins so", err);
		if (hits == 0)
			return unknown_device(list, item, "unknown device", err);
	}
	if (!list->gpus[at].usable) {
		(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%.48s: unusable GPU: %s", item,
				 list->gpus[at].note);
		return error_remedy(err, -ENODEV, "choose another GPU; see `nvfs driver`");
	}
	*ret = at;
	return 0;
}

static void select_once(struct gpu_selection *selection, size_t at)
{
	for (size_t i = 0; i < selection->n; i++)
		if (selection->at[i] == at)
			return;
	selection->at[selection->n++] = at;
}

static void select_all(const struct gpu_list *list, struct gpu_selection *selection)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->gpus[i].usable)
			select_once(selection, i);
}

static int select_item(const struct gpu_list *list, const char *text, size_t len,
		       struct gpu_selection *selection, struct error *err)
{
	char item[ITEM_MAX];
	size_t at = 0;
	int r;

	(void)snprintf(item, sizeof(item), "%.*s",
		       (int)(len < sizeof(item) ? len : sizeof(item) - 1), text);
	if (is_word(text, len, "none") || is_word(text, len, "void")) {
		(void)error_setc(err, ERROR_DEVICE, -EINVAL, "'%s' beside other devices", item);
		return error_remedy(err, -EINVAL, "say '%s' alone, or leave it out", item);
	}
	if (len >= sizeof(item))
		return unknown_device(list, item, "unknown device", err);
	r = find_gpu(list, item, &at, err);
	if (r < 0)
		return r;
	select_once(selection, at);
	return 0;
}

/* Words that are the whole list; true if it was one. */
static bool select_word(const char *devices, struct gpu_selection *selection)
{
	const char *cursor = devices, *item, *only = NULL;
	size_t len, only_len = 0;

	while ((item = parse_field(&cursor, ',', &len))) {
		if (len == 0)
			continue;
		if (only && !is_word(item, len, "none") && !is_word(item, len, "void"))
			return false;
		if (only && (len != only_len || strncasecmp(only, item, len) != 0))
			return false;
		only = item;
		only_len = len;
	}
	if (!only)
		return true; /* nothing asked for is nothing given */
	if (!is_word(only, only_len, "none"))
		return is_word(only, only_len, "void");
	selection->wanted = true;
	return true;
}

static void cleanup_selection(struct gpu_selection *selection)
{
	gpu_selection_done(selection);
}

int gpu_select(const struct gpu_list *list, const char *devices, struct gpu_selection *ret,
	       struct error *err)
{
	__attribute__((cleanup(cleanup_selection))) struct gpu_selection selection = { 0 };
	const char *cursor = devices ? devices : "", *item;
	size_t len;
	int r;

	if (select_word(cursor, &selection)) {
		*ret = selection;
		return 0;
	}
	selection.wanted = true;
	selection.at = calloc(list->n + 1, sizeof(*selection.at));
	if (!selection.at)
		return error_set(err, -ENOMEM, "select GPUs");
	while ((item = parse_field(&cursor, ',', &len))) {
		if (len == 0)
			continue;
		if (is_word(item, len, "all")) {
			select_all(list, &selection);
			break;
		}
		r = select_item(list, item, len, &selection, err);
		if (r < 0)
			return r;
	}
	*ret = selection;
	selection.at = NULL;
	return 0;
}

void gpu_selection_done(struct gpu_selection *selection)
{
	if (!selection)
		return;
	free(selection->at);
	*selection = (struct gpu_selection){ 0 };
}
