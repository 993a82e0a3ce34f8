/* SPDX-License-Identifier: MIT */
/* The report of what is left at the end of cor_run: each thing with its place, and nothing where nothing is. */
/* test: workers=1,2 */
#include "support/child.h"
#include "support/taskcase.h"

#include <signal.h>
#include <stdio.h>

#define PLACE __attribute__((noinline)) COR_API

static const cor_options reporting = {.report_leaks = true};

/* Each is a place that the report has to name. */
PLACE int leave_task(void);
PLACE int leave_channel(void);
PLACE int leave_listener(cor_listener **listener);
PLACE int leave_connection(cor_listener *listener);

static void sleep_long(void *arg)
{
    (void)arg;
    (void)cor_sleep(COR_MINUTE);
}

int leave_task(void)
{
    cor_task_options named = {.name = "left behind"};
    int rc = cor_go_with(&named, sleep_long, NULL);
    return rc < 0 ? rc : 0;
}

static cor_chan *left; /* so that no checker calls it lost */

int leave_channel(void)
{
    left = cor_chan_new(8, 3);
    return left != NULL ? 0 : 1;
}

int leave_listener(cor_listener **listener)
{
    int rc = cor_listen(listener, "tcp", "127.0.0.1:0", NULL);
    return rc < 0 ? rc : 0;
}

int leave_connection(cor_listener *listener)
{
    char address[COR_ADDR_TEXT];
    cor_conn *conn;
    int rc = cor_dial(&conn, "tcp", cor_listener_addr(listener, address, sizeof(address)), NULL);
    return rc < 0 ? rc : 0;
}

static int leave_all(void *arg)
{
    cor_listener *listener;
    (void)arg;
    int rc = leave_task();
    rc = rc != 0 ? rc : leave_channel();
    rc = rc != 0 ? rc : leave_listener(&listener);
    rc = rc != 0 ? rc : leave_connection(listener);
    return rc != 0 ? rc : 7;
}

/* What comes and goes: each made and given back, some by tasks that have just said that they are done. */
static void handle(cor_conn *conn, void *arg)
{
    char text[8];
    (void)arg;
    if (cor_read(conn, text, sizeof(text)) > 0) {
        T_EQ(cor_write(conn, "y", 1), 1);
    }
    (void)cor_close(conn);
}

static void serve(void *arg)
{
    (void)cor_serve(arg, NULL, handle, NULL);
}

static void say_done(void *arg)
{
    T_CODE(cor_chan_send(arg, NULL, 0), 0);
}

static int leave_nothing(void *arg)
{
    char address[COR_ADDR_TEXT], text[8];
    cor_listener *listener;
    cor_conn *conn, *ends[2];
    (void)arg;
    int rc = leave_listener(&listener);
    rc = rc < 0 ? rc : cor_go(serve, listener);
    (void)cor_listener_addr(listener, address, sizeof(address));
    for (int i = 0; i < 5 && rc >= 0; i++) {
        rc = cor_dial(&conn, "tcp", address, NULL);
        rc = rc < 0 ? rc : (int)cor_write(conn, "x", 1);
        rc = rc < 0 ? rc : (int)cor_read(conn, text, sizeof(text));
        (void)cor_close(conn);
    }
    (void)cor_listener_close(listener);
    rc = rc < 0 ? rc : cor_pipe(&ends[0], &ends[1]);
    (void)cor_close(ends[0]);
    (void)cor_close(ends[1]);
    cor_chan *chan = cor_chan_new(0, 0);
    for (int i = 0; i < 20 && rc >= 0; i++) {
        rc = cor_go(say_done, chan);
        rc = rc < 0 ? rc : cor_chan_recv(chan, NULL, 0);
    }
    cor_chan_free(chan);
    return rc < 0 ? rc : 7;
}

static const cor_options *with; /* NULL: COR_LEAKS=1 */

static int start(void *fn)
{
    int (*main_task)(void *arg);
    *(void **)&main_task = fn;
    child_default_signals();
    if (with == NULL) {
        (void)setenv("COR_LEAKS", "1", 1);
    }
    int rc = cor_run(main_task, NULL, with);
    cor_chan_free(left);
    return rc;
}

static const char *output_of(int (*main_task)(void *arg), const cor_options *options)
{
    static child_result out;
    void *passed;
    *(int (**)(void *arg)) & passed = main_task;
    with = options;
    assert_true(child_run(start, passed, &out));
    if (out.exit_status != 7) {
        print_error("%s\n", out.output);
    }
    assert_int_equal(out.exit_status, 7);
    return out.output;
}

static void require(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_error("\"%s\" is not in:\n%s\n", part, text);
        fail();
    }
}

static void each_is_named_with_its_place(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        const char *said = output_of(leave_all, way == 0 ? &reporting : NULL);
        require(said, "there are tasks 1, channels 1, connections 1, listeners 1\n");
        require(said, "]: left behind\n    spawned at leave_task+");
        require(said, " for 3 values of 8 bytes, with 0 in it, made at\n    cor_chan_new+");
        require(said, "    leave_channel+");
        require(said, "listener tcp 127.0.0.1:");
        require(said, "    leave_listener+");
        require(said, "connection tcp 127.0.0.1:");
        require(said, " to 127.0.0.1:");
        require(said, "    leave_connection+");
    }
}

static void nothing_is_said_of_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(output_of(leave_nothing, &reporting), "");
    }
}

static void nothing_is_said_unasked(void **state)
{
    static const cor_options silent;
    (void)state;
    assert_string_equal(output_of(leave_all, &silent), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_named_with_its_place),
        cmocka_unit_test(nothing_is_said_of_nothing),
        cmocka_unit_test(nothing_is_said_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
