/* SPDX-License-Identifier: MIT */
/*
 * The acknowledger: reads what each client says first, prints it, thanks for it and hangs up.
 *     ./example_ack_server [ADDRESS]          in another terminal:  echo ola | nc -N localhost 5000
 */
#include <coracle.h>
#include <stdio.h>
#include <string.h>

static const char reply[] = "Sua mensagem foi recebida com sucesso";

static void acknowledge(cor_conn *conn, void *unused)
{
    char data[1024];
    (void)unused;
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    ssize_t n = cor_read(conn, data, sizeof data);
    if (n > 0) { /* else the client left without a word: nobody to answer */
        printf("Dado recebido: %.*s\n", (int)n, cor_printable(data, n));
        if (cor_write(conn, reply, strlen(reply)) > 0) {
            puts("Resposta enviada ao cliente.");
        }
    }
    cor_finish(conn, cor_after(COR_SECOND)); /* not cor_close: over unread input that could destroy the reply */
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];

    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    return cor_serve_until_signal(listener, acknowledge, NULL, 5 * COR_SECOND) < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : ":5000", NULL);
}
