/* SPDX-License-Identifier: MIT */
/*
 * Failing allocations. The linker's --wrap sends every allocation of the test and of the library here. This
 * object is pulled in only by tests that ask for it.
 */
#include "support/faults.h"

#include <stdlib.h>

static unsigned left;   /* atomic: allocations until one fails; 0: none will */
static unsigned failed; /* atomic */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool must_fail(void)
{
    unsigned now = __atomic_load_n(&left, __ATOMIC_RELAXED);
    while (now != 0) {
        if (__atomic_compare_exchange_n(&left, &now, now - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            if (now == 1) {
                __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
            }
            return now == 1;
        }
    }
    return false;
}

void faults_alloc_set(unsigned nth)
{
    __atomic_store_n(&failed, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&left, nth, __ATOMIC_RELAXED);
}

bool faults_alloc_hit(void)
{
    return __atomic_load_n(&failed, __ATOMIC_RELAXED) != 0;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return must_fail() ? NULL : __real_aligned_alloc(alignment, size);
}
