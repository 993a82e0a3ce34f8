/* SPDX-License-Identifier: MIT */
/*
 * Copies of a stream to another connection, step by step. A step takes what is there from the source and gives all of
 * it to the target, in one of these ways:
 *
 *      FILE      sendfile, from a file to a socket; each copy begins with a try of it, which costs two looks if the
 *                source is none, and which looks at the target first
 *      SMALL     a read into a lent buffer and a write: the best there is for messages of up to 16 KiB
 *      SPLICE    between sockets, once a read has filled the buffer, until a step moves less than that
 *      BUFFERS   as SMALL, for good: splice is not to be had here
 *
 * No step holds anything while it waits for the source. Whatever the way, what the target has not taken when it fails
 * is lost to both ends, and *copied counts what it has taken.
 */
#include "base/atomic.h"
#include "io/buffer.h"
#include "io/splice.h"
#include "sync/group.h"

#include <coracle/bulk.h>
#include <coracle/time.h>

enum way { WAY_FILE, WAY_SMALL, WAY_SPLICE, WAY_BUFFERS };

typedef struct copying {
    cori_step step;
    enum way way;
    bool spliced;     /* or tried to */
    int64_t left;     /* of the limit */
    int64_t copied;   /* bytes */
    int64_t moved_at; /* when a step ended, by the coarse clock; atomic; 0: none yet */
} copying;

static copying copy_of(cor_conn *target, cor_conn *source, int64_t max_bytes)
{
    return (copying){.step = {.target = target, .source = source}, .left = max_bytes < 0 ? INT64_MAX : max_bytes};
}

static int buffer_step(copying *of)
{
    cori_step *step = &of->step;
    cor_buffer buffer;
    ssize_t count = cori_buffer_read(step->source, step->max, NULL, &buffer);
    if (count <= 0) {
        return (int)count;
    }
    int rc = cor_write_counted(step->target, buffer.data, buffer.size, &step->moved);
    cor_buffer_free(&buffer);
    step->by_target = rc < 0;
    if (count == CORI_BUFFER_BYTES && of->way == WAY_SMALL) {
        of->way = WAY_SPLICE;
    }
    return rc < 0 ? rc : CORI_STEP_DONE;
}

static int splice_step(copying *of)
{
    of->spliced = true;
    int rc = cori_splice_step(&of->step);
    if (rc == CORI_STEP_UNFIT) {
        of->way = WAY_BUFFERS;
    } else if (rc == CORI_STEP_LATER || of->step.moved < CORI_BUFFER_BYTES) {
        of->way = WAY_SMALL;
    }
    return rc == CORI_STEP_UNFIT || rc == CORI_STEP_LATER ? buffer_step(of) : rc;
}

static int file_step(copying *of)
{
    int rc = cori_sendfile_step(&of->step);
    if (rc == CORI_STEP_UNFIT) {
        of->way = WAY_SMALL;
        return buffer_step(of);
    }
    return rc;
}

static int any_step(copying *of)
{
    switch (of->way) {
    case WAY_FILE:
        return file_step(of);
    case WAY_SPLICE:
        return splice_step(of);
    default:
        return buffer_step(of);
    }
}

/* Copies until end of stream or the limit (0), or an error. May be called again after an error of the source. */
static int copy(copying *of)
{
    int rc = CORI_STEP_DONE;
    while (rc == CORI_STEP_DONE && of->left > 0) {
        of->step.max = of->left < SSIZE_MAX ? (size_t)of->left : SSIZE_MAX;
        of->step.moved = 0;
        of->step.by_target = false;
        rc = any_step(of);
        of->copied += (int64_t)of->step.moved;
        of->left -= (int64_t)of->step.moved;
        cori_store_relaxed(&of->moved_at, cori_here_round_now());
    }
    if (of->spliced) {
        cori_splice_end(of->step.source);
        of->spliced = false;
    }
    rc = rc < 0 ? rc : 0;
    return of->copied > 0 ? rc : cori_in_vain(rc);
}

int cor_copy_counted(cor_conn *target, cor_conn *source, int64_t max_bytes, int64_t *copied)
{
    copying of = copy_of(target, source, max_bytes);
    int rc = copy(&of);
    *copied = of.copied;
    return rc;
}

int64_t cor_copy(cor_conn *target, cor_conn *source)
{
    int64_t copied;
    int rc = cor_copy_counted(target, source, -1, &copied);
    return rc < 0 ? rc : copied;
}

/*
 * Both ways between two connections; each is copied by a task of its own, the caller and another. The two are in a
 * group, so that one can end the other. A deadline that has passed would not do: the connections' deadlines are the
 * caller's, and somebody may prolong them.
 *
 * A way whose target takes nothing any more delivers nothing, but while the other way runs its source has to be read:
 * a peer that is stuck in a write to the dead one would not come to read what that one has sent before.
 */
enum way_state { DELIVERS, DROPS, IS_OVER };
typedef struct exchange {
    struct one_way {
        struct exchange *all;
        copying of;
        uint32_t state; /* atomic: enum way_state */
    } ways[2];
    cor_group tasks; /* both */
    int result;      /* atomic: 0, the first error, or ENDED_EARLY */
} exchange;
enum { ENDED_EARLY = 1 };

/* Notes the first thing that was not the ends of both streams. */
static void note(exchange *all, int result)
{
    int none = 0;
    (void)cori_cas(&all->result, &none, result);
}

/* Lets both ways end, whatever they wait for. */
static void end_both(exchange *all, int result)
{
    note(all, result);
    cor_group_cancel(&all->tasks);
}

static struct one_way *other_way(struct one_way *way)
{
    return &way->all->ways[way == &way->all->ways[0]];
}

/* A way delivers no more; true if the other one still does. Else that one, if it drops, has no reason any more. */
static bool leave(struct one_way *way, enum way_state state)
{
    struct one_way *other = other_way(way);
    cori_store(&way->state, state);
    uint32_t others = cori_load(&other->state);
    if (others == DROPS) {
        cor_group_cancel(&way->all->tasks);
    }
    return others == DELIVERS;
}

/*
 * True if the other way has moved something within the last second: a server that ends lets clients that are busy go
 * on, and this one is, although it is silent.
 */
static bool other_is_busy(struct one_way *way)
{
    int64_t last = cori_load_relaxed(&other_way(way)->of.moved_at);
    return last != 0 && cori_here_now() - last < COR_SECOND;
}

static void copy_way(void *arg)
{
    struct one_way *way = arg;
    copying *of = &way->of;
    int rc = copy(of);
    if (rc == COR_ECLOSING && other_is_busy(way)) {
        rc = copy(of); /* it is heard once */
    }
    if (rc == 0) {
        rc = cor_close_write(of->step.target);
        if (rc < 0 && rc != -ENOTCONN) { /* which would be a peer that has gone: the other way hears of it */
            end_both(way->all, rc == COR_ECLOSED ? rc : ENDED_EARLY);
        }
    } else if (of->step.by_target && (rc == -EPIPE || rc == -ECONNRESET)) {
        note(way->all, rc);
        if (leave(way, DROPS)) {
            (void)cor_drain(of->step.source, INT64_MAX, 0);
        }
        return;
    } else {
        end_both(way->all, rc);
    }
    (void)leave(way, IS_OVER);
}

int cor_copy_both(cor_conn *a, cor_conn *b, cor_copied *copied)
{
    exchange all = {.ways = {{&all, copy_of(b, a, -1), DELIVERS}, {&all, copy_of(a, b, -1), DELIVERS}}};
    cori_scope *before;
    int rc = cori_group_join(&all.tasks, &before);
    if (rc < 0) {
        return rc;
    }
    rc = cor_group_go_with(&all.tasks, &(cor_task_options){.stack_now = true}, copy_way, &all.ways[1]);
    if (rc == 0) {
        copy_way(&all.ways[0]);
    }
    cori_group_leave(before);
    if (rc < 0) {
        return rc;
    }
    (void)cor_group_wait(&all.tasks, 0);
    if (copied != NULL) {
        *copied = (cor_copied){all.ways[0].of.copied, all.ways[1].of.copied};
    }
    rc = cori_load(&all.result);
    return rc < 0 ? rc : 0;
}
