/* SPDX-License-Identifier: MIT */
/*
 * A task that never ran is a record of 64 bytes: what to call, for whom, since when. It gets its stack, and with it the
 * task object at the stack's top, from the worker that runs it, when that worker first runs it. So a storm of spawns
 * costs records, not stacks: the first tasks have ended, and left their stacks hot, before the last ones start.
 *
 * Who owns a record. It lies by value in the fresh queue of a worker, guarded by that worker's fresh_lock, and nowhere
 * else; nobody ever has its address. Whoever takes it (the worker, or a thief) copies it out under the lock, and from
 * then on it is a local variable: it becomes a task, or is queued with another worker (placement.c). A failed start
 * cannot lose it: the stack is had first, then the record is taken.
 *
 * Whose the memory is. A queue is a list of blocks of CORI_FRESH_BLOCK_BYTES: filled at its last block, emptied at its
 * first, and one that has run empty begins its last block anew. A block in a queue is guarded by the queue's lock. One
 * that is in no queue is a worker's `fresh_spare`, or is given back: whoever adds a record to a full block brings
 * another, and whoever empties a block keeps it as the spare, or gives it back. So blocks may wander between workers,
 * at most one waits with each, and the kernel is not called under the lock. A spawn says -ENOMEM if there is no spare
 * and none can be had. A block is a mapping of its own: what a storm took goes back to the kernel when it is over. It
 * does not lie where a stack could: a program at its limit of addresses would go on spawning into the room that the
 * tasks it has spawned need in order to run.
 *
 * What a record does without:
 *
 *      a number    the task gets it when it first runs. The dump shows a "-" until then
 *      a permit    nobody can wake it
 *      its place   among the members of its group: it joins when it first runs. Its group counts it from its spawn on,
 *                  and a cancel need not wake it: what was cancelled it asks at its first wait. (It joins under the
 *                  scope's lock: either the cancel's walk meets it, or it came later and sees what was set before.)
 *      an owner    where cor_run ends it goes with its block: it has nothing that would have to be given back
 *
 * A task that needs more than a record is made with its stack when it is spawned: one with a stack size of its own, of
 * which no worker keeps any, one that is for a given worker, and one that is to be refused now if there is none. In a
 * fresh queue that is a record, too, marked MADE.
 *
 * With one worker there is no lock. Only the dump looks at the queue then, in a signal handler on the worker's own
 * thread, which may interrupt a change: so `fresh_count` goes up last and down first, and the lock is written (without
 * an atomic operation) only while the list of blocks is in the middle of a change.
 */
#ifndef CORI_SCHED_FRESH_H
#define CORI_SCHED_FRESH_H

#include "base/limits.h"
#include "base/platform.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CORI_FRESH_ENTRY = 1,   /* call.entry(arg_a, arg_b) */
    CORI_FRESH_NAMED = 2,   /* label.name */
    CORI_FRESH_PLACED = 4,  /* was put on its worker on purpose: not moved on for balance */
    CORI_FRESH_MADE = 8,    /* call.made: it has its stack, and what else the record tells is the task's */
    CORI_FRESH_FLOATS = 16, /* float.h */
    CORI_FRESH_FLAGS = 8    /* bits of `order` below the ticket */
};

typedef struct cori_fresh {
    union {
        void (*function)(void *arg); /* called with arg_a */
        void (*entry)(void *a, void *b);
        struct cori_task *made;
    } call;
    union {
        void (*function)(void *arg); /* what the user asked to run */
        const char *name;            /* then `function` of a task with an entry is not known */
    } label;
    void *arg_a, *arg_b;
    struct cori_scope *scope;
    const void *site;
    int64_t since;  /* when it was queued */
    uint64_t order; /* ticket << CORI_FRESH_FLAGS | flags */
} cori_fresh;

typedef struct cori_fresh_block {
    struct cori_fresh_block *next;
    _Alignas(sizeof(cori_fresh)) cori_fresh records[];
} cori_fresh_block;

enum { CORI_FRESH_BLOCK = (CORI_FRESH_BLOCK_BYTES - sizeof(cori_fresh_block)) / sizeof(cori_fresh) };

/* Empty: head == tail. All NULL at first. */
typedef struct cori_fresh_queue {
    cori_fresh *head, *tail; /* the first record, and the place of the next one */
    cori_fresh *head_end, *tail_end;
    cori_fresh_block *first, *last;
} cori_fresh_queue;

/* Makes sure that there is a spare block; false: no memory. */
bool cori_fresh_provide(cori_fresh_block **spare);
/* Gives a block back. NULL: nothing. */
void cori_fresh_give_back(cori_fresh_block *block);

/* Adds a block. `block` is the queue's from now on. */
static inline void cori_fresh_grow(cori_fresh_queue *queue, cori_fresh_block *block)
{
    block->next = NULL;
    queue->tail = block->records;
    queue->tail_end = block->records + CORI_FRESH_BLOCK;
    if (queue->last != NULL) {
        queue->last->next = block;
    } else {
        queue->first = block;
        queue->head = queue->tail;
        queue->head_end = queue->tail_end;
    }
    queue->last = block;
}

/* Takes the first record, which has been read, from a queue that has one. True: cori_fresh_shrink is to be called. */
static inline bool cori_fresh_drop(cori_fresh_queue *queue)
{
    queue->head++;
    if (queue->head == queue->tail) { /* in one block: no block begins where another ends */
        queue->head = queue->tail = queue->last->records;
        return false;
    }
    return cori_unlikely(queue->head == queue->head_end);
}

/* Takes the first block, which is empty, out: it is the caller's now. */
static inline cori_fresh_block *cori_fresh_shrink(cori_fresh_queue *queue)
{
    cori_fresh_block *empty = queue->first;
    queue->first = empty->next;
    queue->head = queue->first->records;
    queue->head_end = queue->head + CORI_FRESH_BLOCK;
    return empty;
}

#endif
