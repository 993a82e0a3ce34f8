/* SPDX-License-Identifier: MIT */
/* Members: in which list one is, when it is cut off, and that senders who wait for it notice. */
#include "serve/room/member.h"

#include "serve/memory.h"

/* Members that may have to be woken are in a list of their own: a flush does not look at the others. */
static struct member **list_of(struct member *member)
{
    bool idle = member->state == WRITING_NONE || member->state == WRITING_PARKED;
    return idle ? &member->room->idle : &member->room->busy;
}

void member_enlist(struct member *member)
{
    struct member **list = list_of(member);
    member->next = *list;
    member->link = list;
    if (*list != NULL) {
        (*list)->link = &member->next;
    }
    *list = member;
}

void member_delist(struct member *member)
{
    *member->link = member->next;
    if (member->next != NULL) {
        member->next->link = member->link;
    }
}

void member_change_state(struct member *member, writing_state state)
{
    if (!member->left) {
        member_delist(member);
    }
    member->state = state;
    if (!member->left) {
        member_enlist(member);
    }
}

close_reason member_cut(const struct member *member)
{
    return (close_reason)atomic_load_explicit(&member->cut, memory_order_relaxed);
}

void member_open_gate(struct room *room)
{
    if (atomic_load(&room->awaited) != NULL) {
        atomic_store(&room->awaited, NULL);
        cor_waitgroup_done(&room->gate);
    }
}

void member_note_growth(struct room *room)
{
    uint64_t grown = room->log.end - room->noted;
    if (grown >= room->log.block_size) {
        room->noted += grown;
        memory_grown(room->serve, grown);
    }
}

void member_release(struct member *member)
{
    if (atomic_load(&member->room->awaited) == member) {
        member_open_gate(member->room);
    }
}

void member_cut_off(struct member *member, close_reason reason)
{
    if (member_cut(member) == REASON_NONE) {
        atomic_store_explicit(&member->cut, (int)reason, memory_order_relaxed);
        cor_close_read(member->session.conn);
        cor_group_cancel(&member->writer);
    }
    member_release(member);
}

void member_moved(struct member *member)
{
    struct room *room = member->room;
    if (atomic_load(&room->awaited) == member) {
        cor_mutex_lock(&room->lock);
        member_release(member);
        cor_mutex_unlock(&room->lock);
    }
}
