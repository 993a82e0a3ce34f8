/* SPDX-License-Identifier: MIT */
/*
 * Sends every datagram back to its sender, many with one system call.
 *     ./example_udp_echo [HOST:PORT]      in another terminal:  nc -u 127.0.0.1 9999
 */
#include <coracle.h>
#include <signal.h>
#include <stdio.h>

enum { AT_ONCE = 32, LARGEST = 65536 };

/* Answers what has come; one answer that cannot be sent does not keep the others from it. */
static void answer(cor_conn *conn, const cor_packet *packets, int count)
{
    for (int done = 0; done < count;) {
        int sent = cor_write_packets(conn, packets + done, count - done);
        if (sent < 0) {
            fprintf(stderr, "an answer was dropped: %s\n", cor_strerror(sent));
        }
        done += sent > 0 ? sent : 1;
    }
}

static void close_at_signal(void *conn)
{
    cor_signal_wait(0);
    cor_close(conn);
}

static int echo(void *address)
{
    static char room[AT_ONCE][LARGEST];
    cor_packet packets[AT_ONCE];
    cor_conn *conn;
    cor_error error;
    char text[COR_ERROR_TEXT];
    int count;

    if (cor_listen_packet(&conn, "udp", address, &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_local_addr(conn, text, sizeof text));
    cor_signal_catch(SIGINT);
    cor_signal_catch(SIGTERM);
    if (cor_go(close_at_signal, conn) < 0) {
        return 1;
    }
    for (int i = 0; i < AT_ONCE; i++) {
        packets[i] = (cor_packet){.data = room[i], .room_bytes = LARGEST};
    }
    while ((count = cor_read_packets(conn, packets, AT_ONCE)) > 0) {
        answer(conn, packets, count);
    }
    return count != COR_ECLOSED;
}

int main(int argc, char **argv)
{
    return cor_run(echo, argc > 1 ? argv[1] : "127.0.0.1:9999", NULL);
}
