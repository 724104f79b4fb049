/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/compat_verdict.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/compose.h"
#include "nvml/driver.h"

#define LINKS_MAX (2 * COMPATLIST_NAMES_MAX) /* each name, and a soname for each */

bool compat_verdict_has(const struct compat_verdict *verdict, const char *name)
{
	for (size_t i = 0; i < verdict->n; i++)
		if (strcmp(verdict->links[i].name, name) == 0)
			return true;
	return false;
}

void compat_verdict_done(struct compat_verdict *verdict)
{
	free(verdict->links);
	free(verdict->image);
	*verdict = (struct compat_verdict){ 0 };
}

static int add_link(struct compat_verdict *verdict, const char *name, const char *file)
{
	struct compat_link *link = &verdict->links[verdict->n];

	if (!compatlist_is_name(name) || !compatlist_is_name(file))
		return -EBADMSG;
	if (compat_verdict_has(verdict, name))
		return 0;
	if (verdict->n == LINKS_MAX)
		return -EBADMSG;
	(void)snprintf(link->name, sizeof(link->name), "%s", name);
	(void)snprintf(link->file, sizeof(link->file), "%s", file);
	verdict->n++;
	return 0;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static int read_line(struct compat_verdict *verdict, const char *line)
{
	if (strncmp(line, "why ", 4) == 0 && is_printable(line)) {
		(void)snprintf(verdict->why, sizeof(verdict->why), "%s", line + 4);
		return 0;
	}
	return strncmp(line, "use ", 4) == 0 ? add_link(verdict, line + 4, line + 4) : -EBADMSG;
}

/* It becomes a string of JSON, and goes to the confined parser again. */
static int take_image(struct compat_verdict *verdict, const char *text)
{
	size_t len = strlen(text);

	if (len < 2 || len > COMPATLIST_SIZE_MAX || strcmp(text + len - 2, "\n\n") != 0)
		return -EBADMSG;
	for (const char *c = text; *c; c++)
		if (*c != '\n' && (*c < ' ' || *c > '~'))
			return -EBADMSG;
	verdict->image = strdup(text);
	return verdict->image ? 0 : -ENOMEM;
}

/* ldconfig makes these links from what the files say; we ask their namesakes of the driver. */
static int add_sonames(struct compat_verdict *verdict, const struct driver *driver)
{
	size_t n = verdict->n;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = verdict->links[i].name;
		size_t stem = compose_dev_name(name);

		for (size_t k = 0; stem && r == 0 && k < driver->n_files; k++) {
			const struct driver_file *file = &driver->files[k];

			if (file->kind != DRIVER_LIBRARY || !file->soname ||
			    strcmp(file->soname, file->name) == 0 ||
			    compose_dev_name(file->name) != stem ||
			    strncmp(file->name, name, stem) != 0)
				continue;
			r = add_link(verdict, file->soname, name);
		}
	}
	return r;
}

static int parse(char *text, const struct driver *driver, struct compat_verdict *verdict)
{
	char *line = text, *end;
	int r = 0;

	verdict->links = calloc(LINKS_MAX, sizeof(*verdict->links));
	if (!verdict->links)
		return -ENOMEM;
	for (; r == 0 && *line != '\n'; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			return -EBADMSG;
		*end = '\0';
		r = read_line(verdict, line);
	}
	r = r ? r : take_image(verdict, line + 1);
	return r ? r : add_sonames(verdict, driver);
}

int compat_verdict_parse(const char *text, const struct driver *driver, struct compat_verdict *ret,
			 struct error *err)
{
	struct compat_verdict verdict = { 0 };
	auto_free char *copy = strdup(text);
	int r = copy ? parse(copy, driver, &verdict) : -ENOMEM;

	if (r < 0) {
		compat_verdict_done(&verdict);
		return error_set(err, r, "choice of compatibility libraries");
	}
	*ret = verdict;
	return 0;
}
