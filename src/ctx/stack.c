/* SPDX-License-Identifier: MIT */
/*
 * The slab pool behind stack.h. One list of slabs per size class (powers of two), one lock for all: it is taken once
 * per stack that leaves or enters the kernel's hands, not per task (workers keep hot stacks of their own).
 *
 * Invariants: slabs are only ever added to `all` until release_all, with a release store, so that the signal handler
 * may walk the list without the lock. A slot index is on its slab's free list exactly while nobody has taken it;
 * `guarded` is set for slots whose guard is installed, and stays set (guards survive MADV_DONTNEED).
 */
#include "ctx/stack.h"

#include "base/atomic.h"
#include "base/fatal.h"
#include "base/limits.h"
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
    unsigned free_count;
    unsigned class;
    uint64_t guarded;                        /* bit per slot */
    uint8_t free[SLOTS_MAX];                 /* the free slots' numbers, a stack */
    struct cori_slab *next_all;              /* every slab, newest first */
    struct cori_slab *next_open, *prev_open; /* slabs of this class with free slots */
} cori_slab;

bool cori_stack_force_mprotect;

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static cori_slab *all_slabs;           /* guard: pool_lock for writing; read anywhere */
static cori_slab *open_slabs[CLASSES]; /* guard: pool_lock */
static size_t taken_count;             /* guard: pool_lock */

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

static void open_add(cori_slab *slab)
{
    slab->prev_open = NULL;
    slab->next_open = open_slabs[slab->class];
    if (slab->next_open != NULL) {
        slab->next_open->prev_open = slab;
    }
    open_slabs[slab->class] = slab;
}

static void open_remove(cori_slab *slab)
{
    if (slab->prev_open != NULL) {
        slab->prev_open->next_open = slab->next_open;
    } else {
        open_slabs[slab->class] = slab->next_open;
    }
    if (slab->next_open != NULL) {
        slab->next_open->prev_open = slab->prev_open;
    }
}

static cori_slab *slab_map(unsigned class)
{
    size_t usable = (size_t)CORI_STACK_MIN_BYTES << class;
    size_t slot_bytes = usable + CORI_STACK_GUARD_BYTES;
    size_t slots = SLAB_BYTES / slot_bytes;
    slots = slots < 1 ? 1 : slots > SLOTS_MAX ? SLOTS_MAX : slots;
    cori_slab *slab = calloc(1, sizeof(*slab));
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
    for (unsigned i = 0; i < slots; i++) {
        slab->free[slab->free_count++] = (uint8_t)(slots - 1 - i);
    }
    slab->next_all = all_slabs;
    cori_store_release(&all_slabs, slab);
    open_add(slab);
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

static int slab_take(cori_slab *slab, cori_stack *out)
{
    unsigned index = slab->free[slab->free_count - 1];
    if ((slab->guarded & (UINT64_C(1) << index)) == 0) {
        int rc = guard_install(slab, index);
        if (rc < 0) {
            return rc;
        }
        slab->guarded |= UINT64_C(1) << index;
    }
    if (--slab->free_count == 0) {
        open_remove(slab);
    }
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
    int rc = -ENOMEM;
    (void)pthread_mutex_lock(&pool_lock);
    cori_slab *slab = open_slabs[class] != NULL ? open_slabs[class] : slab_map((unsigned)class);
    if (slab != NULL) {
        rc = slab_take(slab, out);
        taken_count += rc == 0;
    }
    (void)pthread_mutex_unlock(&pool_lock);
    out->valgrind_id = 0;
#ifdef VALGRIND_STACK_REGISTER
    if (rc == 0) {
        out->valgrind_id = VALGRIND_STACK_REGISTER(out->low, out->top);
    }
#endif
    return rc;
}

void cori_stack_retire(const cori_stack *stack)
{
    cori_stack copy = *stack; /* *stack may live on the stack that is given back */
    size_t usable = (size_t)(copy.top - copy.low);
#ifdef VALGRIND_STACK_DEREGISTER
    VALGRIND_STACK_DEREGISTER(copy.valgrind_id);
#endif
#if CORI_ASAN
    __asan_unpoison_memory_region(copy.low, usable);
#endif
    (void)madvise(copy.low, usable, MADV_DONTNEED);
    (void)pthread_mutex_lock(&pool_lock);
    cori_slab *slab = copy.slab;
    slab->free[slab->free_count++] = (uint8_t)copy.index;
    if (slab->free_count == 1) {
        open_add(slab);
    }
    taken_count--;
    (void)pthread_mutex_unlock(&pool_lock);
}

void *cori_pages_map(size_t size_bytes)
{
    void *pages = cori_sys_faulted(CORI_SYS_MMAP) != 0
                      ? MAP_FAILED
                      : mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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
        open_slabs[i] = NULL;
    }
    taken_count = 0;
    (void)pthread_mutex_unlock(&pool_lock);
}
