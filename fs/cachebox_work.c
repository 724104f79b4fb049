/* SPDX-License-Identifier: Apache-2.0 */
/* What a confined parser does: by now it has no privilege and hardly a system call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/ldcache.h"
#include "fs/cachebox_wire.h"
#include "nvml/compat_image.h"

/* The next string of the request, or NULL where it ends early. */
static const char *take_string(const char **at, const char *end)
{
	const char *s = *at, *nul = memchr(s, '\0', (size_t)(end - s));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static int read_additions(const struct cachebox_input *input, size_t n, struct ldcache_add **ret,
			  const char **ret_prefix)
{
	auto_free struct ldcache_add *add = NULL;
	const char *flags = input->request + sizeof(struct box_request);
	const char *at, *end = input->request + input->request_len;

	if (n > (size_t)(end - flags) / sizeof(add->flags))
		return -EINVAL;
	at = flags + n * sizeof(add->flags);
	*ret_prefix = take_string(&at, end);
	add = calloc(n + 1, sizeof(*add));
	if (!*ret_prefix || !add)
		return add ? -EINVAL : -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		memcpy(&add[i].flags, flags + i * sizeof(add->flags), sizeof(add->flags));
		add[i].soname = take_string(&at, end);
		add[i].path = add[i].soname ? take_string(&at, end) : NULL;
		if (!add[i].path)
			return -EINVAL;
	}
	*ret = take_ptr(&add);
	return 0;
}

static int merge(const struct cachebox_input *input, const struct box_request *head, void **ret,
		 size_t *ret_len, struct error *err)
{
	auto_ldcache struct ldcache *image = NULL;
	auto_free struct ldcache_add *add = NULL;
	const char *drop_prefix;
	int r = read_additions(input, head->n_add, &add, &drop_prefix);

	if (r < 0)
		return error_set(err, r, "request to the cache parser");
	if (input->image)
		r = ldcache_parse(input->image, input->image_len, &image, err);
	return r < 0 ? r : ldcache_merge(image, add, head->n_add, drop_prefix, ret, ret_len, err);
}

static char *append(char *at, const char *word, const char *value)
{
	return stpcpy(stpcpy(stpcpy(at, word), value), "\n");
}

/* Names have less than COMPATLIST_NAME_MAX bytes, and the words are ours. */
static int print_choice(const struct compat_image *image, const char *why, void **ret,
			size_t *ret_len, struct error *err)
{
	auto_free char *has = compat_image_print(image);
	char *text = has ? malloc(strlen(has) + strlen(why) + image->n * (COMPATLIST_NAME_MAX + 8) +
				  16)
			 : NULL;
	char *at = text;

	if (!text)
		return error_set(err, -ENOMEM, "choose compatibility libraries");
	at = append(at, "why ", why);
	for (size_t i = 0; i < image->n; i++)
		if (image->files[i].chosen)
			at = append(at, "use ", image->files[i].name);
	at = append(at, "", "");
	at = stpcpy(at, has);
	*ret = text;
	*ret_len = (size_t)(at - text);
	return 0;
}

static int choose(const struct cachebox_input *input, const struct box_request *head, void **ret,
		  size_t *ret_len, struct error *err)
{
	const char *at = input->request + sizeof(*head), *end = input->request + input->request_len,
		   *why;
	struct compat_host host = { .driver = take_string(&at, end), .brands = head->brands };
	struct compat_image image = { 0 };
	int r;

	host.cuda = host.driver ? take_string(&at, end) : NULL;
	if (!host.cuda || head->mode > COMPAT_DISABLED)
		return error_set(err, -EINVAL, "request to the cache parser");
	r = compat_image_parse(input->image ? input->image : "", input->image_len, &image, err);
	if (r < 0)
		return r;
	(void)compat_choose((enum compat_mode)head->mode, &host, image.files, image.n, &why);
	r = print_choice(&image, why, ret, ret_len, err);
	compat_image_done(&image);
	return r;
}

/* The request is the daemon's own and yet checked: its layout is told in cachebox_wire.h. */
int box_work(const struct cachebox_input *input, void **ret, size_t *ret_len, struct error *err)
{
	struct box_request head;

	if (input->request_len < sizeof(head))
		return error_set(err, -EINVAL, "request to the cache parser");
	memcpy(&head, input->request, sizeof(head));
	return head.work == BOX_CHOOSE ? choose(input, &head, ret, ret_len, err)
				       : merge(input, &head, ret, ret_len, err);
}
