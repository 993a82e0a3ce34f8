/* SPDX-License-Identifier: MIT */
/* Name servers that misbehave, and answers that are none. */
#include "net/nameserver.h"

/* What is no answer to the question is passed over (N286): another number, another question, no message. */
TASK_TEST(forged_answers)
{
    static const char *const names[] = {"forged", "other", "junk", "cut"};
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[32], text[64];
        (void)snprintf(name, sizeof(name), "%s.test", names[i]);
        (void)snprintf(text, sizeof(text), "lookup %s: i/o timeout", name);
        expect_error(name, cor_after(20 * COR_MILLISECOND), COR_ETIMEOUT, text);
    }
    end(&own, &tasks);
}

/* Answers that lead nowhere, and servers that do not want to. */
TASK_TEST(useless_answers)
{
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options attempts:1");
    expect_error("loop.test", cor_after(SOON), COR_ENO_SUCH_HOST, "lookup loop.test: no such host");
    expect_error("refused.test", cor_after(SOON), COR_ESERVER_MISBEHAVING, "lookup refused.test: server misbehaving");
    expect_error("torn.test", cor_after(SOON), COR_EBAD_ANSWER, "lookup torn.test: invalid DNS response");
    end(&own, &tasks);
}

/* A host with IPv6 only (N282). */
TASK_TEST(one_family)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "six.test", cor_after(SOON), NULL), 1);
    T_STR(out[0], "2001:db8::6");
    end(&own, &tasks);
}

/* An answer that is cut is asked for again over TCP (N285). */
TASK_TEST(cut_answers)
{
    char out[MOST][COR_ADDR_TEXT], address[COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    int rc = -EADDRINUSE;
    for (int i = 0; i < 10 && rc == -EADDRINUSE; i++) { /* the number may be taken for TCP by somebody else */
        if (i > 0) {
            end(&own, &tasks);
        }
        own = (server){0};
        tasks = (cor_group){0};
        begin(&own, &tasks, "");
        T_EQ(getsockname(own.fd, (void *)&here, &len), 0);
        (void)snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(here.sin_port));
        rc = cor_listen(&own.tcp, "tcp", address, NULL);
    }
    T_CODE(rc, 0);
    go_on(1, &tasks, serve_tcp, &own);
    T_EQ(cor_lookup_host(out, MOST, "big.test", cor_after(SOON), NULL), MOST - 1);
    T_STR(out[MOST - 2], "192.0.2.9");
    T_CODE(cor_listener_close(own.tcp), 0);
    end(&own, &tasks);
}

/* A server that is not there, or refuses, is followed by the next (N287). */
TASK_TEST(next_server)
{
    char out[MOST][COR_ADDR_TEXT], text[128];
    server own = {0};
    cor_group tasks = {0};
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    begin(&own, &tasks, "");
    T_EQ(getsockname(own.fd, (void *)&here, &len), 0);
    int gone = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* bound, and silent: nobody else can have the port */
    struct sockaddr_in silent = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    T_EQ(bind(gone, (void *)&silent, len), 0);
    T_EQ(getsockname(gone, (void *)&silent, &len), 0);
    int size = snprintf(text, sizeof(text), "nameserver 127.0.0.1:%d\nnameserver 127.0.0.1:%d\noptions timeout:1\n",
                        ntohs(silent.sin_port), ntohs(here.sin_port));
    int file = open(own.file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    T_EQ(write(file, text, (size_t)size), size);
    T_EQ(close(file), 0);
    T_EQ(cor_lookup_host(out, MOST, "both.test", 0, NULL), 2);
    T_EQ(close(gone), 0);
    end(&own, &tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_answers), cmocka_unit_test(useless_answers), cmocka_unit_test(one_family),
        cmocka_unit_test(cut_answers),    cmocka_unit_test(next_server),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
