/* SPDX-License-Identifier: MIT */
/*
 * dial --as raw: standard input to the server, the server to standard output, byte for byte, also to a terminal, as nc
 * does. The end of input half-closes the connection; the end of the connection ends the program.
 */
#include "dial/dial.h"

#include <stdlib.h>
#include <string.h>

/* With --send-only: how long the server may take to notice that all was sent. */
#define SENT_NS COR_SECOND

/* Copies with a CR before each LF that has none; *last is the byte before, across calls. Returns the size, to frees. */
static char *add_cr(const cor_buffer *data, unsigned char *last, size_t *size)
{
    char *text = malloc(2 * data->size);
    size_t used = 0;
    for (size_t i = 0; text != NULL && i < data->size; i++) {
        if (data->data[i] == '\n' && *last != '\r') {
            text[used++] = '\r';
        }
        *last = data->data[i];
        text[used++] = (char)*last;
    }
    *size = used;
    return text;
}

static bool send_buffer(struct dial *dial, const cor_buffer *data, unsigned char *last)
{
    if (!dial->options.crlf) {
        return dial_send(dial, data->data, data->size);
    }
    size_t size;
    char *text = add_cr(data, last, &size);
    bool sent = text != NULL && dial_send(dial, text, size);
    free(text);
    return sent;
}

static void send_input(void *arg)
{
    struct dial *dial = arg;
    unsigned char last = 0;
    cor_buffer data;
    ssize_t count;
    bool sent = true;
    while (sent && (count = cor_read_buffer(dial->in, &data)) > 0) {
        sent = send_buffer(dial, &data, &last);
        cor_buffer_free(&data);
    }
    if (sent) {
        dial_input_ended(dial, (int)count);
    }
    if (!sent || dial->options.no_shutdown) {
        return;
    }
    cor_close_write(dial->conn);
    if (dial->options.send_only) {
        atomic_store(&dial->leaving, true);
        cor_set_read_deadline(dial->conn, cor_after(SENT_NS));
    }
}

static void raw_run(struct dial *dial)
{
    if (dial->in == NULL && !dial->options.recv_only) {
        cor_close_write(dial->conn);
    } else if (dial->in != NULL && !dial_start(dial, send_input)) {
        return;
    }
    ssize_t count;
    cor_buffer data;
    bool shown = true;
    while (shown && (count = cor_read_buffer(dial->conn, &data)) > 0) {
        shown = dial->options.send_only || dial_put(dial, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (shown && count < 0 && !atomic_load(&dial->leaving)) {
        dial_failed(dial, "", "read", (int)count);
    }
    dial_stop_input(dial);
    cor_group_cancel(&dial->tasks);
    cor_group_wait(&dial->tasks, 0);
}

const dial_kind raw_kind = {.name = "raw", .failure = "", .run = raw_run};
