/* SPDX-License-Identifier: MIT */
/*
 * A fake clock and a fake poller: one worker, no real waiting, the same run for the same seed.
 *
 * Time stands still until the scheduler would sleep; then it jumps to the next timer or the next scripted event. If
 * there is neither, the poller waits for a kick (a foreign thread, a deadlock report) and aborts the test when none
 * comes.
 *
 * A fake descriptor is a real socket, so that any call on it works and what is sent can be read back, but what it
 * receives or accepts, and when it is ready, comes from the script alone.
 */
#ifndef TEST_SUPPORT_FAKE_H
#define TEST_SUPPORT_FAKE_H

#include "poll/poll.h"

#include <coracle/task.h>
#include <coracle/time.h>

#define FAKE_START_NS (1000 * COR_SECOND)

extern const cori_poll_ops fake_poll_ops;

/* Counters since fake_install. */
typedef struct fake_counts {
    unsigned opens, adds, removes, waits, kicks, jumps;
} fake_counts;

/*
 * Puts clock and poller in place, the clock at FAKE_START_NS; and takes them away again. Not while cor_run is active.
 */
void fake_install(void);
void fake_uninstall(void);
/* As fake_install, for the poller alone, with the real clock. */
void fake_install_poller(void);

/* Options for a cor_run on it: one worker, this seed. */
cor_options fake_options(uint64_t seed);

int64_t fake_now(void);
void fake_advance(int64_t duration_ns);
fake_counts fake_count(void);

/* Calls `fn(arg)` from the poller when the fake clock reaches `when`; equal times in order of calling. */
void fake_at(int64_t when, void (*fn)(void *arg), void *arg);

/* Makes a descriptor: nothing to read, writable. The code under test closes it. */
int fake_open(void);
/* Adds bytes, the end of the stream, an error (-errno, given once), or a connection (another fake descriptor). */
void fake_feed(int fd, const void *bytes, size_t size);
void fake_feed_end(int fd);
void fake_feed_error(int fd, int code);
void fake_feed_conn(int fd, int conn_fd);
/* Says whether the descriptor is ready for writing; turning it on is an event. */
void fake_set_writable(int fd, bool writable);
/* Reads what was sent on the descriptor so far; the count. */
size_t fake_sent(int fd, void *buf, size_t size);

#endif
