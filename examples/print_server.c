/* SPDX-License-Identifier: MIT */
/*
 * The print server: prints what clients send, as it comes.
 *     ./example_print_server [ADDRESS]        in another terminal:  ./example_name_client
 */
#include <coracle.h>
#include <stdio.h>

static void print_all(cor_conn *conn, void *unused)
{
    char data[512], text[COR_ERROR_TEXT];
    ssize_t n;

    (void)unused;
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    while ((n = cor_read(conn, data, sizeof data)) > 0) {
        printf("Received data: %.*s\n", (int)n, cor_printable(data, n));
        cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    }
    printf("Error reading %s\n", cor_conn_error_text(conn, "read", (int)n, text, sizeof text));
    cor_close(conn);
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];

    puts("Starting the server ...");
    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        printf("Error listening %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    int code = cor_serve_until_signal(listener, print_all, NULL, 5 * COR_SECOND);
    if (code < 0) {
        printf("Error accepting %s\n", cor_strerror(code));
    }
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : "localhost:50000", NULL);
}
