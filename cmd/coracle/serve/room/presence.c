/* SPDX-License-Identifier: MIT */
/* Gathers who comes and goes, and makes lines of it. */
#include "serve/room/presence.h"

#include "serve/room/delivery.h"
#include "serve/room/pace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 2 * PRESENCE_NAMED * (COR_JSON_QUOTE_MAX(COR_ADDR_TEXT) + 1) + 128 };

/* Those of one kind. */
struct moved {
    uint64_t count;
    char who[PRESENCE_NAMED][COR_ADDR_TEXT]; /* the first of them */
};

/* Guard of all: the room's lock. */
struct presence {
    struct msg_reader teller; /* in whose name lines are added */
    uint64_t hearing;         /* members that have asked */
    struct moved came, went;  /* since the last line */
};

struct presence *presence_new(void)
{
    return calloc(1, sizeof(struct presence));
}

void presence_free(struct presence *presence)
{
    free(presence);
}

void presence_note(struct room *room, bool came, const char *who)
{
    struct presence *presence = room->presence;
    if (presence == NULL) {
        return;
    }
    struct moved *moved = came ? &presence->came : &presence->went;
    if (moved->count < PRESENCE_NAMED) {
        snprintf(moved->who[moved->count], COR_ADDR_TEXT, "%s", who);
    }
    moved->count++;
    int code = cor_chan_try_send(room->news, "");
    (void)code; /* a byte that waits there will do */
}

void presence_ask(struct member *member, bool on)
{
    struct presence *presence = member->room->presence;
    struct msg_reader *reader = &member->reader;
    bool was_on = atomic_load(&reader->hears_from) != UINT64_MAX;
    if (presence != NULL) {
        atomic_store(&reader->hears_from, on ? atomic_load(&reader->spoken) : UINT64_MAX);
        presence->hearing += (uint64_t)on - was_on;
    }
}

void presence_leave(struct member *member)
{
    presence_ask(member, false);
    presence_note(member->room, false, member->address);
}

static char *put_number(char *to, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    return stpcpy(to, digits);
}

static char *put_address(char *to, const char *who)
{
    return cor_json_quote(to, who, strlen(who));
}

size_t presence_answer(const struct member *member, char to[PRESENCE_ANSWER_MAX])
{
    if (member->room->presence == NULL) {
        return (size_t)(stpcpy(to, "{\"presence\":null}\n") - to);
    }
    char *end = stpcpy(to, "{\"presence\":{\"members\":");
    end = put_number(end, atomic_load(&member->room->members));
    end = stpcpy(end, ",\"you\":");
    end = put_address(end, member->address);
    return (size_t)(stpcpy(end, "}}\n") - to);
}

static char *put_moved(char *to, const struct moved *moved)
{
    for (uint64_t i = 0; i < moved->count && i < PRESENCE_NAMED; i++) {
        to = i > 0 ? stpcpy(to, ",") : to;
        to = put_address(to, moved->who[i]);
    }
    return to;
}

static uint64_t unnamed(const struct moved *moved)
{
    return moved->count > PRESENCE_NAMED ? moved->count - PRESENCE_NAMED : 0;
}

static size_t put_line(const struct room *room, char to[LINE_MAX_SIZE])
{
    const struct presence *presence = room->presence;
    char *end = stpcpy(to, "{\"presence\":{\"members\":");
    end = put_number(end, atomic_load(&room->members));
    end = stpcpy(end, ",\"joined\":[");
    end = stpcpy(put_moved(end, &presence->came), "],\"left\":[");
    end = put_moved(end, &presence->went);
    end = put_number(stpcpy(end, "],\"more\":"), unnamed(&presence->came) + unnamed(&presence->went));
    return (size_t)(stpcpy(end, "}}\n") - to);
}

/* Under the lock. */
static bool tell(struct room *room)
{
    struct presence *presence = room->presence;
    char line[LINE_MAX_SIZE];
    if (presence->hearing > 0 && presence->came.count + presence->went.count > 0) {
        size_t size = put_line(room, line);
        if (!pace_may(room, size)) {
            return false;
        }
        (void)msglog_add(&room->log, &presence->teller, MSG_PRESENCE, line, size); /* else the next one says more */
        member_note_growth(room);
        msglog_end_batch(&room->log);
        delivery_flush(room);
    }
    presence->came.count = presence->went.count = 0;
    return true;
}

bool presence_tell(struct room *room)
{
    cor_mutex_lock(&room->lock);
    bool told = tell(room);
    cor_mutex_unlock(&room->lock);
    return told;
}
