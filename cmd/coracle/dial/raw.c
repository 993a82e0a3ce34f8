/* SPDX-License-Identifier: MIT */
/*
 * dial --as raw: standard input to the server, the server to standard output, byte for byte, also to a terminal, as nc
 * does. The end of input half-closes the connection; the end of the connection ends the program.
 */
#include "dial/dialog.h"

#include <stdlib.h>
#include <string.h>

/* With --send-only, or when not all could be sent: how long the server may take to notice the end. */
#define SENT_NS COR_SECOND

/* Copies with a CR before each LF that has none; *last is the byte before, across calls. Returns the size, to frees. */
static char *add_cr(struct dialog *dialog, const cor_buffer *data, unsigned char *last, size_t *size)
{
    char *text = dialog_alloc(dialog, 2 * data->size);
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

static bool send_buffer(struct dialog *dialog, const cor_buffer *data, unsigned char *last)
{
    if (!dialog->options.crlf) {
        return dialog_send(dialog, data->data, data->size);
    }
    size_t size;
    char *text = add_cr(dialog, data, last, &size);
    bool sent = text != NULL && dialog_send(dialog, text, size);
    free(text);
    return sent;
}

static void send_input(void *arg)
{
    struct dialog *dialog = arg;
    unsigned char last = 0;
    cor_buffer data;
    ssize_t count;
    bool sent = true;
    while (sent && (count = cor_read_buffer(dialog->in, &data)) > 0) {
        sent = send_buffer(dialog, &data, &last);
        cor_buffer_free(&data);
    }
    if (sent) {
        dialog_input_ended(dialog, (int)count);
    }
    if (sent && dialog->options.no_shutdown) {
        return;
    }
    bool told = cor_close_write(dialog->conn) == 0;
    if (!sent || !told || dialog->options.send_only) { /* a server that waits for the rest must not be waited for */
        atomic_store(&dialog->leaving, true);
        cor_set_read_deadline(dialog->conn, cor_after(SENT_NS));
    }
}

static void raw_run(struct dialog *dialog)
{
    if (dialog->in == NULL && !dialog->options.recv_only) {
        cor_close_write(dialog->conn);
    } else if (dialog->in != NULL && !dialog_start(dialog, send_input)) {
        return;
    }
    ssize_t count;
    cor_buffer data;
    bool shown = true;
    while (shown && (count = cor_read_buffer(dialog->conn, &data)) > 0) {
        shown = dialog->options.send_only || dialog_put(dialog, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (shown && count < 0) {
        dialog_ended(dialog, "", count);
    }
    cor_group_cancel(&dialog->tasks);
    cor_group_wait(&dialog->tasks, 0);
}

const dialog_kind raw_kind = {.name = "raw", .failure = "", .run = raw_run};
