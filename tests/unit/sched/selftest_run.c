/* SPDX-License-Identifier: MIT */
/*
 * The whole library in one sitting, without a test framework, so that an emulated CPU can run it too: tasks, sleep,
 * channels, select, locks, groups, a foreign thread, blocking calls and an echo over loopback. Plain program: says what
 * failed, exits with 1.
 */
#include <coracle.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { TASKS = 200, MESSAGES = 500, CLIENTS = 20, ROUNDS = 10 };

/* Every wait in here ends by then: a lost wake-up fails a check and does not hang the test. */
#define PATIENCE cor_after(30 * COR_SECOND)

static int failures;

/* Never leaves the function: on a task's stack nothing may jump out. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
            (void)__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);                                                  \
        }                                                                                                              \
    } while (0)

static cor_mutex counter_lock;
static long counter;

/* Adds in two steps around a yield: only the lock keeps the count right. */
static void count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        cor_mutex_lock(&counter_lock);
        long seen = counter;
        cor_yield();
        counter = seen + 1;
        cor_mutex_unlock(&counter_lock);
    }
}

static void test_tasks_and_locks(void)
{
    cor_group group = {0};
    for (int i = 0; i < TASKS; i++) {
        CHECK(cor_group_go(&group, count_up, NULL) == 0);
    }
    CHECK(cor_group_wait(&group, PATIENCE) == 0);
    CHECK(counter == (long)TASKS * ROUNDS);
}

static void test_sleep(void)
{
    int64_t start = cor_now();
    CHECK(cor_sleep(5 * COR_MILLISECOND) == 0);
    CHECK(cor_now() - start >= 5 * COR_MILLISECOND);
}

typedef struct stream {
    cor_chan *values;
    cor_chan *done;
} stream;

static void send_values(void *arg)
{
    stream *out = arg;
    for (int i = 1; i <= MESSAGES; i++) {
        CHECK(cor_chan_send(out->values, &i, PATIENCE) == 0);
    }
    CHECK(cor_chan_send(out->done, NULL, PATIENCE) == 0);
}

/* Two senders, one receiver that selects between values and the senders' ends. */
static void test_channels(size_t capacity)
{
    stream both = {cor_chan_new(sizeof(int), capacity), cor_chan_new(0, 0)};
    int value = 0;
    int ended = 0;
    long sum = 0;
    CHECK(both.values != NULL && both.done != NULL);
    CHECK(cor_go(send_values, &both) == 0 && cor_go(send_values, &both) == 0);
    while (ended < 2) {
        cor_case cases[] = {{COR_RECV, both.values, &value, 0}, {COR_RECV, both.done, NULL, 0}};
        int chosen = cor_select(cases, 2, PATIENCE);
        CHECK(chosen == 0 || chosen == 1);
        if (chosen < 0) {
            return;
        }
        sum += chosen == 0 ? value : 0;
        ended += chosen;
    }
    while (cor_chan_try_recv(both.values, &value) == 1) {
        sum += value;
    }
    CHECK(sum == (long)MESSAGES * (MESSAGES + 1));
    CHECK(cor_chan_close(both.values) == 0 && cor_chan_recv(both.values, &value, PATIENCE) == 0 && value == 0);
    cor_chan_free(both.values);
    cor_chan_free(both.done);
}

static int add_one(void *arg)
{
    return *(int *)arg + 1;
}

static void greet_from_outside(void *arg)
{
    CHECK(cor_chan_send(arg, NULL, PATIENCE) == 0);
}

static void *foreign_thread(void *arg)
{
    CHECK(cor_task_id() == 0);
    CHECK(cor_go_foreign(greet_from_outside, arg) == 0);
    return NULL;
}

static void test_threads(void)
{
    int number = 41;
    pthread_t thread;
    cor_chan *greeting = cor_chan_new(0, 0);
    CHECK(cor_blocking(add_one, &number) == 42);
    CHECK(pthread_create(&thread, NULL, foreign_thread, greeting) == 0);
    CHECK(cor_chan_recv(greeting, NULL, PATIENCE) == 1);
    CHECK(pthread_join(thread, NULL) == 0);
    cor_chan_free(greeting);
}

static void echo(cor_conn *conn, void *arg)
{
    (void)arg;
    CHECK(cor_set_deadline(conn, PATIENCE) == 0);
    CHECK(cor_copy(conn, conn) == (int64_t)sizeof(int) * ROUNDS);
    CHECK(cor_close(conn) == 0);
}

static void serve(void *arg)
{
    cor_group handlers = {0};
    CHECK(cor_serve(arg, &handlers, echo, NULL) == 0);
    CHECK(cor_group_wait(&handlers, PATIENCE) == 0);
}

static void call(void *arg)
{
    cor_conn *conn = NULL;
    cor_error error = {0};
    char text[COR_ERROR_TEXT];
    if (cor_dial_until(&conn, "tcp", arg, PATIENCE, &error) < 0) {
        printf("%s\n", cor_error_text(&error, text, sizeof(text)));
        CHECK(!"dial");
        return;
    }
    CHECK(cor_set_deadline(conn, PATIENCE) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        int back = -1;
        size_t have = 0;
        CHECK(cor_write(conn, &i, sizeof(i)) == (ssize_t)sizeof(i));
        while (have < sizeof(back)) {
            ssize_t count = cor_read(conn, (char *)&back + have, sizeof(back) - have);
            CHECK(count > 0);
            if (count <= 0) {
                break;
            }
            have += (size_t)count;
        }
        CHECK(back == i);
    }
    CHECK(cor_close(conn) == 0);
}

static void test_echo(void)
{
    cor_listener *listener = NULL;
    cor_group server = {0};
    cor_group clients = {0};
    char address[COR_ADDR_TEXT];
    CHECK(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL) == 0);
    if (listener == NULL) {
        return;
    }
    (void)cor_listener_addr(listener, address, sizeof(address));
    CHECK(cor_group_go(&server, serve, listener) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(cor_group_go(&clients, call, address) == 0);
    }
    CHECK(cor_group_wait(&clients, PATIENCE) == 0);
    CHECK(cor_listener_close(listener) == 0);
    CHECK(cor_group_wait(&server, PATIENCE) == 0);
}

static int everything(void *arg)
{
    (void)arg;
    test_tasks_and_locks();
    test_sleep();
    test_channels(0);
    test_channels(8);
    test_threads();
    test_echo();
    return 17;
}

int main(void)
{
    cor_options options = {.foreign_wakeups = true};
    for (int i = 0; i < 2; i++) { /* twice: cor_run leaves nothing behind that would hinder the next */
        counter = 0;
        CHECK(cor_run(everything, NULL, &options) == 17);
    }
    printf("%s\n", failures == 0 ? "passed" : "FAILED");
    return failures != 0;
}
