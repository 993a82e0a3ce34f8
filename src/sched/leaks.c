/* SPDX-License-Identifier: MIT */
/*
 * The table of what was made: by the object's address, under one lock, with the calls that made it. Records are freed
 * with their objects, the rest at the end.
 *
 * A task that has told the main one that it is done may need a moment to return. So before main's end counts, the
 * others have SETTLE_NS: a program without leaks says nothing, one with leaks ends that much later.
 */
#include "sched/leaks.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/memory.h"
#include "sched/frames.h"
#include "sched/lifecycle.h"
#include "sched/text.h"

#include <coracle/task.h>
#include <coracle/time.h>

enum { BUCKETS = 4096, FRAMES = 12, SHOWN_MOST = 100, DESCRIPTION_BYTES = 256 };
#define SETTLE_NS (100 * COR_MILLISECOND)

typedef struct made {
    struct made *next;
    const void *object;
    void (*describe)(const void *object, char *text, size_t size);
    cori_leak kind;
    int frame_count;
    const void *frames[FRAMES];
} made;

uint32_t cori_leaks_on;
static uint32_t spin;
static made *buckets[BUCKETS]; /* guard: spin, like what they hold */
static uint64_t counts[CORI_LEAK_KINDS];

static made **bucket_of(const void *object)
{
    return &buckets[((uintptr_t)object >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

__attribute__((noinline)) void cori_leaks_add_now(cori_leak kind, const void *object,
                                                  void (*describe)(const void *object, char *text, size_t size))
{
    made *record = cori_malloc(sizeof(*record));
    if (record == NULL) {
        return;
    }
    const cori_task *self = cori_self_worker != NULL ? cori_self_worker->current : NULL;
    *record = (made){.object = object, .describe = describe, .kind = kind};
    record->frame_count = self != NULL ? cori_frames_here(self, __builtin_frame_address(0), record->frames, FRAMES) : 0;
    made **bucket = bucket_of(object);
    cori_spin_lock(&spin);
    record->next = *bucket;
    *bucket = record;
    counts[kind]++;
    cori_spin_unlock(&spin);
}

void cori_leaks_drop_now(const void *object)
{
    cori_spin_lock(&spin);
    made **link = bucket_of(object);
    while (*link != NULL && (*link)->object != object) {
        link = &(*link)->next;
    }
    made *found = *link;
    if (found != NULL) {
        *link = found->next;
        counts[found->kind]--;
    }
    cori_spin_unlock(&spin);
    free(found);
}

void cori_leaks_settle(void)
{
    int64_t until = cori_clock_now() + SETTLE_NS;
    cor_runtime_stats stats;
    while (cor_stats(&stats) == 0 && stats.tasks > 1 && cori_clock_now() < until) {
        if (cor_sleep(COR_MILLISECOND) < 0) {
            return;
        }
    }
}

static uint64_t count_tasks(void)
{
    uint64_t count = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        const cori_worker *worker = &cori_rt.workers[i];
        count += worker->live + worker->fresh_count + worker->floating_count;
    }
    return count;
}

static void print_counts(cori_text *text, uint64_t tasks)
{
    static const char *const names[CORI_LEAK_KINDS] = {", channels ", ", connections ", ", listeners "};
    cori_text_add(text, "leaks: at the end of cor_run there are tasks ");
    cori_text_number(text, tasks);
    for (int i = 0; i < CORI_LEAK_KINDS; i++) {
        cori_text_add(text, names[i]);
        cori_text_number(text, counts[i]);
    }
    cori_text_end(text);
}

static void print_made(cori_text *text, const made *record)
{
    char what[DESCRIPTION_BYTES] = "";
    record->describe(record->object, what, sizeof(what));
    cori_text_add(text, what);
    cori_text_add(text, record->frame_count > 0 ? ", made at" : ", made on a thread that is no worker");
    cori_text_end(text);
    for (int i = 0; i < record->frame_count; i++) {
        cori_text_add(text, "    ");
        cori_text_symbol(text, record->frames[i]);
        cori_text_end(text);
    }
}

static void print_all_made(cori_text *text)
{
    uint64_t shown = 0, all = 0;
    for (int i = 0; i < BUCKETS; i++) {
        for (const made *record = buckets[i]; record != NULL; record = record->next) {
            if (all++ < SHOWN_MOST) {
                print_made(text, record);
                shown++;
            }
        }
    }
    if (shown < all) {
        cori_text_add(text, "and others: ");
        cori_text_number(text, all - shown);
        cori_text_end(text);
    }
}

static void forget_all(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (buckets[i] != NULL) {
            made *record = buckets[i];
            buckets[i] = record->next;
            free(record);
        }
    }
    memset(counts, 0, sizeof(counts));
}

void cori_leaks_report(int fd)
{
    if (cori_load_relaxed(&cori_leaks_on) == 0) {
        return;
    }
    cori_store(&cori_leaks_on, 0);
    cori_spin_lock(&spin); /* other threads may still free channels */
    uint64_t tasks = count_tasks();
    cori_text text = {.fd = fd};
    if (fd >= 0 && (tasks > 0 || counts[CORI_LEAK_CHANNEL] + counts[CORI_LEAK_CONN] + counts[CORI_LEAK_LISTENER] > 0)) {
        print_counts(&text, tasks);
        cori_dump_all_stopped(fd);
        print_all_made(&text);
    }
    forget_all();
    cori_spin_unlock(&spin);
}
