/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_LINK_H
#define NVFS_FS_LINK_H

#include <stdint.h>

struct error;

/*
 * What keeper and daemon say to each other, over a SOCK_SEQPACKET pair: one
 * small message each, some with a descriptor.
 */

enum link_type {
	/* daemon to keeper */
	LINK_READY = 'R', /* the socket answers */
	LINK_PONG = 'P',
	LINK_DONE = 'X', /* unmounted: nothing is to be kept any more */
	LINK_HANDOVER = 'H', /* start the program on disk in my place */
	LINK_BUSY = 'U', /* told to stop, but containers live: going on until they have gone */
	LINK_STANDBY = 'B', /* a successor: the state can be read */
	LINK_DROP = 'D', /* a file that you hold is not served any more: object */
	/* keeper to daemon */
	LINK_PING = 'p',
	LINK_GO = 'G', /* all descriptors have been sent: serve */
	LINK_STOP = 'S', /* finish what you are at and exit: a successor stands by */
	LINK_CLOSE = 'C', /* of an object that was dropped: be the last one to close it */
	LINK_FAILED = 'E', /* there is no handover; object: an exit status */
	/* both ways */
	LINK_FILE = 'F', /* a host's file: object and descriptor */
};

/*
 * In place of an object: the daemon's inotify descriptor. The keeper has it so that a dying daemon is
 * not its last holder: that one's end would take 15 ms longer (fsnotify_wait_marks_destroyed() of the
 * kernel waits for a grace period), and containers wait with it. No change is lost either.
 */
#define LINK_WATCH UINT32_MAX

struct link_message {
	uint32_t type; /* enum link_type */
	uint32_t object;
	int fd; /* -1 for none; the receiver's to close */
};

/**
 * link_send() - send one message
 *
 * Signs of life, and what the other end may do without, are not waited with: -EAGAIN
 * where it has not read for so long that nothing more fits.
 *
 * Return: 0 or the errno of sendmsg(2); -EPIPE when the other end is gone.
 */
int link_send(int sock, enum link_type type, uint32_t object, int fd);

/**
 * link_receive() - receive one message
 *
 * Return: 1, 0 (the other end is gone), -EAGAIN (a non-blocking socket without
 * a message), -EBADMSG or the errno of recvmsg(2).
 */
int link_receive(int sock, struct link_message *ret);

#endif
