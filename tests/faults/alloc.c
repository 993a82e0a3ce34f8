/* SPDX-License-Identifier: MIT */
/*
 * The allocations of the whole process, those of the libraries it uses too: the program's own definitions come before
 * the C library's, which do the work. A sanitizer's do where there is one.
 */
#include "faults/faults.h"

#include "base/platform.h"

#include <stddef.h>
#include <stdlib.h>

/*
 * The names are for the libraries too; but a sanitizer allocates before it can bear instrumented code, and there they
 * are for the program alone.
 */
#if CORI_ASAN || CORI_TSAN
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#define EVERYBODYS
#endif
#ifdef EVERYBODYS
#pragma GCC visibility push(default)
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *old, size_t size);
void *REAL(memalign)(size_t alignment, size_t size);

static bool fails(void)
{
    if (fault_due(CORI_SYS_ALLOC) == 0) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : REAL(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : REAL(calloc)(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : REAL(realloc)(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : REAL(memalign)(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory = aligned_alloc(alignment, size);
    if (memory != NULL) {
        *out = memory;
    }
    return memory != NULL ? 0 : ENOMEM;
}

#ifdef EVERYBODYS
#pragma GCC visibility pop
#endif
