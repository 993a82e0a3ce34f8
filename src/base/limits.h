/* SPDX-License-Identifier: MIT */
/* Every limit of the library: name, unit, value and the reason for it. */
#ifndef CORI_BASE_LIMITS_H
#define CORI_BASE_LIMITS_H

/*
 * Worker threads of one cor_run: more than any machine this is built for; keeps COR_WORKERS=999999 from eating all
 * memory.
 */
#define CORI_WORKERS_MAX 256
/* Usable stack of a task, bytes. 64 KiB holds printf, json-c and a TLS handshake; untouched pages cost nothing. */
#define CORI_STACK_DEFAULT_BYTES (64 * 1024)
#define CORI_STACK_MIN_BYTES (16 * 1024)
#define CORI_STACK_MAX_BYTES (8 * 1024 * 1024)
/*
 * Guard below each stack, bytes: wider than any frame that is not probed page by page (-fstack-clash-protection). With
 * a stack of 2^n pages it must be an odd number of pages: else the top pages of all stacks meet in a few sets of the
 * TLB.
 */
#define CORI_STACK_GUARD_BYTES (68 * 1024)
/*
 * Finished stacks a worker keeps with their pages, for the next start. Others are in the pool with their pages for at
 * least CORI_STACK_DIRTY_NS, ns: long enough for the next wave, short for memory. A worker that has work cleans a slab
 * every CORI_STACK_CLEAN_NS, ns: 20 us of a ms, for 60 stacks.
 */
#define CORI_STACK_HOT_MAX 256
#define CORI_STACK_DIRTY_NS 10000000
#define CORI_STACK_CLEAN_NS 1000000
/* Of these, what a worker keeps though it had no use for them for a while. */
#define CORI_STACK_WARM 16
/*
 * How long memory must have been without use until it is given back, ns: so long that an active connection's next
 * message does not find its pages gone. Stacks seen to between two looks at the poller: about 50 us.
 */
#define CORI_RECLAIM_NS 5000000000
/* Added to it for each task of the worker, ns: looking at one takes about 150 ns, so passes take 0.3 % at most. */
#define CORI_RECLAIM_TASK_NS 50000
#define CORI_RECLAIM_STEP 32
/*
 * A round: task switches, or ns, after which the worker looks at timers and other threads again, and perhaps at I/O
 * (see below). The time is as short as a timer's user may expect, and as long as looking around costs nothing.
 */
#define CORI_ROUND_SWITCHES 256
#define CORI_ROUND_NS 1000000
/*
 * Turns that take less than this on average, ns, are too short for reading the clock (20 to 60 ns) at each; after
 * CORI_CHEAP_ROUNDS such rounds in a row a thread watches the time instead, until CORI_TICKS_UNUSED of its ticks have
 * passed unused.
 */
#define CORI_CHEAP_TURN_NS 1000
#define CORI_CHEAP_ROUNDS 16
#define CORI_TICKS_UNUSED 20
/*
 * While there is something to run the kernel is asked for events this often, ns: asking costs as much as fifty
 * switches. At the latest after CORI_POLL_ROUNDS rounds, because a clock may stand still.
 */
#define CORI_POLL_INTERVAL_NS 50000
#define CORI_POLL_ROUNDS 64
/*
 * Spinning before sleep: the most that an option may say, ns; the least time that one look at the poller takes, ns
 * (bounds the looks where a clock stands still); and how many times the limit a wait may last and still be short: the
 * thread's wake-up is part of it.
 */
#define CORI_SPIN_MAX_NS 1000000000
#define CORI_SPIN_LOOK_NS 100
#define CORI_SPIN_SHORT 2
/*
 * Looking for hand-overs before sleep: how long, ns: a few times what tasks take to answer each other; the credit that
 * can be had, and what a look in vain costs of it; the longest nap in whose place a look would have paid, ns, with the
 * thread's wake-up; and the most of such naps between two trials. Pauses between two readings of the clock, and in all.
 */
#define CORI_LOOK_NS 50000
#define CORI_LOOKS 8
#define CORI_LOOK_PRICE 4
#define CORI_LOOK_NAP_NS 200000
#define CORI_LOOK_NAPS 127
#define CORI_LOOK_PAUSES 32
/* How long a look goes on until it lets another thread of this core run, if there is one, ns; and how often such a
 * thread may have been the waker, in a row, until this one moves to another core. */
#define CORI_LOOK_YIELD_NS 2000
#define CORI_LOOK_CROWDED 64
#define CORI_LOOK_PAUSES_MOST 10000
/* Operations that a task may finish without parking before it has to let others run. */
#define CORI_OPS_BUDGET 128
/* Bytes that an operation may move for one such credit more: copying them takes as long as a small operation does. */
#define CORI_OP_BYTES 4096
/* Cache lines of a task's stack that are fetched before its turn: about what a task parked in a read has in use. */
#define CORI_PREFETCH_LINES 10
/*
 * A block of records of tasks that never ran, bytes: a stack's worth, for a thousand. How long a worker waits that gets
 * no stack for one of them until it asks again, ns: short for who waits, long for a CPU. And how many records it looks
 * at, under the queue's lock, for a task that has its stack.
 */
#define CORI_FRESH_BLOCK_BYTES (64 * 1024)
#define CORI_STARVED_NS 10000000
#define CORI_MADE_SCAN 1024
/* How long the kernel may refuse each wait for events until the program gives up, ns. */
#define CORI_REFUSED_NS 1000000000
/* Events taken from the kernel at once. */
#define CORI_POLL_EVENTS 256
/*
 * Receive buffers of a worker's io_uring (a power of two) and their size, bytes: few, so that they stay in the cache.
 * What one connection may hold of them before its receive is stopped.
 */
#define CORI_URING_BUFFERS 64
#define CORI_URING_BUFFER_BYTES 16384
#define CORI_URING_QUEUED_MAX 8
/* Accepted connections that may wait untaken before accepting stops; what came with them is kept, too. */
#define CORI_URING_ACCEPTED_MAX 64
/* States of closed descriptors that an io_uring keeps for the next ones. */
#define CORI_URING_STATES_KEPT 64
/*
 * How long a close waits for another worker that has to do it, ns: long for one that runs, short for one that computes.
 */
#define CORI_CLOSE_WAIT_NS 50000000
/* How long a queued task that never ran must have waited before an idle worker takes it from its worker, ns. */
#define CORI_STEAL_AGE_NS 1000000
/* The same for an idle worker that has its share already: it only rescues tasks queued after a computing one, ns. */
#define CORI_RESCUE_AGE_NS 5000000
/* Floating tasks that an idle worker takes from another at once, at most: bounds the time under the lock. */
#define CORI_FLOAT_TAKE 16
/*
 * Difference in live tasks from which a new task is started on the worker with fewer: if at least CORI_BALANCE_OUTSIDE
 * of the spawner's wait for something outside the program, or the turns since the last start took CORI_STEAL_AGE_NS,
 * or those of the tasks that were queued with it take CORI_APART_TURN_NS each; and else.
 */
#define CORI_BALANCE_STEP 2
#define CORI_BALANCE_OUTSIDE 2
#define CORI_BALANCE_MANY 32
#define CORI_APART_TURN_NS 30000
/* Threads for cor_blocking unless the options say otherwise, and their upper limit. */
#define CORI_BLOCKING_DEFAULT 16
#define CORI_BLOCKING_MAX 1024
/* Threads for closes that linger. They are the library's own and do not wait for users' calls, nor these for them. */
#define CORI_LINGERING_MAX 16
/* How long the end of cor_run waits for calls of cor_blocking that still run, unless the options say otherwise, ns. */
#define CORI_BLOCKING_GRACE_NS INT64_C(5000000000)
/* Open connections and listeners of a process; the kernel's descriptor limit is reached first. */
#define CORI_SLOTS_PER_CHUNK 256
#define CORI_SLOT_CHUNKS_MAX 16384
/* Largest channel element, bytes (Go's limit) and most cases of one select. */
#define CORI_CHAN_ELEM_MAX 65536
#define CORI_SELECT_MAX 64
/* Members of a group that a cancel wakes between two looks at the list: bounds the time under its lock. */
#define CORI_WAKE_BATCH 64
/* Tasks of another worker that are handed over to it together, at most: it need not wait until all are woken. */
#define CORI_WAKES 128
/* Back-off of cor_serve after a temporary accept error, ns: net/http's figures. */
#define CORI_ACCEPT_PAUSE_MIN_NS 5000000
#define CORI_ACCEPT_PAUSE_MAX_NS 1000000000
/* Least time for one of several addresses when a dial has a deadline, ns (Go's figure). */
#define CORI_DIAL_SLICE_MIN_NS 2000000000
/* How long the first address's family has to answer before the other is tried as well, ns (RFC 8305). */
#define CORI_DIAL_FALLBACK_NS 300000000
/*
 * Lookups that a worker has under way at name servers: those that tasks wait for, whose answers must fit into the
 * buffer of a socket, and all, of which each takes one or two of 65,536 numbers. Others wait for their turn.
 */
#define CORI_DNS_WANTED_MAX 100
#define CORI_DNS_ASKED_MAX 10000
/*
 * Addresses of a host that a lookup gives: more than fit into two answers (A and AAAA) of 64 KiB. Those that a dial
 * tries. And of how many of each family the kernel is asked for the source, to put them into order.
 */
#define CORI_LOOKUP_ADDRS_MAX 8192
#define CORI_DIAL_ADDRS_MAX 15
#define CORI_ORDER_SOURCES 32
/* Size of the buffers that cor_read_buffer lends, bytes, and how many a worker keeps. */
#define CORI_BUFFER_BYTES 16384
#define CORI_BUFFERS_KEPT 16
/*
 * Kernel pipes that copies by splice use: how many at most (with two descriptors each), how many of them are kept open
 * while nobody uses them, and how many bytes each can hold.
 */
#define CORI_DUCTS_MAX 256
#define CORI_DUCTS_KEPT 16
#define CORI_DUCT_BYTES (256 * 1024)
/* What one call of sendfile moves at most, bytes: it may have to wait for the disk. */
#define CORI_SENDFILE_BYTES (1 << 20)
/* What a read from an in-memory pipe copies at most while it holds the pipe's lock, bytes. */
#define CORI_PIPE_PIECE_BYTES 65536
/* Backlog when /proc/sys/net/core/somaxconn cannot be read. */
#define CORI_BACKLOG_DEFAULT 128
/*
 * How long listening waits for an address in use to become free, ns: this long at first, then twice as long, up to the
 * last. The kernel takes a few ms to end what a killed server has held.
 */
#define CORI_LISTEN_PAUSE_MIN_NS 1000000
#define CORI_LISTEN_PAUSE_MAX_NS 64000000
/* The pauses after which a unixgram socket without a peer tries a full receiver again, ns: first and last. */
#define CORI_UNIXGRAM_PAUSE_MIN_NS 1000000
#define CORI_UNIXGRAM_PAUSE_MAX_NS 16000000
/* Keep-alive of TCP connections: idle time and interval, s, and questions without an answer (Go's defaults). */
#define CORI_KEEPALIVE_S 15
#define CORI_KEEPALIVE_COUNT 9
/* First allocation of a buffered reader, bytes. */
#define CORI_READER_FIRST_BYTES 4096
/* What cor_finish reads and drops at most, bytes: a peer that sends for ever must not keep it. */
#define CORI_FINISH_BYTES (1 << 20)
/* How long a worker that is to print its tasks may take to begin, ns: its thread may have to wait for its CPU. */
#define CORI_DUMP_ANSWER_NS INT64_C(1000000000)
/*
 * How long a task may hold its worker until the watchdog names it, ns: what may be asked for. The kernel's CPU timers
 * are as exact as its own tick, 1 to 10 ms.
 */
#define CORI_STALL_MIN_NS 1000000
#define CORI_STALL_MAX_NS INT64_C(3600000000000)
/*
 * Ready tasks of a worker that are counted for cor_stats_workers: a look at each is a miss of the cache, 1 ms in all.
 */
#define CORI_READY_COUNTED 10000
/* Frames shown per task in a dump. */
#define CORI_BACKTRACE_FRAMES 32

#endif
