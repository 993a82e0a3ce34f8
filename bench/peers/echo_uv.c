/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libuv, for comparison, written for speed: one loop, one 16 KiB buffer for all, uv_try_write before
 * anything is queued, TCP_NODELAY inherited from the listener. What the peer does not take is kept, and nothing more is
 * read from it until it has.
 * usage: peer_echo_uv [PORT]
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BUFFER_BYTES = 16384, BACKLOG = 4096 };

typedef struct client {
    uv_tcp_t tcp; /* first: libuv's handle is the client */
    uv_write_t write;
    char *unsent;
} client;

static char buffer[BUFFER_BYTES];

static void check(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
        exit(1);
    }
}

static void release(uv_handle_t *handle)
{
    client *of = (client *)handle;
    free(of->unsent);
    free(of);
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(buffer, BUFFER_BYTES);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *data);

static void written(uv_write_t *write, int status)
{
    client *of = (client *)write->handle;
    free(of->unsent);
    of->unsent = NULL;
    if (status < 0) {
        if (!uv_is_closing((uv_handle_t *)&of->tcp)) {
            uv_close((uv_handle_t *)&of->tcp, release);
        }
        return;
    }
    uv_read_start((uv_stream_t *)&of->tcp, lend, received);
}

/* Queues what uv_try_write left over. */
static int keep(client *of, const char *data, size_t size)
{
    of->unsent = malloc(size);
    if (of->unsent == NULL) {
        return UV_ENOMEM;
    }
    memcpy(of->unsent, data, size);
    uv_buf_t rest = uv_buf_init(of->unsent, (unsigned)size);
    uv_read_stop((uv_stream_t *)&of->tcp);
    return uv_write(&of->write, (uv_stream_t *)&of->tcp, &rest, 1, written);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *data)
{
    client *of = (client *)stream;
    int code = count < 0 ? (int)count : 0;
    if (count > 0) {
        uv_buf_t answer = uv_buf_init(data->base, (unsigned)count);
        int sent = uv_try_write(stream, &answer, 1);
        sent = sent == UV_EAGAIN ? 0 : sent;
        code = sent;
        if (sent >= 0 && sent < count) {
            code = keep(of, data->base + sent, (size_t)(count - sent));
        }
    }
    if (code < 0) {
        uv_close((uv_handle_t *)stream, release);
    }
}

static void accepted(uv_stream_t *listener, int status)
{
    client *new = status == 0 ? calloc(1, sizeof(*new)) : NULL;
    if (new == NULL) {
        return;
    }
    check(uv_tcp_init(listener->loop, &new->tcp), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)&new->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&new->tcp, lend, received) < 0) {
        uv_close((uv_handle_t *)&new->tcp, release);
    }
}

int main(int argc, char **argv)
{
    uv_tcp_t listener;
    struct sockaddr_in addr;
    int len = sizeof(addr);
    uv_loop_t *loop = uv_default_loop();
    check(uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0, &addr), "uv_ip4_addr");
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&addr, 0), "uv_tcp_bind");
    check(uv_tcp_nodelay(&listener, 1), "uv_tcp_nodelay");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, accepted), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&addr, &len), "uv_tcp_getsockname");
    printf("listening echo tcp 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
