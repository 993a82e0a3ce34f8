/* SPDX-License-Identifier: MIT */
/*
 * The lists of this library, each once. Links are members of the nodes; the macros take the members' names.
 *
 *      cori_stack_push(head, node, next)           a stack that any thread pushes on, by compare-and-swap, and that its
 *      cori_stack_take_all(head, next)             owner takes whole, by an exchange: a list by `next` in order of
 *                                                  arrival, NULL if there is nothing. There is no pop, so a node that
 *                                                  is pushed again meanwhile (ABA) cannot be met, and no lock that a
 *                                                  signal handler could find taken
 *      cori_list_add(head, node, next, prev)       a list linked both ways, its first node at *head; for one thread, or
 *      cori_list_remove(head, node, next, prev)    under a lock. A signal handler on the same thread may walk it: a new
 *                                                  node is complete before it is in the list
 */
#ifndef CORI_BASE_LIST_H
#define CORI_BASE_LIST_H

#include "base/atomic.h"

#include <stddef.h>

#define cori_stack_push(head, node, next_)                                                                             \
    do {                                                                                                               \
        __typeof__(node) cori_pushed = (node), cori_first = cori_load_relaxed(head);                                   \
        do {                                                                                                           \
            cori_pushed->next_ = cori_first;                                                                           \
        } while (!cori_cas(head, &cori_first, cori_pushed));                                                           \
    } while (0)

#define cori_stack_take_all(head, next_)                                                                               \
    ({                                                                                                                 \
        __typeof__(*(head)) cori_newest = NULL, cori_oldest = NULL;                                                    \
        if (cori_load_relaxed(head) != NULL) {                                                                         \
            cori_newest = cori_swap_acquire(head, NULL);                                                               \
        }                                                                                                              \
        while (cori_newest != NULL) {                                                                                  \
            __typeof__(*(head)) cori_older = cori_newest->next_;                                                       \
            cori_newest->next_ = cori_oldest;                                                                          \
            cori_oldest = cori_newest;                                                                                 \
            cori_newest = cori_older;                                                                                  \
        }                                                                                                              \
        cori_oldest;                                                                                                   \
    })

#define cori_list_add(head, node, next_, prev_)                                                                        \
    do {                                                                                                               \
        __typeof__(node) cori_added = (node), cori_first = *(head);                                                    \
        cori_added->prev_ = NULL;                                                                                      \
        cori_added->next_ = cori_first;                                                                                \
        if (cori_first != NULL) {                                                                                      \
            cori_first->prev_ = cori_added;                                                                            \
        }                                                                                                              \
        cori_signal_fence();                                                                                           \
        *(head) = cori_added;                                                                                          \
    } while (0)

#define cori_list_remove(head, node, next_, prev_)                                                                     \
    do {                                                                                                               \
        __typeof__(node) cori_gone = (node);                                                                           \
        if (cori_gone->prev_ != NULL) {                                                                                \
            cori_gone->prev_->next_ = cori_gone->next_;                                                                \
        } else {                                                                                                       \
            *(head) = cori_gone->next_;                                                                                \
        }                                                                                                              \
        if (cori_gone->next_ != NULL) {                                                                                \
            cori_gone->next_->prev_ = cori_gone->prev_;                                                                \
        }                                                                                                              \
    } while (0)

#endif
