/* SPDX-License-Identifier: MIT */
/*
 * A worker that is held while a deadline passes, as it is when the whole process stands still: what came in time is
 * taken by the call that waits for it.
 */
#include "net/netcase.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define WITHIN_NS (30 * COR_MILLISECOND)

static const cor_options one_worker = {.workers = 1};
static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX};

/* One that waits, for bytes of a connection or for the next one of a listener. */
typedef struct waiting {
    cor_conn *conn;
    cor_listener *listener;
    bool looks; /* cor_wait_readable comes first */
    ssize_t looked, result;
} waiting;

static void take_bytes(void *arg)
{
    waiting *of = arg;
    char bytes[8];
    of->looked = of->looks ? cor_wait_readable(of->conn) : 0;
    of->result = cor_read(of->conn, bytes, sizeof(bytes));
}

static void take_connection(void *arg)
{
    waiting *of = arg;
    of->result = cor_accept(of->listener, &of->conn);
}

/* Holds this worker until the deadline is over. False: it was before, because this machine is busy. */
static bool hold_until(int64_t deadline)
{
    bool in_time = cor_now() < deadline;
    while (cor_now() < deadline + COR_MILLISECOND) {}
    return in_time;
}

/* One reads while `count` bytes come, and its worker is held. Returns whether they came in time. */
static bool read_held(conn_kind kind, waiting *of, size_t count)
{
    cor_conn *peer;
    cor_group task = {0};
    make_pair(kind, &of->conn, &peer);
    T_CODE(cor_group_go(&task, take_bytes, of), 0);
    T_PARKED(of->conn, CORI_READ);
    int64_t deadline = cor_after(WITHIN_NS);
    T_CODE(cor_set_read_deadline(of->conn, deadline), 0);
    write_all(peer, "bytes", count);
    bool in_time = hold_until(deadline);
    wait_for(&task);
    close_pair(of->conn, peer);
    return in_time;
}

TASK_TEST_WITH(a_read_gets_what_came_in_time, &one_worker)
{
    for (size_t i = 0; i < 2; i++) {
        waiting of = {0};
        bool in_time = read_held(kinds[i], &of, 5);
        T_REQUIRE(!in_time || of.result == 5, "kind %zu: %zd", i, of.result);
    }
}

/* A look hears of it too. Then the deadline is over before the read begins: it fails, whatever is there. */
TASK_TEST_WITH(a_look_finds_what_came_in_time, &one_worker)
{
    for (size_t i = 0; i < 2; i++) {
        waiting of = {.looks = true};
        bool in_time = read_held(kinds[i], &of, 5);
        T_REQUIRE(!in_time || of.looked == 0, "kind %zu: %zd", i, of.looked);
        T_CODE(of.result, COR_ETIMEOUT);
    }
}

TASK_TEST_WITH(nothing_came, &one_worker)
{
    for (size_t i = 0; i < 2; i++) {
        waiting of = {0};
        (void)read_held(kinds[i], &of, 0);
        T_CODE(of.result, COR_ETIMEOUT);
    }
}

TASK_TEST_WITH(an_accept_gets_who_came_in_time, &one_worker)
{
    cor_group task = {0};
    waiting of = {0};
    struct sockaddr_in to = {.sin_family = AF_INET};
    socklen_t size = sizeof(to);
    T_CODE(cor_listen(&of.listener, "tcp", "127.0.0.1:0", NULL), 0);
    T_EQ(getsockname(listener_fd(of.listener), (struct sockaddr *)&to, &size), 0);
    T_CODE(cor_group_go(&task, take_connection, &of), 0);
    T_ACCEPTING(of.listener);
    int64_t deadline = cor_after(WITHIN_NS);
    T_CODE(cor_listener_set_deadline(of.listener, deadline), 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    T_EQ(connect(client, (struct sockaddr *)&to, sizeof(to)), 0); /* the kernel's backlog takes it */
    bool in_time = hold_until(deadline);
    wait_for(&task);
    T_REQUIRE(!in_time || of.result == 0, "%zd", of.result);
    T_CODE(cor_close(of.conn), 0); /* NULL if nobody was taken */
    T_EQ(close(client), 0);
    T_CODE(cor_listener_close(of.listener), 0);
}

/* A deadline that was far away when the reader's turn began, and which its own computing passed, ends the read. */
TASK_TEST_WITH(a_far_deadline_is_computed_past, &one_worker)
{
    cor_conn *conn, *peer;
    char byte;
    make_pair(KIND_TCP, &conn, &peer);
    cor_yield();
    int64_t deadline = cor_after(COR_SECOND + WITHIN_NS);
    T_CODE(cor_set_deadline(conn, deadline), 0);
    (void)hold_until(deadline);
    T_CODE(cor_write(conn, "x", 1), COR_ETIMEOUT);
    int64_t begun = cor_now();
    T_CODE(cor_read(conn, &byte, 1), COR_ETIMEOUT);
    T_ASSERT(cor_now() - begun < SOON);
    close_pair(conn, peer);
}

/*
 * Two workers, of which the first is held. Over io_uring it alone tells what has come on a connection that it was the
 * first to wait on, so a reader on the second one may have to wait for it. A deadline in the past ends that wait too.
 */
static const cor_options two_workers = {.workers = 2};

typedef struct far_reader {
    cor_conn *conn;
    int64_t deadline; /* of the read */
    ssize_t result;
    int done; /* atomic */
} far_reader;

static void read_far_away(void *arg)
{
    far_reader *of = arg;
    char byte;
    of->result = cor_read(of->conn, &byte, 1);
    (void)add(&of->done, 1);
}

static ssize_t take_byte(int fd, void *arg)
{
    (void)arg;
    char byte;
    ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT);
    return count >= 0 ? count : -errno;
}

static void read_raw_far_away(void *arg)
{
    far_reader *of = arg;
    of->result = cor_raw_read(of->conn, take_byte, NULL);
    (void)add(&of->done, 1);
}

/* Beside the reader: ends it when its deadline has passed and it waits nevertheless. */
static void end_far_away(void *arg)
{
    far_reader *of = arg;
    while (cor_now() < of->deadline + 5 * COR_MILLISECOND) {
        cor_yield();
    }
    while (get(&of->done) == 0 && !somebody_waits(of->conn, CORI_KIND_CONN, CORI_READ)) {
        cor_yield();
    }
    T_CODE(cor_set_read_deadline(of->conn, LONG_AGO), 0);
}

/* Registers a connection here and has it read by the other worker, raw or not; true if that ends while we are held. */
static bool ends_without_us(bool raw)
{
    cor_conn *peer;
    cor_group tasks = {0};
    far_reader of = {0};
    char byte;
    make_pair(KIND_TCP, &of.conn, &peer);
    T_CODE(cor_set_read_deadline(of.conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(of.conn, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(of.conn, 0), 0);
    go_on(1, &tasks, raw ? read_raw_far_away : read_far_away, &of);
    if (!raw) { /* what it waits for has come, and it is not told */
        T_PARKED(of.conn, CORI_READ);
        of.deadline = cor_after(WITHIN_NS);
        T_CODE(cor_set_read_deadline(of.conn, of.deadline), 0);
        write_all(peer, "bytes", 5);
    }
    go_on(1, &tasks, end_far_away, &of);
    int64_t limit = cor_after(COR_SECOND);
    while (get(&of.done) == 0 && cor_now() < limit) {}
    bool over = get(&of.done) != 0;
    wait_for(&tasks);
    T_ASSERT(of.result == COR_ETIMEOUT || (!raw && of.result == 1));
    close_pair(of.conn, peer);
    return over;
}

/* In the best of several attempts: the other worker may get no processor. */
TASK_TEST_WITH(a_reader_far_away_hears_of_its_deadline, &two_workers)
{
    for (int raw = 0; raw < 2; raw++) {
        bool over = false;
        for (int attempt = 0; !over && attempt < 5; attempt++) {
            over = ends_without_us(raw != 0);
        }
        T_REQUIRE(over, "raw: %d", raw);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_gets_what_came_in_time),
        cmocka_unit_test(a_look_finds_what_came_in_time),
        cmocka_unit_test(nothing_came),
        cmocka_unit_test(an_accept_gets_who_came_in_time),
        cmocka_unit_test(a_far_deadline_is_computed_past),
        cmocka_unit_test(a_reader_far_away_hears_of_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
