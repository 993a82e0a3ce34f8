/* SPDX-License-Identifier: MIT */
/*
 * Every system call and every allocation of a small conversation fails once, in turn: each time the conversation ends
 * with an error or not, but it ends, and leaves nothing behind.
 */
/* test: workers=1 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc */
#include "net/netcase.h"
#include "support/faults.h"

#include <coracle/io.h>
#include <coracle/lines.h>
#include <dirent.h>

enum { FAULTS_MAX = 400, ROUND_TRIPS = 1000 };

static const cor_options one_worker = {.workers = 1};
static const char *network, *address;

static int count_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static int answer(cor_conn *server)
{
    cor_lines lines = cor_lines_of(server, 100);
    char *line = NULL;
    int rc = cor_lines_next(&lines, &line, NULL);
    if (rc == 1) {
        rc = (int)cor_printf(server, "%s, %300s", line, "padding");
    }
    cor_lines_free(&lines);
    return rc;
}

static int converse(cor_conn *client, cor_conn *server)
{
    cor_buffer buffer;
    int rc = cor_set_deadline(client, cor_after(COR_SECOND));
    rc = rc < 0 ? rc : cor_set_deadline(server, cor_after(COR_SECOND));
    rc = rc < 0 ? rc : (int)cor_write(client, "hello\n", 6);
    rc = rc < 0 ? rc : answer(server);
    rc = rc < 0 ? rc : cor_close_write(server);
    while (rc >= 0) {
        rc = (int)cor_read_buffer(client, &buffer);
        if (rc <= 0) {
            break;
        }
        cor_buffer_free(&buffer);
    }
    return rc;
}

/* The whole of it; gives the first error. */
static int conversation(void *arg)
{
    (void)arg;
    char at[COR_ADDR_TEXT];
    cor_listener *listener;
    cor_conn *client, *server;
    int rc = cor_listen(&listener, network, address, NULL);
    if (rc < 0) {
        return rc;
    }
    (void)cor_listener_addr(listener, at, sizeof(at));
    rc = cor_listener_set_deadline(listener, cor_after(COR_SECOND));
    if (rc == 0 && (rc = cor_dial_until(&client, network, at, cor_after(COR_SECOND), NULL)) == 0) {
        if ((rc = cor_accept(listener, &server)) == 0) {
            rc = converse(client, server);
            (void)cor_close(server);
        }
        (void)cor_close(client);
    }
    int close_rc = cor_listener_close(listener);
    return rc != 0 ? rc : close_rc;
}

static int pipe_conversation(void *arg)
{
    (void)arg;
    cor_conn *a, *b;
    int rc = cor_pipe(&a, &b);
    if (rc < 0) {
        return rc;
    }
    rc = cor_set_deadline(a, cor_after(COR_MILLISECOND));
    rc = rc < 0 ? rc : (int)cor_write(a, "nobody reads", 12);
    (void)cor_close(a);
    (void)cor_close(b);
    return rc == COR_ETIMEOUT ? 0 : rc;
}

/* Runs `main_task` with the 1st, 2nd, 3rd ... fault until none happens. */
static void fail_each(int (*main_task)(void *arg), void (*set)(unsigned nth), bool (*hit)(void))
{
    int fds = count_fds();
    bool failed = true;
    unsigned nth = 1;
    for (; failed && nth < FAULTS_MAX; nth++) {
        set(nth);
        int rc = cor_run(main_task, NULL, &one_worker); /* each has calls of its own to fail */
        failed = hit();
        assert_true(failed || rc == 0);
        assert_true(rc <= 0);
        assert_int_equal(count_fds(), fds);
    }
    faults_clear();
    faults_alloc_set(0);
    assert_false(failed);
    assert_true(nth > 3);
}

static int fault_code;

static void set_call(unsigned nth)
{
    faults_set(FAULTS_ANY, nth, fault_code);
}

/* N271 */
static void each_system_call_fails(void **state)
{
    static const char *const places[][2] = {{"tcp", "127.0.0.1:0"}, {"unix", "@cor-test-faults"}};
    static const int codes[] = {-ENOMEM, -EMFILE, -EIO, -ECONNABORTED};
    (void)state;
    for (size_t i = 0; i < 2 * 4; i++) {
        network = places[i / 4][0];
        address = places[i / 4][1];
        fault_code = codes[i % 4];
        fail_each(conversation, set_call, faults_hit);
    }
}

static void each_allocation_fails(void **state)
{
    (void)state;
    network = "tcp";
    address = "127.0.0.1:0";
    fail_each(conversation, faults_alloc_set, faults_alloc_hit);
    network = "unix";
    address = "@cor-test-faults";
    fail_each(conversation, faults_alloc_set, faults_alloc_hit);
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/cor-test-faults-%d", (int)getpid());
    address = path; /* the socket file is gone each time, or listening again would fail */
    fail_each(conversation, faults_alloc_set, faults_alloc_hit);
    assert_int_not_equal(access(path, F_OK), 0);
    fail_each(pipe_conversation, faults_alloc_set, faults_alloc_hit);
}

/* N145 */
TASK_TEST_WITH(steady_traffic_allocates_nothing, &one_worker)
{
    static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX};
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char byte = 'x';
        make_pair(kinds[i], &a, &b);
        for (int round = 0; round < ROUND_TRIPS; round++) {
            if (round == 1) {
                faults_alloc_set(1);
            }
            T_CODE(cor_set_deadline(a, cor_after(COR_SECOND + round)), 0);
            write_all(a, &byte, 1);
            read_all(b, &byte, 1);
            write_all(b, &byte, 1);
            read_all(a, &byte, 1);
        }
        bool allocated = faults_alloc_hit();
        faults_alloc_set(0);
        T_ASSERT(!allocated);
        close_pair(a, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_system_call_fails),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(steady_traffic_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
