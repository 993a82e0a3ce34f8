/* SPDX-License-Identifier: MIT */
/*
 * The messages of a room, in one log that all readers share. It consists of blocks; in a block texts grow from the
 * front and entries from the back, so what a reader has not read yet lies in one piece and is written from where it
 * lies. An entry says whose the message is and of what kind: its own a reader gets in another form, and what is not
 * for it, as a private one of others, not at all.
 *
 * Adding, and a reader's way from block to block, happen under the caller's lock. Inside its block a reader needs none:
 * bytes are never changed once `count` (release, acquire) covers them, and a pinned block is not freed.
 *
 * Memory. A block goes as soon as all readers are past it. If one of them stands still, the log keeps `keep` bytes and
 * takes older blocks off its list: only the block that it stands in stays until it moves, and then it finds that it
 * was overtaken and goes on with the oldest message that there is. So the log needs `keep` bytes, and a block for each
 * place where somebody stands still. Places count memory, not texts: an entry counts, and so does what is left free at
 * the end of a block. Otherwise short messages would need far more than `keep`.
 *
 * Another form. Readers may get the texts in another form, all of them in the same. While there is such a reader new
 * blocks have each text twice, as it is and in that form, which is made once, when the text is added. Both count.
 *
 * History. The newest `history` messages stay, as far as they lie within `history_bytes` of the end, for those who come
 * later: msglog_go_back. They hear of it what was told to all before the seam, where they came in, and all as said by
 * others: an entry names its reader by address, and that may have been somebody else's.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_MSGLOG_H
#define CORACLE_CMD_SERVE_ROOM_MSGLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct msg_block;

/* Writes a message in the form in which it goes out, at most MSG_PUT_MORE bytes longer. Returns the end. */
typedef char *(*msg_put)(char *to, const char *text, size_t size);
enum { MSG_PUT_MORE = 12 };

typedef enum msg_kind { MSG_SAID, MSG_PRIVATE, MSG_PRESENCE } msg_kind;

/* All-zero but for the first two is an empty log. */
struct msg_log {
    size_t block_size; /* bytes of a block, its head included */
    size_t keep;       /* bytes for readers that stand still */
    uint64_t history;  /* messages that are kept for those who come; 0: none */
    uint64_t history_bytes;
    uint64_t forgotten; /* the first so many are no history any more */
    struct msg_block *oldest, *newest;
    struct msg_block *spare; /* NULL: none */
    _Atomic uint64_t end;    /* memory ever used, in bytes: the place of the next message; changed under the lock */
    uint64_t said;           /* messages ever added that were told to all */
    uint64_t here;           /* those of them that were not passed on */
    uint64_t batch;          /* bytes, with entries, of what came together with the newest message */
    bool full;               /* the next message begins a block */
    unsigned overtaken;      /* blocks off the list in which somebody still reads */
    msg_put put;             /* new blocks have texts in this form as well; NULL: nobody wants that */
    unsigned putting;        /* readers that want it */
};

/* Where somebody reads, and who it is. Its own but for what is marked otherwise. `put` and `passes_on` are given. */
struct msg_reader {
    struct msg_block *block;     /* pinned; changes under the lock; NULL: not reading */
    uint32_t index;              /* the next entry */
    uint32_t offset;             /* where its text begins */
    msg_put put;                 /* the form in which it gets texts; NULL: as they are */
    uint64_t live_begin;         /* the seam, where it came in: in the block that begins there */
    uint32_t live_index;         /* the first entry after it */
    bool passes_on;              /* what it adds has been said somewhere else */
    _Atomic uint64_t hears_from; /* presence whose text ends after that, as `spoken`; UINT64_MAX: none */
    struct msg_block *last;      /* guard: the lock; pinned up to and with this one; NULL: not held */
    _Atomic uint64_t place;      /* in the log: what was added before has been read */
    _Atomic uint64_t spoken;     /* the end of the newest text of its own: its block's place and the offset there */
    uint64_t ends_at;            /* guard: the lock; blocks that begin there or later are not for it */
    uint64_t dropped;            /* messages it was overtaken by */
    uint64_t dropped_here;       /* those of them that were not passed on */
};

/* What a reader may take: `count` entries, `size` bytes. */
struct msg_run {
    const char *text;
    size_t size;
    uint32_t count;
    bool plain;      /* all of the text is for this reader, as it is */
    bool history;    /* it was said before the reader came in; no run goes over the seam */
    int64_t said_at; /* cor_now() when the oldest message in it was added */
};

/*
 * Adds a message: told to all but `by`, if it is private to `by` only, if it is of presence to those that hear of it.
 * Under the lock. False: memory ran out.
 */
bool msglog_add(struct msg_log *log, struct msg_reader *by, msg_kind kind, const char *text, size_t size);

/*
 * What was added since the last call came together. If as much again would not fit into the block, the next message
 * begins another: what comes together is to be read and written in one piece. Under the lock.
 */
void msglog_end_batch(struct msg_log *log);

/* Lets a reader in after the newest message. Under the lock. False: memory ran out. */
bool msglog_enter(struct msg_log *log, struct msg_reader *reader);

/* Has a reader that has just been let in begin with the history. Under the same lock. */
void msglog_go_back(struct msg_log *log, struct msg_reader *reader);

/* Gives up the history that there is. Returns how many bytes of blocks are free. Under the lock. */
uint64_t msglog_forget(struct msg_log *log);

/*
 * Has the reader that passes on give up what it has not read, by blocks from the oldest on, until it is at most `most`
 * bytes behind or in the newest one. It is counted as dropped. Under the lock; the reader's own.
 */
void msglog_give_up(struct msg_log *log, struct msg_reader *reader, uint64_t most);

/* Ends reading. Under the lock. */
void msglog_leave(struct msg_log *log, struct msg_reader *reader);

/* Keeps for the reader what there is now, however slowly it reads. Under the lock. */
void msglog_hold(struct msg_log *log, struct msg_reader *reader);

/* Has the reader read what there is now, and perhaps what its newest block still gets, but no more. Under the lock. */
void msglog_end_here(const struct msg_log *log, struct msg_reader *reader);

/* Moves on past what has been read. Under the lock. False: there is nothing more. */
bool msglog_next(struct msg_log *log, struct msg_reader *reader);

/* Gives what is there to read in the reader's block. False: nothing. */
bool msglog_peek(const struct msg_reader *reader, struct msg_run *run);

/* Leaves in a run what `most` bytes of text hold, or its first message if that is longer. */
void msglog_shorten(const struct msg_reader *reader, struct msg_run *run, size_t most);

/*
 * Whether a run is all for this reader and lies there in its form: then that is in *text and *size. Otherwise it is to
 * be copied.
 */
bool msglog_is_put(const struct msg_reader *reader, const struct msg_run *run, const char **text, size_t *size);

/* How many messages of a run are for this reader. */
uint32_t msglog_count(const struct msg_reader *reader, const struct msg_run *run);

/*
 * Copies what this reader is to get of a run, in its form; `own` stands for each message of its own and is no longer
 * than any of them. Returns the size: at most the run's, and MSG_PUT_MORE for each message if the form is another.
 */
size_t msglog_copy(const struct msg_reader *reader, const struct msg_run *run, const char *own, size_t own_size,
                   char *to);

/* Takes a run: the reader goes on after it. */
void msglog_take(struct msg_reader *reader, const struct msg_run *run);

/* Frees everything. No reader may be left. */
void msglog_free(struct msg_log *log);

#endif
