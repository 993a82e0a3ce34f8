/* SPDX-License-Identifier: MIT */
/*
 * What members may hear. A room's log is what was said, in the order in which the room handed it to all of its members;
 * each sender's part of it is in the sender's order. A member's stream is that log from where it came in, or as much
 * earlier as the history reaches, with its own messages as acknowledgements and lines for it alone in between: line by
 * line in the same order, none twice, none left out unless the policy is to drop. So an acknowledgement that comes
 * before its message was handed over is found, and a message that nobody said, or in another room, and one that was
 * said before the history.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED ": 已经收到信息"
#define SAYS " 地址发送了请求消息："
#define INVALID "invalid message: "
#define REFUSED "refused: "
#define PRESENCE "{\"presence\":"
enum { SHOWN = 100 }; /* bytes of a line, in what is told of it */

static bool drops(void)
{
    return run.plan.options.slow_policy == SLOW_DROP_OLDEST || run.plan.options.slow_policy == SLOW_DROP_NEWEST;
}

static sim_client *client_at(const char *text, size_t size)
{
    for (int i = 0; i < run.plan.clients; i++) {
        sim_client *client = &run.clients[i];
        if (client->member && strlen(client->address) == size && memcmp(client->address, text, size) == 0) {
            return client;
        }
    }
    return NULL;
}

/* Whose line it is: by the address in front, which the program has from the socket. */
static sim_client *sender_of(const char *line, size_t size, const char **text)
{
    const char *says = memmem(line, size < 2 * COR_ADDR_TEXT ? size : 2 * COR_ADDR_TEXT, SAYS, strlen(SAYS));
    if (says == NULL) {
        return NULL;
    }
    *text = says + strlen(SAYS);
    int id;
    char start[32];
    (void)snprintf(start, sizeof(start), "%.*s", (int)(sizeof(start) - 1), *text);
    if (sscanf(start, "%d ", &id) == 1 && id >= 0 && id < run.plan.clients &&
        strlen(run.clients[id].address) == (size_t)(says - line) &&
        memcmp(run.clients[id].address, line, (size_t)(says - line)) == 0) {
        return &run.clients[id];
    }
    return client_at(line, (size_t)(says - line));
}

/* A message enters the log: in its sender's order, and none between is missing. */
static void check_sender(sim_client *by, const char *text)
{
    int id = -1, seq = -1;
    char start[32];
    (void)snprintf(start, sizeof(start), "%.*s", (int)(sizeof(start) - 1), text);
    if (sscanf(start, "%d %d", &id, &seq) != 2 || id != by->id) {
        if (by->does.role != LIES) {
            violated("client %d has said what it never sent: %s", by->id, start);
        }
        return;
    }
    bool gaps = by->does.role == LIES || run.plan.no_memory_once_in != 0;
    if (seq <= by->last_seq || (!gaps && seq != by->last_seq + 1) || seq >= by->sent) {
        violated("message %d of client %d comes after %d of %d", seq, by->id, by->last_seq, by->sent);
    }
    by->last_seq = seq;
}

/* Makes room for one more of something. */
static void *grow(void *all, size_t count, size_t *room, size_t size)
{
    if (count == *room) {
        *room = *room == 0 ? 256 : 2 * *room;
        all = realloc(all, *room * size);
        if (all == NULL) {
            abort();
        }
    }
    return all;
}

void log_line(sim_room *room, const char *line, size_t size, uint64_t place)
{
    const char *text;
    sim_client *by = sender_of(line, size, &text);
    if (by == NULL) {
        violated("somebody who is not there said %.*s", (int)(size < 80 ? size : 80), line);
        return;
    }
    if (&run.rooms[by->does.room] != room) {
        violated("client %d has said something in another room than its own, %d", by->id, by->does.room);
    }
    check_sender(by, text);
    by->said++;
    room->log = grow(room->log, room->log_count, &room->log_room, sizeof(*room->log));
    char *copy = malloc(size);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, line, size);
    room->log[room->log_count++] = (said){.by = by->id, .size = size - 1, .text = copy, .place = place};
}

void log_enter(sim_room *room, const char *who, uint64_t place, uint64_t end, size_t block)
{
    const serve_options *options = &run.plan.options;
    size_t from = room->log_count, most = from < options->history ? from : (size_t)options->history;
    while (from > 0 && room->log[from - 1].place >= place) {
        from--;
    }
    if (room->log_count - from > most || end - place > options->outbox / 8) {
        violated("%s is to hear %zu of history, %llu bytes", who, room->log_count - from,
                 (unsigned long long)(end - place));
    } else if (room->log_count - from < most && end - room->log[from - 1].place + block <= options->outbox / 8) {
        violated("%s is to hear %zu of history only, not %zu", who, room->log_count - from, most);
    }
    room->entered = grow(room->entered, room->entered_count, &room->entered_room, sizeof(*room->entered));
    entered *new = &room->entered[room->entered_count++];
    new->from = from;
    (void)snprintf(new->address, sizeof(new->address), "%s", who);
}

/* Where a member that hears its first message has come in. */
static void place(sim_client *at)
{
    const sim_room *room = &run.rooms[at->does.room];
    for (size_t i = room->entered_count; i > 0 && !at->placed; i--) {
        if (strcmp(room->entered[i - 1].address, at->address) == 0) {
            at->next = room->entered[i - 1].from;
            at->placed = true;
        }
    }
    if (!at->placed) {
        violated("client %d hears messages, and is not in its room", at->id);
    }
}

/* The next entry that fits, from where the member is; beyond the log if there is none. */
static size_t find(const sim_client *at, const char *line, size_t size, bool own)
{
    const sim_room *room = &run.rooms[at->does.room];
    size_t i = at->next;
    while (i < room->log_count) {
        const said *entry = &room->log[i];
        bool fits = entry->by != at->id && entry->size == size;
        if (own ? entry->by == at->id : fits && memcmp(entry->text, line, size) == 0) {
            break;
        }
        i++;
    }
    return i;
}

/* A message, or in place of one of its own an acknowledgement. */
static void heard_said(sim_client *at, const char *line, size_t size, bool own)
{
    int shown = size < SHOWN ? (int)size : SHOWN;
    size_t count = run.rooms[at->does.room].log_count;
    if (!at->placed) {
        place(at);
    }
    if (own && drops()) { /* which of its own it is, is not known */
        at->acked++;
        if (at->acked > at->said) {
            violated("client %d is acknowledged %d messages, but has said %d", at->id, at->acked, at->said);
        }
        return;
    }
    size_t found = find(at, line, size, own);
    if (found == count) {
        violated("client %d hears %s that is not said after its %zu, of %zu: %.*s", at->id,
                 own ? "an acknowledgement of what" : "what", at->next, count, shown, line);
        return;
    }
    if (found != at->next && !drops()) {
        violated("client %d hears %zu of the log after %zu, of %zu: %.*s", at->id, found, at->next, count, shown, line);
    }
    at->acked += own;
    at->next = found + 1;
}

static bool begins_with(const char *line, size_t size, const char *text, size_t text_size)
{
    return size >= text_size && memcmp(line, text, text_size) == 0;
}

static void heard_line(sim_client *at, const char *line, size_t size)
{
    size_t own_size = strlen(at->address), rest = strlen(ACKNOWLEDGED);
    bool outside = !begins_with(line, size, REFUSED, strlen(REFUSED)) && !is_let_in(at->does.host);
    if (outside) {
        violated("client %d is let in, whose address may not connect", at->id);
    }
    run.lines++;
    if (begins_with(line, size, INVALID, strlen(INVALID))) {
        bool refused = memmem(line, size, "memory", 6) != NULL;
        at->refused += refused;
        if (refused ? run.plan.no_memory_once_in == 0 : at->does.role != LIES) {
            violated("client %d is told, whose messages are all valid: %.*s", at->id, (int)size, line);
        }
    } else if (begins_with(line, size, PRESENCE, strlen(PRESENCE))) {
        if (at->does.role != LIES) {
            violated("client %d has not asked, and is told: %.*s", at->id, (int)size, line);
        }
    } else if (begins_with(line, size, REFUSED, strlen(REFUSED))) { /* it never was a member */
        const serve_options *limits = &run.plan.options;
        bool denied = memmem(line, size, "may not", 7) != NULL;
        bool limited = limits->max_conns != 0 || limits->per_ip != 0 || limits->accept_rate != 0;
        if ((denied ? is_let_in(at->does.host) : !limited) || at->placed || at->acked > 0) {
            violated("client %d is told: %.*s", at->id, (int)size, line);
        }
    } else {
        bool own = size == own_size + rest && begins_with(line, size, at->address, own_size) &&
                   memcmp(line + own_size, ACKNOWLEDGED, rest) == 0;
        heard_said(at, line, size, own);
    }
}

static void keep(sim_client *at, const char *bytes, size_t size)
{
    if (at->line_size + size > at->line_room) {
        at->line_room = 2 * (at->line_size + size);
        at->line = realloc(at->line, at->line_room);
        if (at->line == NULL) {
            abort();
        }
    }
    if (size > 0) {
        memcpy(at->line + at->line_size, bytes, size);
        at->line_size += size;
    }
}

void heard(sim_client *at, const char *bytes, size_t size)
{
    const char *end;
    while (size > 0 && (end = memchr(bytes, '\n', size)) != NULL) {
        if (at->line_size == 0) { /* most come whole, and a copy of each would be another place in memory */
            heard_line(at, bytes, (size_t)(end - bytes));
        } else {
            keep(at, bytes, (size_t)(end - bytes));
            heard_line(at, at->line, at->line_size);
            at->line_size = 0;
        }
        size -= (size_t)(end - bytes) + 1;
        bytes = end + 1;
    }
    keep(at, bytes, size);
}
