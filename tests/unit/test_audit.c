/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a container's where there is no journal. With one: tests/e2e/54-systemd.sh. */
#include "fs/audit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "fs/daemon.h"
#include "tests/unit/unit.h"

static int out;

static void begin(void)
{
	int ends[2];

	ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
	ck_assert_int_eq(pipe(ends), 0);
	log_open("nvfs", LOG_LEVEL_INFO);
	log_to(ends[1]);
	out = ends[0];
}

static const char *logged(void)
{
	static char text[4096];
	ssize_t n = read(out, text, sizeof(text) - 1);

	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	return text;
}

/* Nothing of the tree is looked at then: there is none. */
START_TEST(without_a_journal_it_is_a_line_of_the_log)
{
	const struct daemon daemon = { 0 };

	begin();
	audit_tree(&daemon, 0, AUDIT_INJECTED, "abcdef", "injected '%s' in %d us", "box", 7);
	ck_assert_str_eq(logged(), "nvfs: injected 'box' in 7 us\n");
	audit_tree(&daemon, 0, AUDIT_REMOVED, NULL, "%s", "two\nlines");
	ck_assert_str_eq(logged(), "nvfs: two?lines\n");
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	const struct daemon daemon = { 0 };
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	begin();
	audit_tree(&daemon, 0, AUDIT_HEALED, NULL, "%s", text);
	ck_assert_uint_eq(strlen(logged()), strlen("nvfs: ") + 511 + 1);
}
END_TEST

START_TEST(a_refusal_is_a_line_of_the_log)
{
	const struct audit_asker asker = { .id = "box", .devices = "all", .pid = 7, .trace = "abcdef" };

	begin();
	audit_refused(&asker, "refused: %s", "no");
	ck_assert_str_eq(logged(), "nvfs: refused: no\n");
}
END_TEST

UNIT_MAIN("audit", without_a_journal_it_is_a_line_of_the_log, a_long_line_is_cut,
	  a_refusal_is_a_line_of_the_log)
