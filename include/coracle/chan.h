/* SPDX-License-Identifier: MIT */
/*
 * Channels and select, with Go's semantics, across workers: unbuffered rendezvous or a bounded FIFO of fixed-size
 * values, waiters served in order of arrival, close, and select over sends and receives with exactly one case taken.
 * A NULL channel is Go's nil channel: it blocks for ever, and in a select its case is never chosen. A select waits for
 * channels and timers (timer.h), not for connections: as in Go, a task that reads sends what it got to a channel.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_CHAN_H
#define CORACLE_CHAN_H

#include <coracle/base.h>

COR_BEGIN

typedef struct cor_chan cor_chan;

/*
 * Makes a channel for values of `elem_size_bytes` (0 .. 65536) holding up to `capacity` of them; 0 is unbuffered.
 * Returns: the channel, or NULL when a size is out of range or memory ran out. Threads: any thread.
 * Owns: returns owned; release with cor_chan_free. Go: make(chan T, capacity).
 */
COR_API cor_chan *cor_chan_new(size_t elem_size_bytes, size_t capacity);

/*
 * Frees a channel that nobody waits on or will use again. Values still in it are dropped. NULL is accepted. Whoever has
 * received the last value or the end may free it at once: the call that sent it, or closed the channel, is done with it
 * even if it has not returned yet.
 * Threads: any thread, after the last use. Owns: takes the channel.
 */
COR_API void cor_chan_free(cor_chan *chan);

/*
 * Sends a copy of *elem; parks while the channel is full (unbuffered: until a receiver takes it).
 * `deadline` is absolute, 0 for none. With a deadline that has passed, it still sends if that is possible at once.
 * Returns: 0, COR_ECHAN_CLOSED (closed before or while waiting), COR_ETIMEOUT, COR_ECANCELED, COR_ENOT_TASK.
 * Parks: until deadline. Threads: tasks only, any number at once. Owns: borrows `elem` until return.
 * Go: c <- v.
 */
COR_API COR_CHECK int cor_chan_send(cor_chan *chan, const void *elem, int64_t deadline);

/*
 * Receives one value into *elem (NULL: drops it). After close the values left are delivered, then 0 for ever.
 * `deadline` is absolute, 0 for none. With a deadline that has passed, it still receives if that is possible at once.
 * Returns: 1 with a value, 0 when closed and empty (*elem is zeroed), COR_ETIMEOUT, COR_ECANCELED, COR_ENOT_TASK.
 * Parks: until deadline. Threads: tasks only, any number at once. Owns: borrows `elem` until return.
 * Go: v, ok := <-c.
 */
COR_API COR_CHECK int cor_chan_recv(cor_chan *chan, void *elem, int64_t deadline);

/*
 * Sends without waiting. It never lets others run: a loop that tries again must call cor_yield.
 * Returns: 0, -EAGAIN if it would have to wait, COR_ECHAN_CLOSED. Owns: borrows `elem` until return.
 * Go: select with one send and default.
 */
COR_API COR_CHECK int cor_chan_try_send(cor_chan *chan, const void *elem);

/*
 * Receives without waiting. It never lets others run: a loop that tries again must call cor_yield.
 * Returns: 1 with a value, 0 when closed and empty, -EAGAIN if it would have to wait.
 * Owns: borrows `elem` until return. Go: select with one receive and default.
 */
COR_API COR_CHECK int cor_chan_try_recv(cor_chan *chan, void *elem);

/*
 * Closes the channel: no more sends; every waiting receiver wakes with 0, every waiting sender with COR_ECHAN_CLOSED.
 * Returns: 0, or COR_ECHAN_CLOSED if it was closed already, or -EINVAL for NULL.
 * Go: close(c) (which panics where this returns an error).
 */
COR_API int cor_chan_close(cor_chan *chan);

/*
 * Counts the values waiting in the buffer; a snapshot. NULL gives 0.
 * Returns: the number. Threads: any thread. Go: len(c).
 */
COR_API size_t cor_chan_len(cor_chan *chan);

/*
 * Gives the buffer's size in values; 0 for unbuffered or NULL.
 * Returns: the number. Threads: any thread. Go: cap(c).
 */
COR_API size_t cor_chan_cap(const cor_chan *chan);

/*
 * Does what cor_chan_send does, from any thread: one of cor_blocking's pool, or one of the program's own, which needs
 * cor_options.foreign_wakeups. The thread stops until a task started for it has sent; with a deadline that has passed
 * it only tries. Each operation costs a task and two thread switches.
 * Returns: as cor_chan_send; COR_ECANCELED when cor_run ends first; COR_ENOT_TASK when none is active; -ENOMEM.
 * Parks: until deadline, as a task; else the thread stops. Threads: any thread, not in a signal handler.
 * Owns: borrows `elem` until return. Go: c <- v, from a thread that C has made.
 */
COR_API COR_CHECK int cor_chan_send_foreign(cor_chan *chan, const void *elem, int64_t deadline);

/*
 * Does what cor_chan_recv does, for any thread, as cor_chan_send_foreign does.
 * Returns: as cor_chan_recv; COR_ECANCELED when cor_run ends first; COR_ENOT_TASK when none is active; -ENOMEM.
 * Parks: until deadline, as a task; else the thread stops. Threads: any thread, not in a signal handler.
 * Owns: borrows `elem` until return. Go: v, ok := <-c, from a thread that C has made.
 */
COR_API COR_CHECK int cor_chan_recv_foreign(cor_chan *chan, void *elem, int64_t deadline);

/* One case of a select. */
typedef enum cor_dir { COR_RECV, COR_SEND } cor_dir;
typedef struct cor_case {
    cor_dir dir;
    cor_chan *chan; /* NULL: this case is off */
    void *elem;     /* COR_RECV: where the value goes (NULL: dropped); COR_SEND: the value */
    int result;     /* set for the chosen case: as cor_chan_send or cor_chan_recv returns */
} cor_case;

/*
 * Waits until one of `count` cases (at most 64) can proceed, does exactly that one and sets its `result`. If several
 * are ready, the choice is uniformly random. `deadline` is absolute, 0 for none; even if it has passed, a ready case is
 * done. A cancelled task gets COR_ECANCELED, whether or not a case is ready (group.h).
 * Returns: the index of the case done, COR_ETIMEOUT, COR_ECANCELED, COR_ENOT_TASK, -EINVAL (too many cases).
 * Parks: until deadline. Owns: borrows `cases` until return.
 * Go: the select statement; with a deadline, plus a case on time.After.
 */
COR_API COR_CHECK int cor_select(cor_case *cases, size_t count, int64_t deadline);

/*
 * Does one ready case as cor_select does, if there is one, and never waits. It never lets others run: a loop that tries
 * again must call cor_yield.
 * Returns: its index, -EAGAIN if none is ready, -EINVAL. Owns: borrows `cases` until return. Go: select with default.
 */
COR_API COR_CHECK int cor_select_try(cor_case *cases, size_t count);

COR_END

#endif
