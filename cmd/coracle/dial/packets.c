/* SPDX-License-Identifier: MIT */
/*
 * dial with a network of datagrams, as nc -u does it: each read of standard input, which on a terminal is a line, goes
 * as one datagram; each datagram that comes is written out as it is. Datagrams have no end: when input has ended, the
 * answers under way are waited for until none has come for a while. An empty datagram is nothing to write, and no end.
 * Of bare IP the packets are shown without their headers.
 */
#include "dial/dialog.h"

#include <coracle/packet.h>
#include <stdlib.h>

/* A read of nc's; and the largest datagram. */
enum { INPUT_BYTES = 16 * 1024, PACKET_BYTES = 64 * 1024 };
/* How long after the end of input, or the last datagram since, the next one may take. */
#define QUIET_NS COR_SECOND

/* Ends the reads, at once or when it has been quiet. */
static void leave(struct dialog *dialog, int64_t in_ns)
{
    atomic_store(&dialog->leaving, true);
    cor_set_read_deadline(dialog->conn, cor_after(in_ns));
}

/* Puts a CR before each LF of data[0..size) that has none; there is room for twice the size. Returns the new size. */
static size_t add_cr(char *data, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        count += data[i] == '\n' && (i == 0 || data[i - 1] != '\r');
    }
    size_t to = size + count;
    for (size_t from = size; from > 0; from--) {
        data[--to] = data[from - 1];
        if (data[from - 1] == '\n' && (from == 1 || data[from - 2] != '\r')) {
            data[--to] = '\r';
        }
    }
    return size + count;
}

static void send_input(void *arg)
{
    struct dialog *dialog = arg;
    char *data = dialog_alloc(dialog, (size_t)2 * INPUT_BYTES);
    ssize_t count = 0;
    bool sent = data != NULL;
    while (sent && (count = cor_read(dialog->in, data, INPUT_BYTES)) > 0) {
        sent = dialog_send(dialog, data, dialog->options.crlf ? add_cr(data, (size_t)count) : (size_t)count);
    }
    free(data);
    if (sent) {
        dialog_input_ended(dialog, (int)count);
    }
    if (!sent || dialog->options.send_only || !dialog->options.no_shutdown) {
        leave(dialog, !sent || dialog->options.send_only ? 0 : QUIET_NS);
    }
}

/* Writes out what comes until reading ends. Returns what ended it, 0 if nobody takes it. */
static int show_packets(struct dialog *dialog, char *data)
{
    cor_addr from;
    for (;;) {
        ssize_t count = cor_read_from(dialog->conn, data, PACKET_BYTES, &from);
        if (count < 0) {
            return (int)count;
        }
        if (!dialog->options.send_only && !dialog_put(dialog, data, (size_t)count)) {
            return 0;
        }
        if (atomic_load(&dialog->leaving) && !dialog->options.send_only) {
            leave(dialog, QUIET_NS);
        }
    }
}

void dialog_packets(struct dialog *dialog)
{
    char *data = dialog_alloc(dialog, PACKET_BYTES);
    if (data == NULL || (dialog->in != NULL && !dialog_start(dialog, send_input))) {
        free(data);
        return;
    }
    if (dialog->in == NULL && !dialog->options.recv_only) {
        leave(dialog, 0);
    }
    int code = show_packets(dialog, data);
    if (code < 0) {
        dialog_ended(dialog, "", code);
    }
    free(data);
    cor_group_cancel(&dialog->tasks);
    cor_group_wait(&dialog->tasks, 0);
}
