/* SPDX-License-Identifier: MIT */
/*
 * The spin lock: a 32-bit word, 0 free. For critical sections of a few instructions that never park and never call the
 * kernel; a holder that loses its CPU delays the others, so after a while they yield theirs.
 *
 * Ranks (take only in ascending order): group, channel (several: by address), wait queue, handle, fresh queue.
 */
#ifndef CORI_BASE_LOCK_H
#define CORI_BASE_LOCK_H

#include "base/platform.h"

#include <sched.h>
#include <stdint.h>

static inline void cori_spin_lock(uint32_t *word)
{
    unsigned spins = 0;
    while (cori_unlikely(__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE) != 0)) {
        while (__atomic_load_n(word, __ATOMIC_RELAXED) != 0) {
            if (++spins % 128 == 0) {
                sched_yield();
            }
            cori_pause();
        }
    }
}

static inline void cori_spin_unlock(uint32_t *word)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

#endif
