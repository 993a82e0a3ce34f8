/* SPDX-License-Identifier: MIT */
/*
 * The echo server: prints and sends back whatever each client sends.
 *     ./example_echo_server [ADDRESS]         in another terminal:  ./example_echo_client
 */
#include <coracle.h>
#include <stdio.h>

static void echo(cor_conn *conn, void *unused)
{
    char data[128], text[COR_ERROR_TEXT];
    ssize_t n, sent = 0;

    (void)unused;
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    while (sent >= 0 && (n = cor_read(conn, data, sizeof data)) > 0) {
        sent = cor_write(conn, data, n);
        printf("收到Client端发来的数据： %.*s\n", (int)n, cor_printable(data, n));
        cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    }
    cor_conn_error_text(conn, sent < 0 ? "write" : "read", (int)(sent < 0 ? sent : n), text, sizeof text);
    printf("%s client failed, err:  %s\n", sent < 0 ? "write to" : "read from", text);
    cor_close(conn);
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];

    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        printf("Listen() failed, err:  %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    int code = cor_serve_until_signal(listener, echo, NULL, 5 * COR_SECOND);
    if (code < 0) {
        printf("Accept() failed, err:  %s\n", cor_strerror(code));
    }
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : "127.0.0.1:9999", NULL);
}
