/* SPDX-License-Identifier: MIT */
/*
 * A 4-ary heap: children of i are 4i+1 .. 4i+4. Four of them lie in 64 bytes, and the tree is half as deep as a binary
 * one. `timer->when` is read nowhere but in the check: it is the caller's.
 */
#include "timer/heap.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>

enum { ARITY = 4, FIRST_CAPACITY = 64 };

static void put(cori_heap *heap, size_t index, cori_heap_entry entry)
{
    heap->entries[index] = entry;
    heap->slots[entry.slot].place = index;
}

static void sift_up(cori_heap *heap, size_t index, cori_heap_entry entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / ARITY;
        if (heap->entries[parent].when <= entry.when) {
            break;
        }
        put(heap, index, heap->entries[parent]);
        index = parent;
    }
    put(heap, index, entry);
}

static void sift_down(cori_heap *heap, size_t index, cori_heap_entry entry)
{
    for (;;) {
        size_t first = index * ARITY + 1;
        size_t last = first + ARITY < heap->count ? first + ARITY : heap->count;
        size_t least = index;
        int64_t least_when = entry.when;
        for (size_t child = first; child < last; child++) {
            if (heap->entries[child].when < least_when) {
                least = child;
                least_when = heap->entries[child].when;
            }
        }
        if (least == index) {
            put(heap, index, entry);
            return;
        }
        put(heap, index, heap->entries[least]);
        index = least;
    }
}

static void settle(cori_heap *heap, size_t index, cori_heap_entry entry)
{
    if (index > 0 && heap->entries[(index - 1) / ARITY].when > entry.when) {
        sift_up(heap, index, entry);
    } else {
        sift_down(heap, index, entry);
    }
}

static int grow(cori_heap *heap)
{
    size_t capacity = heap->capacity == 0 ? FIRST_CAPACITY : heap->capacity * 2;
    cori_heap_entry *entries = cori_realloc(heap->entries, capacity * sizeof(cori_heap_entry));
    if (entries == NULL) {
        return -ENOMEM;
    }
    heap->entries = entries;
    cori_heap_slot *slots = cori_realloc(heap->slots, capacity * sizeof(cori_heap_slot));
    if (slots == NULL) {
        return -ENOMEM;
    }
    heap->slots = slots;
    heap->capacity = capacity;
    return 0;
}

static size_t take_slot(cori_heap *heap, cori_timer *timer)
{
    size_t slot = heap->used;
    if (heap->count < heap->used) {
        slot = heap->free;
        heap->free = heap->slots[slot].place;
    } else {
        heap->used++;
    }
    heap->slots[slot].timer = timer;
    timer->slot = slot + 1;
    return slot;
}

static void free_slot(cori_heap *heap, cori_timer *timer)
{
    size_t slot = timer->slot - 1;
    heap->slots[slot] = (cori_heap_slot){.place = heap->free};
    heap->free = slot;
    timer->slot = 0;
}

int cori_heap_set(cori_heap *heap, cori_timer *timer, int64_t when)
{
    if (timer->slot == 0) {
        if (heap->count == heap->capacity && grow(heap) < 0) {
            return -ENOMEM;
        }
        timer->when = when;
        cori_heap_entry entry = {when, take_slot(heap, timer)};
        sift_up(heap, heap->count++, entry);
        return 0;
    }
    timer->when = when;
    settle(heap, heap->slots[timer->slot - 1].place, (cori_heap_entry){when, timer->slot - 1});
    return 0;
}

void cori_heap_remove(cori_heap *heap, cori_timer *timer)
{
    if (timer->slot == 0) {
        return;
    }
    size_t index = heap->slots[timer->slot - 1].place;
    free_slot(heap, timer);
    cori_heap_entry last = heap->entries[--heap->count];
    if (index != heap->count) {
        settle(heap, index, last);
    }
}

void cori_heap_free(cori_heap *heap)
{
    free(heap->entries);
    free(heap->slots);
    *heap = (cori_heap){0};
}

bool cori_heap_valid(const cori_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        const cori_heap_entry *entry = &heap->entries[i];
        const cori_heap_slot *slot = &heap->slots[entry->slot];
        if (slot->place != i || slot->timer == NULL || slot->timer->slot != entry->slot + 1 ||
            slot->timer->when != entry->when || (i > 0 && heap->entries[(i - 1) / ARITY].when > entry->when)) {
            return false;
        }
    }
    size_t unused = heap->used - heap->count, slot = heap->free;
    for (; unused > 0 && heap->slots[slot].timer == NULL; unused--) {
        slot = heap->slots[slot].place;
    }
    return unused == 0;
}
