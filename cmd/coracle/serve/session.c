/* SPDX-License-Identifier: MIT */
/*
 * Sessions. The path of an idle connection from accept to its first read touches one page of stack: everything that
 * formats text sits in functions of its own that are never inlined.
 */
#include "serve/session.h"

#include <errno.h>
#include <string.h>

#define DRAIN_BYTES (INT64_C(1) << 20)
#define DRAIN_NS COR_SECOND
/* A limit may come this much late, so that busy connections need not arm it anew for every byte. */
#define LATE_NS (250 * COR_MILLISECOND)
enum { EIGHTHS = 8 };

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

void session_arm_read(struct session *session)
{
    const serve_options *options = session_options(session);
    if (!session->heard && options->first_byte_timeout > 0) {
        return; /* armed at the start, for all of the wait */
    }
    if (options->idle_timeout > 0) {
        int64_t deadline = later_deadline(session->read_deadline, options->idle_timeout);
        if (deadline != 0) {
            session->read_deadline = deadline;
            cor_set_read_deadline(session->conn, deadline);
        }
    } else if (session->read_deadline != 0) {
        session->read_deadline = 0;
        cor_set_read_deadline(session->conn, 0);
    }
}

ssize_t session_read(struct session *session, void *buf, size_t size)
{
    session_arm_read(session);
    ssize_t count = cor_read(session->conn, buf, size);
    session_note_read(session, count);
    return count;
}

void session_limit_writes(struct session *session, int64_t limit_ns)
{
    session->write_limit = limit_ns;
    cor_set_write_deadline(session->conn, limit_ns > 0 ? cor_after(limit_ns / EIGHTHS + 1) : 0);
}

/*
 * The limit is counted in eighths, each begun when the one before has run out: so a write that the kernel takes at
 * once, as nearly all do, looks at no clock. What runs out first may be an eighth that an earlier write has begun.
 */
int session_write_rest(struct session *session, const char *bytes, size_t size, size_t done)
{
    int64_t limit = session->write_limit;
    int code = COR_ETIMEOUT;
    for (int eighths = 0; limit > 0 && code == COR_ETIMEOUT && eighths <= EIGHTHS; eighths++) {
        size_t written;
        cor_set_write_deadline(session->conn, cor_after(limit / EIGHTHS + 1));
        code = cor_write_counted(session->conn, bytes + done, size - done, &written);
        done += written;
        eighths = written > 0 ? 0 : eighths;
    }
    return code;
}

static const char *reason_of(const struct session *session, const char *op, int code)
{
    switch (code) {
    case 0:
        return "eof";
    case COR_ETIMEOUT:
        if (strcmp(op, "write") == 0) {
            return "write_timeout";
        }
        return session->heard ? "idle_timeout" : "first_byte_timeout";
    case COR_ECANCELED:
        return "shutdown";
    case COR_ETOO_LONG:
        return "too_long";
    case -ECONNRESET:
    case -EPIPE:
        return "reset";
    case -ENOMEM:
        return "no_memory";
    default:
        return "error";
    }
}

void session_ended(struct session *session, const char *op, int code)
{
    if (session->reason == NULL) {
        session->reason = reason_of(session, op, code);
    }
}

__attribute__((noinline)) char *session_error_text(struct session *session, const char *op, int code, char *text,
                                                   size_t size)
{
    cor_error error;
    cor_conn_error(session->conn, op, code, &error);
    return cor_error_text(&error, text, size);
}

void session_hang_up(struct session *session, const char *reason)
{
    if (session->reason == NULL) {
        session->reason = reason;
    }
    if (cor_close_write(session->conn) == 0) {
        cor_drain(session->conn, DRAIN_BYTES, cor_after(DRAIN_NS));
    }
}

__attribute__((noinline)) static void log_session(struct session *session, log_level level, const char *event)
{
    char peer[COR_ADDR_TEXT];
    cor_remote_addr(session->conn, peer, sizeof(peer));
    LOG(level, event, {"service", session->service->def->name, 0}, {"peer", peer, 0});
}

__attribute__((noinline)) static void log_closed(struct session *session)
{
    char peer[COR_ADDR_TEXT];
    cor_remote_addr(session->conn, peer, sizeof(peer));
    const log_field fields[] = {
        {"service", session->service->def->name, 0},
        {"peer", peer, 0},
        {"reason", session->reason, 0},
        {"in", NULL, (int64_t)session->bytes_in},
        {"out", NULL, (int64_t)session->bytes_out},
        {"ms", NULL, (cor_now() - session->started) / COR_MILLISECOND},
        {"dropped", NULL, (int64_t)session->dropped},
    };
    size_t count = sizeof(fields) / sizeof(fields[0]);
    log_event(LEVEL_INFO, "closed", fields, session->dropped > 0 ? count : count - 1);
}

/* Counts the session in, unless there are too many. */
static bool admit(struct session *session)
{
    struct serve *serve = session->service->serve;
    atomic_fetch_add_explicit(&serve->accepted, 1, memory_order_relaxed);
    uint64_t open = atomic_fetch_add_explicit(&serve->open, 1, memory_order_relaxed) + 1;
    if (serve->options.max_conns > 0 && open > serve->options.max_conns) {
        session->reason = "max_conns";
        return false;
    }
    if (log_enabled(LEVEL_DEBUG)) {
        log_session(session, LEVEL_DEBUG, "accepted");
    }
    return true;
}

static void finish(struct session *session)
{
    struct serve *serve = session->service->serve;
    if (session->reason == NULL) {
        session->reason = "done";
    }
    if (log_enabled(LEVEL_INFO)) {
        log_closed(session);
    }
    /* Counted out first: who sees the connection end may connect again at once and must find room. */
    atomic_fetch_sub_explicit(&serve->open, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&serve->closed, 1, memory_order_relaxed);
    cor_close(session->conn);
}

void session_main(cor_conn *conn, void *arg)
{
    struct session session = {.conn = conn, .service = arg, .started = cor_now()};
    if (admit(&session)) {
        const serve_options *options = session_options(&session);
        session.limits_reads = options->idle_timeout > 0 || options->first_byte_timeout > 0;
        if (options->first_byte_timeout > 0) {
            session.read_deadline = cor_after(options->first_byte_timeout);
            cor_set_read_deadline(conn, session.read_deadline);
        }
        if (options->write_timeout > 0) {
            session_limit_writes(&session, options->write_timeout);
        }
        session.service->def->handle(&session);
    }
    finish(&session);
}
