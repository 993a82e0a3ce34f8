/* SPDX-License-Identifier: MIT */
/* What will happen in a simulated run, in order of virtual time; and the run's one source of chance. */
#ifndef CORI_SIM_EVENT_H
#define CORI_SIM_EVENT_H

#include "timer/heap.h"

#include <stdbool.h>
#include <stdint.h>

#define CORI_SIM_BEGIN_NS INT64_C(1000000000000) /* what the clock of a run begins with */

/* Something to come. It belongs to whoever made it until `happens` is called, which then owns it. */
typedef struct cori_sim_event {
    cori_timer timer; /* first */
    void (*happens)(struct cori_sim_event *event);
} cori_sim_event;

/* Begins a run: the clock at its start, nothing to come, chance from `seed`. Ends it: what is to come is dropped. */
void cori_sim_events_begin(uint64_t seed);
void cori_sim_events_end(void (*drop)(cori_sim_event *event));

/* Virtual time, ns; the clock of the run. */
int64_t cori_sim_now(void);
void cori_sim_pass(int64_t duration_ns);

/* Lets it happen at `when`. There is memory for it, or the run ends with a fatal error. */
void cori_sim_event_at(cori_sim_event *event, int64_t when);
/* True inside of that: what is allocated then is the simulator's. */
bool cori_sim_event_is_armed_now(void);
/* It will not happen. */
void cori_sim_event_cancel(cori_sim_event *event);
/* When the next one is due; INT64_MAX: there is none. */
int64_t cori_sim_event_next(void);
/* Lets all happen that are due, in order of time; equal times in the same order in each run of a seed. */
void cori_sim_events_due(void);

/* A number below `limit`, which is at most 2^32. */
uint64_t cori_sim_below(uint64_t limit);
/* True once in `times`. */
bool cori_sim_once_in(uint32_t times);

/*
 * What goes otherwise than in the simplest run. A seed switches on about half of each set, each with a strength of its
 * own: so some runs have much of one thing, as a swarm has. The first set is what any network does; the second, only
 * where a program asks for it, is what a program must have an answer to.
 */
enum cori_sim_fault {
    CORI_SIM_SPLIT,    /* what is sent at once arrives in parts */
    CORI_SIM_DELAY,    /* it is long under way */
    CORI_SIM_SHORT,    /* a write takes a part */
    CORI_SIM_SPURIOUS, /* an event comes for nothing */
    CORI_SIM_RESET,    /* the connection breaks; the first of the second set */
    CORI_SIM_LOST,     /* nobody answers a dial's first packet */
    CORI_SIM_ABORTED,  /* accept fails once */
    CORI_SIM_NARROW,   /* a link has a bandwidth; the first of those that a program asks for one by one */
    CORI_SIM_LOSSY,    /* a link loses what is sent */
    CORI_SIM_FULL,     /* accepting finds a table full */
    CORI_SIM_MEMORY,   /* an allocation of the library fails */
    CORI_SIM_FAULTS
};
/* `without`: a bit for each that is off whatever the seed says; the others stay as they are. */
void cori_sim_faults_choose(bool hostile, uint32_t without);
/*
 * The third set, of those that `more` has a bit for, at their places above. They have a generator of their own: a run
 * without them is what it was before there were any.
 */
void cori_sim_faults_more(uint64_t seed, uint32_t more);
/* Once in how many times it happens; 0: never. Numbers below `limit` (at most 2^32) by that generator. */
uint32_t cori_sim_strength(enum cori_sim_fault fault);
uint64_t cori_sim_more_below(uint64_t limit);
/* Tells whether it happens now. */
bool cori_sim_happens(enum cori_sim_fault fault);

/* Adds to the run's hash, by which two runs are compared. */
void cori_sim_note(uint64_t what);
uint64_t cori_sim_hash(void);
/* Events that have happened, and turns of workers. */
uint64_t cori_sim_count(void);

#endif
