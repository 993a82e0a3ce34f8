/* SPDX-License-Identifier: MIT */
/*
 * dial --as broadcast: sends each line to the room as a JSON object and shows what the room says, one line each. A room
 * that does not end its messages with LF works too: what stays without one for a moment is shown as it is.
 */
#include "dial/dial.h"
#include "safe.h"

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

static bool show_message(struct dial *dial, partial *part)
{
    bool shown = dial_show(dial, "msg: ----> ", part->text, part->size, "\n", SAFE_KEEP_BACKSLASH);
    part->size = 0;
    return shown;
}

static bool take_bytes(struct dial *dial, partial *part, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            part->text[part->size++] = (char)bytes[i];
        }
        if ((bytes[i] == '\n' || part->size == sizeof(part->text)) && !show_message(dial, part)) {
            return false;
        }
    }
    return true;
}

/* Reads the next piece; waits only for a moment while a message is unfinished, and then shows it. */
static ssize_t next_piece(struct dial *dial, partial *part, cor_buffer *data)
{
    if (part->size == 0 || atomic_load(&dial->leaving)) {
        return cor_read_buffer(dial->conn, data);
    }
    cor_set_read_deadline(dial->conn, cor_after(PAUSE_NS));
    ssize_t count = cor_read_buffer(dial->conn, data);
    if (!atomic_load(&dial->leaving)) {
        cor_set_read_deadline(dial->conn, 0);
    }
    if (count != COR_ETIMEOUT) {
        return count;
    }
    return show_message(dial, part) ? cor_read_buffer(dial->conn, data) : COR_ECLOSED;
}

static void receive(void *arg)
{
    struct dial *dial = arg;
    partial *part = dial->state;
    cor_buffer data;
    ssize_t count;
    bool going = true;
    while (going && (count = next_piece(dial, part, &data)) > 0) {
        going = take_bytes(dial, part, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (part->size > 0) {
        show_message(dial, part);
    }
    if (going && !atomic_load(&dial->leaving)) {
        dial_failed(dial, "recv server msg failed: ", "read", (int)count);
    }
    dial_stop_input(dial);
}

static bool send_message(struct dial *dial, const char *own, const char *line, size_t size)
{
    char *text = malloc(64 + COR_JSON_QUOTE_MAX(strlen(own)) + COR_JSON_QUOTE_MAX(size));
    if (text == NULL) {
        return false;
    }
    char *end = cor_json_quote(stpcpy(text, "{\"client_ip\":"), own, strlen(own));
    end = cor_json_quote(stpcpy(end, ",\"message\":"), line, size);
    *end++ = '}';
    bool sent = dial_send(dial, text, (size_t)(end - text));
    free(text);
    return sent;
}

static bool is_quit(const char *line, size_t size)
{
    return (size == 2 && memcmp(line, "/q", 2) == 0) || (size == 5 && memcmp(line, "/quit", 5) == 0);
}

static void talk(struct dial *dial)
{
    char own[COR_ADDR_TEXT];
    cor_local_addr(dial->conn, own, sizeof(own));
    cor_lines lines = dial_lines(dial);
    char *line;
    size_t size;
    bool going = true;
    while (going && dial_next_line(dial, &lines, &line, &size)) {
        if (is_quit(line, size)) {
            dial_say(dial, "Byebye ...");
            going = false;
        } else if (size > 0) {
            going = send_message(dial, own, line, size);
        }
    }
    cor_lines_free(&lines);
}

static void broadcast_run(struct dial *dial)
{
    partial *part = malloc(sizeof(*part));
    if (part == NULL) {
        return;
    }
    part->size = 0;
    dial->state = part;
    if (dial_start(dial, receive)) {
        talk(dial);
        dial_leave(dial);
    }
    free(part);
}

const dial_kind broadcast_kind = {
    .name = "broadcast",
    .address = "127.0.0.1:1253",
    .failure = "",
    .run = broadcast_run,
};
