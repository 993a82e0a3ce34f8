/* SPDX-License-Identifier: MIT */
/* Once: `done` is set after the one call has returned, so whoever reads it set (acquire) sees all that the call did. */
#include "base/atomic.h"
#include "base/platform.h"

#include <coracle/sync.h>

void cor_once_do(cor_once *once, void (*fn)(void *arg), void *arg)
{
    if (cori_likely(cori_load_acquire(&once->done) != 0)) {
        return;
    }
    cor_mutex_lock(&once->mutex);
    if (once->done == 0) {
        fn(arg);
        cori_store_release(&once->done, 1);
    }
    cor_mutex_unlock(&once->mutex);
}

typedef struct making {
    cor_once_value *once;
    void *(*fn)(void *arg);
    void *arg;
} making;

static void make_value(void *arg)
{
    const making *now = arg;
    now->once->value = now->fn(now->arg);
}

void *cor_once_value_get(cor_once_value *once, void *(*fn)(void *arg), void *arg)
{
    if (cori_unlikely(cori_load_acquire(&once->once.done) == 0)) {
        making now = {once, fn, arg};
        cor_once_do(&once->once, make_value, &now);
    }
    return once->value;
}
