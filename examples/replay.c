/* SPDX-License-Identifier: MIT */
/*
 * A server tested against a bad network: two hosts in one process, whose connection is cut for ten seconds, on a clock
 * that costs no time. Each seed is another run, and the same run each time.
 *     ./example_replay [SEEDS [FIRST]]        such as:  ./example_replay 1000        and then:  ./example_replay 1 617
 */
#include <coracle.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(cor_conn *conn, void *arg)
{
    char text[16];
    (void)arg;
    ssize_t got = 0;
    while (got >= 0 && (got = cor_read(conn, text, sizeof text)) > 0) {
        got = cor_write(conn, text, (size_t)got);
    }
    cor_close(conn);
}

static void serve(void *arg)
{
    cor_listener *listener;
    (void)arg;
    if (cor_listen(&listener, "tcp", "10.0.0.1:80", NULL) == 0) {
        cor_serve(listener, NULL, answer, NULL);
    }
}

/* Sends one byte each 100 ms, while the way is cut and healed. 0 if each was answered, however late. */
static int check(void *arg)
{
    int server = cor_sim_host("server", "10.0.0.1");
    cor_conn *conn;
    (void)arg;
    if (cor_sim_go(server, serve, NULL) < 0 || cor_sleep(COR_SECOND) < 0 ||
        cor_dial(&conn, "tcp", "10.0.0.1:80", NULL) < 0) {
        return 1;
    }
    for (int i = 0; i < 200; i++) {
        char byte = (char)i, back;
        if (i == 50 || i == 150) {
            cor_sim_cut(0, server, i == 50);
        }
        if (cor_write(conn, &byte, 1) < 0 || cor_sleep(100 * COR_MILLISECOND) < 0) {
            return 2;
        }
        if (i >= 100 && (cor_read(conn, &back, 1) != 1 || back != (char)(i - 100))) {
            return 3; /* a hundred are under way: ten seconds of them */
        }
    }
    return cor_close(conn);
}

int main(int argc, char **argv)
{
    long seeds = argc > 1 ? atol(argv[1]) : 100, first = argc > 2 ? atol(argv[2]) : 1;
    int code = cor_sim_search((uint64_t)first, (uint64_t)seeds, NULL, check, NULL, NULL);
    if (code == 0) {
        printf("%ld seeds: all bytes came back in order\n", seeds);
    }
    return code != 0;
}
