/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only the names of libraries are looked at and changed; whatever else a file
 * says is the driver's business and the loader's. JSON is written anew by the
 * library that read it, so that what a container reads is sound.
 */
#include "nvml/icd.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"

struct rewrite {
	const struct icd_libraries *libraries;
	size_t n_names;
	bool changed;
	struct error *err;
};

/* The name that the library is to have, a part of @name; NULL: there is none such. */
static const char *soname_of(struct rewrite *w, const char *name)
{
	const char *slash = strrchr(name, '/'), *soname = slash ? slash + 1 : name;

	w->n_names++;
	w->changed = w->changed || slash;
	if (*soname && w->libraries->has(w->libraries->data, soname))
		return soname;
	(void)error_setc(w->err, ERROR_DRIVER, -ENOENT,
			 "it names '%.80s', which the driver does not have", name);
	return NULL;
}

static int rewrite_object(struct rewrite *w, json_t *object)
{
	json_t *path = json_object_get(object, "library_path");
	const char *soname;

	if (!path)
		return 0; /* a layer made of others */
	if (!json_is_string(path))
		return error_setc(w->err, ERROR_DRIVER, -EBADMSG, "its library_path is no text");
	soname = soname_of(w, json_string_value(path));
	if (!soname)
		return -ENOENT;
	return json_object_set_new(object, "library_path", json_string(soname)) < 0 ? -ENOMEM : 0;
}

static int rewrite_json(struct rewrite *w, json_t *json)
{
	json_t *layer;
	size_t i;
	int r = rewrite_object(w, json_object_get(json, "ICD"));

	r = r ? r : rewrite_object(w, json_object_get(json, "layer"));
	json_array_foreach(json_object_get(json, "layers"), i, layer)
		r = r ? r : rewrite_object(w, layer);
	if (r == 0 && !w->n_names)
		r = error_setc(w->err, ERROR_DRIVER, -EBADMSG, "it names no library");
	return r;
}

static int from_json(struct rewrite *w, const char *text, char **ret)
{
	json_error_t where;
	json_t *json = json_loads(text, 0, &where);
	int r;

	if (!json)
		return error_setc(w->err, ERROR_DRIVER, -EBADMSG, "line %d is no JSON", where.line);
	r = rewrite_json(w, json);
	if (r == 0 && w->changed) {
		*ret = json_dumps(json, JSON_INDENT(4));
		r = *ret ? 0 : -ENOMEM;
	}
	json_decref(json);
	return r;
}

/* The first line that says something. */
static int from_line(struct rewrite *w, const char *text, char **ret)
{
	const char *line, *soname;
	auto_free char *name = NULL;
	size_t len = 0;

	do {
		line = parse_field(&text, '\n', &len);
	} while (line && !len);
	if (!line)
		return error_setc(w->err, ERROR_DRIVER, -EBADMSG, "it names no library");
	name = strndup(line, len);
	if (!name)
		return -ENOMEM;
	soname = soname_of(w, name);
	if (!soname)
		return -ENOENT;
	if (w->changed && asprintf(ret, "%s\n", soname) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

int icd_rewrite(const char *text, bool json, const struct icd_libraries *libraries, char **ret,
		struct error *err)
{
	struct rewrite w = { .libraries = libraries, .err = err };
	char *fresh = NULL;
	int r = json ? from_json(&w, text, &fresh) : from_line(&w, text, &fresh);

	if (r < 0)
		return r;
	*ret = fresh;
	return 0;
}
