/* SPDX-License-Identifier: MIT */
/*
 * Port forwarding: whoever connects here is connected to another address, byte for byte in both directions.
 *     ./example_port_forward HERE THERE       such as:  ./example_port_forward 127.0.0.1:8080 127.0.0.1:9999
 */
#include <coracle.h>
#include <stdio.h>

static void forward(cor_conn *client, void *there)
{
    cor_conn *server;
    cor_copied copied;
    cor_error error;
    char peer[COR_ADDR_TEXT], text[COR_ERROR_TEXT];

    cor_remote_addr(client, peer, sizeof peer);
    if (cor_dial_until(&server, "tcp", there, cor_after(10 * COR_SECOND), &error) < 0) {
        printf("%s: %s\n", peer, cor_error_text(&error, text, sizeof text));
        cor_close(client);
        return;
    }
    int code = cor_copy_both(client, server, &copied);
    printf("%s: %lld bytes there, %lld back%s%s\n", peer, (long long)copied.from_a, (long long)copied.from_b,
           code < 0 ? ", ended by: " : "", code < 0 ? cor_strerror(code) : "");
    cor_close(server);
    cor_close(client);
}

static int serve(void *arg)
{
    char **argv = arg, text[COR_ERROR_TEXT];
    cor_listener *listener;
    cor_error error;

    if (cor_listen(&listener, "tcp", argv[1], &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    int code = cor_serve_until_signal(listener, forward, argv[2], 5 * COR_SECOND);
    if (code < 0) {
        fprintf(stderr, "accept: %s\n", cor_strerror(code));
    }
    return code < 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HERE THERE\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argv, NULL);
}
