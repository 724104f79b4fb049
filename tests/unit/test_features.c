/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/features.h"

#include <stddef.h>
#include <string.h>

#include "fs/kfuse.h"
#include "tests/unit/unit.h"

static struct {
	struct kfuse_in_header header;
	struct kfuse_init_in in;
} request;
static struct kfuse_init_out reply;
static struct features allowed, result;

static void offer(uint64_t flags)
{
	request.in.flags = (uint32_t)flags;
	request.in.flags2 = (uint32_t)(flags >> 32);
	memset(&reply, 0, sizeof(reply));
}

START_TEST(the_layouts_are_the_kernels)
{
	ck_assert_uint_eq(sizeof(struct kfuse_in_header), 40);
	ck_assert_uint_eq(sizeof(struct kfuse_out_header), 16);
	ck_assert_uint_eq(sizeof(struct kfuse_init_in), 64);
	ck_assert_uint_eq(sizeof(struct kfuse_init_out), 64);
	ck_assert_uint_eq(offsetof(struct kfuse_init_out, flags2), 32);
	ck_assert_uint_eq(offsetof(struct kfuse_init_out, max_stack_depth), 36);
	ck_assert_uint_eq(sizeof(struct kfuse_open_out), 16);
	ck_assert_uint_eq(sizeof(struct kfuse_backing_map), 16);
}
END_TEST

START_TEST(what_is_offered_and_allowed_is_asked_for)
{
	features_allowed(NULL, &allowed);
	offer(KFUSE_INIT_EXT | KFUSE_PASSTHROUGH | KFUSE_HAS_RESEND);
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(result.passthrough && result.resend && !result.idmap);
	ck_assert_uint_eq(reply.flags, KFUSE_INIT_EXT);
	ck_assert_uint_eq(reply.flags2, (KFUSE_PASSTHROUGH | KFUSE_HAS_RESEND) >> 32);
	ck_assert_uint_eq(reply.max_stack_depth, 1);
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, true,
			   &result);
	ck_assert_uint_eq(reply.max_stack_depth, 2);
}
END_TEST

START_TEST(what_is_turned_off_is_not_asked_for)
{
	features_allowed("passthrough, statmount,idmap", &allowed);
	ck_assert(!allowed.passthrough && allowed.resend && !allowed.idmap);
	offer(KFUSE_INIT_EXT | KFUSE_PASSTHROUGH | KFUSE_HAS_RESEND | KFUSE_ALLOW_IDMAP);
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(!result.passthrough && result.resend);
	ck_assert_uint_eq(reply.flags2, KFUSE_HAS_RESEND >> 32);
	ck_assert_uint_eq(reply.max_stack_depth, 0);
}
END_TEST

START_TEST(calls_are_no_matter_of_the_connection)
{
	features_allowed("pidfd_ns", &allowed);
	ck_assert(allowed.statmount && !allowed.pidfd_ns);
	offer(0);
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(result.statmount && !result.pidfd_ns);
	features_allowed("statmount,pidfd_ns", &allowed);
	features_probe(&allowed);
	ck_assert(!allowed.statmount && !allowed.pidfd_ns && allowed.passthrough);
}
END_TEST

START_TEST(an_old_kernel_gets_libfuses_reply_as_it_is)
{
	static const uint64_t offers[] = { 0, KFUSE_PASSTHROUGH, KFUSE_INIT_EXT };
	struct kfuse_init_out untouched = { 0 };

	features_allowed("", &allowed);
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		offer(offers[i]);
		features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed,
				   false, &result);
		ck_assert(!result.passthrough && !result.resend && !result.idmap);
		ck_assert_int_eq(memcmp(&reply, &untouched, sizeof(reply)), 0);
	}
	/* 5.10 sends a shorter INIT: no flags2 */
	offer(KFUSE_INIT_EXT | KFUSE_PASSTHROUGH);
	features_negotiate(&request, sizeof(request.header) + 16, &reply, sizeof(reply), &allowed,
			   false, &result);
	ck_assert(!result.passthrough);
}
END_TEST

START_TEST(the_epoch_goes_by_the_protocols_minor_number)
{
	features_allowed(NULL, &allowed);
	offer(KFUSE_INIT_EXT);
	request.in.major = 7;
	request.in.minor = 43;
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(!result.epoch);
	request.in.minor = 44;
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(result.epoch);
	features_allowed("epoch", &allowed);
	features_negotiate(&request, sizeof(request), &reply, sizeof(reply), &allowed, false,
			   &result);
	ck_assert(!result.epoch);
}
END_TEST

START_TEST(passthrough_is_expected_by_the_kernels_age)
{
	request.in.major = 7;
	request.in.minor = 39;
	ck_assert(!features_passthrough_expected(&request, sizeof(request)));
	request.in.minor = 40;
	ck_assert(features_passthrough_expected(&request, sizeof(request)));
	ck_assert(!features_passthrough_expected(&request, sizeof(request.header)));
	ck_assert(!features_passthrough_expected(&request, 0));
}
END_TEST

UNIT_MAIN("features", passthrough_is_expected_by_the_kernels_age,
	  the_epoch_goes_by_the_protocols_minor_number, the_layouts_are_the_kernels,
	  what_is_offered_and_allowed_is_asked_for, what_is_turned_off_is_not_asked_for,
	  an_old_kernel_gets_libfuses_reply_as_it_is, calls_are_no_matter_of_the_connection)
