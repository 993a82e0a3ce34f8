/* SPDX-License-Identifier: MIT */
/*
 * Connects to one address after the other and says with what: by TCP, by UDP, by IPv6 and by name.
 *     ./example_dial [NETWORK ADDRESS]...     in another terminal, first:  ./example_ack_server
 */
#include <coracle.h>
#include <stdio.h>

static int connect_to(const char *network, const char *address)
{
    cor_conn *conn;
    cor_error error;
    char text[COR_ERROR_TEXT], peer[COR_ADDR_TEXT];

    if (cor_dial_until(&conn, network, address, cor_after(5 * COR_SECOND), &error) < 0) {
        printf("error %s connecting!\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    cor_local_addr(conn, text, sizeof text);
    printf("Connection is made with %s->%s\n", text, cor_remote_addr(conn, peer, sizeof peer));
    cor_close(conn);
    return 0;
}

static int connect_all(void *targets)
{
    int failed = 0;
    for (char **next = targets; next[0] && next[1] && !failed; next += 2) {
        failed = connect_to(next[0], next[1]);
    }
    return failed;
}

int main(int argc, char **argv)
{
    char *usual[] = {"tcp", "127.0.0.1:5000", "udp", "127.0.0.1:5000", "tcp", "[::1]:5000",
                     "tcp", "localhost:5000", NULL};
    return cor_run(connect_all, argc > 2 ? argv + 1 : usual, NULL);
}
