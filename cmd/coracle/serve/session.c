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
/* How long a session of a server that stops waits for what its client may have sent. */
#define LOOK_NS (50 * COR_MILLISECOND)
/* So many sessions are ended in one go while others that end have to wait for the lock. */
enum { ENDED_AT_A_TIME = 64 };

/* A session in one of the server's lists. Beside it, not in it: a session is copied, and others write here. */
struct listed {
    struct session *session;
    struct listed *next;  /* guard: serve->list_lock */
    struct listed **link; /* guard: serve->list_lock; what points to it */
};

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

/* Sets the read deadline, unless the server stops: then session_end_all_idle may have set another one by now. */
static void set_read_deadline(struct session *session, int64_t deadline)
{
    session->read_deadline = deadline;
    cor_set_read_deadline(session->conn, deadline);
    if (atomic_load(&session->service->serve->stopping)) {
        cor_set_read_deadline(session->conn, cor_now());
    }
}

void session_arm_read(struct session *session)
{
    const serve_options *options = session_options(session);
    if (session->looking || (!session->heard && options->first_byte_timeout > 0)) {
        return; /* the latter is armed at the start, for all of the wait */
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

int session_timed_out(struct session *session)
{
    const struct serve *serve = session->service->serve;
    if (!atomic_load(&serve->stopping)) {
        return COR_ETIMEOUT;
    }
    if (atomic_load_explicit(&session->busy, memory_order_relaxed)) {
        cor_set_read_deadline(session->conn, 0);
        return 1;
    }
    session->cut = !session->looking && cor_now() >= atomic_load(&serve->served_until);
    if (session->looking || session->cut) {
        return 0;
    }
    session->looking = true;
    cor_set_read_deadline(session->conn, cor_after(LOOK_NS));
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

const char *session_reason(const struct session *session, const char *op, int code)
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
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return "vanished";
    case -ENOMEM:
        return "no_memory";
    default:
        return "error";
    }
}

void session_ended(struct session *session, const char *op, int code)
{
    if (session->reason == NULL) {
        bool stopped = code == 0 && atomic_load(&session->service->serve->stopping);
        session->reason = stopped ? "shutdown" : session_reason(session, op, code);
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

/* Puts a session into a list that it is not in. Under the lock. */
static void enlist(struct listed *node, struct listed **list)
{
    node->next = *list;
    node->link = list;
    if (*list != NULL) {
        (*list)->link = &node->next;
    }
    *list = node;
}

/* Under the lock. */
static void delist(struct listed *node)
{
    *node->link = node->next;
    if (node->next != NULL) {
        node->next->link = node->link;
    }
}

static void enter_list(struct listed *node)
{
    struct serve *serve = node->session->service->serve;
    cor_mutex_lock(&serve->list_lock);
    bool stopping = atomic_load(&serve->stopping);
    enlist(node, stopping ? &serve->told : &serve->running);
    cor_mutex_unlock(&serve->list_lock);
    if (stopping) {
        cor_set_read_deadline(node->session->conn, cor_now());
    }
}

static void leave_list(struct listed *node)
{
    struct serve *serve = node->session->service->serve;
    cor_mutex_lock(&serve->list_lock);
    delist(node);
    cor_mutex_unlock(&serve->list_lock);
}

void session_end_all_idle(struct serve *serve)
{
    bool more = true;
    while (more) {
        cor_mutex_lock(&serve->list_lock);
        for (int i = 0; i < ENDED_AT_A_TIME && serve->running != NULL; i++) {
            struct listed *node = serve->running;
            delist(node);
            enlist(node, &serve->told);
            if (!atomic_load(&node->session->busy)) {
                cor_set_read_deadline(node->session->conn, cor_now());
            }
        }
        more = serve->running != NULL;
        cor_mutex_unlock(&serve->list_lock);
    }
}

void session_inside_message(struct session *session, bool inside)
{
    if (inside) {
        atomic_store_explicit(&session->busy, true, memory_order_relaxed);
    } else if (atomic_load_explicit(&session->busy, memory_order_relaxed)) {
        atomic_store(&session->busy, false);
        if (atomic_load(&session->service->serve->stopping)) {
            cor_set_read_deadline(session->conn, cor_now());
        }
    }
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
    if (session->cut) {
        session_hang_up(session, "shutdown");
    }
    /* Counted out first: a client that sees its connection end may connect again at once and must find room. */
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
        struct listed node = {.session = &session};
        enter_list(&node);
        session.service->def->handle(&session);
        leave_list(&node);
    }
    finish(&session);
}
