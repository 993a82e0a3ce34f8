/* SPDX-License-Identifier: MIT */
/*
 * The print server: prints what clients send, as it comes.
 *     ./example_print_server [ADDRESS]        in another terminal:  ./example_name_client
 */
#include <coracle.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>

/* A terminal would obey a peer's control bytes: they are shown as '?'. */
static char *defuse(char *data, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++) {
        bool c1 = i > 0 && data[i - 1] == '\xc2' && (data[i] & 0xe0) == 0x80;
        data[i] = c1 || (iscntrl((unsigned char)data[i]) && data[i] != '\n') ? '?' : data[i];
    }
    return data;
}

static void print_all(cor_conn *conn, void *unused)
{
    char data[512], text[COR_ERROR_TEXT];
    cor_error error;
    ssize_t n;

    (void)unused;
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    while ((n = cor_read(conn, data, sizeof data)) > 0) {
        printf("Received data: %.*s\n", (int)n, defuse(data, n));
        cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    }
    cor_conn_error(conn, "read", (int)n, &error);
    printf("Error reading %s\n", cor_error_text(&error, text, sizeof text));
    cor_close(conn);
}

static void stop_on_signal(void *listener)
{
    cor_signal_wait(0);
    cor_listener_close(listener);
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    cor_group clients = {0};
    char text[COR_ERROR_TEXT];

    puts("Starting the server ...");
    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        printf("Error listening %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    if (cor_signal_catch(SIGINT) < 0 || cor_signal_catch(SIGTERM) < 0 || cor_go(stop_on_signal, listener) < 0) {
        return 1;
    }
    int code = cor_serve(listener, &clients, print_all, NULL);
    if (code < 0) {
        printf("Error accepting %s\n", cor_strerror(code));
    }
    cor_group_wait(&clients, cor_after(5 * COR_SECOND));
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : "localhost:50000", NULL);
}
