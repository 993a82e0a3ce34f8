/* SPDX-License-Identifier: MIT */
/*
 * How the status server's thread has something done by a task. The thread waits for the task, the task never for the
 * thread: it says that it is done by one atomic exchange and a semaphore. The wait has a bound. If it runs out the task
 * still comes some time, and what it fills in is then its own to free; until it has come nothing else is asked, and
 * whoever asks hears so at once. Tasks that wait for a worker therefore never become many.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_ASK_H
#define CORACLE_CMD_SERVE_ADMIN_ASK_H

#include <coracle/time.h>
#include <stdatomic.h>
#include <stdint.h>

/* All-zero is ready. One thread asks. */
struct asker {
    _Atomic int64_t late_since; /* cor_now() of the question whose task has not come in time; 0: none */
};

/*
 * How long a question waits for a worker. /livez must be answered within a second, also behind one other question of
 * which the answer does not come: then nothing waits any more.
 */
#define ASK_WAIT_NS (500 * COR_MILLISECOND)
#define ASK_WAIT_LIVE_NS (250 * COR_MILLISECOND)

/*
 * Has a task call `fill(arg)` and waits for it, `wait_ns` at most. Returns 0; -EAGAIN when no worker has come to
 * it in that time, or has not come to an earlier one; or another negative code. Except with 0 `arg` is passed to
 * `drop`, now or when the task has come.
 */
int ask_task(struct asker *asker, int64_t wait_ns, void (*fill)(void *arg), void (*drop)(void *arg), void *arg);

/* For how long a question has been waiting for a worker, ns; 0: none is. */
int64_t ask_late_for(const struct asker *asker);

/* Waits, for a second at most, until a task that was late has come. For a task, when nobody asks any more. */
void ask_end(const struct asker *asker);

#endif
