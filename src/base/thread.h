/* SPDX-License-Identifier: MIT */
/* Threads of the library that are no workers. */
#ifndef CORI_BASE_THREAD_H
#define CORI_BASE_THREAD_H

#include <pthread.h>

/*
 * Starts a thread that no signal is delivered to: signals belong to the workers. But SIGSYS is not blocked. A sandbox
 * sends it to the thread whose system call it has denied, and where it is blocked the kernel ends the process instead.
 * Returns 0 or an errno.
 */
int cori_thread_start(pthread_t *thread, void *(*main)(void *arg), void *arg);

#endif
