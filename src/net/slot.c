/* SPDX-License-Identifier: MIT */
/*
 * The slot table of slot.h: chunks that are never freed (late events and stale handles may look at a slot), a
 * free list under one lock, and the state word's transitions. A handle is generation << 32 | number << 1 | kind;
 * generations start at 1, so a handle is never NULL.
 */
#include "net/slot.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/fatal.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/memory.h"
#include "sched/leaks.h"

#include <coracle/time.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSED = 1, QUEUE_SHIFT = 3, NEW = 128, SHUT = CLOSED | NEW };
#define CALL (UINT64_C(1) << 8)
#define CALLS_MASK (UINT64_C(0xffffff) << 8)
#define CALLS_MAX UINT64_C(1048575)
#define CALLS_MANY (UINT64_C(0xf80000) << 8) /* from here on they are counted with care */
#define NO_SLOT UINT32_MAX

static cori_slot *chunks[CORI_SLOT_CHUNKS_MAX]; /* atomic; set once each */
static struct {
    uint32_t spin;
    uint32_t chunk_count;
    uint32_t first_free;
} table = {.first_free = NO_SLOT};
static uint64_t open_count; /* atomic */

static cori_slot *slot_by_number(uint32_t number)
{
    uint32_t chunk = number / CORI_SLOTS_PER_CHUNK;
    if (chunk >= CORI_SLOT_CHUNKS_MAX) {
        return NULL;
    }
    cori_slot *slots = cori_load_acquire(&chunks[chunk]);
    return slots != NULL ? &slots[number % CORI_SLOTS_PER_CHUNK] : NULL;
}

/* The slot a handle names, if the handle can be one of `kind`; NULL otherwise. */
static cori_slot *slot_of(const void *handle, enum cori_kind kind)
{
    uint64_t bits = (uint64_t)(uintptr_t)handle;
    if (bits >> 32 == 0 || (bits & 1) != (uint64_t)kind) {
        return NULL;
    }
    return slot_by_number((uint32_t)bits >> 1);
}

static uint64_t generation_of(const void *handle)
{
    return (uint64_t)(uintptr_t)handle >> 32;
}

/* Ends what the slot is. Not in use afterwards; begun again if abandoned in the first step. */
static void end_kind(cori_slot *slot)
{
    if (slot->ops->detach != NULL) {
        slot->ops->detach(slot);
    }
    slot->ops->destroy(slot);
    slot->in_use = false;
}

/* Ends what abandoned tasks have left open, or were closing. */
static void close_all_at_end(void)
{
    for (uint32_t i = 0; i < table.chunk_count * CORI_SLOTS_PER_CHUNK; i++) {
        cori_slot *slot = slot_by_number(i);
        if (slot->in_use) {
            end_kind(slot);
            slot->queue = NULL;
            slot->spin = 0;
            slot->state = ((slot->state >> 32) + 1) << 32 | CLOSED;
            slot->next_free = table.first_free;
            table.first_free = i;
        }
    }
    open_count = 0;
}

static uint64_t count_open(void)
{
    return cori_load_relaxed(&open_count);
}

/* Adds a chunk of free slots; guard: table.spin. */
static bool add_chunk(void)
{
    uint32_t chunk = table.chunk_count;
    if (chunk == CORI_SLOT_CHUNKS_MAX) {
        return false;
    }
    cori_slot *slots = cori_aligned_alloc(CORI_SLOT_BYTES, CORI_SLOTS_PER_CHUNK * sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    memset(slots, 0, CORI_SLOTS_PER_CHUNK * sizeof(*slots));
    for (uint32_t i = CORI_SLOTS_PER_CHUNK; i-- > 0;) {
        slots[i].number = chunk * CORI_SLOTS_PER_CHUNK + i;
        slots[i].state = UINT64_C(1) << 32 | CLOSED;
        slots[i].next_free = table.first_free;
        table.first_free = slots[i].number;
    }
    cori_store_release(&chunks[chunk], slots);
    cori_store_release(&table.chunk_count, chunk + 1);
    cori_store_release(&cori_run_at_end, close_all_at_end);
    cori_store_release(&cori_run_count_open, count_open);
    return true;
}

cori_slot *cori_slot_new(enum cori_kind kind, const cori_conn_ops *ops)
{
    cori_slot *slot = NULL;
    cori_spin_lock(&table.spin);
    if (table.first_free != NO_SLOT || add_chunk()) {
        slot = slot_by_number(table.first_free);
        table.first_free = slot->next_free;
    }
    cori_spin_unlock(&table.spin);
    if (slot == NULL) {
        return NULL;
    }
    uint64_t generation = cori_load_relaxed(&slot->state) >> 32;
    cori_store_relaxed(&slot->state, generation << 32 | NEW);
    slot->ops = ops;
    slot->kind = (uint8_t)kind;
    slot->in_use = true;
    slot->deadline[CORI_READ] = slot->deadline[CORI_WRITE] = 0;
    slot->closer = NULL;
    slot->network = CORI_NETWORK_NONE;
    slot->lingers = false;
    slot->ending = CORI_ENDS_UNHEARD;
    slot->is.peer = (cor_addr){0};
    cori_fetch_add_relaxed(&open_count, 1);
    return slot;
}

static void describe(const void *object, char *text, size_t size)
{
    cori_slot *slot = (cori_slot *)object;
    char local[COR_ADDR_TEXT] = "", remote[COR_ADDR_TEXT] = "";
    const char *network = slot->network == CORI_NETWORK_NONE ? "" : cori_networks[slot->network].name;
    slot->ops->local_text(slot, local, sizeof(local));
    if (slot->kind == CORI_KIND_LISTENER) {
        (void)snprintf(text, size, "listener %s %s", network, local);
        return;
    }
    slot->ops->remote_text(slot, remote, sizeof(remote));
    (void)snprintf(text, size, "connection %s %s to %s", network, local, remote);
}

void *cori_slot_publish(cori_slot *slot)
{
    cori_leaks_add(slot->kind == CORI_KIND_LISTENER ? CORI_LEAK_LISTENER : CORI_LEAK_CONN, slot, describe);
    uint64_t generation = cori_load_relaxed(&slot->state) >> 32;
    cori_store_release(&slot->state, generation << 32);
    return (void *)(uintptr_t)(generation << 32 | (uint64_t)slot->number << 1 | slot->kind);
}

/* Makes the slot free for a new generation; 0 is left out. */
static void slot_free(cori_slot *slot)
{
    uint64_t generation = ((cori_load_relaxed(&slot->state) >> 32) + 1) & UINT32_MAX;
    generation = generation == 0 ? 1 : generation;
    cori_store(&slot->state, generation << 32 | CLOSED);
    cori_fetch_sub_relaxed(&open_count, 1);
    cori_leaks_drop(slot);
    cori_spin_lock(&table.spin);
    slot->next_free = table.first_free;
    table.first_free = slot->number;
    cori_spin_unlock(&table.spin);
}

void cori_slot_discard(cori_slot *slot)
{
    end_kind(slot);
    slot_free(slot);
}

/* The last call has left a closed slot. */
static cori_rare void finish(cori_slot *slot)
{
    cori_task *closer = slot->closer;
    end_kind(slot);
    slot_free(slot);
    if (closer != cori_self()) {
        cori_wake(closer);
    }
}

/* Queues `waiter`, or takes the lock for it if that is free by now; guard: slot->spin. True if taken. */
static bool queue_or_take(cori_slot *slot, cori_lock_waiter *waiter)
{
    uint64_t queue_bit = (uint64_t)waiter->access << QUEUE_SHIFT;
    uint64_t state = cori_load_relaxed(&slot->state);
    uint64_t wanted;
    bool take;
    do {
        take = (state & (waiter->access | queue_bit)) == 0;
        wanted = state | (take ? (uint64_t)waiter->access : queue_bit);
    } while (!cori_cas(&slot->state, &state, wanted));
    if (!take) {
        cori_lock_queue_push(&slot->queue, waiter);
    }
    return take;
}

/* Takes a waiter out and keeps the queue bit true. Guard: slot->spin. */
static void unqueue(cori_slot *slot, cori_lock_waiter *waiter)
{
    cori_lock_queue_remove(&slot->queue, waiter);
    if (cori_lock_queue_first(slot->queue, waiter->access) == NULL) {
        cori_fetch_and(&slot->state, ~((uint64_t)waiter->access << QUEUE_SHIFT));
    }
}

/* Leaves the queue without the lock; false if it was granted meanwhile. */
static bool give_up(cori_slot *slot, cori_lock_waiter *waiter)
{
    cori_spin_lock(&slot->spin);
    bool granted = cori_load(&waiter->granted) != 0;
    if (!granted) {
        unqueue(slot, waiter);
    }
    cori_spin_unlock(&slot->spin);
    return !granted;
}

/* Waits, inside the call, for the read or write lock. 0, or the reason to give up (then not holding it). */
static cori_rare int wait_for_lock(cori_slot *slot, enum cori_access access, int64_t until, cori_task *self)
{
    cori_lock_waiter waiter = {.task = self, .access = access};
    cori_spin_lock(&slot->spin);
    bool taken = queue_or_take(slot, &waiter);
    cori_spin_unlock(&slot->spin);
    while (!taken && cori_load(&waiter.granted) == 0) {
        int rc = cori_slot_closed(slot) ? COR_ECLOSED : cori_interrupted(self, until);
        if (rc == 0) {
            cori_park_external(self, until, access == CORI_LOCK_READ ? "IO wait (read lock)" : "IO wait (write lock)");
        } else {
            return give_up(slot, &waiter) ? rc : 0;
        }
    }
    return 0;
}

/* As enter_slowly, and a call that fails is free. */
static int try_to_enter(const void *handle, enum cori_kind kind, enum cori_access access, int64_t until,
                        cori_slot **out)
{
    cori_task *self = cori_self();
    cori_slot *slot = slot_of(handle, kind);
    if (self == NULL || slot == NULL) {
        return self == NULL ? COR_ENOT_TASK : -EINVAL;
    }
    uint64_t state = cori_load_acquire(&slot->state);
    uint64_t busy = (uint64_t)access | (uint64_t)access << QUEUE_SHIFT;
    uint64_t wanted;
    do {
        if (state >> 32 != generation_of(handle) || (state & SHUT) != 0) {
            return COR_ECLOSED;
        }
        if ((state & CALLS_MASK) >= CALLS_MAX * CALL) {
            cori_fatal("too many concurrent operations on a single file or socket (max 1048575)");
        }
        wanted = (state + CALL) | ((state & busy) == 0 ? (uint64_t)access : 0);
    } while (!cori_cas_acquire(&slot->state, &state, wanted));
    *out = slot;
    if ((state & busy) == 0) {
        return 0;
    }
    int rc = wait_for_lock(slot, access, until, self);
    if (rc < 0) {
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

/*
 * Whatever is not the usual case: an error, or a lock to wait for. A call that takes none never parks, not even for
 * others' turns.
 */
static cori_rare int enter_slowly(const void *handle, enum cori_kind kind, enum cori_access access, int64_t until,
                                  cori_slot **out)
{
    int rc = try_to_enter(handle, kind, access, until, out);
    return rc == 0 || access == CORI_SHARED ? rc : cori_in_vain(rc);
}

int cori_slot_enter(const void *handle, enum cori_kind kind, enum cori_access access, cori_slot **out)
{
    cori_slot *slot = slot_of(handle, kind);
    if (cori_likely(slot != NULL && cori_here_is_worker())) {
        uint64_t state = cori_load_acquire(&slot->state);
        uint64_t busy = SHUT | CALLS_MANY | (uint64_t)access | (uint64_t)access << QUEUE_SHIFT;
        if (cori_likely(state >> 32 == generation_of(handle) && (state & busy) == 0) &&
            cori_cas_acquire(&slot->state, &state, (state + CALL) | access)) {
            *out = slot;
            return 0;
        }
    }
    return enter_slowly(handle, kind, access, 0, out);
}

int cori_slot_enter_until(const void *handle, enum cori_kind kind, enum cori_access access, int64_t until,
                          cori_slot **out)
{
    return enter_slowly(handle, kind, access, until, out);
}

/* Hands the lock to the next in the queue. False if nobody waits any more (then it is still held). */
static cori_rare bool hand_over(cori_slot *slot, enum cori_access access)
{
    cori_task *task = NULL;
    cori_spin_lock(&slot->spin);
    cori_lock_waiter *next = cori_lock_queue_first(slot->queue, access);
    if (next != NULL) {
        unqueue(slot, next);
        task = next->task;
        cori_store(&next->granted, 1);
    }
    cori_spin_unlock(&slot->spin);
    if (task != NULL) {
        cori_wake(task);
    }
    return task != NULL;
}

void cori_slot_leave(cori_slot *slot, enum cori_access access)
{
    uint64_t drop = access;
    uint64_t state = cori_load_relaxed(&slot->state);
    uint64_t wanted;
    do {
        if (cori_unlikely((state & (drop << QUEUE_SHIFT)) != 0)) {
            drop = hand_over(slot, access) ? 0 : drop;
            state = cori_load_relaxed(&slot->state);
        }
        wanted = (state - CALL) & ~drop;
    } while (!cori_cas_acq_rel(&slot->state, &state, wanted));
    if (cori_unlikely((wanted & CLOSED) != 0 && (wanted & CALLS_MASK) == 0)) {
        finish(slot);
    }
}

int cori_slot_refuse(cori_slot *slot, enum cori_access access)
{
    cori_slot_leave(slot, access);
    return access == CORI_SHARED ? -EOPNOTSUPP : cori_in_vain(-EOPNOTSUPP);
}

int cori_slot_close(const void *handle, enum cori_kind kind)
{
    cori_task *self = cori_self();
    cori_slot *slot = slot_of(handle, kind);
    if (self == NULL || slot == NULL) {
        return cori_in_vain(self == NULL ? COR_ENOT_TASK : -EINVAL);
    }
    uint64_t generation = generation_of(handle);
    uint64_t state = cori_load_acquire(&slot->state);
    do {
        if (state >> 32 != generation || (state & SHUT) != 0) {
            return cori_in_vain(COR_ECLOSED);
        }
    } while (!cori_cas(&slot->state, &state, (state | CLOSED) + CALL));
    slot->closer = self;
    if ((state & CALLS_MASK) != 0) {
        slot->ops->evict(slot);
    }
    cori_slot_leave(slot, CORI_SHARED);
    while (cori_load(&slot->state) >> 32 == generation) {
        cori_park_plain(self, 0, "close"); /* not ended by the group's deadline: it would come back at once, and spin */
    }
    cori_charge(self); /* it may not have waited */
    return 0;
}

void cori_slot_each_conn(void (*look)(cori_slot *slot))
{
    uint32_t count = cori_load_acquire(&table.chunk_count) * CORI_SLOTS_PER_CHUNK;
    for (uint32_t number = 0; number < count; number++) {
        cori_slot *slot = slot_by_number(number);
        uint64_t generation = cori_load_acquire(&slot->state) >> 32;
        const void *handle = (const void *)(uintptr_t)(generation << 32 | (uint64_t)number << 1 | CORI_KIND_CONN);
        if (!cori_slot_closed(slot) && cori_slot_enter(handle, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
            if (slot->kind == CORI_KIND_CONN) {
                look(slot);
            }
            cori_slot_leave(slot, CORI_SHARED);
        }
    }
}

int64_t cori_slot_deadline(int64_t deadline)
{
    /* Without a look at the clock; calls take one if the task computes for so long that this is past already. */
    return cori_slot_is_far(deadline) || deadline > cori_clock_now() ? deadline : CORI_LONG_PAST;
}

void cori_slot_move_deadline(cori_slot *slot, int direction, int64_t deadline)
{
    cori_store(&slot->deadline[direction], cori_slot_deadline(deadline));
    slot->ops->deadline_moved(slot, direction);
}
