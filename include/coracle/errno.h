/* SPDX-License-Identifier: MIT */
/*
 * errno for floating tasks. errno belongs to the task (task.h) but is stored in the thread, and the C library's header
 * promises the compiler that its address never changes, which is not true of a task that changes threads. Include this
 * header, or <coracle.h>, where such a task uses errno across a call that may park. It redefines errno, with the same
 * meaning for every thread and task.
 */
#ifndef CORACLE_ERRNO_H
#define CORACLE_ERRNO_H

#include <coracle/base.h>
#include <errno.h>

COR_BEGIN

/*
 * Tells where the calling thread's errno is at this moment. A floating task must not keep the address across a call
 * that may park.
 * Returns: an address, never NULL.
 * Parks: never. Threads: any thread. Owns: returns borrowed.
 */
COR_API int *cor_errno_place(void);

COR_END

#undef errno
#define errno (*cor_errno_place())

#endif
