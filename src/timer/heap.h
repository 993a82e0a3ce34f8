/* SPDX-License-Identifier: MIT */
/*
 * The timer structure: a 4-ary min-heap by time. Pure: the caller passes the times and does the waiting. Not
 * thread-safe: each worker has its own and only its thread touches it. Insert, remove and change are O(log4 n); the
 * arrays grow by doubling, so inserting can fail.
 *
 * A timer lies in a task, far from all others: looking at one is a miss of cache and TLB. The heap therefore has its
 * own copy of each time, and does not tell a timer where it moves: a timer knows its slot, which it keeps, and the slot
 * knows its place. So to move through the heap touches two dense arrays only, and a hundred thousand timers that are
 * due together are taken out in a tenth of the time.
 */
#ifndef CORI_TIMER_HEAP_H
#define CORI_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cori_timer {
    int64_t when; /* ns on the caller's clock */
    size_t slot;  /* its number + 1; 0: not in a heap */
} cori_timer;

typedef struct cori_heap_entry {
    int64_t when;
    size_t slot;
} cori_heap_entry;

typedef struct cori_heap_slot {
    cori_timer *timer; /* NULL: free */
    size_t place;      /* index of its entry; free: the next free slot's number */
} cori_heap_slot;

typedef struct cori_heap {
    cori_heap_entry *entries; /* `count` of them, in heap order */
    cori_heap_slot *slots;    /* `used` of them have been in use */
    size_t count, used, capacity;
    size_t free; /* of the free ones below `used` the last freed, if there are any: count < used */
} cori_heap;

/* Puts `timer` into the heap for `when`, or moves it if it is there. 0 or -ENOMEM (only when it was not there). */
int cori_heap_set(cori_heap *heap, cori_timer *timer, int64_t when);

/* Takes `timer` out; nothing if it is not there. */
void cori_heap_remove(cori_heap *heap, cori_timer *timer);

/* Gives the earliest timer, or NULL. It stays in the heap. */
static inline cori_timer *cori_heap_first(const cori_heap *heap)
{
    return heap->count > 0 ? heap->slots[heap->entries[0].slot].timer : NULL;
}

/* Frees the arrays. Timers still in it are forgotten. */
void cori_heap_free(cori_heap *heap);

/* Checks the heap order, every place and every slot; for tests. */
bool cori_heap_valid(const cori_heap *heap);

#endif
