/* SPDX-License-Identifier: MIT */
/*
 * What the program meets here. Its sources are compiled as they are; in place of log.c and signals.c they are linked
 * with this file, its allocations come here by name (-Dmalloc=program_malloc ...), and its calls of msglog_add, the one
 * place where a message is handed to all members, and of msglog_go_back and msglog_enter, where somebody comes in, come
 * past by the linker's --wrap.
 */
#include "log.h"
#include "serve/room/member.h"
#include "serve/session.h"
#include "signals.h"
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

void *program_malloc(size_t size);
void *program_aligned_alloc(size_t alignment, size_t size);
void *program_calloc(size_t count, size_t size);
void *program_reallocarray(void *memory, size_t count, size_t size);
void program_free(void *memory);
bool real_msglog_add(struct msg_log *log, struct msg_reader *by, msg_kind kind, const char *text,
                     size_t size) __asm__("__real_msglog_add");
bool wrap_msglog_add(struct msg_log *log, struct msg_reader *by, msg_kind kind, const char *text,
                     size_t size) __asm__("__wrap_msglog_add");
bool real_msglog_enter(struct msg_log *log, struct msg_reader *reader) __asm__("__real_msglog_enter");
bool wrap_msglog_enter(struct msg_log *log, struct msg_reader *reader) __asm__("__wrap_msglog_enter");
void real_msglog_go_back(struct msg_log *log, struct msg_reader *reader) __asm__("__real_msglog_go_back");
void wrap_msglog_go_back(struct msg_log *log, struct msg_reader *reader) __asm__("__wrap_msglog_go_back");
ssize_t wrap_getrandom(void *buffer, size_t size, unsigned flags) __asm__("__wrap_getrandom");

enum { ENTRY_SIZE = 16 }; /* of the log, with each text */

/*
 * What the room may need: its log, and for each connection a block that it stands in, one being written from, a line
 * being put together, and itself. A member that keeps what there is (drop-newest) may keep a log of its own.
 */
static size_t memory_bound(void)
{
    const serve_options *options = &run.plan.options;
    size_t block = options->outbox / 4, line = options->max_line + 256;
    block = block < 4096 ? 4096 : block > 65536 ? 65536 : block;
    block = block < line ? line : block;
    size_t each = 2048 + line + 2 * block + (options->slow_policy == SLOW_DROP_NEWEST ? options->outbox : 0);
    size_t peers = run.serve.peers != NULL ? 16384 : 0; /* how many connections each address has */
    size_t room = 4096 + options->outbox + 4 * block + (options->presence ? 4096 : 0);
    return 4096 + peers + (size_t)run.plan.rooms * room + run.serve.conns.open * each;
}

/* Each reason to refuse somebody is one that there is. */
static void check_refusals(const conns_counts *counts)
{
    const serve_options *options = &run.plan.options;
    bool lists = options->allow != NULL || options->deny != NULL;
    if ((counts->by_reason[REASON_DENIED] > 0 && !lists) ||
        (counts->by_reason[REASON_PER_IP] > 0 && !options->per_ip) ||
        (counts->by_reason[REASON_RATE] > 0 && !options->accept_rate) ||
        (counts->by_reason[REASON_MAX_CONNS] > 0 && !options->max_conns)) {
        violated("somebody is refused for what is no limit here");
    }
}

void check_always(void)
{
    conns_counts counts;
    conns_count(&run.serve.conns, &counts);
    run.checks++;
    check_refusals(&counts);
    if (counts.accepted != counts.open + counts.closed) {
        violated("%llu accepted, but %llu open and %llu closed", (unsigned long long)counts.accepted,
                 (unsigned long long)counts.open, (unsigned long long)counts.closed);
    }
}

/* By the lists, as one would read them: the longest block decides, and all are blocks of 10.0.1.0/24. */
bool is_let_in(int host)
{
    const serve_options *options = &run.plan.options;
    const char *lists[] = {options->deny, options->allow};
    int longest[2] = {-1, -1}, last = host + 1;
    for (int i = 0; i < 2; i++) {
        int block, bits;
        int parts = lists[i] != NULL ? sscanf(lists[i], "10.0.1.%d/%d", &block, &bits) : 0;
        bits = parts == 1 ? 32 : bits;
        if (parts >= 1 && block >> (32 - bits) == last >> (32 - bits)) {
            longest[i] = bits;
        }
    }
    return longest[0] < 0 && longest[1] < 0 ? options->allow == NULL : longest[1] > longest[0];
}

/*
 * Before each allocation of the program's: what it asked for, not what the allocator gave, which is never twice equal.
 */
typedef struct head {
    size_t size, offset; /* bytes; from what was allocated to what the program has */
} head;

static void *count_in(void *memory, size_t size, size_t offset)
{
    if (memory == NULL) {
        return NULL;
    }
    head *before = (head *)(void *)((char *)memory + offset) - 1;
    *before = (head){size, offset};
    run.program_bytes += size;
    if (run.program_bytes > memory_bound()) {
        violated("the room has %zu bytes, %zu more than it may", run.program_bytes, run.program_bytes - memory_bound());
    }
    return before + 1;
}

static bool out_of_memory(void)
{
    return run.serving && run.plan.no_memory_once_in != 0 && once_in(&run.chance, run.plan.no_memory_once_in);
}

void *program_malloc(size_t size)
{
    return out_of_memory() ? NULL : count_in(malloc(size + sizeof(head)), size, sizeof(head));
}

void *program_aligned_alloc(size_t alignment, size_t size)
{
    return out_of_memory() ? NULL : count_in(aligned_alloc(alignment, size + alignment), size, alignment);
}

void *program_calloc(size_t count, size_t size)
{
    void *memory = program_malloc(count * size);
    return memory != NULL ? memset(memory, 0, count * size) : NULL;
}

void *program_reallocarray(void *memory, size_t count, size_t size)
{
    void *grown = program_malloc(count * size);
    if (grown != NULL && memory != NULL) {
        size_t before = ((head *)memory - 1)->size;
        memcpy(grown, memory, before < count * size ? before : count * size);
        program_free(memory);
    }
    return grown;
}

void program_free(void *memory)
{
    if (memory != NULL) {
        const head *before = (head *)memory - 1;
        run.program_bytes -= before->size;
        free((char *)memory - before->offset);
    }
}

static sim_room *room_of(const struct msg_log *log)
{
    const struct room *room = (const void *)((const char *)log - offsetof(struct room, log));
    return &run.rooms[*room->name == '\0' ? 0 : *room->name - '0'];
}

bool wrap_msglog_add(struct msg_log *log, struct msg_reader *by, msg_kind kind, const char *text, size_t size)
{
    bool done = real_msglog_add(log, by, kind, text, size);
    if (done && kind == MSG_SAID) {
        log_line(room_of(log), text, size, log->end - size - ENTRY_SIZE);
    }
    check_always();
    return done;
}

/* Members only, for there is no bus: a reader is the first that a member has. */
static void note_enter(const struct msg_log *log, const struct msg_reader *reader)
{
    const struct member *member = (const void *)reader;
    size_t longest = log->block_size > run.plan.options.max_line ? log->block_size : run.plan.options.max_line + 512;
    log_enter(room_of(log), member->address, atomic_load(&reader->place), log->end, longest);
}

bool wrap_msglog_enter(struct msg_log *log, struct msg_reader *reader)
{
    bool done = real_msglog_enter(log, reader);
    if (done && log->history == 0) {
        note_enter(log, reader);
    }
    return done;
}

void wrap_msglog_go_back(struct msg_log *log, struct msg_reader *reader)
{
    real_msglog_go_back(log, reader);
    note_enter(log, reader);
}

/* What the service random sends is the seed's choice, too. */
ssize_t wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
    (void)flags;
    unsigned char *bytes = buffer;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)below(&run.chance, 256);
    }
    return (ssize_t)size;
}

/* signals.h: the signal is the run's. */

int signals_catch(void)
{
    cor_waitgroup_done(&run.listening);
    return 0;
}

int signals_wait(void)
{
    run.serving = true;
    do {
        int64_t next = run.plan.reloads ? cor_after((int64_t)(1 + below(&run.chance, 500)) * COR_MILLISECOND) : 0;
        if (cor_waitgroup_wait(&run.stop, next) == COR_ETIMEOUT) {
            return SIGHUP;
        }
    } while (!run.stopping);
    return SIGTERM;
}

void signals_reopen_log(void) {}

void signals_end_at_once(void (*before)(void))
{
    (void)before;
}

/* log.h: nothing is written; `closed` events are counted, each with a reason of the closed list. */

/* `internal` is for what nobody has foreseen: here all is. */
static bool is_known(const char *reason)
{
    for (int i = REASON_EOF; i < REASON_COUNT; i++) {
        if (strcmp(reason_names[i], reason) == 0) {
            return i != REASON_INTERNAL;
        }
    }
    return false;
}

void log_event(log_level level, const char *event, const log_field *fields, size_t count)
{
    (void)level;
    if (strcmp(event, "closed") == 0) {
        run.closed_told++;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(fields[i].key, "reason") == 0 && !is_known(fields[i].text)) {
                violated("a connection is closed for the reason %s", fields[i].text);
            }
        }
    }
    check_always();
}

bool log_enabled(log_level level)
{
    return level >= LEVEL_INFO;
}

bool log_shows(void)
{
    return !run.plan.options.quiet;
}

void log_flush(void) {}

void log_last_words(void) {}

void log_announce(const char *format, ...)
{
    (void)format;
}

void log_hint(const char *format, ...)
{
    (void)format;
}

void log_say(const char *format, ...)
{
    (void)format;
}

void log_show(const char *before, const void *bytes, size_t size, const char *after)
{
    (void)before;
    (void)bytes;
    (void)size;
    (void)after;
}

void log_show_parts(const line_part *parts, size_t count)
{
    (void)parts;
    (void)count;
}
