/* SPDX-License-Identifier: MIT */
/* Names of hosts by DNS: who asks what when. What comes back: test_answers.c. */
#include "net/nameserver.h"

enum { ASKERS = 8, MANY_NAMES = 100, CANCELLED = 600 };

/* Literals, with zones too, are given back as they are, and nobody is asked (N274). */
TASK_TEST(literals_ask_nobody)
{
    char out[1][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, 1, "127.0.0.1", 0, NULL), 1);
    T_STR(out[0], "127.0.0.1");
    T_EQ(cor_lookup_host(out, 1, "fe80::1%1", 0, NULL), 1);
    T_STR(out[0], "fe80::1%1");
    T_EQ(get(&own.questions), 0);
    end(&own, &tasks);
}

/* Both families are asked for, and what one has is enough (N282). */
TASK_TEST(both_families)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "both.example.test", 0, NULL), 2);
    bool v6_first = strcmp(out[0], "2001:db8::6") == 0;
    T_STR(out[v6_first], "192.0.2.1");
    T_STR(out[!v6_first], "2001:db8::6");
    T_EQ(cor_lookup_host(out, 1, "both.example.test", 0, NULL), 1);
    T_EQ(cor_lookup_host(out, MOST, "four.example.test.", 0, NULL), 1);
    T_STR(out[0], "192.0.2.1");
    end(&own, &tasks);
}

/*
 * Go's words and classes for what can go wrong (N066, N275, N290, N289: "invalid." is asked for as any name);
 * names that cannot be are not asked for.
 */
TASK_TEST(errors)
{
    static const char *const bad[] = {"",         "-x.test", "x-.test", "a..test", "12.34",
                                      "a b.test", ".test",   "x.onion", "x.ONION."};
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options attempts:1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "lookup %s: no such host", bad[i]);
        expect_error(bad[i], 0, COR_ENO_SUCH_HOST, text);
    }
    T_EQ(get(&own.questions), 0);
    expect_error("invalid.", 0, COR_ENO_SUCH_HOST, "lookup invalid.: no such host");
    T_EQ(get(&own.questions), 2);
    expect_error("nowhere.example.test", 0, COR_ENO_SUCH_HOST, "lookup nowhere.example.test: no such host");
    expect_error("fails.example.test", 0, COR_ESERVER_MISBEHAVING, "lookup fails.example.test: server misbehaving");
    T_ASSERT(cor_is_temporary(COR_ESERVER_MISBEHAVING) && !cor_is_timeout(COR_ESERVER_MISBEHAVING));
    end(&own, &tasks);
}

/* The search list is gone through for short names; the error names what was asked for (N288). */
TASK_TEST(search_list)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "search lost.test found.test");
    T_EQ(cor_lookup_host(out, MOST, "short", 0, NULL), 1);
    T_STR(out[0], "192.0.2.1");
    expect_error("short.", 0, COR_ENO_SUCH_HOST, "lookup short.: no such host");
    end(&own, &tasks);
}

/* A server that does not answer: the deadline ends the lookup, or the servers' own time (N067, N287). */
TASK_TEST(no_answer)
{
    server own = {.silent = true};
    cor_group tasks = {0};
    begin(&own, &tasks, "options timeout:1 attempts:1");
    expect_error("both.test", cor_after(BRIEFLY), COR_ETIMEOUT, "lookup both.test: i/o timeout");
    expect_error("both.test", LONG_AGO, COR_ETIMEOUT, "lookup both.test: i/o timeout");
    int64_t before = cor_now();
    expect_error("both.test", 0, COR_ETIMEOUT, "lookup both.test: i/o timeout");
    T_ASSERT(cor_now() - before >= COR_SECOND / 2);
    end(&own, &tasks);
}

static void look_up_both(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL);
}

/* Lookups of one name at the same time are one, on each worker; a task that is cancelled ends its own only (N283). */
TASK_TEST(merged)
{
    server own = {.silent = true};
    cor_group servers = {0}, leaving = {0}, staying = {0};
    int left[ASKERS] = {0}, stayed[ASKERS] = {0};
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < ASKERS; i++) {
        go_on(0, &leaving, look_up_both, &left[i]);
        go_on(0, &staying, look_up_both, &stayed[i]);
    }
    T_EVENTUALLY(get(&own.questions) == 2, SOON);
    cor_group_cancel(&leaving);
    (void)cor_group_wait(&leaving, cor_after(SOON));
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE); /* the next attempt is answered */
    wait_for(&staying);
    for (int i = 0; i < ASKERS; i++) {
        T_CODE(left[i], COR_ECANCELED);
        T_EQ(stayed[i], 2);
    }
    T_ASSERT(get(&own.questions) <= 6);
    end(&own, &servers);
}

/* As look_up_both, without a deadline: at one, a task that was not told would look by itself. */
static void wait_for_both(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "both.test", 0, NULL);
}

static void look_up_mute(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "mute.test", 0, NULL);
}

/* Answers reach all that wait for them while the task that drives still waits for its own. */
TASK_TEST(answers_of_others)
{
    server own = {0};
    cor_group servers = {0}, mute = {0}, tasks = {0};
    int silence = 0, found[ASKERS] = {0};
    begin(&own, &servers, "options timeout:30 attempts:1");
    go_on(0, &mute, look_up_mute, &silence);
    T_EVENTUALLY(get(&own.questions) == 2, SOON);
    for (int i = 0; i < ASKERS; i++) {
        go_on(0, &tasks, wait_for_both, &found[i]);
    }
    wait_for(&tasks);
    for (int i = 0; i < ASKERS; i++) {
        T_EQ(found[i], 2);
    }
    T_EQ(get(&own.questions), 4);
    cor_group_cancel(&mute);
    (void)cor_group_wait(&mute, cor_after(SOON));
    T_CODE(silence, COR_ECANCELED);
    end(&own, &servers);
}

static void look_up_own(void *arg)
{
    char name[32], out[MOST][COR_ADDR_TEXT];
    (void)snprintf(name, sizeof(name), "both.n%d.test", *(int *)arg);
    *(int *)arg = cor_lookup_host(out, MOST, name, 0, NULL);
}

/* This task and the server's, which waits for its socket; no resolver. */
static bool only_the_server_is_left(void)
{
    cor_runtime_stats stats = {0};
    return cor_stats(&stats) == 0 && stats.tasks <= 2 && stats.connections <= 1;
}

/* After many lookups that were cancelled the next one works, and no descriptor is left (N294). */
TASK_TEST(many_cancelled)
{
    server own = {.silent = true};
    cor_group servers = {0}, tasks = {0};
    static int numbers[CANCELLED];
    char out[MOST][COR_ADDR_TEXT];
    begin(&own, &servers, "");
    for (int i = 0; i < CANCELLED; i++) {
        numbers[i] = i;
        go_on(i, &tasks, look_up_own, &numbers[i]);
    }
    T_EVENTUALLY(get(&own.questions) >= 200, SOON); /* the others queue */
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    for (int i = 0; i < CANCELLED; i++) {
        T_CODE(numbers[i], COR_ECANCELED);
    }
    T_EVENTUALLY(only_the_server_is_left(), SOON);
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    end(&own, &servers);
}

/* Many names on all workers at once. */
TASK_TEST(many_at_once)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    int numbers[MANY_NAMES];
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < MANY_NAMES; i++) {
        numbers[i] = i;
        go_on(i, &tasks, look_up_own, &numbers[i]);
    }
    wait_for(&tasks);
    for (int i = 0; i < MANY_NAMES; i++) {
        T_EQ(numbers[i], 2);
    }
    end(&own, &servers);
}

static void dial_silent(void *arg)
{
    cor_conn *conn;
    cor_error error = {0};
    char shown[COR_ERROR_TEXT];
    *(int *)arg = cor_dial(&conn, "tcp", "here.test:1", &error);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), "dial tcp: lookup here.test: operation was canceled");
}

static void expect_dial_error(const char *network, const char *address, int64_t deadline, int code, const char *text)
{
    char shown[COR_ERROR_TEXT];
    cor_error error = {0};
    cor_conn *conn;
    T_CODE(cor_dial_until(&conn, network, address, deadline, &error), code);
    T_STR(without_server(cor_error_text(&error, shown, sizeof(shown))), text);
}

/* A dial by name asks for the families of its network (N283), within its deadline (N067, N111) and its group (N297). A
 * listener may have a name too (N080). */
TASK_TEST(dial_by_name)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    cor_listener *listener;
    cor_conn *conn;
    char at[COR_ADDR_TEXT], host[COR_ADDR_TEXT], port[COR_ADDR_TEXT];
    int left = 0;
    begin(&own, &servers, "options timeout:1 attempts:1");
    T_CODE(cor_listen(&listener, "tcp4", "here.test:0", NULL), 0);
    T_EQ(get(&own.questions), 1);
    (void)cor_listener_addr(listener, at, sizeof(at));
    T_CODE(cor_split_host_port(at, host, sizeof(host), port, sizeof(port)), 0);
    (void)snprintf(host, sizeof(host), "here.test:%s", port);
    T_CODE(cor_dial(&conn, "tcp", host, NULL), 0);
    T_EQ(get(&own.questions), 3);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_listener_close(listener), 0);
    expect_dial_error("tcp6", "here.test:1", 0, COR_ENO_SUCH_HOST, "dial tcp6: lookup here.test: no such host");
    expect_dial_error("tcp", "fails.test:1", 0, COR_ESERVER_MISBEHAVING,
                      "dial tcp: lookup fails.test: server misbehaving");
    __atomic_store_n(&own.silent, true, __ATOMIC_RELEASE);
    expect_dial_error("tcp", "here.test:1", cor_after(BRIEFLY), COR_ETIMEOUT,
                      "dial tcp: lookup here.test: i/o timeout");
    int asked = get(&own.questions);
    go_on(0, &tasks, dial_silent, &left);
    T_EVENTUALLY(get(&own.questions) > asked, SOON);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    T_CODE(left, COR_ECANCELED);
    end(&own, &servers);
}

/* errno is the task's, whatever the lookup did to it, and whether it worked. */
TASK_TEST(errno_stays)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group servers = {0};
    begin(&own, &servers, "options timeout:1 attempts:1");
    errno = EXDEV;
    T_EQ(cor_lookup_host(out, MOST, "both.test", 0, NULL), 2);
    T_EQ(errno, EXDEV);
    expect_error("nowhere.test", 0, COR_ENO_SUCH_HOST, "lookup nowhere.test: no such host");
    T_EQ(errno, EXDEV);
    T_EQ(setenv("COR_RESOLV_CONF", "/nowhere/resolv.conf", 1), 0); /* then the servers of this host are asked */
    T_ASSERT(cor_lookup_host(out, MOST, "-", cor_after(BRIEFLY), NULL) < 0);
    T_ASSERT(cor_lookup_host(out, MOST, "nowhere.test", LONG_AGO, NULL) < 0);
    T_EQ(errno, EXDEV);
    end(&own, &servers);
}

static void look_up_and_yield(void *arg)
{
    int number = *(int *)arg;
    for (int i = 0; i < 4; i++) {
        *(int *)arg = number;
        look_up_own(arg);
        cor_yield();
    }
}

/* Floating tasks change workers between lookups, and not within one. */
TASK_TEST(floating)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    int numbers[MANY_NAMES];
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < MANY_NAMES; i++) {
        numbers[i] = i;
        cori_spawn spawn = {.entry = call_task,
                            .arg_a = (void *)(uintptr_t)look_up_and_yield,
                            .arg_b = &numbers[i],
                            .function = look_up_and_yield,
                            .worker = -1,
                            .floats = true};
        T_CODE(cori_group_start(&tasks, &spawn), 0);
    }
    wait_for(&tasks);
    for (int i = 0; i < MANY_NAMES; i++) {
        T_EQ(numbers[i], 2);
    }
    end(&own, &servers);
}

/* More lookups than may be asked at a time queue; one that is cancelled in the queue is never asked. */
TASK_TEST(queued)
{
    enum { MANY = 250 };
    server own = {.silent = true};
    cor_group servers = {0}, tasks = {0};
    static int numbers[MANY];
    char out[MOST][COR_ADDR_TEXT];
    begin(&own, &servers, "options timeout:60 attempts:1");
    for (int i = 0; i < MANY; i++) {
        numbers[i] = i;
        go_on(0, &tasks, look_up_own, &numbers[i]);
    }
    T_EVENTUALLY(get(&own.questions) >= 200, SOON);
    T_EQ(get(&own.questions), 200);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    T_EQ(get(&own.questions), 200);
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    end(&own, &servers);
}

/* A lookup under way when the main task returns leaves nothing. */
TASK_TEST(abandoned)
{
    static server own = {.silent = true};
    static cor_group servers;
    static int numbers[2];
    begin(&own, &servers, "");
    T_CODE(cor_go(look_up_own, &numbers[0]), 0);
    T_CODE(cor_go(look_up_own, &numbers[1]), 0);
    T_EVENTUALLY(get(&own.questions) >= 2, SOON);
    end(&own, &servers);
    taskcase_leaves_tasks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_ask_nobody),
        cmocka_unit_test(both_families),
        cmocka_unit_test(errors),
        cmocka_unit_test(search_list),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(merged),
        cmocka_unit_test(answers_of_others),
        cmocka_unit_test(many_cancelled),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(dial_by_name),
        cmocka_unit_test(errno_stays),
        cmocka_unit_test(floating),
        cmocka_unit_test(queued),
        cmocka_unit_test(abandoned),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
