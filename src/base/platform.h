/* SPDX-License-Identifier: MIT */
/* Compiler and CPU facts: branch hints, cache lines, sanitizer detection. Nothing here produces code by itself. */
#ifndef CORI_BASE_PLATFORM_H
#define CORI_BASE_PLATFORM_H

#include "base/atomic.h"

#include <stddef.h>
#include <stdint.h>

#define cori_likely(x) __builtin_expect(!!(x), 1)
#define cori_unlikely(x) __builtin_expect(!!(x), 0)
/* Keeps the rare case out of the function that calls it: its registers and its stack check would be paid every time. */
#define cori_rare __attribute__((noinline, cold))
#define CORI_CACHE_LINE 64
#define cori_container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORI_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CORI_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CORI_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define CORI_TSAN 1
#endif
#ifndef CORI_ASAN
#define CORI_ASAN 0
#endif
#ifndef CORI_TSAN
#define CORI_TSAN 0
#endif

/* Fetches a cache line that is about to be written: another core's copy goes at once, not at the first store. */
static inline void cori_prefetch_write(const void *line)
{
    __builtin_prefetch(line, 1);
}

/* Tells the CPU that this is a spin-wait. */
static inline void cori_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    cori_signal_fence();
#endif
}

#endif
