/* SPDX-License-Identifier: MIT */
/*
 * Memory of the library's own. Each call is the C library's of that name, asks the fault hook first (CORI_SYS_ALLOC),
 * and what it gives goes back with free(). So a test, or a simulated run, can make the n-th one fail without a wrapper
 * around malloc, and without failing those of the program. A failure leaves errno alone, which is the task's.
 */
#ifndef CORI_BASE_MEMORY_H
#define CORI_BASE_MEMORY_H

#include "base/sys.h"

#include <stdlib.h>
#include <string.h>

/* What an allocation gave, before which errno was `before`. */
static inline void *cori_made(void *memory, int before)
{
    if (cori_unlikely(memory == NULL)) {
        cori_errno_restore(before);
    }
    return memory;
}

static inline void *cori_malloc(size_t size)
{
    int before = cori_errno_keep();
    void *made = cori_sys_faulted(CORI_SYS_ALLOC) < 0 ? NULL : malloc(size);
    return cori_made(made, before);
}

static inline void *cori_calloc(size_t count, size_t size)
{
    int before = cori_errno_keep();
    void *made = cori_sys_faulted(CORI_SYS_ALLOC) < 0 ? NULL : calloc(count, size);
    return cori_made(made, before);
}

static inline void *cori_realloc(void *old, size_t size)
{
    int before = cori_errno_keep();
    void *made = cori_sys_faulted(CORI_SYS_ALLOC) < 0 ? NULL : realloc(old, size);
    return cori_made(made, before);
}

static inline void *cori_aligned_alloc(size_t alignment, size_t size)
{
    int before = cori_errno_keep();
    void *made = cori_sys_faulted(CORI_SYS_ALLOC) < 0 ? NULL : aligned_alloc(alignment, size);
    return cori_made(made, before);
}

static inline char *cori_strdup(const char *text)
{
    int before = cori_errno_keep();
    char *made = cori_sys_faulted(CORI_SYS_ALLOC) < 0 ? NULL : strdup(text);
    return cori_made(made, before);
}

#endif
