/* SPDX-License-Identifier: MIT */
/*
 * The slab pool behind stack.h. One list of slabs per size class (powers of two), one lock for all: it is taken once
 * per stack that is taken from the pool, or batch that is given to it, not per task (workers keep hot stacks of their
 * own).
 *
 * To give back a free slot's pages is a call, a walk through the page table, and a message to each CPU on which the
 * process runs, with a wait for the answer: 3 us per stack where two workers run, and the page itself is a tenth of it.
 * Tasks that are woken together end together, a hundred thousand perhaps. Slots are therefore `dirty` at first: free,
 * with their pages. A slab that has had such slots for CORI_STACK_DIRTY_NS is cleaned as a whole: one call for each run
 * of free slots, one call in all where none of the slab's is taken. Until then they are the first that anybody gets who
 * needs a stack. That spares page faults, and the most memory ever in use does not grow.
 *
 * Cleaning is bounded: one slab, at most 64 slots, for a call of cori_stack_clean, and not under the lock: the slots
 * are taken meanwhile, as if by a task.
 *
 * Invariants: in a list of open slabs those with dirty slots come first. Until cori_stack_release_all slabs are only
 * ever added to `all_slabs`, with a release store, so that a signal handler may walk it without the lock. A slot's bit
 * in `free` is set exactly while nobody has taken it; `dirty` is part of `free`; a slab with dirty slots is in the
 * queue. `guarded` is set for slots whose guard is installed, and stays set (guards of both kinds survive
 * MADV_DONTNEED, also amid a range).
 */
#include "ctx/stack.h"

#include "base/atomic.h"
#include "base/fatal.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if CORI_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; older headers do not have it */
#endif

enum { CLASSES = 10, SLAB_BYTES = 8 * 1024 * 1024, SLOTS_MAX = 64 };

typedef struct cori_slab {
    char *base;
    size_t slot_bytes; /* guard + usable */
    unsigned slots;
    unsigned class;
    uint64_t guarded;                        /* bit per slot, as in what follows */
    uint64_t free;                           /* not 0: the slab is in the list of open ones */
    uint64_t dirty;                          /* of the free ones: may have pages; not 0: in the queue */
    bool queued;                             /* to be cleaned */
    int64_t dirty_since;                     /* when it was queued, ns on the caller's clock */
    struct cori_slab *next_dirty;            /* the queue, oldest first */
    struct cori_slab *next_all;              /* every slab, newest first */
    struct cori_slab *next_open, *prev_open; /* slabs of this class with free slots */
} cori_slab;

/* Slabs of a class with free slots: those with dirty ones before those that have been cleaned. */
typedef struct open_list {
    cori_slab *first, *last;
} open_list;

bool cori_stack_force_mprotect;

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static cori_slab *all_slabs;          /* guard: pool_lock for writing; read anywhere */
static open_list open_slabs[CLASSES]; /* guard: pool_lock */
static cori_slab *dirty_first;        /* guard: pool_lock for writing; read anywhere */
static cori_slab *dirty_last;         /* guard: pool_lock */
static size_t taken_count;            /* guard: pool_lock */
static size_t taken_bytes;            /* guard: pool_lock */

static int class_of(size_t size_bytes)
{
    size_t class_bytes = CORI_STACK_MIN_BYTES;
    int class = 0;
    while (class_bytes < size_bytes) {
        class_bytes *= 2;
        class ++;
    }
    return class < CLASSES ? class : -EINVAL;
}

/* Puts a slab into the list of its class, after `prev`; NULL: first. */
static void open_add(cori_slab *slab, cori_slab *prev)
{
    open_list *list = &open_slabs[slab->class];
    slab->prev_open = prev;
    slab->next_open = prev != NULL ? prev->next_open : list->first;
    *(prev != NULL ? &prev->next_open : &list->first) = slab;
    *(slab->next_open != NULL ? &slab->next_open->prev_open : &list->last) = slab;
}

static void open_remove(cori_slab *slab)
{
    open_list *list = &open_slabs[slab->class];
    *(slab->prev_open != NULL ? &slab->prev_open->next_open : &list->first) = slab->next_open;
    *(slab->next_open != NULL ? &slab->next_open->prev_open : &list->last) = slab->prev_open;
}

static cori_slab *slab_map(unsigned class)
{
    size_t usable = (size_t)CORI_STACK_MIN_BYTES << class;
    size_t slot_bytes = usable + CORI_STACK_GUARD_BYTES;
    size_t slots = SLAB_BYTES / slot_bytes;
    slots = slots < 1 ? 1 : slots > SLOTS_MAX ? SLOTS_MAX : slots;
    cori_slab *slab = cori_calloc(1, sizeof(*slab));
    if (slab == NULL) {
        return NULL;
    }
    void *base = cori_sys_faulted(CORI_SYS_MMAP) != 0
                     ? MAP_FAILED
                     : mmap(NULL, slots * slot_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        free(slab);
        return NULL;
    }
    (void)madvise(base, slots * slot_bytes, MADV_NOHUGEPAGE);
    slab->base = base;
    slab->slot_bytes = slot_bytes;
    slab->slots = (unsigned)slots;
    slab->class = class;
    slab->free = UINT64_MAX >> (SLOTS_MAX - slots);
    slab->next_all = all_slabs;
    cori_store_release(&all_slabs, slab);
    open_add(slab, NULL);
    return slab;
}

/* Makes the guard of a slot; 0, or -ENOMEM when the kernel has no mapping left for it. */
static int guard_install(cori_slab *slab, unsigned index)
{
    static int proven; /* guard: pool_lock; 1: MADV_GUARD_INSTALL works, -1: it only says so (emulators do) */
    char *guard = slab->base + index * slab->slot_bytes;
    if (!cori_stack_force_mprotect && proven >= 0 && madvise(guard, CORI_STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0) {
        if (proven == 0) {
            proven = cori_sys_readable(guard, CORI_STACK_GUARD_BYTES) ? -1 : 1;
        }
        if (proven > 0) {
            return 0;
        }
    }
    return mprotect(guard, CORI_STACK_GUARD_BYTES, PROT_NONE) == 0 ? 0 : -ENOMEM;
}

static void slots_leave(cori_slab *slab, uint64_t slots)
{
    bool was_dirty = slab->dirty != 0;
    slab->free &= ~slots;
    slab->dirty &= ~slots;
    if (slab->free == 0) {
        open_remove(slab);
    } else if (was_dirty && slab->dirty == 0) {
        open_remove(slab);
        open_add(slab, open_slabs[slab->class].last);
    }
}

static int slab_take(cori_slab *slab, cori_stack *out)
{
    unsigned index = (unsigned)__builtin_ctzll(slab->dirty != 0 ? slab->dirty : slab->free);
    uint64_t bit = UINT64_C(1) << index;
    if ((slab->guarded & bit) == 0) {
        int rc = guard_install(slab, index);
        if (rc < 0) {
            return rc;
        }
        slab->guarded |= bit;
    }
    slots_leave(slab, bit);
    out->low = slab->base + index * slab->slot_bytes + CORI_STACK_GUARD_BYTES;
    out->top = slab->base + (index + 1) * slab->slot_bytes;
    out->slab = slab;
    out->index = index;
    return 0;
}

int cori_stack_take(cori_stack *out, size_t size_bytes)
{
    int class = class_of(size_bytes);
    if (class < 0) {
        return class;
    }
    int rc = -ENOMEM, before = cori_errno_keep();
    (void)pthread_mutex_lock(&pool_lock);
    cori_slab *slab = open_slabs[class].first != NULL ? open_slabs[class].first : slab_map((unsigned)class);
    if (slab != NULL) {
        rc = slab_take(slab, out);
        taken_count += rc == 0;
        taken_bytes += rc == 0 ? (size_t)(out->top - out->low) : 0;
    }
    (void)pthread_mutex_unlock(&pool_lock);
    cori_errno_restore(before);
    out->valgrind_id = 0;
#ifdef VALGRIND_STACK_REGISTER
    if (rc == 0) {
        out->valgrind_id = VALGRIND_STACK_REGISTER(out->low, out->top);
    }
#endif
    return rc;
}

/* Nobody's frames any more. */
static void forget(const cori_stack *stack)
{
#ifdef VALGRIND_STACK_DEREGISTER
    VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#endif
#if CORI_ASAN
    __asan_unpoison_memory_region(stack->low, (size_t)(stack->top - stack->low));
#endif
    (void)stack;
}

static void queue_dirty(cori_slab *slab, int64_t now_ns)
{
    slab->queued = true;
    slab->dirty_since = now_ns;
    slab->next_dirty = NULL;
    if (dirty_first == NULL) {
        cori_store_relaxed(&dirty_first, slab);
    } else {
        dirty_last->next_dirty = slab;
    }
    dirty_last = slab;
}

void cori_stack_retire(const cori_stack *stacks, unsigned count, int64_t now_ns)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        forget(&stacks[i]);
        bytes += (size_t)(stacks[i].top - stacks[i].low);
    }
    (void)pthread_mutex_lock(&pool_lock);
    for (unsigned i = 0; i < count; i++) {
        cori_slab *slab = stacks[i].slab;
        uint64_t bit = UINT64_C(1) << stacks[i].index;
        if (slab->dirty == 0) { /* now it is the first to give slots */
            if (slab->free != 0) {
                open_remove(slab);
            }
            open_add(slab, NULL);
        }
        if (!slab->queued) {
            queue_dirty(slab, now_ns);
        }
        slab->free |= bit;
        slab->dirty |= bit;
    }
    taken_count -= count;
    taken_bytes -= bytes;
    (void)pthread_mutex_unlock(&pool_lock);
}

/* Takes the free slots of the oldest slab in the queue, if it is due; `wait_ns`: see cori_stack_clean. */
static uint64_t take_dirty(cori_slab **out, uint64_t *dirty, int64_t now_ns, int64_t *wait_ns)
{
    uint64_t free_slots = 0;
    (void)pthread_mutex_lock(&pool_lock);
    cori_slab *slab = dirty_first;
    *wait_ns = slab == NULL ? -1 : slab->dirty_since + CORI_STACK_DIRTY_NS - now_ns;
    if (slab != NULL && *wait_ns <= 0) {
        cori_store_relaxed(&dirty_first, slab->next_dirty);
        slab->queued = false;
        *wait_ns = 0;
        *dirty = slab->dirty;
        if (slab->dirty != 0) {
            free_slots = slab->free;
            slots_leave(slab, free_slots);
        }
    }
    (void)pthread_mutex_unlock(&pool_lock);
    *out = slab;
    return free_slots;
}

/* Gives back the pages of the dirty slots among free ones: a call for each run of free slots. */
static void clean(const cori_slab *slab, uint64_t free_slots, uint64_t dirty)
{
    while ((free_slots & dirty) != 0) {
        unsigned first = (unsigned)__builtin_ctzll(free_slots);
        uint64_t beyond = ~(free_slots >> first); /* the lowest bit that is set is the run's length */
        unsigned length = beyond == 0 ? SLOTS_MAX : (unsigned)__builtin_ctzll(beyond);
        uint64_t run = (UINT64_MAX >> (SLOTS_MAX - length)) << first;
        if ((run & dirty) != 0) {
            (void)madvise(slab->base + first * slab->slot_bytes + CORI_STACK_GUARD_BYTES,
                          length * slab->slot_bytes - CORI_STACK_GUARD_BYTES, MADV_DONTNEED);
        }
        free_slots &= ~run;
    }
}

int64_t cori_stack_clean(int64_t now_ns)
{
    cori_slab *slab;
    uint64_t dirty = 0;
    int64_t wait_ns;
    if (cori_load_relaxed(&dirty_first) == NULL) {
        return -1;
    }
    uint64_t free_slots = take_dirty(&slab, &dirty, now_ns, &wait_ns);
    if (free_slots != 0) {
        clean(slab, free_slots, dirty);
        (void)pthread_mutex_lock(&pool_lock);
        if (slab->free == 0) {
            open_add(slab, open_slabs[slab->class].last);
        }
        slab->free |= free_slots;
        (void)pthread_mutex_unlock(&pool_lock);
    }
    return wait_ns;
}

void *cori_pages_map(size_t size_bytes)
{
    int before = cori_errno_keep();
    void *pages = cori_sys_faulted(CORI_SYS_MMAP) != 0
                      ? MAP_FAILED
                      : mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cori_errno_restore(before);
    return pages != MAP_FAILED ? pages : NULL;
}

void cori_pages_unmap(void *pages, size_t size_bytes)
{
    (void)munmap(pages, size_bytes);
}

void cori_stack_trim(const cori_stack *stack, const void *sp)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE); /* madvise rounds up, to a page that is in use */
    size_t unused = (size_t)((const char *)sp - stack->low) & ~(page_bytes - 1);
    if (unused > 0) {
        (void)madvise(stack->low, unused, MADV_DONTNEED);
    }
}

bool cori_stack_guard_hit(const void *address, const char **low, const char **top)
{
    const char *hit = address;
    for (cori_slab *slab = cori_load_acquire(&all_slabs); slab != NULL; slab = slab->next_all) {
        if (hit < slab->base || hit >= slab->base + slab->slots * slab->slot_bytes) {
            continue;
        }
        size_t offset = (size_t)(hit - slab->base) % slab->slot_bytes;
        *low = hit - offset + CORI_STACK_GUARD_BYTES;
        *top = hit - offset + slab->slot_bytes;
        return offset < CORI_STACK_GUARD_BYTES;
    }
    return false;
}

size_t cori_stack_count(void)
{
    (void)pthread_mutex_lock(&pool_lock);
    size_t count = taken_count;
    (void)pthread_mutex_unlock(&pool_lock);
    return count;
}

size_t cori_stack_bytes(void)
{
    (void)pthread_mutex_lock(&pool_lock);
    size_t bytes = taken_bytes;
    (void)pthread_mutex_unlock(&pool_lock);
    return bytes;
}

void cori_stack_release_all(void)
{
    (void)pthread_mutex_lock(&pool_lock);
    while (all_slabs != NULL) {
        cori_slab *slab = all_slabs;
        all_slabs = slab->next_all;
#if CORI_ASAN
        __asan_unpoison_memory_region(slab->base, slab->slots * slab->slot_bytes);
#endif
        (void)munmap(slab->base, slab->slots * slab->slot_bytes);
        free(slab);
    }
    for (int i = 0; i < CLASSES; i++) {
        open_slabs[i] = (open_list){NULL, NULL};
    }
    cori_store_relaxed(&dirty_first, NULL);
    taken_count = 0;
    taken_bytes = 0;
    (void)pthread_mutex_unlock(&pool_lock);
}
