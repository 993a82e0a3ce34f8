/* SPDX-License-Identifier: MIT */
/*
 * A 4-ary heap: children of i are 4i+1 .. 4i+4. Four children share a cache line, and the tree is half as deep as a
 * binary one.
 */
#include "timer/heap.h"

#include <errno.h>
#include <stdlib.h>

enum { ARITY = 4, FIRST_CAPACITY = 64 };

static void put(cori_heap *heap, size_t index, cori_timer *timer)
{
    heap->nodes[index] = timer;
    timer->place = index + 1;
}

static void sift_up(cori_heap *heap, size_t index, cori_timer *timer)
{
    while (index > 0) {
        size_t parent = (index - 1) / ARITY;
        if (heap->nodes[parent]->when <= timer->when) {
            break;
        }
        put(heap, index, heap->nodes[parent]);
        index = parent;
    }
    put(heap, index, timer);
}

static void sift_down(cori_heap *heap, size_t index, cori_timer *timer)
{
    for (;;) {
        size_t first = index * ARITY + 1;
        size_t last = first + ARITY < heap->count ? first + ARITY : heap->count;
        size_t least = index;
        int64_t least_when = timer->when;
        for (size_t child = first; child < last; child++) {
            if (heap->nodes[child]->when < least_when) {
                least = child;
                least_when = heap->nodes[child]->when;
            }
        }
        if (least == index) {
            put(heap, index, timer);
            return;
        }
        put(heap, index, heap->nodes[least]);
        index = least;
    }
}

static void settle(cori_heap *heap, size_t index, cori_timer *timer)
{
    if (index > 0 && heap->nodes[(index - 1) / ARITY]->when > timer->when) {
        sift_up(heap, index, timer);
    } else {
        sift_down(heap, index, timer);
    }
}

static int grow(cori_heap *heap)
{
    size_t capacity = heap->capacity == 0 ? FIRST_CAPACITY : heap->capacity * 2;
    cori_timer **nodes = realloc(heap->nodes, capacity * sizeof(cori_timer *));
    if (nodes == NULL) {
        return -ENOMEM;
    }
    heap->nodes = nodes;
    heap->capacity = capacity;
    return 0;
}

int cori_heap_set(cori_heap *heap, cori_timer *timer, int64_t when)
{
    if (timer->place == 0) {
        if (heap->count == heap->capacity && grow(heap) < 0) {
            return -ENOMEM;
        }
        timer->when = when;
        sift_up(heap, heap->count++, timer);
        return 0;
    }
    timer->when = when;
    settle(heap, timer->place - 1, timer);
    return 0;
}

void cori_heap_remove(cori_heap *heap, cori_timer *timer)
{
    if (timer->place == 0) {
        return;
    }
    size_t index = timer->place - 1;
    timer->place = 0;
    cori_timer *last = heap->nodes[--heap->count];
    if (last != timer) {
        settle(heap, index, last);
    }
}

void cori_heap_free(cori_heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->capacity = 0;
}

bool cori_heap_valid(const cori_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        if (heap->nodes[i]->place != i + 1 || (i > 0 && heap->nodes[(i - 1) / ARITY]->when > heap->nodes[i]->when)) {
            return false;
        }
    }
    return true;
}
