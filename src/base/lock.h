/* SPDX-License-Identifier: MIT */
/*
 * The spin lock: a 32-bit word, 0 free. For critical sections of a few instructions that never park and never call the
 * kernel; a holder that loses its CPU delays the others, so after a while they yield theirs.
 *
 * Ranks (take only in ascending order): group, scope (a parent first), channel (several: by address), wait queue, slot,
 * fresh queue.
 */
#ifndef CORI_BASE_LOCK_H
#define CORI_BASE_LOCK_H

#include "base/atomic.h"
#include "base/platform.h"

#include <stdint.h>

/* What a thread does that has spun for a while: sched_yield(), or what stands in for it where workers are virtual. */
void cori_spin_give_way(void);
/* NULL: sched_yield(). Set only while no cor_run is active. */
extern void (*cori_spin_way)(void);

static inline void cori_spin_lock(uint32_t *word)
{
    unsigned spins = 0;
    while (cori_unlikely(cori_swap_acquire(word, 1) != 0)) {
        while (cori_load_relaxed(word) != 0) {
            if (++spins % 128 == 0) {
                cori_spin_give_way();
            }
            cori_pause();
        }
    }
}

static inline void cori_spin_unlock(uint32_t *word)
{
    cori_store_release(word, 0);
}

#endif
