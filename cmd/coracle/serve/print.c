/* SPDX-License-Identifier: MIT */
/* The service print: shows what clients send, at most 512 bytes a line; it never answers. */
#include "serve/session.h"
#include "serve/show.h"

#define PIECE 512

__attribute__((noinline)) static ssize_t print_piece(struct session *session, show_carry *carry)
{
    char data[PIECE];
    ssize_t count = session_read(session, data, sizeof(data));
    if (count > 0) {
        show_piece(carry, "Received data: ", data, (size_t)count, "");
    }
    return count;
}

__attribute__((noinline)) static void print_end(struct session *session, show_carry *carry, int code)
{
    char text[COR_ERROR_TEXT];
    show_rest(carry, "Received data: ", "");
    log_say("Error reading %s", session_error_text(session, "read", code, text, sizeof(text)));
}

static void print_handle(struct session *session)
{
    show_carry carry = {0};
    ssize_t count;
    do {
        count = session_await(session);
        if (count > 0) {
            count = print_piece(session, &carry);
        }
    } while (count > 0);
    session_ended(session, "read", (int)count);
    print_end(session, &carry, (int)count);
}

static int print_start(struct service *service)
{
    (void)service;
    log_say("Starting the server ...");
    return 0;
}

const service_def print_service = {
    .name = "print",
    .address = "localhost:50000",
    .summary = "prints what clients send",
    .dial = "--as name ",
    .handle = print_handle,
    .streams_only = "it shows what a connection brings from its beginning to its end, and datagrams have neither",
    .start = print_start,
};
