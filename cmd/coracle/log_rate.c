/* SPDX-License-Identifier: MIT */
/* A counter for each event of the table. */
#include "log_rate.h"

#include "log_events.h"

#include <stddef.h>
#include <string.h>

/* What has come of one event in the second that was looked at last. */
static struct counter {
    const char *event;
    bool each;
    time_t second;
    uint64_t written, left_out;
} counters[] = {
#define EACH true
#define RATED false
#define COUNTER(name, level, how, keys, text) {.event = #name, .each = how},
    LOG_EVENTS(COUNTER)
#undef COUNTER
#undef RATED
#undef EACH
};
enum { COUNT = sizeof(counters) / sizeof(counters[0]) };

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
    if (of->second != second) {
        of->second = second;
        of->written = 0;
    }
    if (of->written < LOG_RATE_PER_SECOND) {
        of->written++;
        return true;
    }
    of->left_out++;
    return false;
}

bool log_rate_settle(time_t now, bool all, void (*tell)(const char *event, uint64_t lines), bool *waiting)
{
    bool told = false;
    *waiting = false;
    for (size_t i = 0; i < COUNT; i++) {
        struct counter *of = &counters[i];
        uint64_t lines = of->left_out;
        if (lines > 0 && (all || of->second != now)) {
            of->left_out = 0;
            tell(of->event, lines);
            told = true;
        } else if (lines > 0) {
            *waiting = true;
        }
    }
    return told;
}
