/* SPDX-License-Identifier: MIT */
/*
 * A sender asks all members how far the log may grow, and asks again only once it has grown that far. If a member is
 * too far behind, the gate closes: all senders wait until that member moves or leaves, or until it has stood still for
 * so long that nobody waits for it any more. Which members are waited for, and why, is in room.h.
 */
#include "serve/room/pace.h"

#include "serve/room/delivery.h"

/* Members are looked at each time the log has grown by an eighth of the outbox. */
#define LOOKS_PER_OUTBOX 8
/* A member moves if it takes this part of the outbox within this time: with 16 MiB, 256 KiB in a second. */
#define STEPS_PER_OUTBOX 64
#define MOVING_NS COR_SECOND

/* Has senders wait for a member, unless it has left `place` by now. Under the lock. */
static void close_gate(struct room *room, struct member *slowest, uint64_t place)
{
    cor_waitgroup_add(&room->gate, 1);
    atomic_store(&room->awaited, slowest);
    if (atomic_load(&slowest->reader.place) != place) {
        member_open_gate(room);
    }
}

/*
 * Whether a member that is behind has taken a step lately. If its writing task has had no turn since it last moved, the
 * member is not to blame.
 */
static bool is_moving(struct member *member, uint64_t place, int64_t now)
{
    bool tried = atomic_load_explicit(&member->tried, memory_order_relaxed) == place;
    uint64_t step = member->room->options->outbox / STEPS_PER_OUTBOX;
    if (member->watched_since == 0 || place - member->watched_at >= step || !tried) {
        member->watched_since = now;
        member->watched_at = place;
    }
    return now - member->watched_since < MOVING_NS;
}

/* Decides on a member that stands still beyond its outbox. False: it is to be waited for. */
static bool give_up(struct member *member)
{
    switch ((slow_policy)member->room->options->slow_policy) {
    case SLOW_CUT:
        member_cut_off(member, REASON_SLOW_CONSUMER);
        break;
    case SLOW_DROP_OLDEST:
        break; /* the log takes them away */
    case SLOW_DROP_NEWEST:
        msglog_hold(&member->room->log, &member->reader);
        break;
    case SLOW_BLOCK:
        return false;
    }
    return true;
}

/*
 * Says once that a member is half of the outbox behind, and may say so again when it has been below a quarter. One that
 * moves is waited for: it is not told of, however fast the room goes or however long its task waits for a turn.
 */
static void tell_half(struct member *member, uint64_t behind, bool moving)
{
    uint64_t outbox = member->room->options->outbox;
    struct connection *seen = member->session.seen;
    if (behind > outbox / 2 && !moving) {
        session_tell_slow(seen, member->address, behind);
    } else if (behind < outbox / 4 && atomic_load_explicit(&seen->told_slow, memory_order_relaxed)) {
        atomic_store_explicit(&seen->told_slow, false, memory_order_relaxed);
    }
}

/*
 * How far the log may grow for the sake of a member at `place`, if `size` bytes are to be added to it. A member that
 * has heard everything can always take one message, however long. *until: when to ask again if that is too little.
 */
static uint64_t limit_of(struct member *member, uint64_t place, size_t size, int64_t now, int64_t *until)
{
    uint64_t outbox = member->room->options->outbox, end = member->room->log.end;
    uint64_t behind = end - place + size;
    bool moving = true;
    if (place == end || behind <= outbox / LOOKS_PER_OUTBOX) {
        member->watched_since = 0;
    } else {
        moving = is_moving(member, place, now);
    }
    tell_half(member, end - place, moving);
    if (place == end || behind <= outbox / 2) {
        return behind > outbox / 2 ? end + size : place + outbox / 2;
    }
    if (moving) {
        *until = member->watched_since + MOVING_NS;
        return place + outbox / 2;
    }
    return behind > outbox && give_up(member) ? UINT64_MAX : place + outbox;
}

/* Asks all members how far the log may grow; closes the gate if that is not enough for `size` bytes. Under the lock. */
static void survey(struct room *room, size_t size)
{
    struct member *slowest = NULL, *lists[] = {room->busy, room->idle};
    uint64_t clear_until = room->log.end + size + room->options->outbox / LOOKS_PER_OUTBOX, slowest_place = 0;
    int64_t now = cor_now();
    for (int i = 0; i < 2; i++) {
        for (struct member *member = lists[i]; member != NULL; member = member->next) {
            int64_t until = 0;
            uint64_t place = atomic_load(&member->reader.place);
            uint64_t limit =
                member_cut(member) != REASON_NONE ? UINT64_MAX : limit_of(member, place, size, now, &until);
            if (limit < clear_until) {
                clear_until = limit;
                slowest = member;
                slowest_place = place;
                room->awaited_until = until;
            }
        }
    }
    room->clear_until = clear_until;
    if (room->log.end + size > clear_until) {
        close_gate(room, slowest, slowest_place);
    }
}

bool pace_wait(struct room *room, size_t size)
{
    while (room->log.end + size > room->clear_until) {
        if (atomic_load(&room->awaited) == NULL) {
            survey(room, size);
            continue;
        }
        delivery_flush(room);
        int64_t until = room->awaited_until;
        cor_mutex_unlock(&room->lock);
        int code = cor_waitgroup_wait(&room->gate, until);
        cor_mutex_lock(&room->lock);
        if (code == COR_ECANCELED) {
            return false;
        }
        if (code == COR_ETIMEOUT && until == room->awaited_until) {
            member_open_gate(room);
        }
    }
    return true;
}

bool pace_may(struct room *room, size_t size)
{
    if (room->log.end + size > room->clear_until && atomic_load(&room->awaited) == NULL) {
        survey(room, size);
    }
    return room->log.end + size <= room->clear_until;
}
