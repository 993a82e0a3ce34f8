/* SPDX-License-Identifier: MIT */
/*
 * The service echo: sends back what comes. With --quiet there is nothing between a read and its write, and an idle
 * connection holds no buffer and one page of stack.
 */
#include "serve/session.h"
#include "serve/show.h"

#define BEFORE "收到Client端发来的数据： "

/* Not part of the loop: showing needs more stack than the first page has. */
__attribute__((noinline)) static void echo_show(show_carry *carry, const cor_buffer *data)
{
    show_piece(carry, BEFORE, data->data, data->size, "");
}

__attribute__((noinline)) static void echo_end(struct session *session, show_carry *carry, const char *op, int code)
{
    char text[COR_ERROR_TEXT];
    show_rest(carry, BEFORE, "");
    log_say("%s client failed, err:  %s", op[0] == 'r' ? "read from" : "write to",
            session_error_text(session, op, code, text, sizeof(text)));
}

static void echo_handle(struct session *session)
{
    show_carry carry = {0};
    const char *op = "read";
    ssize_t count;
    cor_buffer data;
    while ((count = session_read_buffer(session, &data)) > 0) {
        if (log_shows()) {
            echo_show(&carry, &data);
        }
        int code = session_write(session, data.data, data.size);
        cor_buffer_free(&data);
        if (code < 0) {
            op = "write";
            count = code;
            break;
        }
    }
    session_ended(session, op, (int)count);
    if (log_shows()) {
        echo_end(session, &carry, op, (int)count);
    }
}

__attribute__((noinline)) static void echo_show_packet(const cor_packet *packet)
{
    log_show(BEFORE, packet->data, packet->size_bytes, "");
}

/* A datagram is its own answer. */
static bool echo_answer(cor_packet *packet, const char *name)
{
    (void)name;
    if (log_shows()) {
        echo_show_packet(packet);
    }
    return true;
}

const service_def echo_service = {
    .name = "echo",
    .address = "127.0.0.1:9999",
    .summary = "sends back what it receives",
    .dial = "--as echo ",
    .handle = echo_handle,
    .answer = echo_answer,
};
