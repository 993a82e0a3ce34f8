/* SPDX-License-Identifier: MIT */
/*
 * Stacks from slabs. A slab is one mapping of equal slots; a slot is a guard (no access) below usable pages. The
 * pages of a slot are committed by touching them and stay the process's until some time after it was retired.
 *
 *      slot:  | guard 64 KiB | usable ... growing down <- | top page: first frames, and the owner's object |
 *
 * Mappings are private, not reserved (no overcommit charge) and excluded from huge pages (one touch would commit 2
 * MiB). The guard is made with MADV_GUARD_INSTALL (Linux 6.13), which needs no mapping of its own; on older kernels
 * with mprotect, where vm.max_map_count limits the process to about 32,000 stacks and taking one fails with -ENOMEM
 * beyond it.
 *
 * Memory of a slab stays mapped until cori_stack_release_all, whoever owns its slots: a stale pointer into a stack
 * reads an old or zeroed object, never faults. The park/wake protocol relies on that.
 *
 * Threads: all calls are safe from any thread; a free slot belongs to the pool, a taken one to its taker.
 */
#ifndef CORI_CTX_STACK_H
#define CORI_CTX_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A taken slot. */
typedef struct cori_stack {
    char *low;              /* lowest usable byte; the guard ends here */
    char *top;              /* one past the highest usable byte */
    struct cori_slab *slab; /* where it goes back to */
    unsigned index;         /* slot number in its slab */
    unsigned valgrind_id;
} cori_stack;

/*
 * Takes a slot of at least `size_bytes` usable (rounded up to a power of two). 0, -ENOMEM, or -EINVAL for a bad size.
 */
int cori_stack_take(cori_stack *out, size_t size_bytes);

/* Gives `count` slots back, with their pages: cori_stack_clean. `stacks` does not lie in any of them. */
void cori_stack_retire(const cori_stack *stacks, unsigned count, int64_t now_ns);

/*
 * Gives pages back to the kernel that slots of one slab have had without use since CORI_STACK_DIRTY_NS before `now_ns`
 * or longer. How long until there is more to do, ns; < 0: there is nothing more.
 */
int64_t cori_stack_clean(int64_t now_ns);

/* Maps `size_bytes`, a multiple of the page size, for what is no stack: zeroed, NULL if there is no memory. */
void *cori_pages_map(size_t size_bytes);
void cori_pages_unmap(void *pages, size_t size_bytes);

/* Gives the pages back that a suspended flow has below its stack pointer; they read as zero afterwards. */
void cori_stack_trim(const cori_stack *stack, const void *sp);

/* Finds the slot whose guard holds `address`; false if none does. Async-signal-safe. */
bool cori_stack_guard_hit(const void *address, const char **low, const char **top);

/* Counts slots taken now (kept hot by workers or in use). */
size_t cori_stack_count(void);
/* And the usable bytes of these, touched or not. */
size_t cori_stack_bytes(void);

/* Unmaps everything. Only when no taken slot is used any more. */
void cori_stack_release_all(void);

/* Test hook: true makes the mprotect guard be used as on an old kernel. Set only while nothing is mapped. */
extern bool cori_stack_force_mprotect;

#endif
