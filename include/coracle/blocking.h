/* SPDX-License-Identifier: MIT */
/* A way to run code that stops its thread (a file, a library without Coracle) without stopping the other tasks. */
#ifndef CORACLE_BLOCKING_H
#define CORACLE_BLOCKING_H

#include <coracle/base.h>

COR_BEGIN

/*
 * Runs `fn(arg)` on a thread of a bounded pool and parks the task until it has returned. When all threads of the pool
 * are busy, the call waits for one. It cannot be cancelled: fn may still be using what arg points to. fn must not call
 * a function of this library that parks. The end of cor_run waits for it no longer than cor_options.blocking_grace_ns:
 * after that fn runs on alone; its task's stack is still there, but nothing else of the run-time.
 * Returns: what fn returned; -EAGAIN if not a single thread could be started; COR_ENOT_TASK.
 * Parks: yes. Threads: tasks only. Owns: borrows `arg` until return.
 * Go: any blocking system call (the run-time gives it a thread of its own).
 */
COR_API int cor_blocking(int (*fn)(void *arg), void *arg);

COR_END

#endif
