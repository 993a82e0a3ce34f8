/* SPDX-License-Identifier: MIT */
/* cor_serve when accepting fails: what passes and what does not, the back-off, and acceptors on other workers. */
/* test: serial */
#include "net/netcase.h"

#include "base/sys.h"
#include "net/listener.h"

#include <limits.h>

enum { WORKERS_MAX = 64 };

/* What accept calls give, and what cor_serve told. The fault hook has no argument, hence globals; all atomic. */
static int fail_code, fail_left, fail_on; /* fail_on: the worker, -1: any */
static int told_count, told_code, told_on[WORKERS_MAX];
static int64_t told_pause_ns, told_at;
static int64_t moved_at_ns; /* the pause at whose telling the deadline is moved; 0: none */
static cor_listener *listener;
static char address[COR_ADDR_TEXT];
static cor_group loop, handlers;
static int result;

static int hook(enum cori_sys_call call)
{
    if (call != CORI_SYS_ACCEPT || get(&fail_left) <= 0) {
        return 0;
    }
    int on = get(&fail_on);
    if (on >= 0 && on != cor_worker_id()) {
        return 0;
    }
    return add(&fail_left, -1) >= 0 ? get(&fail_code) : 0;
}

static void fail_next(int code, int count, int worker)
{
    __atomic_store_n(&fail_code, code, __ATOMIC_RELEASE);
    __atomic_store_n(&fail_on, worker, __ATOMIC_RELEASE);
    __atomic_store_n(&fail_left, count, __ATOMIC_RELEASE);
}

static void tell(int code, int64_t pause_ns, void *arg)
{
    (void)arg;
    __atomic_store_n(&told_code, code, __ATOMIC_RELEASE);
    __atomic_store_n(&told_pause_ns, pause_ns, __ATOMIC_RELEASE);
    (void)add(&told_on[cor_worker_id() % WORKERS_MAX], 1);
    (void)add(&told_count, 1);
    if (moved_at_ns != 0 && pause_ns == moved_at_ns) {
        told_at = cor_now();
        fail_next(0, 0, -1);
        T_CODE(cor_listener_set_deadline(listener, cor_after(FAR_AWAY)), 0);
    }
}

static void greet(cor_conn *conn, void *arg)
{
    (void)arg;
    write_all(conn, "!", 1);
    T_CODE(cor_close(conn), 0);
}

static void serve_task(void *arg)
{
    (void)arg;
    result = cor_serve(listener, &handlers, greet, NULL);
}

static void start_serving(void)
{
    const char *network;
    result = 1;
    listener = listen_kind(KIND_TCP, &network, address);
    T_CODE(cor_listener_on_pause(listener, tell, NULL), 0);
    go_on(0, &loop, serve_task, NULL);
}

static void expect_served(void)
{
    cor_conn *client;
    char byte;
    T_CODE(cor_dial(&client, "tcp", address, NULL), 0);
    T_CODE(cor_set_read_deadline(client, cor_after(SOON * taskcase_patience())), 0);
    T_EQ(cor_read(client, &byte, 1), 1);
    T_CODE(cor_close(client), 0);
}

static void stop_serving(void)
{
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&loop);
    T_CODE(result, 0);
    wait_for(&handlers);
}

/* accept(2): what was pending on a connection, what a firewall forbids, what is lacking. */
TASK_TEST(passing_errors)
{
    static const int codes[] = {ENETDOWN,   EPROTO,    ENOPROTOOPT, EHOSTDOWN, ENONET,          EHOSTUNREACH,
                                EOPNOTSUPP, EPERM,     ENETUNREACH, ENOBUFS,   ENOMEM,          EMFILE,
                                ENFILE,     ETIMEDOUT, ENOSR,       EPERM,     ESOCKTNOSUPPORT, EPROTONOSUPPORT,
                                ECONNRESET, EINTR,     ECONNABORTED};
    start_serving();
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        fail_next(-codes[i], 1, -1);
        expect_served();
        expect_served();
    }
    T_EQ(get(&fail_left), 0);
    stop_serving();
}

static const cor_options one_worker = {.workers = 1};

/* Pauses double, and begin anew after a success. */
TASK_TEST_WITH(the_pause_is_reset, &one_worker)
{
    start_serving();
    fail_next(-EMFILE, 2, -1);
    expect_served();
    T_EQ(get(&told_count), 2);
    T_EQ(told_pause_ns, 10 * COR_MILLISECOND);
    fail_next(-EMFILE, 1, -1);
    expect_served();
    T_EQ(get(&told_count), 3);
    T_EQ(told_pause_ns, 5 * COR_MILLISECOND);
    stop_serving();
}

/* What is wrong with the listener ends accepting: in the calling task it ends cor_serve. */
TASK_TEST_WITH(the_listener_itself, &one_worker)
{
    cor_conn *client;
    start_serving();
    fail_next(-EINVAL, 1, -1);
    T_CODE(cor_dial(&client, "tcp", address, NULL), 0);
    wait_for(&loop);
    T_CODE(result, -EINVAL);
    T_EQ(get(&told_count), 0);
    T_CODE(cor_close(client), 0);
    T_CODE(cor_listener_close(listener), 0);
}

static const cor_options two_workers = {.workers = 2};

/* An acceptor that is lost on another worker is told, and the others go on. */
TASK_TEST_WITH(a_lost_acceptor, &two_workers)
{
    start_serving();
    fail_next(-EBADF, 1, 1);
    T_EVENTUALLY((expect_served(), get(&told_count) == 1), SOON);
    T_CODE(told_code, -EBADF);
    T_EQ(told_pause_ns, 0);
    T_EQ(get(&told_on[1]), 1);
    expect_served();
    stop_serving();
}

static bool told_everywhere(void)
{
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    for (int i = 0; i < stats.workers && i < WORKERS_MAX; i++) {
        if (get(&told_on[i]) == 0) {
            return false;
        }
    }
    return true;
}

/* The listener's deadline is every acceptor's, also of those that come later. */
TASK_TEST(deadline_of_all_acceptors)
{
    start_serving();
    expect_served();
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    T_EVENTUALLY(told_everywhere(), SOON);
    T_CODE(get(&told_code), COR_ETIMEOUT); /* they may tell it again */
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    expect_served();
    stop_serving();
}

TASK_TEST(deadline_of_acceptors_to_come)
{
    const char *network;
    listener = listen_kind(KIND_TCP, &network, address);
    T_CODE(cor_listener_on_pause(listener, tell, NULL), 0);
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    go_on(0, &loop, serve_task, NULL);
    T_EVENTUALLY(told_everywhere(), SOON);
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    expect_served();
    stop_serving();
}

enum ending { BY_CLOSE, BY_CANCEL, BY_DEADLINE, ENDINGS };

/* Serves without descriptors until a pause of 320 ms has begun; how long what ends it takes then. */
static int64_t time_to_end_a_pause(enum ending by)
{
    cor_conn *client;
    __atomic_store_n(&told_pause_ns, 0, __ATOMIC_RELEASE);
    start_serving();
    fail_next(-EMFILE, INT_MAX, -1);
    T_CODE(cor_dial(&client, "tcp", address, NULL), 0);
    T_EVENTUALLY(__atomic_load_n(&told_pause_ns, __ATOMIC_ACQUIRE) >= 320 * COR_MILLISECOND, SOON);
    fail_next(0, 0, -1);
    int64_t begun = cor_now();
    if (by == BY_DEADLINE) {
        char byte;
        T_CODE(cor_listener_set_deadline(listener, cor_after(FAR_AWAY)), 0);
        read_all(client, &byte, 1);
    } else if (by == BY_CANCEL) {
        cor_group_cancel(&loop);
        wait_for(&loop);
        T_CODE(result, COR_ECANCELED);
        loop = (cor_group){0};
    } else {
        T_CODE(cor_listener_close(listener), 0);
        wait_for(&loop);
        T_CODE(result, 0);
    }
    int64_t took_ns = cor_now() - begun;
    if (by != BY_CLOSE) {
        T_CODE(cor_listener_close(listener), 0);
    }
    wait_for(&loop);
    wait_for(&handlers);
    T_CODE(cor_close(client), 0);
    return took_ns;
}

/* N069: what ends waiting for a connection ends a pause too. In the best of several attempts: others delay all. */
TASK_TEST(pauses_end_at_once)
{
    for (enum ending by = BY_CLOSE; by < ENDINGS; by++) {
        int64_t took_ns = 0;
        T_ATTEMPT(took_ns = time_to_end_a_pause(by), took_ns < 160 * COR_MILLISECOND);
    }
}

/* How long after a pause of 320 ms was told, and the deadline moved then, a client is served. */
static int64_t time_to_serve_again(void)
{
    cor_conn *client;
    char byte;
    moved_at_ns = 320 * COR_MILLISECOND;
    told_at = 0;
    start_serving();
    fail_next(-EMFILE, INT_MAX, -1);
    T_CODE(cor_dial(&client, "tcp", address, NULL), 0);
    read_all(client, &byte, 1);
    int64_t took_ns = cor_now() - told_at;
    moved_at_ns = 0;
    T_CODE(cor_close(client), 0);
    stop_serving();
    return took_ns;
}

/* Who is told of a pause may move the deadline at once. */
TASK_TEST_WITH(a_pause_that_is_told_ends, &one_worker)
{
    int64_t took_ns = 0;
    T_ATTEMPT(took_ns = time_to_serve_again(), took_ns < 160 * COR_MILLISECOND);
}

static void pause_for(void *pause_ns)
{
    cori_listener_pause(listener, *(int64_t *)pause_ns, 0);
}

/* Two that serve one listener: neither waits for the end of the other's pause. */
TASK_TEST(pauses_are_apart)
{
    const char *network;
    cor_group first = {0}, second = {0};
    int64_t far = FAR_AWAY, brief = BRIEFLY;
    listener = listen_kind(KIND_TCP, &network, address);
    go_in(&first, pause_for, &far);
    T_EVENTUALLY(somebody_waits(listener, CORI_KIND_LISTENER, CORI_WRITE), SOON);
    go_in(&second, pause_for, &brief);
    wait_for(&second);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&first);
}

static int with_hook(void **state)
{
    (void)state;
    cori_sys_fault = hook;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passing_errors),
        cmocka_unit_test(the_pause_is_reset),
        cmocka_unit_test(the_listener_itself),
        cmocka_unit_test(a_lost_acceptor),
        cmocka_unit_test(deadline_of_all_acceptors),
        cmocka_unit_test(deadline_of_acceptors_to_come),
        cmocka_unit_test(pauses_end_at_once),
        cmocka_unit_test(a_pause_that_is_told_ends),
        cmocka_unit_test(pauses_are_apart),
    };
    return cmocka_run_group_tests(tests, with_hook, NULL);
}
