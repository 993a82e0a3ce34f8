/* SPDX-License-Identifier: MIT */
/* How a lock's holder gets a CPU to give it back. */
#include "base/lock.h"

#include <sched.h>
#include <stddef.h>

void (*cori_spin_way)(void);

void cori_spin_give_way(void)
{
    if (cori_spin_way != NULL) {
        cori_spin_way();
    } else {
        (void)sched_yield();
    }
}
