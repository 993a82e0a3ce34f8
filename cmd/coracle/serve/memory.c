/* SPDX-License-Identifier: MIT */
/* Looks at the memory, and finds for whom most is held. */
#include "serve/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often memory is looked at, if it does not grow: rarely while there is enough. */
#define LOOK_OFTEN_NS (100 * COR_MILLISECOND)
#define LOOK_RARELY_NS COR_SECOND
/* The part of what is left that may be taken until the next look, and what may be in any case. */
#define LOOKS_PER_REST 8
#define LOOK_BYTES ((uint64_t)256 * 1024)
/* How long a connection that is given up may take to leave before the next one is looked for. */
#define LEAVING_NS COR_SECOND
enum { LEAVING_LOOKS = 50 };
/* Ending a connection for which less is held frees too little to be worth it. */
#define WORTH_IT 4096

void memory_grown(struct serve *serve, uint64_t bytes)
{
    uint64_t grown = atomic_fetch_add(&serve->memory_grown, bytes) + bytes;
    uint64_t look_at = atomic_load(&serve->memory_look_at);
    if (look_at != 0 && grown >= look_at && atomic_exchange(&serve->memory_look_at, 0) != 0) {
        cor_waitgroup_done(&serve->memory_look);
    }
}

void memory_hold(struct connection *one, uint64_t bytes)
{
    uint64_t before = atomic_load_explicit(&one->held, memory_order_relaxed);
    if (bytes != before) {
        atomic_store_explicit(&one->held, bytes, memory_order_relaxed);
    }
    if (bytes > before) {
        memory_grown(one->service->serve, bytes - before);
    }
}

void memory_pipe_taken(struct connection *one, uint64_t bytes)
{
    atomic_fetch_add_explicit(&one->held, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&one->service->serve->memory_piped, bytes, memory_order_relaxed);
}

void memory_pipe_left(struct connection *one, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&one->held, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&one->service->serve->memory_piped, bytes, memory_order_relaxed);
}

/* The bytes of this process that are in memory; 0 if they cannot be told. */
static uint64_t resident(int statm)
{
    char text[128];
    ssize_t size = pread(statm, text, sizeof(text) - 1, 0);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *second = strchr(text, ' ');
    return second == NULL ? 0 : strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* All that counts; 0 if it cannot be told. */
static uint64_t look_at_memory(struct serve *serve, int statm)
{
    uint64_t pages = resident(statm);
    return pages > 0 ? pages + atomic_load_explicit(&serve->memory_piped, memory_order_relaxed) : 0;
}

/* The connection for which most is held. */
struct most {
    uint64_t held, id;
};

static bool look(struct connection *one, void *arg)
{
    struct most *most = arg;
    uint64_t held = session_queued(one) + atomic_load_explicit(&one->held, memory_order_relaxed);
    if (held > most->held && connection_reason(one) == REASON_NONE) {
        *most = (struct most){held, one->id};
    }
    return true;
}

static int give_back(void *unused)
{
    (void)unused;
    return malloc_trim(0);
}

struct wanted {
    uint64_t id;
    bool found;
};

static bool look_for(struct connection *one, void *arg)
{
    struct wanted *wanted = arg;
    wanted->found |= one->id == wanted->id;
    return one->id < wanted->id;
}

/* Waits until a connection that ends has left, and with it what was held for it; not for ever. */
static void await_end_of(struct serve *serve, uint64_t id)
{
    struct wanted wanted = {.id = id, .found = true};
    for (int looks = 0; wanted.found && looks < LEAVING_LOOKS && cor_sleep(LEAVING_NS / LEAVING_LOOKS) == 0; looks++) {
        wanted.found = false;
        conns_each(&serve->conns, look_for, &wanted);
    }
}

/* Has services give up what nobody waits for. Returns whether there was any. */
static bool forget_history(struct serve *serve)
{
    uint64_t freed = 0;
    for (size_t i = 0; i < serve->service_count; i++) {
        const struct service *service = &serve->services[i];
        freed += service->def->forget != NULL ? service->def->forget(service) : 0;
    }
    if (freed > 0) {
        LOG(LEVEL_WARN, "history_cut", {"bytes", NULL, (int64_t)freed});
    }
    return freed > 0;
}

static void end_largest(struct serve *serve)
{
    struct most most = {.held = WORTH_IT};
    conns_each(&serve->conns, look, &most);
    if (most.id != 0 && conns_end(&serve->conns, most.id, REASON_OOM)) {
        LOG(LEVEL_WARN, "queue_cut", {"conn", NULL, (int64_t)most.id}, {"queued", NULL, (int64_t)most.held});
        await_end_of(serve, most.id);
    }
    (void)cor_blocking(give_back, NULL);
}

/* Waits until memory is to be looked at again. False: the watch is to end. */
static bool await_growth(struct serve *serve, uint64_t used)
{
    uint64_t limit = serve->options.max_memory, rest = used < limit ? (limit - used) / LOOKS_PER_REST : 0;
    cor_waitgroup_add(&serve->memory_look, 1);
    atomic_store(&serve->memory_look_at, atomic_load(&serve->memory_grown) + (rest > LOOK_BYTES ? rest : LOOK_BYTES));
    int code = cor_waitgroup_wait(&serve->memory_look, cor_after(used > limit / 2 ? LOOK_OFTEN_NS : LOOK_RARELY_NS));
    if (atomic_exchange(&serve->memory_look_at, 0) != 0) {
        cor_waitgroup_done(&serve->memory_look);
    }
    return code != COR_ECANCELED;
}

void memory_watch(void *arg)
{
    struct serve *serve = arg;
    uint64_t limit = serve->options.max_memory;
    int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    uint64_t used = look_at_memory(serve, statm);
    bool was_short = false;
    while (used > 0 && await_growth(serve, used)) {
        used = look_at_memory(serve, statm);
        bool is_short = used > limit / 8 * 7;
        if (is_short != was_short) {
            was_short = is_short;
            atomic_store(&serve->short_of_memory, is_short);
            LOG(LEVEL_WARN, is_short ? "memory_short" : "memory_enough", {"used", NULL, (int64_t)used},
                {"limit", NULL, (int64_t)limit});
        }
        if (used > limit && forget_history(serve)) {
            (void)cor_blocking(give_back, NULL);
        } else if (used > limit) {
            end_largest(serve);
        }
    }
    if (statm >= 0) {
        close(statm);
    }
}
