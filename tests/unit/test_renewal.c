/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/renewal_judge.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

/* A driver is there, fits the module, and nothing has happened since. */
static const struct renewal_facts calm = {
	.version = "535.1", .error = "", .change = GENERATION_SAME, .is_quiet = true
};

START_TEST(nothing_new_is_not_looked_at)
{
	ck_assert(!renewal_wants_look(&calm));
}
END_TEST

START_TEST(a_change_is_looked_at_when_it_has_settled)
{
	struct renewal_facts facts = calm;

	facts.is_changed = true;
	ck_assert(renewal_wants_look(&facts));
	facts.is_quiet = false;
	ck_assert(!renewal_wants_look(&facts));
	facts.module_changed = true;
	ck_assert(!renewal_wants_look(&facts));
}
END_TEST

START_TEST(without_a_driver_every_tick_looks)
{
	struct renewal_facts facts = { .error = "" };

	ck_assert(renewal_wants_look(&facts));
	facts.is_noted = true;
	ck_assert(renewal_wants_look(&facts));
}
END_TEST

START_TEST(a_module_that_nothing_fits_is_looked_for_now_and_then)
{
	struct renewal_facts facts = calm;

	facts.module_changed = true;
	ck_assert(renewal_wants_look(&facts));
	facts.is_noted = true;
	ck_assert(!renewal_wants_look(&facts));
	facts.since_look_ms = RENEWAL_RETRY_MS;
	ck_assert(renewal_wants_look(&facts));
	facts.since_look_ms = 0;
	facts.is_changed = true;
	ck_assert(renewal_wants_look(&facts));
}
END_TEST

static void ck_verdict(const struct renewal_facts *facts, const char *wanted)
{
	char text[400];

	renewal_verdict(facts, NULL, 0, text, sizeof(text));
	ck_assert_str_eq(text, wanted);
}

START_TEST(all_well_is_said_by_silence)
{
	struct renewal_facts facts = calm;

	ck_verdict(&facts, "");
	facts.change = GENERATION_MORE;
	ck_verdict(&facts, "");
}
END_TEST

START_TEST(each_trouble_has_its_sentence)
{
	struct renewal_facts facts = calm;

	facts.change = GENERATION_LESS;
	ck_verdict(&facts, "driver files on the disk no longer fit the loaded module 535.1, using "
			   "those that were there");
	facts = calm;
	facts.result = -ENOENT;
	facts.error = "no files";
	ck_verdict(&facts, "driver files on the disk no longer fit the loaded module 535.1, using "
			   "those that were there");
	facts.module_changed = true;
	ck_verdict(&facts, "no files");
	facts.result = 0;
	ck_verdict(&facts,
		   "the loaded module is another one, and files of driver 535.1 are missing");
	facts.version = NULL;
	ck_verdict(&facts, "no files");
}
END_TEST

START_TEST(paths_that_do_not_answer_are_named_and_cut)
{
	char *left_out[] = { (char[]){ "/usr/lib/a" }, (char[]){ "/usr/lib/b" } };
	struct renewal_facts facts = calm;
	char text[100], small[20];

	renewal_verdict(&facts, left_out, 2, text, sizeof(text));
	ck_assert_str_eq(
		text,
		"'/usr/lib/a' does not answer, left out; '/usr/lib/b' does not answer, left out");
	renewal_verdict(&facts, left_out, 2, small, sizeof(small));
	ck_assert_uint_eq(strlen(small), sizeof(small) - 1);
	facts.version = NULL;
	facts.error = "no driver";
	renewal_verdict(&facts, left_out, 1, text, sizeof(text));
	ck_assert_str_eq(text, "no driver; '/usr/lib/a' does not answer, left out");
}
END_TEST

UNIT_MAIN("renewal", nothing_new_is_not_looked_at, a_change_is_looked_at_when_it_has_settled,
	  without_a_driver_every_tick_looks, a_module_that_nothing_fits_is_looked_for_now_and_then,
	  all_well_is_said_by_silence, each_trouble_has_its_sentence,
	  paths_that_do_not_answer_are_named_and_cut)
