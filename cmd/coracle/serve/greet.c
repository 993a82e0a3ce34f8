/* SPDX-License-Identifier: MIT */
/*
 * The service greet: sends a greeting at once, then shows what comes in pieces of at most 25 bytes, each with its size.
 * The number is the bytes of that read; a character that a piece cuts is shown with the next one.
 */
#include "serve/session.h"
#include "serve/show.h"

#include <stdio.h>
#include <string.h>

#define PIECE 25

static const char greeting[] = "Let's GO!\n";

__attribute__((noinline)) static void greet_open(struct session *session)
{
    char peer[COR_ADDR_TEXT];
    log_say("Connection from:  %s", connection_peer(session->seen, peer, sizeof(peer)));
}

__attribute__((noinline)) static void greet_show(show_carry *carry, const char *data, size_t size)
{
    char before[32];
    snprintf(before, sizeof(before), "<%zu:", size);
    show_piece(carry, before, data, size, "> ");
}

__attribute__((noinline)) static void greet_close(struct session *session, show_carry *carry)
{
    char peer[COR_ADDR_TEXT];
    show_rest(carry, "<0:", "> ");
    log_say("Closed connection:  %s", connection_peer(session->seen, peer, sizeof(peer)));
}

static void greet_handle(struct session *session)
{
    show_carry carry = {0};
    char data[PIECE];
    if (log_shows()) {
        greet_open(session);
    }
    int code = session_write(session, greeting, strlen(greeting));
    if (code < 0) {
        session_ended(session, "write", code);
    } else {
        ssize_t count;
        while ((count = session_read(session, data, sizeof(data))) > 0) {
            if (log_shows()) {
                greet_show(&carry, data, (size_t)count);
            }
        }
        session_ended(session, "read", (int)count);
    }
    if (log_shows()) {
        greet_close(session, &carry);
    }
}

static int greet_start(struct service *service)
{
    log_say("Listening to:  %s", service->bound);
    return 0;
}

const service_def greet_service = {
    .name = "greet",
    .address = "localhost:50001",
    .summary = "greets, prints what clients send in pieces with their sizes",
    .dial = "",
    .handle = greet_handle,
    .streams_only = "it speaks first when somebody connects, and with datagrams nobody does",
    .start = greet_start,
    .tells_refusal = true,
};
