/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivation with memory. The key of an answer is the whole request: the
 * image's cache by its blob (equal bytes have one blob, compared byte by byte,
 * so that no image can pass for another), capabilities, GPUs and target.
 */
#include "fs/derive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "fs/cachebox.h"
#include "fs/compose.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/select.h"

#define ANSWERS_MAX 256

struct answer {
	char *key; /* NULL = free */
	uint32_t generation;
	uint32_t image; /* with a reference, so that the index means the same bytes for ever */
	uint32_t layout;
	int cache_fd;
	char warning[160];
};

struct deriver {
	struct store *store;
	struct cachebox *box;
	struct answer answers[ANSWERS_MAX];
	unsigned int next; /* the oldest, to be replaced */
};

struct deriver *deriver_new(struct store *store, struct cachebox *box)
{
	struct deriver *deriver = calloc(1, sizeof(*deriver));

	if (!deriver)
		return NULL;
	deriver->store = store;
	deriver->box = box;
	return deriver;
}

static void answer_clear(struct deriver *deriver, struct answer *answer)
{
	if (!answer->key)
		return;
	store_write_lock(deriver->store);
	store_layout_unref(deriver->store, answer->layout);
	store_blob_unref(deriver->store, answer->image);
	store_unlock(deriver->store);
	cleanup_close(&answer->cache_fd);
	free(answer->key);
	memset(answer, 0, sizeof(*answer));
}

void deriver_forget(struct deriver *deriver)
{
	for (unsigned int i = 0; i < ANSWERS_MAX; i++)
		answer_clear(deriver, &deriver->answers[i]);
}

void deriver_free(struct deriver *deriver)
{
	if (!deriver)
		return;
	deriver_forget(deriver);
	free(deriver);
}

/* "caps image target gpu,gpu": NULL when out of memory */
static char *make_key(const struct derive_request *request)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "%u %u %s ", request->caps, request->image, request->target);
	if (!request->selection)
		fputs("all", out);
	for (size_t i = 0; request->selection && i < request->selection->n; i++)
		fprintf(out, "%zu,", request->selection->at[i]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static struct answer *answer_find(struct deriver *deriver, const char *key, uint32_t generation)
{
	for (unsigned int i = 0; i < ANSWERS_MAX; i++) {
		struct answer *answer = &deriver->answers[i];

		if (answer->key && answer->generation == generation && strcmp(answer->key, key) == 0)
			return answer;
	}
	return NULL;
}

/* The image's cache and the driver's entries, or for any trouble with the image the latter alone. */
static int merge(struct deriver *deriver, const struct generation *generation,
		 const struct derive_request *request, void **ret, size_t *ret_len,
		 struct answer *answer, struct error *err)
{
	char lib_dir[300];
	struct ldcache_add *entries = NULL;
	struct error why = { 0 };
	size_t n = 0;
	int r;

	(void)snprintf(lib_dir, sizeof(lib_dir), "%s/lib64", request->target);
	r = compose_cache_entries(generation, request->caps, lib_dir, &entries, &n);
	if (r < 0)
		return error_set(err, r, "list the driver's libraries");
	r = -1;
	if (request->image_fd >= 0 && deriver->box)
		r = cachebox_merge(deriver->box, request->image_fd, entries, n, request->target, ret,
				   ret_len, &why);
	if (r < 0 && request->image_fd >= 0)
		(void)snprintf(answer->warning, sizeof(answer->warning),
			       "the image's ld.so.cache is of no use (%.80s), using the driver's entries alone",
			       why.text);
	if (r < 0)
		r = ldcache_merge(NULL, entries, n, NULL, ret, ret_len, err);
	compose_cache_entries_free(entries, n);
	return r;
}

static int answer_make(struct deriver *deriver, const struct generation *generation,
		       const struct derive_request *request, struct answer *answer,
		       struct error *err)
{
	struct compose_spec spec = { .caps = request->caps, .selection = request->selection };
	auto_free void *cache = NULL;
	int r = merge(deriver, generation, request, &cache, &spec.cache_size, answer, err);

	if (r < 0)
		return r;
	spec.cache = cache;
	answer->cache_fd = file_memfd("ld.so.cache", cache, spec.cache_size);
	if (answer->cache_fd < 0)
		return error_set(err, answer->cache_fd, "make a memfd");
	store_write_lock(deriver->store);
	r = compose_tree(deriver->store, generation, &spec, &answer->layout, err);
	store_unlock(deriver->store);
	if (r < 0)
		cleanup_close(&answer->cache_fd);
	return r;
}

static struct answer *answer_keep(struct deriver *deriver, struct answer *answer, char *key,
				  uint32_t generation, uint32_t image)
{
	struct answer *place = &deriver->answers[deriver->next];

	answer_clear(deriver, place);
	deriver->next = (deriver->next + 1) % ANSWERS_MAX;
	answer->key = key;
	answer->generation = generation;
	answer->image = image;
	*place = *answer;
	store_write_lock(deriver->store);
	store_blob_ref(deriver->store, image);
	store_unlock(deriver->store);
	return place;
}

int deriver_get(struct deriver *deriver, const struct generation *generation,
		const struct derive_request *request, struct derived *ret, struct error *err)
{
	auto_free char *key = make_key(request);
	struct answer *answer, fresh = { .cache_fd = -1 };
	int r;

	if (!key)
		return error_set(err, -ENOMEM, "derive a tree");
	answer = answer_find(deriver, key, generation->number);
	if (!answer) {
		r = answer_make(deriver, generation, request, &fresh, err);
		if (r < 0)
			return r;
		answer = answer_keep(deriver, &fresh, take_ptr(&key), generation->number,
				     request->image);
	}
	store_write_lock(deriver->store);
	store_layout_ref(deriver->store, answer->layout);
	store_unlock(deriver->store);
	ret->layout = answer->layout;
	ret->cache_fd = answer->cache_fd;
	(void)snprintf(ret->warning, sizeof(ret->warning), "%s", answer->warning);
	return 0;
}
