/* SPDX-License-Identifier: MIT */
/* What the tasks of a run tell it, and how they connect. */
#include "bench/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void run_explain(struct run *run, int code, const char *text)
{
    if (!atomic_exchange(&run->explained, true)) {
        run->error_code = code;
        snprintf(run->error, sizeof(run->error), "%s", text);
    }
}

__attribute__((noinline)) static void explain_error(struct run *run, const cor_error *error)
{
    char text[COR_ERROR_TEXT];
    cor_error_text(error, text, sizeof(text));
    if (error->code == -EADDRNOTAVAIL) {
        size_t size = strlen(text);
        snprintf(text + size, sizeof(text) - size,
                 ": all ports to that address are in use; give several of the server's addresses, such as "
                 "127.0.0.1:PORT 127.0.0.2:PORT, or widen net.ipv4.ip_local_port_range");
    }
    run_explain(run, error->code, text);
}

__attribute__((noinline)) void run_lost(struct run *run, cor_conn *conn, const char *op, int code)
{
    cor_error error;
    run_tally(run)->lost++;
    if (code == 0) {
        run_explain(run, 0, "the server closed a connection");
    } else {
        cor_conn_error(conn, op, code, &error);
        explain_error(run, &error);
    }
}

__attribute__((noinline)) cor_conn *run_dial(struct run *run, uint64_t number)
{
    const struct plan *plan = run->plan;
    const address *to = &plan->addresses[number % plan->address_count];
    cor_conn *conn = NULL;
    cor_error error;
    if (cor_chan_send(run->dialing, NULL, 0) < 0) {
        return NULL;
    }
    int code = address_dial(&conn, to, cor_after(plan->options.timeout), &error);
    int own = cor_chan_try_recv(run->dialing, NULL);
    (void)own; /* what was sent above is there */
    if (code == 0) {
        atomic_fetch_add(&run->connected, 1);
    } else if (code != COR_ECANCELED) {
        run_tally(run)->failed++;
        explain_error(run, &error);
    }
    return conn;
}
