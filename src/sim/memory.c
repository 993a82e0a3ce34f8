/* SPDX-License-Identifier: MIT */
/*
 * Memory that is not to be had: which of the library's allocations (base/memory.h) fail in a run. Only those on workers
 * do while main_task runs: a run begins and ends whatever is planned. The simulator's own never fail, nor those of the
 * library's heap when the simulator uses it.
 */
#include "sim/memory.h"

#include "sched/here.h"
#include "sched/virtual.h"
#include "sim/event.h"

#include <coracle/error.h>
#include <coracle/sim.h>
#include <errno.h>

static bool runs;
static int64_t until_first, still_to_fail; /* what is planned: so many succeed, then so many fail */

void cori_sim_memory_begin(void)
{
    runs = false;
    until_first = still_to_fail = 0;
}

void cori_sim_memory_main(bool on)
{
    runs = on;
}

static bool is_planned(void)
{
    if (still_to_fail == 0 || until_first-- > 0) {
        return false;
    }
    until_first = 0;
    still_to_fail--;
    return true;
}

bool cori_sim_memory_fails(void)
{
    bool asked = runs && !cori_sim_event_is_armed_now() && cori_here_is_worker();
    return asked && (is_planned() || cori_sim_happens(CORI_SIM_MEMORY));
}

int cor_sim_fail_memory(int64_t nth, int64_t count)
{
    if (cori_virtual_driver == NULL || cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (nth < 1 || count < 0) {
        return -EINVAL;
    }
    until_first = nth - 1;
    still_to_fail = count;
    return 0;
}
