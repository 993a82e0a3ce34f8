/* SPDX-License-Identifier: MIT */
/*
 * Channels, select, groups and deadlines on one worker, against a model of Go's channels. Each operation is done on the
 * model right before it is done for real; nothing runs in between. So the model knows what every call has to return:
 * which partner is served, with which value, in which order. Only three things are left to the real side: which of
 * several ready cases a select takes, and whether a deadline or a cancellation comes before a partner does.
 *
 * Input: the capacities of the channels, then actions of the conductor (see `conduct`).
 */
#include "input.h"
#include "runtime.h"

#include <coracle/error.h>
#include <coracle/group.h>
#include <coracle/time.h>
#include <errno.h>

enum { CHANNELS = 3, GROUPS = 2, CASES = 6, OPS = 3, ACTORS = 40, NODES = ACTORS * CASES };

/* One operation: a select, or a single send or receive (one case). */
typedef struct op {
    cor_case cases[CASES];
    uint32_t values[CASES]; /* where the cases' elem point */
    unsigned count;
    bool select, try;
    int64_t deadline;
    bool done; /* on the model; then with what: */
    int chosen, result;
    uint32_t value;
} op;

/* A task that does some operations, one after the other. */
typedef struct actor {
    op ops[OPS];
    unsigned count;
    const bool *cancelled;
    struct actor *next;
} actor;

/* The model of a waiting case, and of a channel: queues in order of arrival. */
typedef struct node {
    op *of;
    int number;
} node;

typedef struct queue {
    node nodes[NODES];
    unsigned count;
} queue;

static struct {
    cor_chan *real;
    size_t capacity, count;
    uint32_t values[4];
    bool closed;
    queue waiting[2]; /* COR_RECV, COR_SEND */
} channels[CHANNELS];

static cor_group groups[GROUPS];
static bool cancelled[GROUPS];
static actor *actors;
static uint32_t last_value;

static int channel_of(const cor_case *one)
{
    int i = 0;
    while (channels[i].real != one->chan) {
        i++;
    }
    return i;
}

static bool case_is_ready(const cor_case *one)
{
    if (one->chan == NULL) {
        return false;
    }
    int i = channel_of(one);
    bool room = one->dir == COR_SEND ? channels[i].count < channels[i].capacity : channels[i].count > 0;
    return channels[i].closed || room || channels[i].waiting[!one->dir].count > 0;
}

static unsigned ready_cases(const op *of)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < of->count; i++) {
        ready |= (unsigned)case_is_ready(&of->cases[i]) << i;
    }
    return ready;
}

/* Takes the operation out of every queue of the model. */
static void model_leave(const op *of)
{
    for (int i = 0; i < 2 * CHANNELS; i++) {
        queue *from = &channels[i / 2].waiting[i % 2];
        unsigned kept = 0;
        for (unsigned j = 0; j < from->count; j++) {
            if (from->nodes[j].of != of) {
                from->nodes[kept++] = from->nodes[j];
            }
        }
        from->count = kept;
    }
}

static void model_wait(op *of)
{
    for (unsigned i = 0; i < of->count; i++) {
        if (of->cases[i].chan != NULL) {
            queue *to = &channels[channel_of(&of->cases[i])].waiting[of->cases[i].dir];
            CHECK(to->count < NODES);
            to->nodes[to->count++] = (node){of, (int)i};
        }
    }
}

static void model_done(op *of, int chosen, int result, uint32_t value)
{
    of->done = true;
    of->chosen = chosen;
    of->result = result;
    of->value = value;
    model_leave(of);
}

static uint32_t sent_value(const node *from)
{
    return from->of->values[from->number];
}

/* Sends on channel `i`, which needs no wait. Returns the result. */
static int model_send(int i, uint32_t value)
{
    if (channels[i].closed) {
        return COR_ECHAN_CLOSED;
    }
    if (channels[i].waiting[COR_RECV].count > 0) {
        node first = channels[i].waiting[COR_RECV].nodes[0];
        model_done(first.of, first.number, 1, value);
        return 0;
    }
    CHECK(channels[i].count < channels[i].capacity);
    channels[i].values[channels[i].count++] = value;
    return 0;
}

/* Receives from channel `i`, which needs no wait. Returns the result. */
static int model_receive(int i, uint32_t *value)
{
    queue *senders = &channels[i].waiting[COR_SEND];
    bool buffered = channels[i].count > 0;
    *value = 0;
    if (buffered) {
        *value = channels[i].values[0];
        channels[i].count--;
        memmove(channels[i].values, channels[i].values + 1, channels[i].count * sizeof(uint32_t));
    }
    if (senders->count > 0) {
        node first = senders->nodes[0];
        if (buffered) {
            channels[i].values[channels[i].count++] = sent_value(&first);
        } else {
            *value = sent_value(&first);
        }
        model_done(first.of, first.number, 0, 0);
        return 1;
    }
    return buffered;
}

static void model_do(op *of, int chosen)
{
    const cor_case *one = &of->cases[chosen];
    uint32_t value = 0;
    int result =
        one->dir == COR_SEND ? model_send(channel_of(one), of->values[chosen]) : model_receive(channel_of(one), &value);
    model_done(of, chosen, result, value);
}

static void model_close(int i)
{
    channels[i].closed = true;
    for (int dir = COR_RECV; dir <= COR_SEND; dir++) {
        queue *from = &channels[i].waiting[dir];
        while (from->count > 0) {
            model_done(from->nodes[0].of, from->nodes[0].number, dir == COR_SEND ? COR_ECHAN_CLOSED : 0, 0);
        }
    }
}

static void check_lengths(void)
{
    for (int i = 0; i < CHANNELS; i++) {
        CHECK(cor_chan_len(channels[i].real) == channels[i].count);
        CHECK(cor_chan_cap(channels[i].real) == channels[i].capacity);
    }
}

/* Does it for real. As cor_select returns; a single operation's result goes where a select's would. */
static int call(op *of, bool try)
{
    cor_case *one = &of->cases[0];
    if (of->select) {
        return try ? cor_select_try(of->cases, of->count) : cor_select(of->cases, of->count, of->deadline);
    }
    if (one->dir == COR_SEND) {
        one->result = try ? cor_chan_try_send(one->chan, one->elem) : cor_chan_send(one->chan, one->elem, of->deadline);
    } else {
        one->result = try ? cor_chan_try_recv(one->chan, one->elem) : cor_chan_recv(one->chan, one->elem, of->deadline);
    }
    bool ended = one->result >= 0 || one->result == COR_ECHAN_CLOSED;
    return ended ? 0 : one->result;
}

static void check_done(const op *of, int rc)
{
    CHECK(rc == of->chosen);
    const cor_case *one = &of->cases[rc];
    CHECK(one->result == of->result);
    CHECK(one->dir == COR_SEND || one->elem == NULL || of->values[rc] == of->value);
}

static void perform(op *of, const bool *is_cancelled)
{
    unsigned ready = ready_cases(of);
    int rc;
    if (*is_cancelled && !of->try) { /* before all else, ready or not */
        CHECK(call(of, false) == COR_ECANCELED);
    } else if ((ready & (ready - 1)) != 0) { /* the real side chooses, and must not yield before we know */
        rc = call(of, true);
        CHECK(rc >= 0 && (ready >> rc & 1));
        model_do(of, rc);
        check_done(of, rc);
    } else if (ready != 0) {
        model_do(of, __builtin_ctz(ready));
        rc = call(of, of->try);
        check_done(of, rc);
    } else if (of->try) {
        CHECK(call(of, true) == -EAGAIN);
    } else {
        model_wait(of);
        rc = call(of, false);
        if (of->done) {
            check_done(of, rc);
        } else {
            CHECK((rc == COR_ETIMEOUT && of->deadline != 0) || (rc == COR_ECANCELED && *is_cancelled));
            model_leave(of);
        }
    }
    of->count = 0;
}

static void act(void *arg)
{
    actor *self = arg;
    for (unsigned i = 0; i < self->count; i++) {
        perform(&self->ops[i], self->cancelled);
    }
}

/* Takes one operation out of the input. `try`: it must not park. */
static void read_op(input *in, op *of, bool try)
{
    unsigned shape = input_byte(in);
    unsigned when = shape >> 5 & 3;
    of->select = shape & 1;
    of->try = try || (shape & 16);
    of->count = of->select ? shape >> 1 & 7 : 1;
    of->count = of->count > CASES ? CASES : of->count;
    of->deadline = when == 0 ? 1 : when == 1 ? cor_now() + 20 * COR_MICROSECOND : 0;
    for (unsigned i = 0; i < of->count; i++) {
        unsigned what = input_byte(in);
        cor_case *one = &of->cases[i];
        one->dir = what & 1 ? COR_SEND : COR_RECV;
        one->chan = (what >> 1 & 3) < CHANNELS ? channels[what >> 1 & 3].real : NULL;
        of->values[i] = one->dir == COR_SEND ? ++last_value : UINT32_MAX;
        one->elem = one->dir == COR_SEND || !(what & 8) ? &of->values[i] : NULL;
    }
}

static void start_actor(input *in, unsigned action)
{
    actor *made = calloc(1, sizeof(*made));
    CHECK(made != NULL);
    unsigned group = action % GROUPS;
    made->count = action / GROUPS % OPS + 1;
    made->cancelled = &cancelled[group];
    made->next = actors;
    actors = made;
    for (unsigned i = 0; i < made->count; i++) {
        read_op(in, &made->ops[i], false);
    }
    CHECK(cor_group_go(&groups[group], act, made) == 0);
}

static void close_channel(int i)
{
    bool before = channels[i].closed;
    if (!before) {
        model_close(i);
    }
    CHECK(cor_chan_close(channels[i].real) == (before ? COR_ECHAN_CLOSED : 0));
}

/* One action of the conductor, the task that starts the others. */
static void conduct(input *in, unsigned *started)
{
    unsigned action = input_byte(in), what = action >> 3;
    op own = {0};
    switch (action & 7) {
    case 0:
        cor_yield();
        break;
    case 1:
        close_channel((int)(what % CHANNELS));
        break;
    case 2: /* a pause in which short deadlines pass */
        (void)cor_group_wait(&groups[what % GROUPS], cor_now() + 30 * COR_MICROSECOND);
        break;
    case 3:
        if (what >= 28) {
            cancelled[what % GROUPS] = true;
            cor_group_cancel(&groups[what % GROUPS]);
        }
        break;
    case 4:
        read_op(in, &own, true);
        perform(&own, &cancelled[0]);
        break;
    default:
        if (*started < ACTORS) {
            ++*started;
            start_actor(in, what);
        }
        break;
    }
    check_lengths();
}

static void set_up(input *in)
{
    memset(groups, 0, sizeof(groups));
    memset(cancelled, 0, sizeof(cancelled));
    last_value = 0;
    for (int i = 0; i < CHANNELS; i++) {
        channels[i].capacity = input_byte(in) & 3;
        channels[i].real = cor_chan_new(sizeof(uint32_t), channels[i].capacity);
        channels[i].count = 0;
        channels[i].closed = false;
        CHECK(channels[i].real != NULL && channels[i].waiting[0].count == 0 && channels[i].waiting[1].count == 0);
    }
}

/* Cancels what still waits; nothing may be left then. */
static void tear_down(void)
{
    for (int i = 0; i < GROUPS; i++) {
        cancelled[i] = true;
        cor_group_cancel(&groups[i]);
    }
    for (int i = 0; i < GROUPS; i++) {
        CHECK(cor_group_wait(&groups[i], cor_now() + 8 * COR_SECOND) == 0);
    }
    check_lengths();
    for (int i = 0; i < CHANNELS; i++) {
        CHECK(channels[i].waiting[0].count == 0 && channels[i].waiting[1].count == 0);
        cor_chan_free(channels[i].real);
    }
    while (actors != NULL) {
        actor *next = actors->next;
        free(actors);
        actors = next;
    }
}

static void run(void *arg)
{
    input *in = arg;
    unsigned started = 0;
    set_up(in);
    while (in->left > 0) {
        conduct(in, &started);
    }
    tear_down();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    runtime_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size < 400 ? size : 400};
    runtime_run(run, &in);
    return 0;
}
