/* SPDX-License-Identifier: MIT */
/* Two ends: the cases, what ends a call, and the script that plays a case on either side. See two_ends.h. */
#include "stress/two_ends.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* WRITTEN is more than the small buffers hold, so a write of it waits. */
enum { WRITTEN = 256 * 1024, LITTLE = 5 };
#define HANGS_AFTER (20 * COR_SECOND)

static const char *const event_names[ENDS_EVENTS] = {
    "bytes",
    "FIN",
    "far close",
    "RST",
    "close",
    "half-close",
    "half-close of reading",
    "opposite",
    "deadline passed",
    "deadline later",
    "cancel",
    "group deadline",
    "group end",
};
static const char *const place_names[] = {"before", "while", "after"};

enum { PAIRS = ENDS_EVENTS * ENDS_EVENTS, ORDERS = 6 };

int ends_case_count(void)
{
    return 2 * PAIRS * ORDERS;
}

ends_case ends_case_at(int number, bool unix_stream)
{
    static const ends_place orders[ORDERS][2] = {
        {ENDS_BEFORE, ENDS_BEFORE}, {ENDS_BEFORE, ENDS_WHILE}, {ENDS_BEFORE, ENDS_AFTER},
        {ENDS_WHILE, ENDS_WHILE},   {ENDS_WHILE, ENDS_AFTER},  {ENDS_AFTER, ENDS_AFTER},
    };
    ends_case script = {.unix_stream = unix_stream, .call = number % 2 == 0 ? ENDS_READ : ENDS_WRITE};
    int pair = number / 2 % PAIRS;
    script.leaves = pair % 2 == 0;
    script.event[0] = (ends_event)(pair / ENDS_EVENTS);
    script.event[1] = (ends_event)(pair % ENDS_EVENTS);
    memcpy(script.place, orders[number / 2 / PAIRS], sizeof(script.place));
    return script;
}

char *ends_case_text(const ends_case *script, char *text, size_t size)
{
    (void)snprintf(text, size, "%s %s: %s %s, %s %s%s", script->unix_stream ? "unix" : "tcp",
                   script->call == ENDS_READ ? "read" : "write", event_names[script->event[0]],
                   place_names[script->place[0]], event_names[script->event[1]], place_names[script->place[1]],
                   script->leaves ? ", closed unread" : "");
    return text;
}

static const char *code_text(int code)
{
    return code == ENDS_NONE ? "-" : code == ENDS_DONE ? "done" : code == 0 ? "end" : cor_strerror(code);
}

char *ends_outcome_text(const ends_outcome *outcome, char *text, size_t size)
{
    (void)snprintf(text, size, "first %s, second %s, opposite %s, then read %s, write %s, far end %s, %u bytes missed",
                   code_text(outcome->first), code_text(outcome->second), code_text(outcome->opposite),
                   code_text(outcome->tail_read), code_text(outcome->tail_write), code_text(outcome->far_end),
                   outcome->missed);
    return text;
}

bool ends_has(const ends_case *script, ends_event event)
{
    return script->event[0] == event || script->event[1] == event;
}

/* What ends a call, whatever else happens; bits of 1 << ends_event. */
static const uint32_t enders[2] = {
    [ENDS_READ] = 1u << ENDS_BYTES | 1u << ENDS_FIN | 1u << ENDS_FAR_CLOSE | 1u << ENDS_RST | 1u << ENDS_CLOSE |
                  1u << ENDS_HALF_READ | 1u << ENDS_CANCEL | 1u << ENDS_GROUP_DEADLINE | 1u << ENDS_GROUP_END,
    [ENDS_WRITE] = 1u << ENDS_FAR_CLOSE | 1u << ENDS_RST | 1u << ENDS_CLOSE | 1u << ENDS_HALF | 1u << ENDS_CANCEL |
                   1u << ENDS_GROUP_DEADLINE | 1u << ENDS_GROUP_END,
};

static bool is_ender(const ends_case *script, ends_event event)
{
    return (enders[script->call] >> event & 1u) != 0;
}

bool ends_call_must_end(const ends_case *script)
{
    bool expired = false;
    for (int i = 0; i < 2 && script->place[i] != ENDS_AFTER; i++) {
        ends_event event = script->event[i];
        bool takes = script->call == ENDS_WRITE && event == ENDS_BYTES && script->place[i] == ENDS_WHILE;
        if (is_ender(script, event) || takes) {
            return true;
        }
        expired = event == ENDS_DEADLINE || (expired && event != ENDS_LATER);
    }
    return expired;
}

/* Takes out what depends on who looks first after a reset, and counts who was told. */
static ends_outcome without_order(const ends_case *script, const ends_outcome *outcome)
{
    ends_outcome plain = *outcome;
    int *codes[] = {&plain.first, &plain.second, &plain.opposite, &plain.tail_read, &plain.tail_write};
    int told = 0;
    bool half = ends_has(script, ENDS_HALF_READ);
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        told += *codes[i] == -ECONNRESET;
        if (*codes[i] == -ECONNRESET || *codes[i] == -EPIPE || (half && *codes[i] == ENDS_DONE)) {
            *codes[i] = 0;
        }
    }
    if (half) {
        plain.far_end = plain.tail_read = ENDS_NONE;
        told = 0;
    }
    plain.missed = half ? 0 : plain.missed + ((uint32_t)told << 16);
    return plain;
}

/* Both hold: which one a call tells is not promised. */
static void without_reason(const ends_case *script, ends_outcome *outcome)
{
    bool cancelled = ends_has(script, ENDS_CANCEL) || ends_has(script, ENDS_GROUP_END);
    bool expired = ends_has(script, ENDS_DEADLINE) || ends_has(script, ENDS_GROUP_DEADLINE);
    int *codes[] = {&outcome->first, &outcome->second};
    for (int i = 0; i < 2; i++) {
        *codes[i] = cancelled && expired && *codes[i] == COR_ETIMEOUT ? COR_ECANCELED : *codes[i];
    }
}

bool ends_same(const ends_case *script, bool reads_ahead, const ends_outcome *a, const ends_outcome *b)
{
    ends_outcome plain_a = *a, plain_b = *b;
    if (reads_ahead && !script->unix_stream) {
        plain_a = without_order(script, a);
        plain_b = without_order(script, b);
    }
    without_reason(script, &plain_a);
    without_reason(script, &plain_b);
    return memcmp(&plain_a, &plain_b, sizeof(plain_a)) == 0;
}

/* The far end takes what is there; false at its end, whose code it notes. */
static bool take(ends_stage *stage)
{
    static _Thread_local char bin[65536];
    ssize_t count;
    while ((count = recv(stage->far, bin, sizeof(bin), MSG_DONTWAIT)) > 0) {
        stage->far_took += (uint32_t)count;
    }
    if (count < 0 && errno == EAGAIN) {
        return true;
    }
    stage->outcome.far_end = count < 0 ? -errno : 0;
    return false;
}

static bool running(ends_stage *stage, int who)
{
    return __atomic_load_n(&stage->running[who], __ATOMIC_ACQUIRE);
}

static bool has_ended(ends_stage *stage, int who)
{
    return !running(stage, who);
}

/* The far end keeps taking meanwhile, so that the call is not held up by full buffers. */
static bool has_ended_with_room(ends_stage *stage, int who)
{
    if (stage->far >= 0 && !stage->far_finished) {
        stage->far_finished = !take(stage);
    }
    return has_ended(stage, who);
}

static bool has_ended_or_waits(ends_stage *stage, int who)
{
    return has_ended(stage, who) || stage->side->parked(stage, who);
}

/* What the far end did has reached the near end's kernel, and so has its kernel's answer after its close. */
static bool is_delivered(ends_stage *stage, int who)
{
    (void)who;
    struct pollfd look = {.fd = stage->near_fd, .events = POLLRDHUP};
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    int queued = 0;
    if (stage->script->unix_stream || stage->near_fd < 0 || poll(&look, 1, 0) < 0 ||
        (look.revents & (POLLHUP | POLLERR)) != 0) {
        return true;
    }
    if (stage->far < 0) {
        return (look.revents & POLLRDHUP) != 0 && ioctl(stage->near_fd, SIOCOUTQ, &queued) == 0 && queued == 0;
    }
    /* Counted by the kernel as they come, a FIN as one; an ACK could be 40 ms late. */
    return getsockopt(stage->near_fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
           info.tcpi_bytes_received >= stage->sent + (stage->far_shut ? 1 : 0);
}

/* Waits until `condition` holds; the case has hung if it does not. */
static bool await(ends_stage *stage, bool (*condition)(ends_stage *stage, int who), int who, const char *phase)
{
    int64_t deadline = cor_after(HANGS_AFTER);
    stage->phase = phase;
    for (unsigned round = 0; !condition(stage, who); round++) {
        if (cor_now() >= deadline) {
            stage->hung = true;
            return false;
        }
        stage->side->pause(round);
    }
    return true;
}

/* The end of a closed near end has reached the far end; where it is queued after much that was written it cannot. */
static bool close_has_arrived(ends_stage *stage, int who)
{
    (void)who;
    struct pollfd look = {.fd = stage->far, .events = POLLRDHUP};
    return poll(&look, 1, 0) < 0 || (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void far_sends(ends_stage *stage, const char *text)
{
    if (stage->near_closed && stage->far >= 0 && stage->script->call == ENDS_READ) {
        (void)await(stage, close_has_arrived, 0, "the close arrives");
    }
    ssize_t count = stage->far >= 0 ? send(stage->far, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    stage->sent += count > 0 ? (uint32_t)count : 0;
}

/* The far end has taken all of a write that was done. */
static bool is_taken(ends_stage *stage, int who)
{
    return !has_ended_with_room(stage, who) || stage->far_finished || stage->result[who] != ENDS_DONE ||
           stage->far_took >= WRITTEN;
}

static bool far_acts(ends_stage *stage, ends_event event, ends_place place)
{
    if (stage->far < 0) {
        return true;
    }
    if (event == ENDS_FIN) {
        (void)shutdown(stage->far, SHUT_WR);
        stage->far_shut = true;
    } else if (event != ENDS_BYTES) {
        stage->side->close_far(stage, event == ENDS_RST);
        stage->far = -1;
    } else if (stage->script->call == ENDS_WRITE && place == ENDS_WHILE) {
        stage->side->hold(stage, false);
        return await(stage, has_ended_with_room, ENDS_MAIN, "the far end takes what is written") &&
               await(stage, is_taken, ENDS_MAIN, "the far end takes the rest");
    } else {
        far_sends(stage, "bytes");
    }
    return true;
}

static bool opposite(ends_stage *stage, bool held)
{
    if (!running(stage, ENDS_OTHER)) {
        stage->side->begin(stage, ENDS_OTHER, stage->script->call == ENDS_READ ? ENDS_WRITE_LITTLE : ENDS_READ);
    }
    return held || await(stage, has_ended_or_waits, ENDS_OTHER, "the opposite call begins");
}

/* By luck a poller that reads ahead has its turn, or not. */
static void linger(ends_stage *stage, unsigned bit)
{
    static const unsigned rounds[] = {0, 0, 1, 17};
    for (unsigned round = 0; round < rounds[stage->luck >> bit & 3u]; round++) {
        stage->side->pause(round);
    }
}

/* Plays the events of one place; if callers are held, they still are. */
static bool happen(ends_stage *stage, ends_place place)
{
    const ends_case *script = stage->script;
    bool all = true;
    bool late = stage->late[place == ENDS_AFTER];
    bool held = late || (place == ENDS_WHILE && stage->holds);
    for (int i = 0; all && i < 2; i++) {
        if (script->place[i] != place) {
            continue;
        }
        stage->phase = event_names[script->event[i]];
        if (held) {
            stage->side->hold(stage, true);
        }
        if (script->event[i] <= ENDS_RST) {
            all = far_acts(stage, script->event[i], place);
        } else if (script->event[i] == ENDS_OPPOSITE) {
            all = opposite(stage, held);
        } else {
            stage->side->act(stage, script->event[i]);
        }
        if (place != ENDS_WHILE) {
            all = all && await(stage, is_delivered, 0, "delivery");
        } else if (stage->settles && !held && i == 0 && is_ender(script, script->event[i])) {
            all = all && await(stage, has_ended, ENDS_MAIN, "the call ends after the first event");
        }
        if (!held) {
            linger(stage, 4 + 2 * (unsigned)i);
        }
    }
    return all;
}

void ends_call_now(ends_stage *stage, int who)
{
    static char filling[WRITTEN];
    char buf[64];
    ends_call call = stage->command[who];
    bool reads = call == ENDS_READ || call == ENDS_READ_REST;
    int64_t count;
    do {
        if (reads && __atomic_load_n(&stage->drained, __ATOMIC_ACQUIRE)) {
            count = ENDS_DONE;
            break;
        }
        count = reads ? stage->side->read(stage, who, buf, sizeof(buf))
                      : stage->side->write(stage, who, filling, call == ENDS_WRITE ? WRITTEN : LITTLE);
        if (reads && count > 0) {
            (void)__atomic_add_fetch(&stage->taken, (uint32_t)count, __ATOMIC_RELAXED);
            if (buf[count - 1] == '.') {
                __atomic_store_n(&stage->drained, true, __ATOMIC_RELEASE);
            }
        }
    } while (call == ENDS_READ_REST && count > 0);
    stage->result[who] = count > 0 ? ENDS_DONE : (int)count;
    __atomic_store_n(&stage->running[who], false, __ATOMIC_RELEASE);
}

/* The call itself, with what comes before it and while it waits. */
static bool first_call(ends_stage *stage)
{
    ends_call call = stage->script->call;
    if (!happen(stage, ENDS_BEFORE)) {
        return false;
    }
    stage->side->begin(stage, ENDS_MAIN, call);
    bool ended = ends_call_must_end(stage->script);
    if ((!stage->late[0] && !await(stage, has_ended_or_waits, ENDS_MAIN, "the call begins")) ||
        !happen(stage, ENDS_WHILE)) {
        return false;
    }
    if (!ended) { /* by the script, at once or soon */
        stage->side->end_call(stage, stage->luck % 2 == 0 ? 1 : cor_after(COR_MILLISECOND));
    }
    stage->side->hold(stage, false);
    if (!await(stage, has_ended, ENDS_MAIN, ended ? "the call ends" : "the call ends by its deadline") ||
        (!ended && !await(stage, has_ended, ENDS_OTHER, "the opposite call ends by its deadline"))) {
        return false;
    }
    if (!ended) {
        stage->side->end_call(stage, 0);
    }
    stage->outcome.first = stage->result[ENDS_MAIN];
    return true;
}

/* The same caller's next call, which the far end sees to, and the end of the opposite one. */
static bool second_call(ends_stage *stage)
{
    if (!await(stage, is_delivered, 0, "delivery before the second call")) {
        return false;
    }
    if (!stage->near_closed) {
        far_sends(stage, ".");
    }
    stage->side->begin(stage, ENDS_MAIN, stage->script->call == ENDS_READ ? ENDS_READ_REST : ENDS_WRITE_LITTLE);
    stage->side->hold(stage, false);
    if (!await(stage, has_ended_with_room, ENDS_MAIN, "the second call") ||
        !await(stage, has_ended_with_room, ENDS_OTHER, "the opposite call ends")) {
        return false;
    }
    stage->outcome.second = stage->result[ENDS_MAIN];
    if (ends_has(stage->script, ENDS_OPPOSITE)) {
        stage->outcome.opposite = stage->result[ENDS_OTHER];
    }
    return true;
}

static bool far_has_ended(ends_stage *stage, int who)
{
    (void)who;
    stage->far_finished = stage->far_finished || !take(stage);
    return stage->far_finished;
}

/* What is left, looked at by the script itself: the near end is read out, written to and closed. */
static bool tail(ends_stage *stage)
{
    if (!stage->near_closed) {
        stage->side->end_call(stage, cor_after(HANGS_AFTER));
        stage->phase = "reading the rest";
        int64_t count = 0;
        char buf[64];
        while (!stage->drained && (count = stage->side->read(stage, -1, buf, sizeof(buf))) > 0) {
            stage->taken += (uint32_t)count;
            stage->drained = buf[count - 1] == '.';
        }
        stage->outcome.tail_read = stage->drained ? ENDS_DONE : (int)count;
        if (!await(stage, is_delivered, 0, "delivery before the end")) {
            return false;
        }
        stage->phase = "writing a little";
        count = stage->side->write(stage, -1, "bytes", LITTLE);
        stage->outcome.tail_write = count > 0 ? ENDS_DONE : (int)count;
        stage->hung = stage->outcome.tail_read == COR_ETIMEOUT || stage->outcome.tail_write == COR_ETIMEOUT;
        if (stage->script->leaves) {
            far_sends(stage, "left");
            (void)await(stage, is_delivered, 0, "delivery before the close");
            linger(stage, 8);
        }
        stage->side->act(stage, ENDS_CLOSE);
    }
    if (stage->far >= 0 && !await(stage, far_has_ended, 0, "the far end sees the end")) {
        return false;
    }
    stage->outcome.missed = stage->sent - stage->taken;
    return !stage->hung;
}

bool ends_play(ends_stage *stage)
{
    const ends_case *script = stage->script;
    stage->outcome = (ends_outcome){ENDS_NONE, ENDS_NONE, ENDS_NONE, ENDS_NONE, ENDS_NONE, ENDS_NONE, 0};
    if (script->unix_stream && ends_has(script, ENDS_RST)) {
        /* A close resets a unix stream if there is something unread. */
        (void)send(stage->near_fd, "p", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return first_call(stage) && happen(stage, ENDS_AFTER) && second_call(stage) && tail(stage);
}
