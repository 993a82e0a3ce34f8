/* SPDX-License-Identifier: MIT */
/* Once: `done` is set after the one call has returned, so whoever reads it set (acquire) sees all that the call did. */
#include "base/platform.h"

#include <coracle/sync.h>

void cor_once_do(cor_once *once, void (*fn)(void *arg), void *arg)
{
    if (cori_likely(__atomic_load_n(&once->done, __ATOMIC_ACQUIRE) != 0)) {
        return;
    }
    cor_mutex_lock(&once->mutex);
    if (once->done == 0) {
        fn(arg);
        __atomic_store_n(&once->done, 1, __ATOMIC_RELEASE);
    }
    cor_mutex_unlock(&once->mutex);
}
