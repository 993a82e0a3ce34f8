/* SPDX-License-Identifier: MIT */
/*
 * dial --as broadcast: sends each line to the room as a JSON object and shows what the room says, one line each. A room
 * that does not end its messages with LF works too: what stays without one for a moment is shown as it is.
 */
#include "dial/dialog.h"
#include "escape.h"

#include <stdlib.h>
#include <string.h>

/* How long the rest of a line may take before its start is shown without it. */
#define PAUSE_NS (50 * COR_MILLISECOND)
/* Longer lines are shown in pieces. */
#define MESSAGE_BYTES ((size_t)64 * 1024)

/* The start of a message whose LF has not come. */
typedef struct partial {
    char text[MESSAGE_BYTES];
    size_t size;
} partial;

static bool show_message(struct dialog *dialog, partial *part)
{
    bool shown = dialog_show(dialog, "msg: ----> ", part->text, part->size, "\n", ESCAPE_KEEP_BACKSLASH);
    part->size = 0;
    return shown;
}

static bool take_bytes(struct dialog *dialog, partial *part, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            part->text[part->size++] = (char)bytes[i];
        }
        if ((bytes[i] == '\n' || part->size == sizeof(part->text)) && !show_message(dialog, part)) {
            return false;
        }
    }
    return true;
}

/* Reads the next piece; waits only for a moment while a message is unfinished, and then shows it. */
static ssize_t next_piece(struct dialog *dialog, partial *part, cor_buffer *data)
{
    if (part->size == 0 || atomic_load(&dialog->leaving)) {
        return cor_read_buffer(dialog->conn, data);
    }
    cor_set_read_deadline(dialog->conn, cor_after(PAUSE_NS));
    ssize_t count = cor_read_buffer(dialog->conn, data);
    if (!atomic_load(&dialog->leaving)) {
        cor_set_read_deadline(dialog->conn, 0);
    }
    if (count != COR_ETIMEOUT) {
        return count;
    }
    return show_message(dialog, part) ? cor_read_buffer(dialog->conn, data) : COR_ECLOSED;
}

static void receive(void *arg)
{
    struct dialog *dialog = arg;
    partial *part = dialog->state;
    cor_buffer data;
    ssize_t count;
    bool going = true;
    while (going && (count = next_piece(dialog, part, &data)) > 0) {
        going = take_bytes(dialog, part, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (part->size > 0) {
        show_message(dialog, part);
    }
    if (going) {
        dialog_ended(dialog, "recv server msg failed: ", count);
    }
    dialog_stop_input(dialog);
}

static bool send_message(struct dialog *dialog, const char *own, const char *line, size_t size)
{
    char *text = dialog_alloc(dialog, 64 + COR_JSON_QUOTE_MAX(strlen(own)) + COR_JSON_QUOTE_MAX(size));
    if (text == NULL) {
        return false;
    }
    char *end = cor_json_quote(stpcpy(text, "{\"client_ip\":"), own, strlen(own));
    end = cor_json_quote(stpcpy(end, ",\"message\":"), line, size);
    *end++ = '}';
    bool sent = dialog_send(dialog, text, (size_t)(end - text));
    free(text);
    return sent;
}

static bool is_quit(const char *line, size_t size)
{
    return (size == 2 && memcmp(line, "/q", 2) == 0) || (size == 5 && memcmp(line, "/quit", 5) == 0);
}

static void talk(struct dialog *dialog)
{
    char own[COR_ADDR_TEXT];
    cor_local_addr(dialog->conn, own, sizeof(own));
    cor_lines lines = dialog_lines(dialog);
    char *line;
    size_t size;
    bool going = true;
    while (going && dialog_next_line(dialog, &lines, &line, &size)) {
        if (is_quit(line, size)) {
            dialog_say(dialog, "Byebye ...");
            going = false;
        } else if (size > 0) {
            going = send_message(dialog, own, line, size);
        }
    }
    cor_lines_free(&lines);
}

static void broadcast_run(struct dialog *dialog)
{
    partial *part = dialog_alloc(dialog, sizeof(*part));
    if (part == NULL) {
        return;
    }
    part->size = 0;
    dialog->state = part;
    if (dialog_start(dialog, receive)) {
        talk(dialog);
        dialog_leave(dialog);
    }
    free(part);
}

const dialog_kind broadcast_kind = {
    .name = "broadcast",
    .address = "127.0.0.1:1253",
    .failure = "",
    .run = broadcast_run,
};
