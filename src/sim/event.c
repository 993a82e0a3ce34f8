/* SPDX-License-Identifier: MIT */
/* The queue of events, the clock and the generator of event.h: one run at a time, on one thread. */
#include "sim/event.h"

#include "base/fatal.h"
#include "base/platform.h"
#include "base/rand.h"

#include <stddef.h>

static cori_heap heap;
static int64_t now_ns;
static uint64_t hash, count;
static cori_rand chance, extra;
static bool arming;                      /* an event is put into the heap */
static uint32_t faults[CORI_SIM_FAULTS]; /* once in how many times; 0: never */

void cori_sim_events_begin(uint64_t seed)
{
    now_ns = CORI_SIM_BEGIN_NS;
    hash = UINT64_C(0xcbf29ce484222325);
    count = 0;
    heap = (cori_heap){0};
    cori_rand_init(&chance, seed, UINT64_C(0x51));
}

void cori_sim_events_end(void (*drop)(cori_sim_event *event))
{
    cori_timer *first;
    while ((first = cori_heap_first(&heap)) != NULL) {
        cori_heap_remove(&heap, first);
        drop((cori_sim_event *)first);
    }
    cori_heap_free(&heap);
}

int64_t cori_sim_now(void)
{
    return now_ns;
}

void cori_sim_pass(int64_t duration_ns)
{
    now_ns += duration_ns;
}

void cori_sim_event_at(cori_sim_event *event, int64_t when)
{
    arming = true;
    int rc = cori_heap_set(&heap, &event->timer, when > now_ns ? when : now_ns);
    arming = false;
    if (rc < 0) {
        cori_fatal("simulation: no memory for what is to come");
    }
}

bool cori_sim_event_is_armed_now(void)
{
    return arming;
}

void cori_sim_event_cancel(cori_sim_event *event)
{
    cori_heap_remove(&heap, &event->timer);
}

int64_t cori_sim_event_next(void)
{
    const cori_timer *first = cori_heap_first(&heap);
    return first != NULL ? first->when : INT64_MAX;
}

void cori_sim_events_due(void)
{
    cori_timer *first;
    while ((first = cori_heap_first(&heap)) != NULL && first->when <= now_ns) {
        cori_heap_remove(&heap, first);
        cori_prefetch_write(cori_heap_first(&heap)); /* the next one: far from here, and not looked at for long */
        cori_sim_note((uint64_t)first->when);
        ((cori_sim_event *)first)->happens((cori_sim_event *)first);
    }
}

void cori_sim_faults_choose(bool hostile, uint32_t without)
{
    for (int fault = 0; fault < CORI_SIM_NARROW; fault++) {
        uint32_t rarest = fault < CORI_SIM_RESET ? 6 : 10; /* a power of two */
        uint32_t once_in = 2u << cori_sim_below(rarest);
        once_in = fault < CORI_SIM_RESET ? once_in : 16 * once_in;
        bool on = cori_sim_once_in(2) && (fault < CORI_SIM_RESET || hostile);
        faults[fault] = on && (without >> fault & 1) == 0 ? once_in : 0;
    }
}

void cori_sim_faults_more(uint64_t seed, uint32_t more)
{
    cori_rand_init(&extra, seed, UINT64_C(0x4d));
    for (int fault = CORI_SIM_NARROW; fault < CORI_SIM_FAULTS; fault++) {
        uint32_t once_in = 8u << cori_rand_below(&extra, 8);
        bool on = cori_rand_below(&extra, 2) == 0;
        faults[fault] = on && (more >> fault & 1) != 0 ? once_in : 0;
    }
}

bool cori_sim_happens(enum cori_sim_fault fault)
{
    if (faults[fault] == 0) {
        return false;
    }
    return fault >= CORI_SIM_NARROW ? cori_sim_more_below(faults[fault]) == 0 : cori_sim_once_in(faults[fault]);
}

uint32_t cori_sim_strength(enum cori_sim_fault fault)
{
    return faults[fault];
}

uint64_t cori_sim_more_below(uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)cori_rand_next(&extra) * limit) >> 32);
}

uint64_t cori_sim_below(uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)cori_rand_next(&chance) * limit) >> 32);
}

bool cori_sim_once_in(uint32_t times)
{
    return cori_sim_below(times) == 0;
}

void cori_sim_note(uint64_t what)
{
    hash = (hash ^ what) * UINT64_C(0x100000001b3);
    count++;
}

uint64_t cori_sim_hash(void)
{
    return hash;
}

uint64_t cori_sim_count(void)
{
    return count;
}
