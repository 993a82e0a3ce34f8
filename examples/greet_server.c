/* SPDX-License-Identifier: MIT */
/*
 * The greeting server: greets each client, then prints what it says in pieces of at most 25 bytes, with their sizes.
 *     ./example_greet_server HOST PORT        as in: localhost 50001; in another terminal:  nc localhost 50001
 */
#include <coracle.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 25, CARRY = 3 }; /* bytes per read; bytes of a character of which the rest is still to come */

/* Counts the bytes at the end of `data` that begin a UTF-8 character without ending it. */
static size_t unfinished(const char *data, size_t size)
{
    for (size_t back = 1; back <= CARRY && back <= size; back++) {
        unsigned char c = data[size - back];
        if (c >= 0xc0) {
            size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            return length > back ? back : 0;
        }
    }
    return 0;
}

static void greet(cor_conn *conn, void *unused)
{
    char data[CARRY + PIECE], remote[COR_ADDR_TEXT];
    size_t kept = 0;
    ssize_t n;

    (void)unused;
    fprintf(stderr, "Connection from:  %s\n", cor_remote_addr(conn, remote, sizeof remote));
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    n = cor_write(conn, "Let's GO!\n", strlen("Let's GO!\n"));
    while (n > 0 && (n = cor_read(conn, data + kept, PIECE)) > 0) {
        size_t size = kept + n;
        kept = unfinished(data, size);
        printf("<%zd:%.*s> \n", n, (int)(size - kept), cor_printable(data, size - kept));
        memmove(data, data + size - kept, kept);
        cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    }
    cor_close(conn);
    fprintf(stderr, "Closed connection:  %s\n", remote);
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];

    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        if (error.code <= COR_EMISSING_PORT && error.code >= COR_ENO_SUCH_HOST) { /* not even an address */
            fprintf(stderr, "ERROR: Resolving address:port failed: '%s' %s: %s\n", (char *)address, error.where,
                    cor_strerror(error.code));
        } else {
            fprintf(stderr, "ERROR: ListenTCP:  %s\n", cor_error_text(&error, text, sizeof text));
        }
        return 1;
    }
    fprintf(stderr, "Listening to:  %s\n", cor_listener_addr(listener, text, sizeof text));
    return cor_serve_until_signal(listener, greet, NULL, 5 * COR_SECOND) < 0;
}

int main(int argc, char **argv)
{
    char address[COR_ADDR_TEXT];

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 3) {
        fputs("usage: host port\n", stderr);
        return 2;
    }
    return cor_run(serve, cor_join_host_port(argv[1], argv[2], address, sizeof address), NULL);
}
