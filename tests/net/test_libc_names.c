/* SPDX-License-Identifier: MIT */
/* COR_RESOLVER=libc: getaddrinfo, here a slow one, on threads of its own; nobody has to wait for it. */
/* link: -Wl,--wrap=getaddrinfo,--wrap=freeaddrinfo */
#include "net/netcase.h"

#include <coracle/lookup.h>

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>

enum { MOST = 8, THREADS = 4, HALF = THREADS / 2, MANY = 600, RECORDS = 40 };

static const cor_options four_threads = {.blocking_threads = THREADS};

/* The C library of these tests: it answers names by their first letter, and waits while the gate is closed. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    int inside, most, calls, given, freed; /* guard: lock */
} libc = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *first);

static struct addrinfo *address(int family, int number, struct addrinfo *next)
{
    struct addrinfo *one = calloc(1, sizeof(*one) + sizeof(struct sockaddr_in6));
    one->ai_family = family;
    one->ai_addr = (struct sockaddr *)(void *)(one + 1);
    one->ai_next = next;
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)one->ai_addr;
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000200U + (unsigned)number)};
        one->ai_addrlen = sizeof(*in);
    } else {
        struct sockaddr_in6 *in6 = (void *)one->ai_addr;
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        one->ai_addrlen = sizeof(*in6);
    }
    return one;
}

static int script(const char *host, int family, struct addrinfo **out)
{
    switch (host[0]) {
    case 'n':
        return EAI_NONAME;
    case 'a':
        return EAI_AGAIN;
    case 's':
        errno = EMFILE;
        return EAI_SYSTEM;
    default:
        *out = NULL;
        for (int i = family == AF_INET6 ? 0 : host[0] == 'm' ? RECORDS : 1; i > 0; i--) {
            *out = address(AF_INET, i, *out);
        }
        *out = family == AF_INET ? *out : address(AF_INET6, 0, *out);
        return 0;
    }
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    T_ASSERT(port == NULL && hints->ai_socktype == SOCK_STREAM && cor_worker_id() < 0);
    (void)pthread_mutex_lock(&libc.lock);
    libc.calls++;
    libc.inside++;
    libc.most = libc.inside > libc.most ? libc.inside : libc.most;
    while (libc.closed) {
        (void)pthread_cond_wait(&libc.changed, &libc.lock);
    }
    libc.inside--;
    int rc = script(host, hints->ai_family, out);
    libc.given += rc == 0;
    (void)pthread_mutex_unlock(&libc.lock);
    return rc;
}

void __wrap_freeaddrinfo(struct addrinfo *first)
{
    while (first != NULL) {
        struct addrinfo *next = first->ai_next;
        free(first);
        first = next;
    }
    (void)pthread_mutex_lock(&libc.lock);
    libc.freed++;
    (void)pthread_mutex_unlock(&libc.lock);
}

static void close_gate(bool closed)
{
    (void)pthread_mutex_lock(&libc.lock);
    libc.closed = closed;
    (void)pthread_cond_broadcast(&libc.changed);
    (void)pthread_mutex_unlock(&libc.lock);
}

static int seen(const int *counter)
{
    (void)pthread_mutex_lock(&libc.lock);
    int value = *counter;
    (void)pthread_mutex_unlock(&libc.lock);
    return value;
}

static void begin(void)
{
    T_EQ(setenv("COR_RESOLVER", "libc", 1), 0);
}

/* N276: addresses come in the C library's order, by family, and all of them; literals ask nobody. */
TASK_TEST_WITH(answers, &four_threads)
{
    char out[MOST][COR_ADDR_TEXT];
    cor_records *found = NULL;
    begin();
    T_EQ(cor_lookup_host(out, MOST, "both.test", 0, NULL), 2);
    T_STR(out[0], "::1");
    T_STR(out[1], "192.0.2.1");
    T_EQ(cor_lookup_host(out, MOST, "192.0.2.77", 0, NULL), 1);
    T_CODE(cor_lookup_ip(&found, "ip4", "many.test", 0, NULL), 0);
    T_EQ(found->count, RECORDS);
    T_STR(found->list[RECORDS - 1].text, "192.0.2.40");
    T_STR(found->server, "libc");
    cor_records_free(found);
    T_CODE(cor_lookup_ip(&found, "ip6", "both.test", 0, NULL), 0);
    T_EQ(found->count, 1);
    cor_records_free(found);
    T_EQ(seen(&libc.calls), 3);
    T_EQ(seen(&libc.given), seen(&libc.freed));
}

static void expect_error(const char *name, int code, const char *text)
{
    char out[MOST][COR_ADDR_TEXT], shown[COR_ERROR_TEXT];
    cor_error error = {0};
    errno = EXDEV;
    T_CODE(cor_lookup_host(out, MOST, name, 0, &error), code);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
    T_EQ(errno, EXDEV);
}

/* Its errors in Go's classes (N066); a dial tells them as its own. */
TASK_TEST_WITH(errors, &four_threads)
{
    cor_conn *conn;
    cor_error error = {0};
    char shown[COR_ERROR_TEXT];
    begin();
    expect_error("none.test", COR_ENO_SUCH_HOST, "lookup none.test: no such host");
    expect_error("again.test", COR_ESERVER_MISBEHAVING, "lookup again.test: server misbehaving");
    expect_error("system.test", -EMFILE, "lookup system.test: too many open files");
    expect_error("", COR_ENO_SUCH_HOST, "lookup : no such host");
    T_CODE(cor_dial(&conn, "tcp", "none.test:1", &error), COR_ENO_SUCH_HOST);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), "dial tcp: lookup none.test: no such host");
}

static void look_up(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "both.test", 0, NULL);
}

static int double_it(void *arg)
{
    return 2 * *(int *)arg;
}

/*
 * N294: at most half as many threads as cor_blocking may have are in it. A deadline and a cancel end the wait while
 * the call goes on; meanwhile cor_blocking has all its threads, and afterwards the next lookup works.
 */
TASK_TEST_WITH(slow, &four_threads)
{
    static int results[MANY];
    char out[MOST][COR_ADDR_TEXT];
    cor_group group = {0};
    begin();
    close_gate(true);
    T_CODE(cor_lookup_host(out, MOST, "both.test", cor_after(BRIEFLY), NULL), COR_ETIMEOUT);
    for (int i = 0; i < MANY; i++) {
        go_on(i, &group, look_up, &results[i]);
    }
    T_EVENTUALLY(seen(&libc.inside) == HALF, SOON);
    int number = 21;
    T_EQ(cor_blocking(double_it, &number), 42);
    cor_group_cancel(&group);
    (void)cor_group_wait(&group, cor_after(SOON));
    for (int i = 0; i < MANY; i++) {
        T_CODE(results[i], COR_ECANCELED);
    }
    T_EQ(seen(&libc.inside), HALF);
    close_gate(false);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    T_EVENTUALLY(seen(&libc.freed) == seen(&libc.given) && seen(&libc.inside) == 0, SOON);
    T_EQ(seen(&libc.most), HALF);
    T_ASSERT(seen(&libc.calls) <= HALF + 2);
}

static void look_up_floating(void *arg)
{
    for (int i = 0; i < 4; i++) {
        look_up(arg);
        cor_yield();
    }
}

/* Calls that come back while their callers leave, on all workers, by tasks that float. */
TASK_TEST_WITH(leaving_meets_the_answer, &four_threads)
{
    enum { TASKS = 40, ROUNDS = 10 };
    static int results[TASKS];
    begin();
    for (int round = 0; round < ROUNDS; round++) {
        cor_group group = {0};
        close_gate(true);
        for (int i = 0; i < TASKS; i++) {
            cori_spawn spawn = {.entry = call_task,
                                .arg_a = (void *)(uintptr_t)look_up_floating,
                                .arg_b = &results[i],
                                .function = look_up_floating,
                                .worker = -1,
                                .floats = true};
            T_CODE(cori_group_start(&group, &spawn), 0);
        }
        T_EVENTUALLY(seen(&libc.inside) == HALF, SOON);
        close_gate(false);
        cor_group_cancel(&group);
        (void)cor_group_wait(&group, cor_after(SOON));
        for (int i = 0; i < TASKS; i++) {
            T_ASSERT(results[i] == 2 || results[i] == COR_ECANCELED || results[i] == 0);
        }
    }
    T_EVENTUALLY(seen(&libc.freed) == seen(&libc.given) && seen(&libc.inside) == 0, SOON);
}

/* The end of cor_run does not wait for a call that nobody waits for, nor for one that somebody does. */
TASK_TEST_WITH(abandoned, &four_threads)
{
    static int results[MOST];
    begin();
    close_gate(true);
    for (int i = 0; i < MOST; i++) {
        T_CODE(cor_go(look_up, &results[i]), 0);
    }
    T_EVENTUALLY(seen(&libc.inside) == HALF, SOON);
    taskcase_leaves_tasks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),   cmocka_unit_test(errors),
        cmocka_unit_test(slow),      cmocka_unit_test(leaving_meets_the_answer),
        cmocka_unit_test(abandoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
