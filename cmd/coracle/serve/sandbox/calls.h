/* SPDX-License-Identifier: MIT */
/* The system calls of a server at work, by seccomp. */
#ifndef CORACLE_CMD_SERVE_SANDBOX_CALLS_H
#define CORACLE_CMD_SERVE_SANDBOX_CALLS_H

#include <stdbool.h>
#include <stdint.h>

/* In an argument that the kernel does not look at: this call has been seen by denied.c. */
#define CALLS_SEEN UINT64_C(0x636f7261636c65)

/* Whether this build can filter calls. */
bool calls_known(void);

/*
 * Denies all threads any other calls: the kernel sends SIGSYS in their place, which denied.c must be ready for. `ring`:
 * the workers wait by io_uring. `notify`: a manager is told things. Returns 0 or -errno.
 */
int calls_filter(bool ring, bool notify);

/* The name of a call, for the caller to free; NULL: it has none here. */
char *calls_name(uint32_t architecture, int number);

/* Whether denied.c makes this call itself, marked by CALLS_SEEN: the kernel decides by the files, and it is told. */
bool calls_passed_on(uint32_t architecture, int number);

#endif
