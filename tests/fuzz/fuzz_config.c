/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in nvfs.conf: a refusal that names the place, or values within their bounds. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "fs/config.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct config *config)
{
	require(config->driver_root[0] == '/' && config->proc_root[0] == '/' &&
		config->dev_root[0] == '/' && config->mountpoint[0] == '/' &&
		config->socket[0] == '/');
	require(config->accept_env <= ACCEPT_ENV_NEVER);
	require(config->workers >= 1 && config->workers <= 16 && config->trees_per_user <= 10000);
	require(config->grace_s <= 86400 && config->settle_s <= 3600);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int fd = memfd_create("conf", MFD_CLOEXEC);
	struct config config;
	struct error err = { 0 };
	char path[64];
	int r;

	log_open("fuzz", LOG_LEVEL_ERROR);
	require(fd >= 0 && file_write_all(fd, data, size) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	require(config_init(&config) == 0);
	r = config_read(&config, path, false, &err);
	require(r == 0 || (r == -EINVAL && strstr(err.text, path)));
	check(&config);
	config_done(&config);
	return 0;
}
