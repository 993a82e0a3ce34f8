/* SPDX-License-Identifier: MIT */
/* Backtraces: the addresses of the calls that a task is in, innermost first. Async-signal-safe. */
#ifndef CORI_SCHED_FRAMES_H
#define CORI_SCHED_FRAMES_H

#include "sched/state.h"

#include <ucontext.h>

/*
 * Follow frame pointers as long as they stay inside the task's stack and grow. Code without them hides its caller, and
 * may cut a backtrace short. How many of at most `most` frames there are. The task is suspended and stays so; or it is
 * the one that `running` was taken of, on whose thread this is called.
 */
int cori_frames_parked(const cori_task *task, const void **frames, int most);
/* Of the calling task: who has called the function whose frame that is, and so on. */
int cori_frames_here(const cori_task *self, const void *frame, const void **frames, int most);
int cori_frames_running(const cori_task *task, const ucontext_t *running, const void **frames, int most);

#endif
