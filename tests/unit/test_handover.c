/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "fs/daemon.h"
#include "fs/store.h"
#include "tests/unit/unit.h"

static struct store *new_state(int *ret_fd)
{
	struct store *store;
	int fd = memfd_create("state", MFD_CLOEXEC);

	*ret_fd = dup(fd);
	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	return store;
}

static void set_generation(struct store *store, const char *text)
{
	store_write_lock(store);
	store_set_generation(store, store_blob_put(store, text, strlen(text)));
	store_unlock(store);
}

START_TEST(a_state_that_can_be_read_can_be_gone_on_with)
{
	struct error err = { 0 };
	int fd;
	struct store *store = new_state(&fd);

	ck_assert_msg(handover_rehearse(fd, &err) == 0, "%s", err.text); /* no driver yet */
	set_generation(
		store,
		"[{\"number\":1,\"root\":\"/\",\"version\":\"535.1\",\"files\":[],\"gpus\":[]}]");
	ck_assert_msg(handover_rehearse(fd, &err) == 0, "%s", err.text);
	store_free(store);
	(void)close(fd);
}
END_TEST

START_TEST(a_rehearsal_changes_nothing)
{
	static char before[65536], after[65536];
	int fd;
	struct store *store = new_state(&fd);

	ck_assert_int_gt(pread(fd, before, sizeof(before), 0), 0);
	ck_assert_int_eq(handover_rehearse(fd, NULL), 0);
	ck_assert_int_gt(pread(fd, after, sizeof(after), 0), 0);
	ck_assert_int_eq(memcmp(before, after, sizeof(before)), 0);
	store_free(store);
	(void)close(fd);
}
END_TEST

START_TEST(a_generation_that_cannot_be_read_is_refused)
{
	static const char *const texts[] = { "[", "{}", "[5]", "[{}]",
					     "[{\"root\":\"/\",\"files\":[{}]}]" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error err = { 0 };
		int fd;
		struct store *store = new_state(&fd);

		set_generation(store, texts[i]);
		ck_assert_msg(handover_rehearse(fd, &err) == -EBADMSG, "'%s'", texts[i]);
		ck_assert_ptr_nonnull(strstr(err.text, "take over"));
		store_free(store);
		(void)close(fd);
	}
}
END_TEST

START_TEST(what_is_no_state_is_refused)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	ck_assert_int_lt(handover_rehearse(fd, NULL), 0);
	ck_assert_int_eq(write(fd, "nonsense", 8), 8);
	ck_assert_int_lt(handover_rehearse(fd, NULL), 0);
	(void)close(fd);
}
END_TEST

START_TEST(without_a_keeper_or_twice_it_is_refused)
{
	struct daemon daemon = { .link = -1 };
	struct error err = { 0 };

	ck_assert_int_eq(method_handover(&daemon, NULL, NULL, NULL, "", NULL, &err), -ENOTCONN);
	ck_assert_ptr_nonnull(strstr(err.text, "keeper is gone"));
	ck_assert_ptr_null(daemon.handover);
	daemon.link = 0;
	daemon.handover = (struct client *)&daemon;
	err = (struct error){ 0 };
	ck_assert_int_eq(method_handover(&daemon, NULL, NULL, NULL, "", NULL, &err), -EBUSY);
	ck_assert_int_eq(err.class, ERROR_AGAIN);
}
END_TEST

START_TEST(an_injection_under_way_is_waited_for)
{
	struct injection injection = { .next = NULL };
	struct daemon daemon = { .link = -1, .injections = &injection };

	handover_stop(&daemon);
	ck_assert(daemon.stop_asked && !daemon.gives_way);
	handover_client_gone(&daemon, NULL);
	ck_assert(daemon.stop_asked);
}
END_TEST

UNIT_MAIN("handover", a_state_that_can_be_read_can_be_gone_on_with, a_rehearsal_changes_nothing,
	  a_generation_that_cannot_be_read_is_refused, what_is_no_state_is_refused,
	  without_a_keeper_or_twice_it_is_refused, an_injection_under_way_is_waited_for)
