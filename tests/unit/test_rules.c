/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/rules.h"

#include <string.h>

#include "nvml/finding.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct rules rules;
static struct finding_list findings;

static void parse(const char *text)
{
	rules = (struct rules){ 0 };
	findings = (struct finding_list){ 0 };
	ck_assert_int_eq(rules_parse(text, "x.conf", &rules, &findings), 0);
}

static void done(void)
{
	rules_done(&rules);
	finding_list_done(&findings);
}

START_TEST(a_section_is_one_rule_and_what_it_says_counts_for_all_of_it)
{
	parse("[tools]\n"
	      "program = /opt/site/bin/gpu-top\n"
	      "driver_capabilities = utility\n"
	      "file = /opt/site/share/gpu-top.json\n"
	      "to = share/gpu-top\n"
	      "[codec]\n"
	      "library = /opt/site/lib/libcodec.so.1\n"
	      "[else]\n"
	      "file = /opt/site/note\n");
	ck_assert_uint_eq(findings.n, 0);
	ck_assert_uint_eq(rules.n, 4);
	ck_assert_int_eq(rules.items[0].kind, DRIVER_PROGRAM);
	ck_assert_str_eq(rules.items[0].value, "/opt/site/bin/gpu-top");
	ck_assert_uint_eq(rules.items[0].caps, DRIVER_CAP_UTILITY);
	ck_assert_ptr_null(rules.items[0].dir);
	ck_assert_str_eq(rules.items[0].source, "x.conf:2");
	ck_assert_int_eq(rules.items[1].kind, DRIVER_DATA);
	ck_assert_str_eq(rules.items[1].dir, "share/gpu-top");
	ck_assert_uint_eq(rules.items[1].caps, DRIVER_CAP_UTILITY);
	ck_assert_int_eq(rules.items[2].kind, DRIVER_LIBRARY);
	ck_assert_uint_eq(rules.items[2].caps, DRIVER_CAP_ALL);
	ck_assert_str_eq(rules.items[3].dir, "share/site");
	ck_assert_str_eq(rules.items[3].source, "x.conf:9");
	done();
}
END_TEST

START_TEST(exclusions_are_by_name_or_by_path)
{
	const struct rule *rule;

	parse("[a]\nexclude = libnvidia-*.so.*\nexclude = /opt/old/*\n");
	rule = rules_exclude(&rules, "/usr/lib/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	ck_assert_str_eq(rule->source, "x.conf:2");
	ck_assert_ptr_null(rules_exclude(&rules, "/usr/lib/libcuda.so.1", "libcuda.so.1"));
	rule = rules_exclude(&rules, "/opt/old/libcuda.so.1", "libcuda.so.1");
	ck_assert_str_eq(rule->source, "x.conf:3");
	ck_assert_ptr_null(rules_exclude(&rules, "/opt/old/deep/libcuda.so.1", "libcuda.so.1"));
	done();
}
END_TEST

START_TEST(what_is_wrong_is_told_by_file_and_line_and_the_rest_counts)
{
	static const struct {
		const char *text, *told;
		size_t n; /* rules that are left */
	} cases[] = {
		{ "[a]\ncolour = red\nprogram = /p\n",
		  "rules: x.conf:2: unknown key 'colour', ignoring", 1 },
		{ "[a]\n\n# x\nprogram = p\nlibrary = /l\n",
		  "rules: x.conf:4: not the absolute path of a file: 'p', ignoring", 1 },
		{ "[a]\nlibrary = /l/\n", "x.conf:2: not the absolute path of a file: '/l/'", 0 },
		{ "[a]\nexclude =\n", "x.conf:2: no pattern: ''", 0 },
		{ "[a]\nfile = /f\nto = ../x\n",
		  "x.conf:3: not a plain directory of the tree: '../x'", 1 },
		{ "[a]\nfile = /f\nto = /x\n", "x.conf:3: not a plain directory", 1 },
		{ "[a]\nfile = /f\nto = x//y\n", "x.conf:3: not a plain directory", 1 },
		{ "[a]\nfile = /f\nto = x/\n", "x.conf:3: not a plain directory", 1 },
		{ "[a]\nprogram = /p\ndriver_capabilities = flying\n",
		  "x.conf:3: not a list of driver capabilities: 'flying'", 1 },
		{ "[a]\nprogram = /p\ndriver_capabilities =\n", "x.conf:3: not a list", 1 },
		{ "[a]\nnonsense\nprogram = /p\n", "x.conf:2: not 'key = value'", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].text);
		ck_assert_msg(findings.n == 1, "%s", cases[i].text);
		ck_assert_msg(strstr(findings.items[0].text, cases[i].told), "%s: %s",
			      cases[i].told, findings.items[0].text);
		ck_assert(findings.items[0].problem);
		ck_assert_msg(rules.n == cases[i].n, "%s: %zu", cases[i].text, rules.n);
		done();
	}
}
END_TEST

START_TEST(the_files_of_a_directory_are_read_in_order_of_their_names)
{
	char root[64];

	rules = (struct rules){ 0 };
	findings = (struct finding_list){ 0 };
	scratch_new(root);
	scratch_text(root, "20-b.conf", "[x]\nprogram = /b\n");
	scratch_text(root, "10-a.conf", "[x]\nprogram = /a\nprogram = q\n");
	scratch_text(root, "10-a.conf~", "[x]\nprogram = /no\n");
	scratch_text(root, ".30.conf", "[x]\nprogram = /no\n");
	scratch_text(root, "README", "text\n");
	ck_assert_int_eq(rules_read(root, NULL, &rules, &findings), 0);
	ck_assert_uint_eq(rules.n, 2);
	ck_assert_str_eq(rules.items[0].value, "/a");
	ck_assert_str_eq(rules.items[1].source, "20-b.conf:2");
	ck_assert_uint_eq(findings.n, 1);
	ck_assert_ptr_nonnull(strstr(findings.items[0].text, "10-a.conf:3: "));
	done();
	ck_assert_int_eq(rules_read("/no/such/directory", NULL, &rules, &findings), 0);
	ck_assert_uint_eq(rules.n + findings.n, 0);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("rules", a_section_is_one_rule_and_what_it_says_counts_for_all_of_it,
	  exclusions_are_by_name_or_by_path,
	  what_is_wrong_is_told_by_file_and_line_and_the_rest_counts,
	  the_files_of_a_directory_are_read_in_order_of_their_names)
