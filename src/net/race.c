/* SPDX-License-Identifier: MIT */
/*
 * Happy Eyeballs (RFC 8305) with Go's rules. Addresses are tried in lanes. A lane tries its own one after another, each
 * for its share of the time, until one connects; the first error is the lane's.
 *
 *      main lane   begins at once: the addresses of the first one's family; all of them if there is no race (udp
 *                  has none: nobody answers a connect)
 *      fallback    the others; begins when the fallback delay has passed, or the main lane has failed
 *
 * The first connection wins, and what the other lane has under way is closed. If both fail the main lane's error is
 * told.
 *
 * Both lanes belong to the dialing task. It has at most two sockets, looks at both, and parks in the wait words of both
 * at once. So there is nobody to cancel, to wait for, or to hand a connection to that came too late; whatever happens
 * between two of its steps, each descriptor is in a slot that this stack names, and every way out drops them.
 *
 * No wake-up is lost: a look empties the wait word before it asks the kernel, and an event after that makes the wait
 * return at once. A cancel or a deadline is asked for after the words are taken, as in every wait.
 */
#include "net/race.h"

#include "base/clock.h"
#include "base/limits.h"

#include <coracle/time.h>
#include <string.h>

enum { RETRIES = 2, ALL = 0 };

typedef struct lane {
    int family; /* of its addresses; ALL: any */
    int next;   /* index of the address under way, or else to be tried next */
    int left;   /* addresses that have not failed */
    int retries;
    int64_t until; /* when the address under way must have answered; 0: never */
    cori_attempt attempt;
    int rc; /* the first error, with whose it is */
    cori_race_error error;
} lane;

typedef struct race {
    const cori_dialing *dialing;
    const cori_candidates *candidates; /* NULL: unix */
    const char *path;
    lane main, fallback;
    int64_t fallback_at; /* when the other lane begins; 0: it has begun, or there is none */
} race;

/*
 * When the next of `left` candidates must have answered: an even share of what remains, but 2 s at least (Go's rule).
 */
static int64_t slice_end(int64_t deadline, int left)
{
    int64_t now = cori_clock_now();
    if (deadline <= now || left == 1) {
        return deadline; /* none, past, or all of it for the last */
    }
    int64_t rest_ns = deadline - now;
    int64_t least_ns = rest_ns < CORI_DIAL_SLICE_MIN_NS ? rest_ns : CORI_DIAL_SLICE_MIN_NS;
    return now + (rest_ns / left > least_ns ? rest_ns / left : least_ns);
}

static bool is_of(const race *racing, const lane *one, int index)
{
    return one->family == ALL || racing->candidates->list[index].ip.family == one->family;
}

static int count_of(const race *racing, const lane *one)
{
    int count = 0;
    for (int i = 0; i < racing->candidates->count; i++) {
        count += is_of(racing, one, i);
    }
    return count;
}

static int begin(race *racing, lane *one)
{
    int rc = cori_interrupted(cori_self(), one->until);
    if (rc != 0) {
        one->attempt.call = NULL;
        one->attempt.again = false;
        return rc;
    }
    return racing->candidates == NULL
               ? cori_attempt_unix(&one->attempt, racing->dialing, racing->path)
               : cori_attempt_ip(&one->attempt, racing->dialing, &racing->candidates->list[one->next]);
}

/* Begins with the lane's next address, of which there is one. */
static int begin_next(race *racing, lane *one)
{
    while (racing->candidates != NULL && !is_of(racing, one, one->next)) {
        one->next++;
    }
    one->until = slice_end(racing->dialing->deadline, one->left);
    one->retries = 0;
    cori_charge(cori_here_task()); /* refusals come at once, and there may be many */
    return begin(racing, one);
}

/* The address under way has failed. */
static void give_up(lane *one, int rc)
{
    if (one->error.index < 0) {
        one->rc = rc;
        one->error = (cori_race_error){.index = one->next, .call = one->attempt.call};
    }
    one->left--;
    one->next++;
}

/* Judges what has come of an attempt: `rc`, or in its place that there was no time or right for it. */
static int judge(lane *one, int rc)
{
    int ended = rc >= 0 ? cori_interrupted(cori_self(), one->until) : 0;
    if (ended != 0) { /* also in the moment of success */
        one->attempt.call = NULL;
        cori_attempt_drop(&one->attempt);
        return ended;
    }
    return rc;
}

/* Goes on as far as that is possible without waiting: CORI_CONNECTED, CORI_CONNECTING, or the lane's error. */
static int advance(race *racing, lane *one)
{
    while (one->left > 0) {
        int rc =
            one->attempt.slot != NULL ? cori_attempt_look(&one->attempt, racing->dialing) : begin_next(racing, one);
        for (rc = judge(one, rc); one->attempt.again && rc != CORI_CONNECTING && one->retries < RETRIES;) {
            one->retries++;
            cori_attempt_drop(&one->attempt);
            rc = judge(one, begin(racing, one));
        }
        if (rc >= 0) {
            return rc;
        }
        give_up(one, rc);
    }
    return one->rc;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Waits for an event on what is under way, or the time of one of the lanes. */
static void wait_for_either(race *racing)
{
    cori_slot *slots[2];
    int count = 0;
    int64_t until = racing->fallback_at;
    lane *const lanes[] = {&racing->main, &racing->fallback};
    for (int i = 0; i < 2; i++) {
        if (lanes[i]->attempt.slot != NULL) {
            slots[count++] = lanes[i]->attempt.slot;
            until = earlier(until, lanes[i]->until);
        }
    }
    const cori_limit limit = {.until = until};
    cori_fd_wait_any(slots, count, CORI_WRITE, until != 0 ? &limit : NULL, "IO wait (connect)");
}

static bool fallback_is_due(const race *racing, int rc)
{
    return racing->fallback_at != 0 && (rc < 0 || racing->fallback_at <= cori_here_now());
}

/* The lane that has connected; NULL: all have failed. */
static lane *run(race *racing)
{
    for (;;) {
        int rc = advance(racing, &racing->main);
        if (rc == CORI_CONNECTED) {
            return &racing->main;
        }
        if (fallback_is_due(racing, rc)) {
            racing->fallback_at = 0;
        }
        int fallback_rc = racing->fallback_at == 0 ? advance(racing, &racing->fallback) : CORI_CONNECTING;
        if (fallback_rc == CORI_CONNECTED) {
            return &racing->fallback;
        }
        if (rc != CORI_CONNECTING && fallback_rc != CORI_CONNECTING) {
            return NULL;
        }
        wait_for_either(racing);
    }
}

/* Shares the candidates out to the lanes. */
static void line_up(race *racing)
{
    const cori_network *network = racing->dialing->network;
    int64_t delay_ns = racing->dialing->with->fallback_delay_ns;
    if (racing->candidates == NULL) {
        racing->main.left = 1;
        return;
    }
    if (network->v4 && network->v6 && !network->datagram && delay_ns >= 0 && racing->candidates->count > 0) {
        racing->main.family = racing->candidates->list[0].ip.family;
        racing->fallback.family = racing->main.family == AF_INET ? AF_INET6 : AF_INET;
        racing->fallback.left = count_of(racing, &racing->fallback);
    }
    racing->main.left = count_of(racing, &racing->main);
    if (racing->fallback.left > 0) {
        racing->fallback_at = cor_after(delay_ns > 0 ? delay_ns : CORI_DIAL_FALLBACK_NS);
    }
}

int cori_race(const cori_dialing *dialing, const cori_candidates *candidates, const char *path, cori_slot **out,
              cori_race_error *error)
{
    const lane empty = {.rc = COR_EMISSING_ADDRESS, .error.index = -1};
    race racing = {.dialing = dialing, .candidates = candidates, .path = path, .main = empty, .fallback = empty};
    line_up(&racing);
    lane *winner = run(&racing);
    if (winner == NULL) {
        *error = racing.main.error;
        return racing.main.rc;
    }
    *out = winner->attempt.slot;
    cori_attempt_drop(winner == &racing.main ? &racing.fallback.attempt : &racing.main.attempt);
    return 0;
}
