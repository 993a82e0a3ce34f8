/* SPDX-License-Identifier: MIT */
/* dial --as get: sends "GET / " and LF, shows everything that comes as text, escaped, with its lines kept. */
#include "dial/dialog.h"
#include "escape.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static const char request[] = "GET / \n";

/* The end of a piece that only the next one explains: half a character, or a CR that may belong to an LF. */
typedef struct rest {
    char bytes[UTF8_MAX];
    size_t size;
} rest;

static bool show_piece(struct dialog *dialog, rest *held, const cor_buffer *data)
{
    size_t size = held->size + data->size;
    char *text = dialog_alloc(dialog, size);
    if (text == NULL) {
        return false;
    }
    memcpy(mempcpy(text, held->bytes, held->size), data->data, data->size);
    held->size = text[size - 1] == '\r' ? 1 : utf8_unfinished(text, size);
    size -= held->size;
    memcpy(held->bytes, text + size, held->size);
    bool shown = dialog_show(dialog, "", text, size, "", ESCAPE_KEEP_LINES | ESCAPE_KEEP_BACKSLASH);
    free(text);
    return shown;
}

static void get_run(struct dialog *dialog)
{
    if (!dialog_send(dialog, request, strlen(request))) {
        return;
    }
    rest held = {.size = 0};
    cor_buffer data;
    ssize_t count;
    bool shown = true;
    while (shown && (count = cor_read_buffer(dialog->conn, &data)) > 0) {
        shown = show_piece(dialog, &held, &data);
        cor_buffer_free(&data);
    }
    if (shown) {
        dialog_show(dialog, "", held.bytes, held.size, "", 0);
        if (count < 0) {
            dialog_failed(dialog, "", "read", (int)count);
        }
    }
}

const dialog_kind get_kind = {.name = "get", .failure = "", .run = get_run};
