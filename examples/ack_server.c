/* SPDX-License-Identifier: MIT */
/*
 * The acknowledger: reads what each client says first, prints it, thanks for it and hangs up.
 *     ./example_ack_server [ADDRESS]          in another terminal:  echo ola | nc -N localhost 5000
 */
#include <coracle.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char reply[] = "Sua mensagem foi recebida com sucesso";

/* A terminal would obey a peer's control bytes: they are shown as '?'. */
static char *defuse(char *data, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++) {
        bool c1 = i > 0 && data[i - 1] == '\xc2' && (data[i] & 0xe0) == 0x80;
        data[i] = c1 || (iscntrl((unsigned char)data[i]) && data[i] != '\n') ? '?' : data[i];
    }
    return data;
}

static void acknowledge(cor_conn *conn, void *unused)
{
    char data[1024];
    (void)unused;
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    ssize_t n = cor_read(conn, data, sizeof data);
    if (n > 0) { /* else the client left without a word: nobody to answer */
        printf("Dado recebido: %.*s\n", (int)n, defuse(data, n));
        if (cor_write(conn, reply, strlen(reply)) > 0) {
            puts("Resposta enviada ao cliente.");
        }
        cor_close_write(conn); /* closing over unread input would reset the connection and could destroy the reply */
        cor_drain(conn, 1 << 20, cor_after(COR_SECOND));
    }
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

    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    if (cor_signal_catch(SIGINT) < 0 || cor_signal_catch(SIGTERM) < 0 || cor_go(stop_on_signal, listener) < 0) {
        return 1;
    }
    int code = cor_serve(listener, &clients, acknowledge, NULL);
    cor_group_wait(&clients, cor_after(5 * COR_SECOND));
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : ":5000", NULL);
}
