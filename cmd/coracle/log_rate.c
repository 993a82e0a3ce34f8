/* SPDX-License-Identifier: MIT */
/*
 * A counter for each event of the table and each of two seconds, since lines of different workers come a little out of
 * order; and a tally for each event and reason of which lines were left out. While lines come all the time, those of a
 * second become `earlier` with the first that is left out in the next.
 */
#include "log_rate.h"

#include "log_events.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What has come of one event in the seconds that were looked at last. */
static struct counter {
    const char *event;
    bool each;
    struct {
        time_t second;
        uint64_t written;
    } windows[2];
} counters[] = {
#define EACH true
#define RATED false
#define COUNTER(name, level, how, keys, text) {.event = #name, .each = how},
    LOG_EVENTS(COUNTER)
#undef COUNTER
#undef RATED
#undef EACH
};
enum { COUNT = sizeof(counters) / sizeof(counters[0]), REASONS_MAX = 32, REASON_BYTES = 32 };

/* Lines left out, for one reason; made when there is the first. */
static struct tally {
    const char *event;
    char reason[REASON_BYTES]; /* "": none */
    time_t second;
    uint64_t earlier, lately; /* than `second`; in it */
} tallies[COUNT + REASONS_MAX];
static size_t tally_count;
static _Atomic uint64_t left_out; /* in all */

/* The counter of an event; NULL: it is not in the table. Mostly it is the one of the event before. */
static struct counter *find(const char *event)
{
    static size_t last;
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = (last + i) % COUNT;
        if (strcmp(counters[at].event, event) == 0) {
            last = at;
            return &counters[at];
        }
    }
    return NULL;
}

bool log_rate_admits(const char *event, time_t second)
{
    struct counter *of = find(event);
    if (of == NULL || of->each) {
        return true;
    }
    size_t at = second % 2 != 0;
    if (of->windows[at].second != second) {
        of->windows[at].second = second;
        of->windows[at].written = 0;
    }
    return of->windows[at].written++ < LOG_RATE_PER_SECOND;
}

static struct tally *find_tally(const char *event, const char *reason)
{
    for (size_t i = 0; i < tally_count; i++) {
        if (strcmp(tallies[i].event, event) == 0 && strncmp(tallies[i].reason, reason, REASON_BYTES - 1) == 0) {
            return &tallies[i];
        }
    }
    return NULL;
}

static struct tally *make_tally(const char *event, const char *reason)
{
    if (tally_count == sizeof(tallies) / sizeof(tallies[0])) {
        return &tallies[0]; /* there are fewer reasons */
    }
    struct tally *made = &tallies[tally_count++];
    made->event = event;
    (void)snprintf(made->reason, REASON_BYTES, "%s", reason);
    return made;
}

void log_rate_left_out(const char *event, const char *reason, time_t second)
{
    reason = reason != NULL ? reason : "";
    struct tally *of = find_tally(event, reason);
    of = of != NULL ? of : make_tally(event, reason);
    if (of->second != second) {
        of->earlier += of->lately;
        of->lately = 0;
        of->second = second;
    }
    of->lately++;
    atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
}

uint64_t log_rate_left_out_ever(void)
{
    return atomic_load_explicit(&left_out, memory_order_relaxed);
}

bool log_rate_settle(time_t now, bool all, log_rate_tell *tell, bool *waiting)
{
    bool told = false;
    *waiting = false;
    for (size_t i = 0; i < tally_count; i++) {
        struct tally *of = &tallies[i];
        bool over = all || of->second != now;
        uint64_t lines = of->earlier + (over ? of->lately : 0);
        of->earlier = 0;
        of->lately = over ? 0 : of->lately;
        *waiting = *waiting || of->lately > 0;
        if (lines > 0) {
            tell(of->event, of->reason[0] != '\0' ? of->reason : NULL, lines);
            told = true;
        }
    }
    return told;
}
