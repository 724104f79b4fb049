/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a runtime's state and a bundle's config.json hold, the hook gets
 * either a named refusal or values that keep what hook.h says of them.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "inject/hook.h"
#include "tests/fuzz/fuzz.h"

static void check_state(const char *text, size_t len)
{
	struct hook_state state = { 0 };
	struct error err = { 0 };
	int r = hook_state_parse(text, len, &state, &err);

	require(r == 0 || (r == -EINVAL && err.text[0] && err.class == ERROR_USAGE));
	if (r == 0) {
		require(request_check_id(state.id, NULL) == 0);
		require(state.bundle[0] == '/' && (!state.root || state.root[0] == '/'));
		require(state.pid >= 0 && state.pid != 1);
	} else {
		require(!state.id && !state.bundle && !state.root);
	}
	hook_state_done(&state);
}

/* Items between commas, none empty, no blank around one, and never "void". */
static void check_devices(const char *list)
{
	require(*list != '\0');
	while (list) {
		size_t len = strcspn(list, ",");

		require(len > 0 && list[0] != ' ' && list[len - 1] != ' ');
		require(len != 4 || strncmp(list, "void", 4) != 0);
		list = list[len] ? list + len + 1 : NULL;
	}
}

static void check_config(const char *text, size_t len, const char *cdi_device)
{
	const struct hook_rules rules = { .swarm = "DOCKER_RESOURCE_GPU,SWARM",
					  .cdi_device = cdi_device };
	struct hook_wish wish = { 0 };
	struct error err = { 0 };
	int r = hook_config_parse(text, len, &rules, &wish, &err);

	require(r == 0 || (r == -EINVAL && err.text[0] &&
			   (err.class == ERROR_USAGE || err.class == ERROR_REQUIREMENT)) ||
		(r == -EPERM && err.text[0] && err.class == ERROR_PERMISSION)); /* MIG control */
	if (r == 0 && wish.wanted) {
		if (cdi_device)
			require(!strcmp(wish.source, "cdi") && wish.devices);
		else
			require(!strcmp(wish.source, "env") || !strcmp(wish.source, "mounts"));
		if (!cdi_device)
			check_devices(wish.devices);
		require(!wish.driver_caps || wish.driver_caps[0]);
	} else {
		require(!wish.devices && !wish.driver_caps && !wish.root && !wish.privileged);
		require(r < 0 || wish.why);
	}
	hook_wish_done(&wish);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);

	check_state(text, size);
	check_config(text, size, NULL);
	check_config(text, size, "GPU-1");
	return 0;
}
