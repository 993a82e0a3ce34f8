/* SPDX-License-Identifier: MIT */
/*
 * The service ack: reads what comes first, shows it, acknowledges it once and hangs up. One read is one message,
 * because the protocol has no framing; what comes later is dropped before closing, so that the reply arrives.
 */
#include "serve/session.h"

#include <string.h>

#define FIRST_READ 1024

/* Keeps its buffer off the stack page of a client that is still silent. */
__attribute__((noinline)) static void acknowledge(struct session *session)
{
    char data[FIRST_READ];
    ssize_t count = session_read(session, data, sizeof(data));
    if (count <= 0) {
        session_ended(session, "read", (int)count);
        return;
    }
    log_show("Dado recebido: ", data, (size_t)count, "");
    const char *reply = session_options(session)->reply;
    int code = session_write(session, reply, strlen(reply));
    if (code < 0) {
        session_ended(session, "write", code);
        return;
    }
    log_say("Resposta enviada ao cliente.");
    session_hang_up(session, REASON_EOF);
}

static void ack_handle(struct session *session)
{
    int code = session_await(session);
    if (code <= 0) {
        session_ended(session, "read", code);
        return;
    }
    acknowledge(session);
}

const service_def ack_service = {
    .name = "ack",
    .address = ":5000",
    .summary = "reads once, acknowledges with --reply, closes",
    .dial = "",
    .handle = ack_handle,
    .streams_only = "it answers a connection once and closes it, and datagrams have none",
};
