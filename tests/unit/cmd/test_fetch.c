/* SPDX-License-Identifier: MIT */
/* The client of `coracle status`: what is an answer, what is none, and one that does not come. */
/* sources: cmd/coracle/status/fetch.c cmd/coracle/address.c */
/* test: workers=1,2 */
#include "status/fetch.h"

#include "support/taskcase.h"

#include <coracle/group.h>
#include <coracle/io.h>
#include <errno.h>
#include <stdlib.h>

#define SOON (20 * COR_SECOND)
#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "

/* One answer, to one client. */
struct server {
    cor_listener *listener;
    const char *says;
    size_t repeat; /* how often the last byte comes */
    bool stays;    /* the connection is not closed before the client does */
};

static void serve(void *arg)
{
    const struct server *server = arg;
    cor_conn *conn;
    char asked[512];
    T_CODE(cor_accept(server->listener, &conn), 0);
    ssize_t count = cor_read(conn, asked, sizeof(asked));
    T_REQUIRE(count > 0 && memcmp(asked, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", (size_t)count) == 0,
              "asked %zd bytes", count);
    size_t size = strlen(server->says);
    bool going = cor_write(conn, server->says, size) >= 0;
    for (size_t i = 1; i < server->repeat && going; i++) {
        going = cor_write(conn, server->says + size - 1, 1) >= 0;
    }
    if (server->stays) {
        T_CODE((int)cor_read(conn, asked, sizeof(asked)), 0);
    }
    cor_close(conn);
}

/* Has it fetch from a server that says this. */
static int fetch_of(struct server *server, fetched *got, int64_t timeout_ns)
{
    cor_group group = {0};
    char bound[COR_ADDR_TEXT];
    cor_error error;
    T_CODE(cor_listen(&server->listener, "tcp", "127.0.0.1:0", NULL), 0);
    const address to = {.network = "tcp", .text = cor_listener_addr(server->listener, bound, sizeof(bound))};
    T_CODE(cor_group_go(&group, serve, server), 0);
    int code = fetch(&to, "/x", cor_after(timeout_ns), got, &error);
    T_EQ(code < 0 ? error.code : 0, code);
    T_EQ(got->bytes == NULL, code < 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    cor_listener_close(server->listener);
    return code;
}

static void expect(const char *says, int code, int status, const char *body)
{
    struct server server = {.says = says};
    fetched got;
    int found = fetch_of(&server, &got, SOON * taskcase_patience());
    T_REQUIRE(found == code, "%d for \"%s\"", found, says);
    if (found == 0) {
        T_EQ(got.status, status);
        T_REQUIRE(got.size == strlen(body) && memcmp(got.body, body, got.size) == 0, "body of %zu bytes", got.size);
    }
    free(got.bytes);
}

TASK_TEST(answers)
{
    expect(OK_HEAD "5\r\n\r\nhello", 0, 200, "hello");
    expect(OK_HEAD "0\r\n\r\n", 0, 200, "");
    expect("HTTP/1.1 503\r\ncontent-LENGTH:005 \r\n\r\nhello", 0, 503, "hello");
}

TASK_TEST(what_is_none)
{
    static const char *const none[] = {
        "",
        "hello\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 no\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
        OK_HEAD "\r\n\r\n",
        OK_HEAD "x\r\n\r\n",
        OK_HEAD "5x\r\n\r\nhello",
        OK_HEAD "-5\r\n\r\nhello",
        OK_HEAD "4\r\n\r\nhello",
        OK_HEAD "6\r\n\r\nhello",
        OK_HEAD "99999999999999999999\r\n\r\nhello",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        expect(none[i], -EPROTO, 0, "");
    }
}

/* Longer than the first memory for it. */
TASK_TEST(long_answer)
{
    struct server server = {.says = OK_HEAD "100000\r\n\r\nx", .repeat = 100000};
    fetched got;
    T_CODE(fetch_of(&server, &got, SOON * taskcase_patience()), 0);
    T_EQ(got.size, 100000);
    T_EQ(got.body[99999], 'x');
    free(got.bytes);
}

TASK_TEST(silent_server)
{
    struct server server = {.says = OK_HEAD "0\r\n\r\n", .stays = true};
    fetched got;
    T_CODE(fetch_of(&server, &got, COR_SECOND / 2), COR_ETIMEOUT); /* time enough to connect and ask */
}

TASK_TEST(nobody_there)
{
    cor_listener *listener;
    char bound[COR_ADDR_TEXT];
    cor_error error;
    fetched got;
    T_CODE(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), 0);
    const address to = {.network = "tcp", .text = cor_listener_addr(listener, bound, sizeof(bound))};
    cor_listener_close(listener);
    T_CODE(fetch(&to, "/x", cor_after(SOON * taskcase_patience()), &got, &error), -ECONNREFUSED);
    T_EQ(got.bytes == NULL, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),       cmocka_unit_test(what_is_none), cmocka_unit_test(long_answer),
        cmocka_unit_test(silent_server), cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
