/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivation with memory. The key of an answer is the whole request: the
 * image's cache by its blob (equal bytes have one blob, compared byte by byte,
 * so that no image can pass for another), the same of its list of libraries for
 * compatibility, capabilities, GPUs and target.
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
#include "fs/compat_verdict.h"
#include "fs/compose.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define ANSWERS_MAX 256
#define IMAGES_BYTES_MAX (64UL * 1024 * 1024) /* of all that is remembered */

struct answer {
	char *key; /* NULL = free */
	uint32_t generation;
	/* blobs with a reference, so that an index means the same bytes for ever */
	uint32_t image, compat;
	size_t kept; /* bytes of both */
	uint32_t layout;
	int cache_fd;
	char warning[160], compat_warning[160];
	struct compat_verdict verdict;
};

/* Of a request, before there is an answer. */
struct blobs {
	uint32_t image, compat;
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
	store_blob_unref(deriver->store, answer->compat);
	store_unlock(deriver->store);
	cleanup_close(&answer->cache_fd);
	compat_verdict_done(&answer->verdict);
	free(answer->key);
	deriver->images_bytes -= answer->kept;
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

/* "caps image compat mode target config monitor imex gpu,gpu,;mig,mig,": NULL when out of memory */
static char *make_key(const struct derive_request *request, const struct blobs *blobs)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "%u %u %d %u %d %d %s %d %d %d ", request->caps, blobs->image,
		request->image != NULL, blobs->compat, request->compat != NULL,
		request->compat_mode, request->target, request->mig_config, request->mig_monitor,
		request->imex_mgmt);
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
		if (answer->key && !answer->warning[0] && !answer->compat_warning[0] &&
		    answer->generation == generation && strcmp(answer->key, key) == 0)
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
		return error_setc(err, ERROR_OTHER, -EFBIG, "more than %lu bytes",
				  DERIVE_IMAGE_MAX);
	if (!deriver->box)
		return error_setc(err, ERROR_OTHER, -EOPNOTSUPP, "no confined parser");
	fd = file_memfd("image-cache", request->image, request->image_size);
	if (fd < 0)
		return error_set(err, fd, "make a memfd");
	return cachebox_merge(deriver->box, fd, entries, n, request->target, ret, ret_len, err);
}

static bool has_libcuda(const struct driver *driver, unsigned int caps)
{
	for (size_t i = 0; i < driver->n_files; i++)
		if (driver->files[i].caps & caps && driver->files[i].soname &&
		    strcmp(driver->files[i].soname, "libcuda.so.1") == 0)
			return true;
	return false;
}

static unsigned int brands_of(const struct generation *generation,
			      const struct gpu_selection *selection)
{
	unsigned int bits = 0;

	for (size_t i = 0; selection && i < selection->n; i++)
		bits |= compat_brand_bit(generation->gpus->gpus[selection->at[i]].brand);
	return bits;
}

static int choose_boxed(struct deriver *deriver, const struct generation *generation,
			const struct derive_request *request, struct compat_verdict *ret,
			struct error *err)
{
	const struct driver *driver = generation->driver;
	const struct compat_host host = { .driver = driver->version,
					  .cuda = driver->cuda,
					  .brands = brands_of(generation, request->selection) };
	auto_free char *text = NULL;
	auto_close int fd = -1;
	int r;

	if (!deriver->box)
		return error_setc(err, ERROR_OTHER, -EOPNOTSUPP, "no confined parser");
	fd = file_memfd("image-compat", request->compat, request->compat_size);
	if (fd < 0)
		return error_set(err, fd, "make a memfd");
	r = cachebox_choose(deriver->box, fd, request->compat_mode, &host, &text, err);
	return r < 0 ? r : compat_verdict_parse(text, driver, ret, err);
}

/* For any trouble with them, none: the driver's own always work. */
static void choose(struct deriver *deriver, const struct generation *generation,
		   const struct derive_request *request, struct answer *answer)
{
	struct error why = { 0 };

	if (!request->compat || request->compat_mode == COMPAT_DISABLED ||
	    !has_libcuda(generation->driver, request->caps))
		return;
	if (choose_boxed(deriver, generation, request, &answer->verdict, &why) < 0)
		(void)snprintf(answer->compat_warning, sizeof(answer->compat_warning),
			       "the image's CUDA compatibility libraries are of no use (%.80s), "
			       "using the driver's",
			       why.text);
}

/* The image's cache and the driver's entries, or for any trouble with the image the latter alone. */
static int merge(struct deriver *deriver, const struct generation *generation,
		 const struct derive_request *request, void **ret, size_t *ret_len,
		 struct answer *answer, struct error *err)
{
	struct ldcache_add *entries = NULL;
	struct error why = { 0 };
	size_t n = 0;
	int r;

	r = compose_cache_entries(generation, request->caps, request->target, &answer->verdict,
				  &entries, &n);
	if (r < 0)
		return error_set(err, r, "list the driver's libraries");
	r = request->image ? merge_boxed(deriver, request, entries, n, ret, ret_len, &why)
			   : -ENODATA;
	if (r < 0 && request->image)
		(void)snprintf(answer->warning, sizeof(answer->warning),
			       "the image's ld.so.cache is of no use (%.80s), using the driver's "
			       "entries alone",
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
	struct compose_spec spec = { .caps = request->caps,
				     .selection = request->selection,
				     .compat = &answer->verdict,
				     .compat_mode = compat_mode_name(request->compat_mode),
				     .mig_config = request->mig_config,
				     .mig_monitor = request->mig_monitor,
				     .imex_mgmt = request->imex_mgmt };
	auto_free void *cache = NULL;
	int r;

	choose(deriver, generation, request, answer);
	r = merge(deriver, generation, request, &cache, &spec.cache_size, answer, err);
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
static struct answer *answer_place(struct deriver *deriver, size_t kept)
{
	struct answer *place;

	do {
		place = &deriver->answers[deriver->next];
		deriver->next = (deriver->next + 1) % ANSWERS_MAX;
		answer_clear(deriver, place);
	} while (deriver->images_bytes && deriver->images_bytes + kept > IMAGES_BYTES_MAX);
	return place;
}

static struct answer *answer_keep(struct deriver *deriver, const struct answer *answer)
{
	struct answer *place = answer_place(deriver, answer->kept);

	deriver->images_bytes += answer->kept;
	*place = *answer;
	return place;
}

static void blobs_unref(struct deriver *deriver, const struct blobs *blobs)
{
	store_write_lock(deriver->store);
	store_blob_unref(deriver->store, blobs->image);
	store_blob_unref(deriver->store, blobs->compat);
	store_unlock(deriver->store);
}

static uint32_t keep_bytes(struct deriver *deriver, const void *bytes, size_t size, size_t max,
			   size_t *kept)
{
	if (!bytes || size > max)
		return STORE_NONE;
	*kept += size;
	return store_blob_put(deriver->store, bytes, size);
}

/* An image that is too large has no blob, and gives a warning, of which nothing is remembered. */
static int blobs_put(struct deriver *deriver, const struct derive_request *request,
		     struct blobs *ret, size_t *ret_kept, struct error *err)
{
	size_t kept = 0;
	bool failed;

	store_write_lock(deriver->store);
	ret->image = keep_bytes(deriver, request->image, request->image_size, DERIVE_IMAGE_MAX,
				&kept);
	failed = request->image && request->image_size <= DERIVE_IMAGE_MAX &&
		 ret->image == STORE_NONE;
	ret->compat = keep_bytes(deriver, request->compat, request->compat_size,
				 COMPATLIST_SIZE_MAX, &kept);
	failed = failed || (request->compat && request->compat_size <= COMPATLIST_SIZE_MAX &&
			    ret->compat == STORE_NONE);
	store_unlock(deriver->store);
	*ret_kept = kept;
	if (!failed)
		return 0;
	blobs_unref(deriver, ret);
	return error_set(err, -ENOMEM, "keep what the image has");
}

/* The references to @blobs are taken over. */
static int derive(struct deriver *deriver, const struct generation *generation,
		  const struct derive_request *request, const struct blobs *blobs, size_t kept,
		  struct answer **ret, struct error *err)
{
	auto_free char *key = make_key(request, blobs);
	struct answer fresh = { .generation = generation->number,
				.image = blobs->image,
				.compat = blobs->compat,
				.kept = kept,
				.cache_fd = -1 };
	int r = key ? 0 : error_set(err, -ENOMEM, "derive a tree");

	*ret = key ? answer_find(deriver, key, generation->number) : NULL;
	if (!*ret && r == 0)
		r = answer_make(deriver, generation, request, &fresh, err);
	if (r < 0)
		compat_verdict_done(&fresh.verdict);
	if (*ret || r < 0) {
		blobs_unref(deriver, blobs);
		return r;
	}
	fresh.key = take_ptr(&key);
	*ret = answer_keep(deriver, &fresh);
	return 0;
}

int deriver_get(struct deriver *deriver, const struct generation *generation,
		const struct derive_request *request, struct derived *ret, struct error *err)
{
	struct answer *answer;
	struct blobs blobs;
	size_t kept;
	int r = blobs_put(deriver, request, &blobs, &kept, err);

	r = r ? r : derive(deriver, generation, request, &blobs, kept, &answer, err);
	if (r < 0)
		return r;
	store_write_lock(deriver->store);
	store_layout_ref(deriver->store, answer->layout);
	store_unlock(deriver->store);
	ret->layout = answer->layout;
	ret->cache_fd = answer->cache_fd;
	ret->compat = answer->verdict.image;
	(void)snprintf(ret->warning, sizeof(ret->warning), "%s", answer->warning);
	(void)snprintf(ret->compat_warning, sizeof(ret->compat_warning), "%s",
		       answer->compat_warning);
	return 0;
}
