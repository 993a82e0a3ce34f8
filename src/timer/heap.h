/* SPDX-License-Identifier: MIT */
/*
 * The timer structure: a 4-ary min-heap of intrusive nodes by time. Pure: the caller passes the times and does the
 * waiting. Not thread-safe: each worker has its own and only its thread touches it. Insert, remove and change are
 * O(log4 n); the array grows by doubling, so inserting can fail.
 */
#ifndef CORI_TIMER_HEAP_H
#define CORI_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cori_timer {
    int64_t when; /* ns on the caller's clock */
    size_t place; /* index in the heap + 1; 0: not in it */
} cori_timer;

typedef struct cori_heap {
    cori_timer **nodes;
    size_t count;
    size_t capacity;
} cori_heap;

/* Puts `timer` into the heap for `when`, or moves it if it is there. 0 or -ENOMEM (only when it was not there). */
int cori_heap_set(cori_heap *heap, cori_timer *timer, int64_t when);

/* Takes `timer` out; nothing if it is not there. */
void cori_heap_remove(cori_heap *heap, cori_timer *timer);

/* Gives the earliest timer, or NULL. It stays in the heap. */
static inline cori_timer *cori_heap_first(const cori_heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}

/* Frees the array. Timers still in it are forgotten. */
void cori_heap_free(cori_heap *heap);

/* Checks the heap order and every place; for tests. */
bool cori_heap_valid(const cori_heap *heap);

#endif
