/* SPDX-License-Identifier: MIT */
/*
 * Atomic operations, by name of what they do and, unless they are sequentially consistent, of their order. A word
 * without a suffix is sequentially consistent: choose another order only with its reason beside it.
 *
 *      load store                                       also _relaxed; load_acquire, store_release
 *      swap                                             exchange; also _acquire, _acq_rel
 *      cas                                              compare and exchange, strong: true if it stored; else what
 *                                                       was there is in *expected. Also _acquire, _release, _acq_rel
 *      fetch_add fetch_sub fetch_or fetch_and           the value before; also _relaxed
 *      bump                                             a counter that one thread writes and others read
 */
#ifndef CORI_BASE_ATOMIC_H
#define CORI_BASE_ATOMIC_H

#define cori_load(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
#define cori_load_acquire(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
#define cori_load_relaxed(word) __atomic_load_n(word, __ATOMIC_RELAXED)

#define cori_store(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
#define cori_store_release(word, value) __atomic_store_n(word, value, __ATOMIC_RELEASE)
#define cori_store_relaxed(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)

#define cori_swap(word, value) __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST)
#define cori_swap_acquire(word, value) __atomic_exchange_n(word, value, __ATOMIC_ACQUIRE)
#define cori_swap_acq_rel(word, value) __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL)

#define cori_cas(word, expected, value)                                                                                \
    __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cori_cas_acquire(word, expected, value)                                                                        \
    __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cori_cas_release(word, expected, value)                                                                        \
    __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cori_cas_acq_rel(word, expected, value)                                                                        \
    __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

#define cori_fetch_add(word, n) __atomic_fetch_add(word, n, __ATOMIC_SEQ_CST)
#define cori_fetch_sub(word, n) __atomic_fetch_sub(word, n, __ATOMIC_SEQ_CST)
#define cori_fetch_or(word, bits) __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST)
#define cori_fetch_and(word, bits) __atomic_fetch_and(word, bits, __ATOMIC_SEQ_CST)
#define cori_fetch_add_relaxed(word, n) __atomic_fetch_add(word, n, __ATOMIC_RELAXED)
#define cori_fetch_sub_relaxed(word, n) __atomic_fetch_sub(word, n, __ATOMIC_RELAXED)

#define cori_bump(counter, n) cori_store_relaxed(&(counter), (counter) + (n))

/* Keeps the compiler from moving accesses over it; for signal handlers on the same thread. */
#define cori_signal_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
