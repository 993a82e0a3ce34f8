/* SPDX-License-Identifier: MIT */
/*
 * The log's blocks. A block's pins count the readers in it and those held that are still to come there. A block leaves
 * the list at its old end only: when nobody is in it, nobody was overtaken (a reader that was may want it yet) and
 * nothing in it is history, or when it lies `keep` bytes back. Off the list and without pins it is freed.
 */
#include "serve/room/msglog.h"

#include <coracle/time.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define AGE_MAX ((1 << 30) - 1)

typedef struct msg_entry {
    const struct msg_reader *by; /* compared only: a reader that has left reads no more */
    uint32_t end;                /* of its text in the block */
    uint32_t kind : 2;           /* a msg_kind */
    uint32_t age_us : 30;        /* of the block when it was added; at most so much, a quarter of an hour */
} msg_entry;

struct msg_block {
    struct msg_block *next;       /* guard: the lock */
    uint64_t begin;               /* place of its first byte */
    uint64_t first, first_here;   /* messages told to all before it; and those that were not passed on */
    int64_t made;                 /* cor_now() */
    size_t capacity;              /* bytes for texts and entries; a multiple of an entry's alignment */
    msg_put put;                  /* behind them as many bytes have the texts in this form; NULL: there are none */
    uint32_t said, here;          /* guard: the lock; the same in it */
    uint32_t pins;                /* guard: the lock */
    bool listed;                  /* guard: the lock */
    _Atomic uint32_t private_end; /* offset after the newest message that is not for all */
    _Atomic uint32_t count;       /* entries that may be read */
    alignas(msg_entry) char text[];
};

static msg_entry *entry_of(const struct msg_block *block, uint32_t index)
{
    return (msg_entry *)(void *)(uintptr_t)(block->text + block->capacity) - 1 - index;
}

_Static_assert(MSG_PUT_MORE + sizeof(uint32_t) <= sizeof(msg_entry), "texts in another form fit where entries do");

/* Where a message ends among the texts in the other form, which grow from the front, and these ends from the back. */
static uint32_t *put_end(const struct msg_block *block, uint32_t index)
{
    return (uint32_t *)(void *)(uintptr_t)(block->text + 2 * block->capacity) - 1 - index;
}

/* Where it begins there. */
static uint32_t put_start(const struct msg_block *block, uint32_t index)
{
    return index == 0 ? 0 : *put_end(block, index - 1);
}

/* How many bytes of memory it takes to keep one. */
static size_t copies(const struct msg_block *block)
{
    return block->put != NULL ? 2 : 1;
}

/* Under the lock, where nobody adds. */
static uint32_t text_size(const struct msg_block *block)
{
    uint32_t count = atomic_load_explicit(&block->count, memory_order_relaxed);
    return count == 0 ? 0 : entry_of(block, count - 1)->end;
}

/* Memory in use. Under the lock, where nobody adds. */
static size_t used(const struct msg_block *block)
{
    return text_size(block) + atomic_load_explicit(&block->count, memory_order_relaxed) * sizeof(msg_entry);
}

static bool fits(const struct msg_block *block, size_t size)
{
    return used(block) + size + sizeof(msg_entry) <= block->capacity;
}

static void free_block(struct msg_log *log, struct msg_block *block)
{
    if (log->spare == NULL && block->capacity + sizeof(*block) == log->block_size && block->put == log->put) {
        log->spare = block;
    } else {
        free(block);
    }
}

/* The number of the oldest message that is history. */
static uint64_t oldest_wanted(const struct msg_log *log)
{
    uint64_t oldest = log->said > log->history ? log->said - log->history : 0;
    return oldest > log->forgotten ? oldest : log->forgotten;
}

/* Whether there is history in a block that is not the newest. */
static bool has_history(const struct msg_log *log, const struct msg_block *block)
{
    return block->next->first > oldest_wanted(log) && log->end - block->next->begin < log->history_bytes;
}

static void drop_old_blocks(struct msg_log *log)
{
    struct msg_block *block = log->oldest;
    while (block != log->newest && ((block->pins == 0 && log->overtaken == 0 && !has_history(log, block)) ||
                                    log->end - block->next->begin >= log->keep)) {
        log->oldest = block->next;
        block->listed = false;
        if (block->pins == 0) {
            free_block(log, block);
        } else {
            log->overtaken++;
        }
        block = log->oldest;
    }
}

static void unpin(struct msg_log *log, struct msg_block *block)
{
    if (--block->pins == 0) {
        if (!block->listed) {
            log->overtaken--;
            free_block(log, block);
        }
        drop_old_blocks(log);
    }
}

/* A block that takes a message of that size, or NULL. */
static struct msg_block *make_block(struct msg_log *log, size_t size)
{
    size_t capacity = log->block_size - sizeof(struct msg_block);
    struct msg_block *block = log->spare;
    size_t needed = (size + 2 * sizeof(msg_entry)) & ~(alignof(msg_entry) - 1);
    if (block != NULL && block->put != log->put) {
        free(block);
        block = log->spare = NULL;
    }
    if (needed > capacity || block == NULL) {
        capacity = needed > capacity ? needed : capacity;
        block = malloc(sizeof(*block) + (log->put != NULL ? 2 : 1) * capacity);
    } else {
        log->spare = NULL;
    }
    if (block != NULL) {
        *block = (struct msg_block){.begin = log->end,
                                    .first = log->said,
                                    .first_here = log->here,
                                    .made = cor_now(),
                                    .capacity = capacity,
                                    .put = log->put,
                                    .listed = true};
    }
    return block;
}

/* Makes the newest block one that takes a message of that size. */
static bool make_room(struct msg_log *log, size_t size)
{
    if (log->newest != NULL && !log->full && fits(log->newest, size)) {
        return true;
    }
    struct msg_block *block = make_block(log, size);
    if (block == NULL) {
        return false;
    }
    if (log->newest != NULL) {
        atomic_store_explicit(&log->end,
                              log->newest->begin + sizeof(*block) + copies(log->newest) * log->newest->capacity,
                              memory_order_relaxed);
        block->begin = log->end;
        log->newest->next = block;
    } else {
        log->oldest = block;
    }
    log->newest = block;
    log->full = false;
    drop_old_blocks(log);
    return true;
}

static uint32_t age_of(const struct msg_block *block)
{
    int64_t age = (cor_now() - block->made) / COR_MICROSECOND;
    return age < AGE_MAX ? (uint32_t)age : AGE_MAX;
}

bool msglog_add(struct msg_log *log, struct msg_reader *by, msg_kind kind, const char *text, size_t size)
{
    if (size > UINT32_MAX / 2 || !make_room(log, size)) {
        return false;
    }
    struct msg_block *block = log->newest;
    uint32_t start = text_size(block), end = start + (uint32_t)size;
    uint32_t count = atomic_load_explicit(&block->count, memory_order_relaxed);
    memcpy(block->text + start, text, size);
    if (block->put != NULL) {
        char *put = block->text + block->capacity;
        *put_end(block, count) = (uint32_t)(block->put(put + put_start(block, count), text, size) - put);
    }
    *entry_of(block, count) = (msg_entry){.by = by, .end = end, .kind = kind & 3, .age_us = age_of(block)};
    if (kind != MSG_SAID) {
        atomic_store_explicit(&block->private_end, end, memory_order_relaxed);
    } else {
        log->said++;
        block->said++;
        log->here += !by->passes_on;
        block->here += !by->passes_on;
    }
    atomic_store_explicit(&by->spoken, block->begin + end, memory_order_relaxed);
    atomic_store_explicit(&block->count, count + 1, memory_order_release);
    atomic_store_explicit(&log->end, block->begin + copies(block) * used(block), memory_order_relaxed);
    log->batch += size + sizeof(msg_entry);
    return true;
}

void msglog_end_batch(struct msg_log *log)
{
    log->full = log->batch > 0 && log->batch <= log->newest->capacity && !fits(log->newest, log->batch);
    log->batch = 0;
}

bool msglog_enter(struct msg_log *log, struct msg_reader *reader)
{
    if (!make_room(log, 0)) {
        return false;
    }
    struct msg_block *block = log->newest;
    if (reader->put != NULL) {
        log->put = reader->put;
        log->putting++;
    }
    reader->block = block;
    reader->index = atomic_load_explicit(&block->count, memory_order_relaxed);
    reader->offset = text_size(block);
    reader->live_index = reader->index;
    reader->live_begin = block->begin;
    reader->ends_at = UINT64_MAX;
    atomic_store_explicit(&reader->hears_from, UINT64_MAX, memory_order_relaxed);
    atomic_store(&reader->place, log->end);
    block->pins++;
    return true;
}

void msglog_go_back(struct msg_log *log, struct msg_reader *reader)
{
    struct msg_block *block = log->oldest;
    while (block != log->newest && !has_history(log, block)) {
        block = block->next;
    }
    uint64_t number = block->first, wanted = oldest_wanted(log), place = block->begin;
    uint32_t count = atomic_load_explicit(&block->count, memory_order_relaxed), index = 0, offset = 0;
    while (index < count && (number < wanted || log->end - place > log->history_bytes)) {
        const msg_entry *entry = entry_of(block, index++);
        number += entry->kind == MSG_SAID;
        offset = entry->end;
        place = block->begin + copies(block) * (offset + index * sizeof(msg_entry));
    }
    if (index == count && block != log->newest) { /* what is left free at its end is beyond the bound */
        block = block->next;
        index = offset = 0;
        place = block->begin;
    }
    reader->block->pins--; /* the newest: it stays */
    block->pins++;
    reader->block = block;
    reader->index = index;
    reader->offset = offset;
    atomic_store(&reader->place, place);
}

uint64_t msglog_forget(struct msg_log *log)
{
    uint64_t begin = log->oldest != NULL ? log->oldest->begin : 0;
    log->forgotten = log->said;
    drop_old_blocks(log);
    return log->oldest != NULL ? log->oldest->begin - begin : 0;
}

void msglog_leave(struct msg_log *log, struct msg_reader *reader)
{
    struct msg_block *block = reader->block;
    struct msg_block *last = reader->last != NULL ? reader->last : block;
    reader->block = NULL;
    if (reader->put != NULL && --log->putting == 0) {
        log->put = NULL;
    }
    while (block != last) {
        struct msg_block *next = block->next;
        unpin(log, block);
        block = next;
    }
    unpin(log, last);
}

void msglog_hold(struct msg_log *log, struct msg_reader *reader)
{
    if (reader->last != NULL || !reader->block->listed) {
        return; /* held already, or overtaken: what came next for it is gone */
    }
    for (struct msg_block *block = reader->block; block != log->newest; block = block->next) {
        block->next->pins++;
    }
    reader->last = log->newest;
}

void msglog_end_here(const struct msg_log *log, struct msg_reader *reader)
{
    reader->ends_at = log->end;
}

/* Whether the reader's next block has been kept for it. */
static bool is_held(const struct msg_reader *reader)
{
    return reader->last != NULL && reader->last != reader->block;
}

/* The next block, or if that is gone the oldest that there is. */
static struct msg_block *next_block(const struct msg_log *log, const struct msg_reader *reader)
{
    return is_held(reader) || reader->block->listed ? reader->block->next : log->oldest;
}

static void move_on(struct msg_log *log, struct msg_reader *reader)
{
    struct msg_block *old = reader->block, *block = next_block(log, reader);
    if (!is_held(reader)) { /* else it has been pinned for this reader before */
        reader->last = NULL;
        block->pins++;
    }
    reader->dropped += block->first - old->first - old->said;
    reader->dropped_here += block->first_here - old->first_here - old->here;
    reader->block = block;
    reader->index = 0;
    reader->offset = 0;
    atomic_store(&reader->place, block->begin);
    unpin(log, old);
}

void msglog_give_up(struct msg_log *log, struct msg_reader *reader, uint64_t most)
{
    while (log->end - atomic_load(&reader->place) > most && reader->block != log->newest) {
        const struct msg_block *block = reader->block;
        uint32_t count = atomic_load_explicit(&block->count, memory_order_relaxed);
        for (uint32_t i = reader->index; i < count; i++) {
            const msg_entry *entry = entry_of(block, i);
            reader->dropped += entry->kind == MSG_SAID;
            reader->dropped_here += entry->kind == MSG_SAID && entry->by != reader;
        }
        move_on(log, reader);
    }
}

bool msglog_next(struct msg_log *log, struct msg_reader *reader)
{
    struct msg_run run;
    while (!msglog_peek(reader, &run)) {
        if (reader->block == log->newest) {
            reader->last = NULL;
            return false;
        }
        if (next_block(log, reader)->begin >= reader->ends_at) {
            return false;
        }
        move_on(log, reader);
    }
    return true;
}

bool msglog_peek(const struct msg_reader *reader, struct msg_run *run)
{
    const struct msg_block *block = reader->block;
    uint32_t count = atomic_load_explicit(&block->count, memory_order_acquire);
    if (count == reader->index) {
        return false;
    }
    bool in_seam = block->begin == reader->live_begin && reader->index < reader->live_index;
    run->history = in_seam || block->begin < reader->live_begin;
    if (in_seam) {
        count = reader->live_index;
    }
    run->text = block->text + reader->offset;
    run->size = entry_of(block, count - 1)->end - reader->offset;
    run->count = count - reader->index;
    run->said_at = block->made + entry_of(block, reader->index)->age_us * COR_MICROSECOND;
    run->plain = reader->offset >= atomic_load_explicit(&block->private_end, memory_order_relaxed) &&
                 block->begin + reader->offset >= atomic_load_explicit(&reader->spoken, memory_order_relaxed);
    return true;
}

void msglog_shorten(const struct msg_reader *reader, struct msg_run *run, size_t most)
{
    uint32_t end = entry_of(reader->block, reader->index)->end;
    for (uint32_t i = 1; run->size > most && i < run->count; i++) {
        uint32_t next = entry_of(reader->block, reader->index + i)->end;
        if (next - reader->offset > most) {
            run->count = i;
            run->size = end - reader->offset;
        }
        end = next;
    }
}

bool msglog_is_put(const struct msg_reader *reader, const struct msg_run *run, const char **text, size_t *size)
{
    const struct msg_block *block = reader->block;
    if (!run->plain || block->put != reader->put) {
        return false;
    }
    *text = run->text;
    *size = run->size;
    if (block->put != NULL) {
        uint32_t start = put_start(block, reader->index);
        *text = block->text + block->capacity + start;
        *size = *put_end(block, reader->index + run->count - 1) - start;
    }
    return true;
}

/* Whom a reader of that run is by the names in its entries: in history nobody. */
static const struct msg_reader *self(const struct msg_reader *reader, const struct msg_run *run)
{
    return run->history ? NULL : reader;
}

static bool is_for(const struct msg_block *block, const msg_entry *entry, const struct msg_reader *self)
{
    switch ((msg_kind)entry->kind) {
    case MSG_SAID:
        return true;
    case MSG_PRIVATE:
        return entry->by == self;
    case MSG_PRESENCE:
        return self != NULL &&
               block->begin + entry->end > atomic_load_explicit(&self->hears_from, memory_order_relaxed);
    }
    return false;
}

uint32_t msglog_count(const struct msg_reader *reader, const struct msg_run *run)
{
    uint32_t count = run->count;
    for (uint32_t i = 0; !run->plain && i < run->count; i++) {
        count -= !is_for(reader->block, entry_of(reader->block, reader->index + i), self(reader, run));
    }
    return count;
}

static char *put_as_it_is(char *to, const char *text, size_t size)
{
    return mempcpy(to, text, size);
}

size_t msglog_copy(const struct msg_reader *reader, const struct msg_run *run, const char *own, size_t own_size,
                   char *to)
{
    msg_put put = reader->put != NULL ? reader->put : put_as_it_is;
    char *start = to;
    const char *text = run->text;
    for (uint32_t i = 0; i < run->count; i++) {
        const msg_entry *entry = entry_of(reader->block, reader->index + i);
        const char *end = reader->block->text + entry->end;
        if (entry->kind == MSG_SAID && entry->by == self(reader, run)) {
            to = put(to, own, own_size);
        } else if (is_for(reader->block, entry, self(reader, run))) {
            to = put(to, text, (size_t)(end - text));
        }
        text = end;
    }
    return (size_t)(to - start);
}

void msglog_take(struct msg_reader *reader, const struct msg_run *run)
{
    reader->index += run->count;
    reader->offset += (uint32_t)run->size;
    atomic_store(&reader->place,
                 reader->block->begin + copies(reader->block) * (reader->offset + reader->index * sizeof(msg_entry)));
}

void msglog_free(struct msg_log *log)
{
    while (log->oldest != NULL) {
        struct msg_block *next = log->oldest->next;
        free(log->oldest);
        log->oldest = next;
    }
    free(log->spare);
    log->newest = log->spare = NULL;
}
