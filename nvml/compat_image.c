/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/compat_image.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "nvml/elf.h"

/* A block being read. */
struct reader {
	struct compat_image *image;
	char *rest; /* behind the empty line */
	size_t rest_len;
};

static int add_name(struct compat_image *image, char *words)
{
	char *target = strchr(words, ' ');

	if (target)
		*target++ = '\0';
	if (image->n == COMPATLIST_NAMES_MAX || !compatlist_is_name(words) ||
	    (target && !compatlist_is_name(target)))
		return -EBADMSG;
	image->files[image->n++] = (struct compat_file){ .name = words, .link = target };
	return 0;
}

/* Printable, so that it is a line and a string of JSON wherever it goes. */
static int set_note(struct compat_image *image, const char *note)
{
	size_t len = strlen(note);

	if (len == 0 || len >= sizeof(image->note))
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		if (note[i] < ' ' || note[i] > '~')
			return -EBADMSG;
	memcpy(image->note, note, len + 1);
	return 0;
}

/* "SIZE HEAD" */
static int read_note(struct reader *reader, char *words)
{
	struct elf_pieces pieces = { .bytes = reader->rest, .len = reader->rest_len };
	char note[COMPATLIST_NOTE_MAX];
	char *second = strchr(words, ' ');
	uint64_t head;

	if (!second)
		return -EBADMSG;
	*second++ = '\0';
	if (parse_u64(words, INT64_MAX, &pieces.size) < 0 ||
	    parse_u64(second, reader->rest_len, &head) < 0 || pieces.size < pieces.len)
		return -EBADMSG;
	pieces.head = (size_t)head;
	if (elf_note_in_pieces(&pieces, COMPAT_NOTE_OWNER, COMPAT_NOTE_TYPE, note, sizeof(note)) ==
	    0)
		(void)set_note(reader->image, note);
	return 0;
}

/* What follows a word at the beginning of the line; NULL for another one. */
static char *after(char *line, const char *word)
{
	size_t len = strlen(word);

	return strncmp(line, word, len) == 0 ? line + len : NULL;
}

static int read_line(struct reader *reader, char *line)
{
	char *words;

	if ((words = after(line, "file ")))
		return strchr(words, ' ') ? -EBADMSG : add_name(reader->image, words);
	if ((words = after(line, "link ")))
		return strchr(words, ' ') ? add_name(reader->image, words) : -EBADMSG;
	if ((words = after(line, "note ")))
		return set_note(reader->image, words);
	if ((words = after(line, "elf ")))
		return read_note(reader, words);
	return -EBADMSG;
}

static int read_lines(struct reader *reader, char *text, const char *end)
{
	int r = 0;

	while (r == 0 && text < end) {
		char *newline = memchr(text, '\n', (size_t)(end - text));

		*newline = '\0'; /* there is one: lines end so */
		r = strlen(text) == (size_t)(newline - text) ? read_line(reader, text) : -EBADMSG;
		text = newline + 1;
	}
	return r;
}

/* The note is that of the one libcuda. */
static void give_note(struct compat_image *image)
{
	for (size_t i = 0; i < image->n && *image->note; i++)
		if (!image->files[i].link && compatlist_is_libcuda(image->files[i].name))
			image->files[i].note = image->note;
}

int compat_image_parse(const void *data, size_t len, struct compat_image *ret, struct error *err)
{
	struct reader reader = { .image = ret };
	auto_free char *text = NULL;
	const char *end = len && len <= COMPATLIST_SIZE_MAX ? memmem(data, len, "\n\n", 2) : NULL;
	size_t lines;
	int r;

	if (!end)
		return error_setc(err, ERROR_OTHER, -EBADMSG, "list of compatibility libraries");
	text = malloc(len + 1);
	if (!text)
		return error_set(err, -ENOMEM, "list of compatibility libraries");
	memcpy(text, data, len);
	text[len] = '\0';
	lines = (size_t)(end - (const char *)data) + 1;
	reader.rest = text + lines + 1;
	reader.rest_len = len - lines - 1;
	r = read_lines(&reader, text, text + lines);
	if (r < 0) {
		*ret = (struct compat_image){ 0 };
		return error_setc(err, ERROR_OTHER, r, "list of compatibility libraries");
	}
	ret->text = take_ptr(&text);
	give_note(ret);
	return 0;
}

void compat_image_done(struct compat_image *image)
{
	free(image->text);
	*image = (struct compat_image){ 0 };
}

char *compat_image_print(const struct compat_image *image)
{
	size_t size = image->n * (2 * COMPATLIST_NAME_MAX + 8) + sizeof(image->note) + 16, at = 0;
	char *text = malloc(size);

	for (size_t i = 0; text && i < image->n; i++) {
		const struct compat_file *file = &image->files[i];

		at += (size_t)snprintf(text + at, size - at, "%s %s%s%s\n",
				       file->link ? "link" : "file", file->name,
				       file->link ? " " : "", file->link ? file->link : "");
	}
	if (text && *image->note)
		at += (size_t)snprintf(text + at, size - at, "note %s\n", image->note);
	if (text)
		(void)snprintf(text + at, size - at, "\n");
	return text;
}
