/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a user asks for to GPUs and MIG devices. The forms of an item do not
 * overlap, so that each says by its look what it may be; whatever is no device of
 * this host is refused by name, because a container with fewer GPUs than it
 * asked for fails later and less clearly.
 */
#include "nvml/select.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "nvml/gpu.h"

/* Longest item that can mean a device; MIG-GPU-<uuid>/<gi>/<ci> has some 55 characters. */
#define ITEM_MAX 96
#define CDI_KIND "nvidia.com/gpu="
#define NOWHERE SIZE_MAX
#define NO_BUS_ID ULLONG_MAX

/* A selection being made. */
struct chooser {
	const struct gpu_list *list;
	struct gpu_selection selection;
	bool *has_gpu, *has_mig;     /* by position: in the selection already */
	bool *is_whole;              /* likewise: the GPU itself was asked for */
	unsigned long long *bus_ids; /* of each GPU, as numbers; NO_BUS_ID for none */
	size_t *by_uuid; /* positions of the MIG devices, sorted; NULL until one is looked for */
};

static bool is_word(const char *item, size_t len, const char *word)
{
	return strlen(word) == len && !strncasecmp(item, word, len);
}

static int unknown_device(const struct gpu_list *list, const char *item, const char *what,
			  struct error *err)
{
	(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%.80s: %s", item, what);
	if (list->n == 0)
		return error_remedy(err, -ENODEV, "this host has no GPU; is the module loaded?");
	return error_remedy(err, -ENODEV, "see `nvfs devices` for the %zu there %s", list->n,
			    list->n == 1 ? "is" : "are");
}

/* What may be the name of a device that is there, when NVML has told its names. */
static bool may_come(const struct gpu_list *list, const char *item)
{
	if (!list->provisional)
		return false;
	if (!strncasecmp(item, "MIG-", 4))
		return !list->has_nvcaps || list->n_migs > 0;
	if (strncasecmp(item, "GPU-", 4) != 0)
		return false;
	for (size_t i = 0; i < list->n; i++)
		if (list->gpus[i].usable && !list->gpus[i].uuid[0])
			return true;
	return false;
}

static int not_known_yet(const char *item, struct error *err)
{
	(void)error_setc(err, ERROR_AGAIN, -EAGAIN,
			 "%.80s: NVML has not told the names of all devices yet", item);
	return error_remedy(err, -EAGAIN, "try again in some seconds; see `nvfs info`");
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

static bool find_by_bus_id(const struct chooser *c, const char *item, size_t *ret)
{
	unsigned long long wanted;

	if (gpu_bus_id_parse(item, &wanted) < 0)
		return false;
	for (size_t i = 0; i < c->list->n; i++) {
		if (c->bus_ids[i] == wanted) {
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

static int find_gpu(const struct chooser *c, const char *item, size_t *ret, struct error *err)
{
	const struct gpu_list *list = c->list;
	size_t at = 0, hits;

	if (!find_by_index(list, item, &at) && !find_by_bus_id(c, item, &at)) {
		hits = find_by_uuid(list, item, &at);
		if (hits > 1)
			return unknown_device(list, item, "more than one GPU begins so", err);
		if (hits == 0 && may_come(list, item))
			return not_known_yet(item, err);
		if (hits == 0)
			return unknown_device(list, item, "unknown device", err);
	}
	*ret = at;
	return 0;
}

/* MIG devices */

static int compare_mig_uuids(const void *a, const void *b, void *list)
{
	const struct mig_device *migs = ((const struct gpu_list *)list)->migs;

	return strcasecmp(migs[*(const size_t *)a].uuid, migs[*(const size_t *)b].uuid);
}

/* One list may name hundreds of them: sorted once, found in a few steps. */
static int sort_migs(struct chooser *c)
{
	if (c->by_uuid)
		return 0;
	c->by_uuid = calloc(c->list->n_migs + 1, sizeof(*c->by_uuid));
	if (!c->by_uuid)
		return -ENOMEM;
	for (size_t i = 0; i < c->list->n_migs; i++)
		c->by_uuid[i] = i;
	qsort_r(c->by_uuid, c->list->n_migs, sizeof(*c->by_uuid), compare_mig_uuids,
		(void *)c->list);
	return 0;
}

static size_t find_mig_by_uuid(const struct chooser *c, const char *item)
{
	size_t low = 0, high = c->list->n_migs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcasecmp(item, c->list->migs[c->by_uuid[middle]].uuid);

		if (order == 0)
			return c->by_uuid[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NOWHERE;
}

/* "a<separator>b", two numbers. */
static bool parse_pair(const char *text, char separator, unsigned int *ret_a, unsigned int *ret_b)
{
	const char *middle = strchr(text, separator);
	char number[16];
	uint64_t a, b;

	if (!middle || (size_t)(middle - text) >= sizeof(number))
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(middle - text), text);
	if (parse_u64(number, GPU_NO_INDEX - 1, &a) < 0 ||
	    parse_u64(middle + 1, GPU_NO_INDEX - 1, &b) < 0)
		return false;
	*ret_a = (unsigned int)a;
	*ret_b = (unsigned int)b;
	return true;
}

/* "GPU-<uuid>/<gi>/<ci>", the UUID whole: how drivers before 470 called a MIG device. */
static size_t find_mig_by_ids(const struct gpu_list *list, const char *item)
{
	const char *ids = strchr(item, '/');
	unsigned int gi, ci;

	if (!ids || !parse_pair(ids + 1, '/', &gi, &ci))
		return NOWHERE;
	for (size_t i = 0; i < list->n_migs; i++) {
		const struct mig_device *mig = &list->migs[i];
		const char *uuid = list->gpus[mig->gpu].uuid;

		if (mig->gi == gi && mig->ci == ci && strlen(uuid) == (size_t)(ids - item) &&
		    !strncasecmp(uuid, item, (size_t)(ids - item)))
			return i;
	}
	return NOWHERE;
}

/* "0:1": the second number is the MIG device's own, of which some may be missing. */
static size_t find_mig_by_index(const struct gpu_list *list, const char *item)
{
	unsigned int gpu, index;

	if (!parse_pair(item, ':', &gpu, &index))
		return NOWHERE;
	for (size_t i = 0; i < list->n_migs; i++)
		if (list->migs[i].index == index && list->gpus[list->migs[i].gpu].index == gpu)
			return i;
	return NOWHERE;
}

static int find_mig(struct chooser *c, const char *item, size_t *ret, struct error *err)
{
	static const char prefix[] = "MIG-";

	*ret = find_mig_by_index(c->list, item);
	/* By order until NVML has told: it may call another one so. */
	if (*ret != NOWHERE && c->list->provisional)
		return not_known_yet(item, err);
	if (*ret != NOWHERE || strncasecmp(item, prefix, strlen(prefix)) != 0)
		return 0;
	if (sort_migs(c) < 0)
		return error_set(err, -ENOMEM, "select GPUs");
	*ret = find_mig_by_uuid(c, item);
	if (*ret == NOWHERE)
		*ret = find_mig_by_ids(c->list, item + strlen(prefix));
	return 0;
}

/* choosing */

static void select_gpu(struct chooser *c, size_t at, bool is_whole)
{
	if (!c->has_gpu[at])
		c->selection.at[c->selection.n++] = at;
	c->has_gpu[at] = true;
	c->is_whole[at] = c->is_whole[at] || is_whole;
}

static void select_mig(struct chooser *c, size_t at)
{
	select_gpu(c, c->list->migs[at].gpu, false);
	if (!c->has_mig[at])
		c->selection.migs[c->selection.n_migs++] = at;
	c->has_mig[at] = true;
}

static void select_all(struct chooser *c)
{
	c->selection.all = true;
	for (size_t i = 0; i < c->list->n; i++)
		if (c->list->gpus[i].usable)
			select_gpu(c, i, true);
	for (size_t i = 0; i < c->list->n_migs; i++)
		if (c->list->gpus[c->list->migs[i].gpu].usable)
			select_mig(c, i);
}

static int select_device(struct chooser *c, const char *item, struct error *err)
{
	size_t at = 0, mig;
	int r = find_mig(c, item, &mig, err);

	if (r < 0)
		return r;
	if (mig != NOWHERE)
		at = c->list->migs[mig].gpu;
	else
		r = find_gpu(c, item, &at, err);
	if (r < 0)
		return r;
	if (!c->list->gpus[at].usable) {
		(void)error_setc(err, ERROR_DEVICE, -ENODEV, "%.80s: unusable GPU: %s", item,
				 c->list->gpus[at].note);
		return error_remedy(err, -ENODEV, "choose another GPU; see `nvfs devices`");
	}
	if (mig != NOWHERE)
		select_mig(c, mig);
	else
		select_gpu(c, at, true);
	return 0;
}

static int select_item(struct chooser *c, const char *text, size_t len, struct error *err)
{
	char item[ITEM_MAX];

	(void)snprintf(item, sizeof(item), "%.*s",
		       (int)(len < sizeof(item) ? len : sizeof(item) - 1), text);
	if (is_word(text, len, "none") || is_word(text, len, "void")) {
		(void)error_setc(err, ERROR_DEVICE, -EINVAL, "'%s' beside other devices", item);
		return error_remedy(err, -EINVAL, "say '%s' alone, or leave it out", item);
	}
	if (len >= sizeof(item))
		return unknown_device(c->list, item, "unknown device", err);
	return select_device(c, item, err);
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

static int chooser_init(struct chooser *c, const struct gpu_list *list)
{
	c->list = list;
	c->selection.wanted = true;
	c->selection.at = calloc(list->n + 1, sizeof(*c->selection.at));
	c->selection.migs = calloc(list->n_migs + 1, sizeof(*c->selection.migs));
	c->bus_ids = calloc(list->n + 1, sizeof(*c->bus_ids));
	c->has_gpu = calloc(list->n + 1, sizeof(*c->has_gpu));
	c->has_mig = calloc(list->n_migs + 1, sizeof(*c->has_mig));
	c->is_whole = calloc(list->n + 1, sizeof(*c->is_whole));
	c->selection.is_parent = calloc(list->n + 1, sizeof(*c->selection.is_parent));
	if (!c->is_whole || !c->selection.is_parent || !c->selection.at || !c->selection.migs ||
	    !c->bus_ids || !c->has_gpu || !c->has_mig)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		if (gpu_bus_id_parse(list->gpus[i].bus_id, &c->bus_ids[i]) < 0)
			c->bus_ids[i] = NO_BUS_ID;
	return 0;
}

static void chooser_done(struct chooser *c)
{
	gpu_selection_done(&c->selection);
	free(c->bus_ids);
	free(c->has_gpu);
	free(c->has_mig);
	free(c->is_whole);
	free(c->by_uuid);
}

/* "nvidia.com/gpu=0" is 0: the devices of NVIDIA's CDI files have the names that are known here. */
static const char *without_kind(const char *item, size_t *len)
{
	size_t kind = strlen(CDI_KIND);

	if (*len <= kind || strncmp(item, CDI_KIND, kind) != 0)
		return item;
	*len -= kind;
	return item + kind;
}

int gpu_select(const struct gpu_list *list, const char *devices, struct gpu_selection *ret,
	       struct error *err)
{
	__attribute__((cleanup(chooser_done))) struct chooser c = { 0 };
	const char *cursor = devices ? devices : "", *item;
	size_t len;
	int r;

	if (!select_word(cursor, &c.selection)) {
		if (chooser_init(&c, list) < 0)
			return error_set(err, -ENOMEM, "select GPUs");
		while ((item = parse_field(&cursor, ',', &len))) {
			if (len == 0)
				continue;
			item = without_kind(item, &len);
			if (is_word(item, len, "all")) {
				select_all(&c);
				break;
			}
			r = select_item(&c, item, len, err);
			if (r < 0)
				return r;
		}
		for (size_t i = 0; i < c.selection.n; i++)
			c.selection.is_parent[i] = !c.is_whole[c.selection.at[i]];
	}
	*ret = c.selection;
	c.selection = (struct gpu_selection){ 0 };
	return 0;
}

int gpu_select_mig_control(const struct gpu_selection *selection, const char *what,
			   const char *word, struct error *err)
{
	if (!*word)
		return 0;
	if (strcasecmp(word, "all") != 0) {
		(void)error_setc(err, ERROR_DEVICE, -EINVAL,
				 "%.40s: only 'all' devices are currently supported", word);
		return error_remedy(err, -EINVAL, "say all, or nothing");
	}
	if (!selection->all && selection->n_migs > 0) {
		(void)error_setc(err, ERROR_DEVICE, -EINVAL,
				 "cannot enable %s with specific MIG devices selected", what);
		return error_remedy(err, -EINVAL, "choose whole GPUs, or all");
	}
	return 1;
}

void gpu_selection_done(struct gpu_selection *selection)
{
	if (!selection)
		return;
	free(selection->at);
	free(selection->migs);
	free(selection->is_parent);
	*selection = (struct gpu_selection){ 0 };
}
