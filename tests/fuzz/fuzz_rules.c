/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a file of rules: rules that discovery can use, and a line for each that it can't. */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "nvml/finding.h"
#include "nvml/rules.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct rule *rule)
{
	require(rule->source && rule->value && rule->value[0]);
	require(rule->caps && !(rule->caps & ~DRIVER_CAP_ALL));
	if (rule->type == RULE_EXCLUDE)
		return;
	require(rule->value[0] == '/' && strrchr(rule->value, '/')[1]);
	require((rule->kind == DRIVER_DATA) == (rule->dir != NULL));
	require(!rule->dir ||
		(rule->dir[0] != '/' && !strstr(rule->dir, "//") && !strstr(rule->dir, "/../")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);
	struct finding_list findings = { 0 };
	struct rules rules = { 0 };
	int r;

	r = rules_parse(text, "x.conf", &rules, &findings);
	require(r == 0 || r == -ENOMEM);
	for (size_t i = 0; i < rules.n && r == 0; i++)
		check(&rules.items[i]);
	(void)rules_exclude(&rules, "/usr/lib/libcuda.so.1", "libcuda.so.1");
	rules_done(&rules);
	finding_list_done(&findings);
	return 0;
}
