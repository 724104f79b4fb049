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
#define IMAGES_BYTES_MAX (64UL * 1024 * 1024) /* of all that is remembered */

struct answer {
	char *key; /* NULL = free */
	uint32_t generation;
	uint32_t image; /* blob with a reference, so that the index means the same bytes for ever */
	size_t image_size;
	uint32_t layout;
	int cache_fd;
	char warning[160];
};

struct deriver {
	struct store *store;
	struct cachebox *box;
	struct answer answers[ANSWERS_MAX];
	unsigned int next; /* the oldest, to be replaced */
	size_t images_bytes;
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
	deriver->images_bytes -= answer->image_size;
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

/* "caps image target config monitor imex gpu,gpu,;mig,mig,": NULL when out of memory */
static char *make_key(const struct derive_request *request, uint32_t image)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "%u %u %d %s %d %d %d ", request->caps, image, request->image != NULL, request->target,
		request->mig_config, request->mig_monitor, request->imex_mgmt);
	if (!request->selection)
		fputs("all", out);
	for (size_t i = 0; request->selection && i < request->selection->n; i++)
		fprintf(out, "%zu,", request->selection->at[i]);
	for (size_t i = 0; request->selection && i < request->selection->n_migs; i++)
		fprintf(out, "%s%zu,", i ? "" : ";", request->selection->migs[i]);
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

		/* A parser may fail for reasons of the moment: such an answer is for its asker alone. */
		if (answer->key && !answer->warning[0] && answer->generation == generation &&
		    strcmp(answer->key, key) == 0)
			return answer;
	}
	return NULL;
}

/*
 * The box gets a memfd of our own making: one that a client handed over could
 * be read here as one thing and there as another.
 */
static int merge_boxed(struct deriver *deriver, const struct derive_request *request,
		       const struct ldcache_add *entries, size_t n, void **ret, size_t *ret_len,
		       struct error *err)
{
	auto_close int fd = -1;

	if (request->image_size > DERIVE_IMAGE_MAX)
		return error_setc(err, ERROR_OTHER, -EFBIG, "more than %lu bytes", DERIVE_IMAGE_MAX);
	if (!deriver->box)
		return error_setc(err, ERROR_OTHER, -EOPNOTSUPP, "no confined parser");
	fd = file_memfd("image-cache", request->image, request->image_size);
	if (fd < 0)
		return error_set(err, fd, "make a memfd");
	return cachebox_merge(deriver->box, fd, entries, n, request->target, ret, ret_len, err);
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
	r = request->image ? merge_boxed(deriver, request, entries, n, ret, ret_len, &why) : -ENODATA;
	if (r < 0 && request->image)
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
	struct compose_spec spec = { .caps = request->caps, .selection = request->selection,
				     .mig_config = request->mig_config,
				     .mig_monitor = request->mig_monitor,
				     .imex_mgmt = request->imex_mgmt };
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

/* Make room: the oldest answers go until the images of the rest and this one fit. */
static struct answer *answer_place(struct deriver *deriver, size_t image_size)
{
	struct answer *place;

	do {
		place = &deriver->answers[deriver->next];
		deriver->next = (deriver->next + 1) % ANSWERS_MAX;
		answer_clear(deriver, place);
	} while (deriver->images_bytes && deriver->images_bytes + image_size > IMAGES_BYTES_MAX);
	return place;
}

static struct answer *answer_keep(struct deriver *deriver, struct answer *answer, char *key,
				  uint32_t generation, uint32_t image, size_t image_size)
{
	struct answer *place = answer_place(deriver, image_size);

	answer->key = key;
	answer->generation = generation;
	answer->image = image;
	answer->image_size = image_size;
	deriver->images_bytes += image_size;
	*place = *answer;
	return place;
}

/* @image: blob, its reference is taken over. */
static int derive(struct deriver *deriver, const struct generation *generation,
		  const struct derive_request *request, uint32_t image, struct answer **ret,
		  struct error *err)
{
	auto_free char *key = make_key(request, image);
	struct answer fresh = { .cache_fd = -1 };
	size_t kept = image == STORE_NONE ? 0 : request->image_size;
	int r = key ? 0 : error_set(err, -ENOMEM, "derive a tree");

	*ret = key ? answer_find(deriver, key, generation->number) : NULL;
	if (!*ret && r == 0)
		r = answer_make(deriver, generation, request, &fresh, err);
	if (*ret || r < 0) {
		store_write_lock(deriver->store);
		store_blob_unref(deriver->store, image);
		store_unlock(deriver->store);
		return r;
	}
	*ret = answer_keep(deriver, &fresh, take_ptr(&key), generation->number, image, kept);
	return 0;
}

int deriver_get(struct deriver *deriver, const struct generation *generation,
		const struct derive_request *request, struct derived *ret, struct error *err)
{
	struct answer *answer;
	uint32_t image = STORE_NONE;
	int r;

	if (request->image && request->image_size <= DERIVE_IMAGE_MAX) {
		store_write_lock(deriver->store);
		image = store_blob_put(deriver->store, request->image, request->image_size);
		store_unlock(deriver->store);
		if (image == STORE_NONE)
			return error_set(err, -ENOMEM, "keep the image's ld.so.cache");
	}
	r = derive(deriver, generation, request, image, &answer, err);
	if (r < 0)
		return r;
	store_write_lock(deriver->store);
	store_layout_ref(deriver->store, answer->layout);
	store_unlock(deriver->store);
	ret->layout = answer->layout;
	ret->cache_fd = answer->cache_fd;
	(void)snprintf(ret->warning, sizeof(ret->warning), "%s", answer->warning);
	return 0;
}
