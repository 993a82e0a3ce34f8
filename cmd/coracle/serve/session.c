/* SPDX-License-Identifier: MIT */
/*
 * Sessions. The path of an idle connection from accept to its first read touches one page of stack: everything that
 * formats text sits in functions of its own that are never inlined.
 */
#include "serve/session.h"

#include "serve/admin/recent.h"
#include "serve/limits.h"
#include "serve/proxy_header.h"
#include "serve/ws/handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_BYTES (INT64_C(1) << 20)
#define DRAIN_NS COR_SECOND
/* A limit may come this much late, so that busy connections need not arm it anew for every byte. */
#define LATE_NS (250 * COR_MILLISECOND)
enum { EIGHTHS = 8 };
/* Where there is no limit: how soon it is seen that a peer takes nothing. */
#define SEEN_STUCK_NS COR_SECOND
/* So many refused clients are waited for at a time, until they have read why; others are closed at once. */
enum { TELLING_MAX = 32 };
/* How long a proxy may take to say who its client is, if there is no limit for the first byte. */
#define HEADER_NS (10 * COR_SECOND)
/* How long a session of a server that stops waits for what its client may have sent. */
#define LOOK_NS (50 * COR_MILLISECOND)
/* A deadline that is seen to have passed so long ago was not waited for in peace. */
#define STOOD_STILL_NS (5 * COR_MILLISECOND)

const serve_options *session_options(const struct session *session)
{
    return &session->service->serve->options;
}

/* The deadline to arm if the one armed leaves less than `limit` from now; 0 if it is good enough. */
static int64_t later_deadline(int64_t armed, int64_t limit)
{
    int64_t now = cor_now();
    if (armed - now >= limit) {
        return 0;
    }
    int64_t slack = limit / 8 < LATE_NS ? limit / 8 : LATE_NS;
    return cor_after(limit + slack < limit ? limit : limit + slack);
}

/*
 * When a session of a server that stops is to end if it is idle then: now, or at its place in the time over which the
 * ends are spread. Multiples of the golden ratio lie evenly in [0, 1), whichever numbers are left.
 */
static int64_t ends_at(const struct session *session)
{
    const struct serve *serve = session->service->serve;
    uint32_t place = (uint32_t)session->seen->id * UINT32_C(2654435769);
    int64_t now = cor_now();
    int64_t at = serve->ends_from + (serve->ends_over >> 16) * (int64_t)(place >> 16);
    return at > now ? at : now;
}

/* Moves the read deadline, but not that of a client that was kicked: see session.h. */
static void move_read_deadline(const struct session *session, int64_t deadline)
{
    cor_set_read_deadline(session->conn, deadline);
    if (connection_reason(session->seen) == REASON_KICKED) {
        cor_set_read_deadline(session->conn, CONNECTION_OVER);
    }
}

/* Sets the read deadline, unless the server stops: then session_end_all_idle may have set another one by now. */
static void set_read_deadline(struct session *session, int64_t deadline)
{
    session->read_deadline = deadline;
    move_read_deadline(session, deadline);
    if (atomic_load(&session->service->serve->stopping)) {
        move_read_deadline(session, ends_at(session));
    }
}

void session_arm_read(struct session *session)
{
    const serve_options *options = session_options(session);
    if (session->looking || (!session->heard && session->first_byte > 0)) {
        return; /* the latter is armed at the start, for all of the wait */
    }
    if (session->may_listen) {
        session->whole = true;
        return;
    }
    if (options->idle_timeout > 0) {
        int64_t deadline = later_deadline(session->read_deadline, options->idle_timeout);
        if (deadline != 0) {
            set_read_deadline(session, deadline);
        }
    } else if (session->read_deadline != 0) {
        set_read_deadline(session, 0);
    }
}

void session_limit_message(struct session *session, bool inside)
{
    int64_t limit = session_options(session)->first_byte_timeout;
    if (!session->may_listen || session->looking || limit == 0 || (!session->heard && session->first_byte > 0)) {
        return;
    }
    if (inside && (session->read_deadline == 0 || session->whole)) {
        set_read_deadline(session, cor_after(limit));
    } else if (!inside && session->read_deadline != 0) {
        set_read_deadline(session, 0);
    }
    session->whole = false;
}

/*
 * Whether the deadline is seen long after it has passed: then this process had no turn, or its worker was held, and
 * what the client has sent meanwhile may not have been read. Then there is one more look.
 */
static bool stood_still(struct session *session)
{
    bool looked = session->looking;
    session->looking = !looked && cor_now() - session->read_deadline >= STOOD_STILL_NS;
    if (session->looking) {
        set_read_deadline(session, cor_after(LOOK_NS));
    }
    return session->looking;
}

int session_timed_out(struct session *session)
{
    const struct serve *serve = session->service->serve;
    if (connection_reason(session->seen) == REASON_KICKED) {
        return 0;
    }
    if (!atomic_load(&serve->stopping)) {
        return stood_still(session) ? 1 : COR_ETIMEOUT;
    }
    if (atomic_load_explicit(&session->busy, memory_order_relaxed)) {
        move_read_deadline(session, 0);
        return 1;
    }
    int64_t at = ends_at(session), now = cor_now(); /* in this order: one that is due is not later than now */
    if (!session->looking && at > now) {
        move_read_deadline(session, at);
        return 1;
    }
    session->cut = !session->looking && now >= atomic_load(&serve->served_until);
    if (session->looking || session->cut) {
        return 0;
    }
    session->looking = true;
    move_read_deadline(session, cor_after(LOOK_NS));
    return 1;
}

int session_await(struct session *session)
{
    session_inside_message(session, false);
    for (;;) {
        session_arm_read(session);
        int code = cor_wait_readable(session->conn);
        if (code == 0) {
            session->looking = false;
            session_inside_message(session, true);
            return 1;
        }
        if (code != COR_ETIMEOUT || (code = session_timed_out(session)) <= 0) {
            return code;
        }
    }
}

ssize_t session_read(struct session *session, void *buf, size_t size)
{
    ssize_t count;
    do {
        session_arm_read(session);
        count = cor_read(session->conn, buf, size);
    } while (count == COR_ETIMEOUT && (count = session_timed_out(session)) > 0);
    session_note_read(session, count);
    return count;
}

ssize_t session_read_piece(struct session *session, cor_buffer *out)
{
    ssize_t count;
    do {
        count = cor_read_buffer(session->conn, out);
    } while (count == COR_ETIMEOUT && (count = session_timed_out(session)) > 0);
    session->looking = false;
    connection_add(&session->seen->bytes_in, count > 0 ? (uint64_t)count : 0);
    return count;
}

/* How long a write may take nothing before it is looked at. */
static int64_t write_step(int64_t limit_ns)
{
    return limit_ns > 0 ? limit_ns / EIGHTHS + 1 : SEEN_STUCK_NS;
}

void session_limit_writes(struct session *session, int64_t limit_ns)
{
    session->write_limit = limit_ns;
    cor_set_write_deadline(session->conn, cor_after(write_step(limit_ns)));
}

void session_tell_slow(struct connection *of, const char *peer, uint64_t queued)
{
    if (!atomic_exchange_explicit(&of->told_slow, true, memory_order_relaxed)) {
        int64_t stuck = atomic_load_explicit(&of->stuck, memory_order_relaxed);
        LOG(LEVEL_INFO, "slow", {"service", of->service->def->name, 0}, {"conn", NULL, (int64_t)of->id},
            {"peer", peer, 0}, {"queued", NULL, (int64_t)queued},
            {"stuck_ms", NULL, stuck != 0 ? (cor_now() - stuck) / COR_MILLISECOND : 0});
    }
}

/* Half of the time in which the peer must take something is over. */
__attribute__((noinline)) static void half_is_over(const struct session *session)
{
    struct conns *conns = &session->service->serve->conns;
    char peer[COR_ADDR_TEXT];
    connection_peer(session->seen, peer, sizeof(peer));
    pthread_mutex_lock(&conns->lock);
    uint64_t queued = session_queued(session->seen);
    pthread_mutex_unlock(&conns->lock);
    session_tell_slow(session->seen, peer, queued);
}

/*
 * The limit is counted in eighths, each begun when the one before has run out: so a write that the kernel takes at
 * once, as nearly all do, looks at no clock. What runs out first may be an eighth that an earlier write has begun.
 */
int session_write_rest(struct session *session, const char *bytes, size_t size, size_t done)
{
    int64_t step = write_step(session->write_limit);
    struct connection *seen = session->seen;
    int code = COR_ETIMEOUT;
    int64_t since = cor_now() - step;
    for (int steps = 0; code == COR_ETIMEOUT && (session->write_limit == 0 || steps <= EIGHTHS); steps++) {
        size_t written;
        atomic_store_explicit(&seen->queued, size - done, memory_order_relaxed);
        atomic_store_explicit(&seen->stuck, since, memory_order_relaxed);
        if (steps == EIGHTHS / 2 && session->write_limit > 0) {
            half_is_over(session);
        }
        cor_set_write_deadline(session->conn, cor_after(step));
        code = cor_write_counted(session->conn, bytes + done, size - done, &written);
        done += written;
        steps = written > 0 ? 0 : steps < EIGHTHS ? steps : EIGHTHS;
        since = written > 0 ? cor_now() : since;
    }
    atomic_store_explicit(&seen->queued, 0, memory_order_relaxed);
    atomic_store_explicit(&seen->stuck, 0, memory_order_relaxed);
    session->torn = code < 0 && done > 0;
    if (seen->service->def->behind == NULL) { /* else the room knows when it has caught up */
        atomic_store_explicit(&seen->told_slow, false, memory_order_relaxed);
    }
    return code;
}

close_reason session_reason(const struct session *session, const char *op, int code)
{
    switch (code) {
    case 0:
        return REASON_EOF;
    case COR_ETIMEOUT:
        if (strcmp(op, "write") == 0) {
            return REASON_WRITE_TIMEOUT;
        }
        return session->heard ? REASON_IDLE : REASON_FIRST_BYTE;
    case COR_ECANCELED:
        return REASON_DRAIN;
    case COR_ETOO_LONG:
        return REASON_TOO_LONG;
    case -ECONNRESET:
    case -EPIPE:
    case -ECONNABORTED: /* the kernel has ended it, for an administrator or to save memory */
    case -ETIMEDOUT:    /* these say that it has vanished, with what routers said meanwhile */
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -ENONET:
    case -ECONNREFUSED:
        return REASON_RESET;
    case -ENOMEM:
        return REASON_OOM;
    default:
        return REASON_INTERNAL;
    }
}

void session_ended(struct session *session, const char *op, int code)
{
    bool stopped = code == 0 && atomic_load(&session->service->serve->stopping);
    session->error = code;
    connection_decide(session->seen, stopped ? REASON_DRAIN : session_reason(session, op, code));
}

__attribute__((noinline)) char *session_error_text(struct session *session, const char *op, int code, char *text,
                                                   size_t size)
{
    cor_error error;
    cor_conn_error(session->conn, op, code, &error);
    return cor_error_text(&error, text, size);
}

void session_hang_up(struct session *session, close_reason reason)
{
    connection_decide(session->seen, reason);
    if (cor_close_write(session->conn) == 0) {
        cor_drain(session->conn, DRAIN_BYTES, cor_after(DRAIN_NS));
    }
}

__attribute__((noinline)) static void log_accepted(struct session *session)
{
    char peer[COR_ADDR_TEXT];
    connection_peer(session->seen, peer, sizeof(peer));
    LOG(LEVEL_DEBUG, "accepted", {"service", session->service->def->name, 0},
        {"conn", NULL, (int64_t)session->seen->id}, {"peer", peer, 0});
}

/* Whether the reason alone does not say what happened. */
static bool error_matters(const struct session *session, close_reason reason)
{
    int code = session->error;
    return code < 0 && code != -ECONNRESET && code != -EPIPE && (reason == REASON_RESET || reason == REASON_INTERNAL);
}

__attribute__((noinline)) static void log_closed(struct session *session, close_reason reason)
{
    const struct connection *seen = session->seen;
    char peer[COR_ADDR_TEXT], proxy[COR_ADDR_TEXT];
    connection_peer(seen, peer, sizeof(peer));
    log_field fields[11] = {
        {"service", session->service->def->name, 0},
        {"conn", NULL, (int64_t)seen->id},
        {"peer", peer, 0},
        {"reason", reason_names[reason], 0},
        {"in", NULL, (int64_t)atomic_load_explicit(&seen->bytes_in, memory_order_relaxed)},
        {"out", NULL, (int64_t)atomic_load_explicit(&seen->bytes_out, memory_order_relaxed)},
        {"ms", NULL, (cor_now() - seen->since) / COR_MILLISECOND},
    };
    size_t count = 7;
    if (session->dropped > 0) {
        fields[count++] = (log_field){"dropped", NULL, (int64_t)session->dropped};
    }
    if (seen->from.ip.family != 0) {
        cor_remote_addr(session->conn, proxy, sizeof(proxy));
        fields[count++] = (log_field){"via", proxy, 0};
    }
    if (session->note.key != NULL) {
        fields[count++] = session->note;
    }
    if (error_matters(session, reason)) {
        fields[count++] = (log_field){"error", cor_strerror(session->error), 0};
    }
    log_event(LEVEL_INFO, "closed", fields, count);
}

void session_lost(int code, cor_addr peer, void *arg)
{
    struct service *service = arg;
    close_reason reason = code == -ENOMEM ? REASON_OOM : code == COR_ECANCELED ? REASON_DRAIN : REASON_INTERNAL;
    struct connection seen = {.service = service, .since = cor_now(), .reason = reason};
    seen.id = conns_lose(&service->serve->conns, reason);
    char text[COR_ADDR_TEXT] = "@";
    if (peer.ip.family != 0) {
        cor_addr_text(peer, text, sizeof(text));
    }
    recent_note(service->serve->recent, &seen, text, 0);
    LOG(LEVEL_INFO, "closed", {"service", service->def->name, 0}, {"conn", NULL, (int64_t)seen.id}, {"peer", text, 0},
        {"reason", reason_names[reason], 0}, {"in", NULL, 0}, {"out", NULL, 0}, {"ms", NULL, 0},
        {"error", cor_strerror(code), 0});
}

static bool end_if_idle(struct connection *one, void *arg)
{
    (void)arg;
    if (!atomic_load(&one->session->busy)) {
        move_read_deadline(one->session, ends_at(one->session));
    }
    return true;
}

void session_end_all_idle(struct serve *serve)
{
    conns_each(&serve->conns, end_if_idle, NULL);
}

void session_inside_message(struct session *session, bool inside)
{
    if (inside) {
        atomic_store_explicit(&session->busy, true, memory_order_relaxed);
    } else if (atomic_load_explicit(&session->busy, memory_order_relaxed)) {
        atomic_store(&session->busy, false);
        if (atomic_load(&session->service->serve->stopping)) {
            move_read_deadline(session, ends_at(session));
        }
    }
}

/* Arms what limits a session from its beginning. */
static void begin(struct session *session)
{
    const serve_options *options = session_options(session);
    bool may_listen = session->service->def->may_listen;
    session->may_listen = may_listen && !options->idle_given;
    session->first_byte = may_listen && !options->first_byte_given ? 0 : options->first_byte_timeout;
    session->limits_reads = options->idle_timeout > 0 || session->first_byte > 0;
    if (session->first_byte > 0) {
        set_read_deadline(session, cor_after(session->first_byte));
    } else if (atomic_load(&session->service->serve->stopping)) {
        move_read_deadline(session, ends_at(session));
    }
    session_limit_writes(session, options->write_timeout);
}

/* Writes what a refused client is told. */
static size_t refusal(const struct service *service, close_reason reason, char text[HANDSHAKE_MAX])
{
    char line[96];
    snprintf(line, sizeof(line), "refused: %s\n", limits_words(reason));
#if COR_HAVE_WEBSOCKET
    if (service->websocket) {
        return handshake_write_refusal(reason, line, text);
    }
#endif
    (void)service;
    return (size_t)(stpcpy(text, line) - text);
}

/* Says why a client is refused, where there is a place for it, and waits a short time until that has been read. */
__attribute__((noinline)) static void tell_refusal(struct session *session)
{
    struct serve *serve = session->service->serve;
    close_reason reason = connection_reason(session->seen);
    char text[HANDSHAKE_MAX];
    size_t size = refusal(session->service, reason, text);
    cor_set_write_deadline(session->conn, cor_after(DRAIN_NS));
    bool written = cor_write(session->conn, text, size) == (ssize_t)size;
    if (atomic_fetch_add_explicit(&serve->telling, 1, memory_order_relaxed) < TELLING_MAX && written) {
        session_hang_up(session, reason);
    }
    atomic_fetch_sub_explicit(&serve->telling, 1, memory_order_relaxed);
}

static void finish(struct session *session)
{
    connection_decide(session->seen, REASON_INTERNAL);
    if (session->cut) {
        atomic_store(&session->busy, true); /* nobody is to shorten what follows */
        session_hang_up(session, REASON_DRAIN);
    }
    recent_note(session->service->serve->recent, session->seen, NULL, session->dropped);
    /* Counted out first: whoever sees it end, or reads of it in the log, may connect at once and must find room. */
    conns_leave(&session->service->serve->conns, session->seen);
    if (log_enabled(LEVEL_INFO)) {
        log_closed(session, connection_reason(session->seen));
    }
}

/* One of --proxy-from: what it sends begins with a header. */
static bool is_proxy(struct serve *serve, cor_ip ip)
{
    return serve->options.proxy_from != NULL && ip.family != 0 && access_allows(&serve->proxies, ip);
}

static ssize_t read_header(void *arg, void *buf, size_t size)
{
    struct session *session = arg;
    ssize_t count;
    do {
        count = cor_read(session->conn, buf, size);
    } while (count == COR_ETIMEOUT && (count = session_timed_out(session)) > 0);
    session->looking = false; /* what the client has sent behind the header is still to be read */
    return count;
}

/* Has a proxy say, within the limit for the first byte, who its client is. False: why it ends is decided. */
__attribute__((noinline)) static bool hear_proxy(struct session *session)
{
    struct proxy_header header = {0};
    int64_t limit = session_options(session)->first_byte_timeout;
    set_read_deadline(session, cor_after(limit > 0 ? limit : HEADER_NS));
    int code = proxy_header_read(&header, read_header, session);
    set_read_deadline(session, 0);
    if (code == -EPROTO) {
        session->note = (log_field){"proxy", "no PROXY header", 0};
        connection_decide(session->seen, REASON_DENIED);
    } else if (code <= 0) {
        session_ended(session, "read", code);
    } else {
        conns_set_from(&session->service->serve->conns, session->seen, header.from);
    }
    return code > 0;
}

/* Counts in the client that a proxy speaks for. False: why it ends is decided. */
static bool admit_by_proxy(struct session *session, struct peer **of)
{
    if (!hear_proxy(session)) {
        return false;
    }
    close_reason refusal = limits_admit(session->service->serve, connection_endpoint(session->seen).ip, of);
    if (refusal != REASON_NONE) {
        connection_decide(session->seen, refusal);
        session->refused = true;
    }
    return refusal == REASON_NONE;
}

void session_main(cor_conn *conn, void *arg)
{
    struct service *service = arg;
    struct serve *serve = service->serve;
    struct session session = {.conn = conn, .service = service};
    struct connection seen = {.conn = conn, .service = service, .session = &session, .since = cor_now()};
    struct peer *peer = NULL;
    session.seen = &seen;
    seen.among = &service->open;
    cor_ip ip = cor_remote_endpoint(conn).ip;
    bool by_proxy = is_proxy(serve, ip);
    close_reason refusal = by_proxy ? REASON_NONE : limits_admit(serve, ip, &peer);
    if (refusal != REASON_NONE) {
        connection_decide(&seen, refusal);
    }
    refusal = conns_enter(&serve->conns, &seen, serve->options.max_conns);
    if (refusal == REASON_NONE && (!by_proxy || admit_by_proxy(&session, &peer))) {
        if (log_enabled(LEVEL_DEBUG)) {
            log_accepted(&session);
        }
        begin(&session);
        service->def->handle(&session);
    }
    limits_left(serve, peer);
    finish(&session);
    if ((refusal != REASON_NONE || session.refused) && service->def->tells_refusal) {
        tell_refusal(&session);
    }
    cor_close(conn);
}
