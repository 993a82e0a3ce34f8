/* SPDX-License-Identifier: MIT */
/*
 * dial --as echo: sends each line and shows what comes back for it, as many bytes as were sent, in however many pieces
 * they arrive. The next line is read when the answer is complete, so an answer never appears below the wrong line.
 */
#include "dial/dialog.h"
#include "escape.h"

#include <stdlib.h>
#include <string.h>

/* Lines between the two tasks. */
typedef struct exchange {
    cor_chan *sent;     /* size_t: how many bytes of answer to expect; sent before the bytes are */
    cor_chan *answered; /* nothing in it: the answer is complete; closed when the connection has ended */
    char *answer;       /* of the line under way, under the receiving task */
    size_t have, want;
} exchange;

/* Adds what came to the answer under way; shows it when complete. What nobody asked for is shown as it comes. */
static bool take_bytes(struct dialog *dialog, exchange *talk, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        if (talk->want == 0 && cor_chan_try_recv(talk->sent, &talk->want) == 1) {
            talk->answer = dialog_alloc(dialog, talk->want);
            if (talk->answer == NULL) {
                return false;
            }
        }
        if (talk->answer == NULL) {
            return dialog_show(dialog, "", bytes, size, "\n", ESCAPE_KEEP_BACKSLASH);
        }
        size_t missing = talk->want - talk->have;
        size_t taken = size < missing ? size : missing;
        memcpy(talk->answer + talk->have, bytes, taken);
        talk->have += taken;
        bytes += taken;
        size -= taken;
        if (talk->have == talk->want) {
            bool shown = dialog_show(dialog, "", talk->answer, talk->have, "\n", ESCAPE_KEEP_BACKSLASH);
            free(talk->answer);
            talk->answer = NULL;
            talk->have = talk->want = 0;
            if (!shown || cor_chan_send(talk->answered, NULL, 0) < 0) {
                return false;
            }
        }
    }
    return true;
}

static void receive(void *arg)
{
    struct dialog *dialog = arg;
    exchange *talk = dialog->state;
    cor_buffer data;
    ssize_t count;
    bool going = true;
    while (going && (count = cor_read_buffer(dialog->conn, &data)) > 0) {
        going = take_bytes(dialog, talk, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (going) {
        dialog_ended(dialog, "recv failed, err: ", count);
    }
    free(talk->answer);
    cor_chan_close(talk->answered);
    dialog_stop_input(dialog);
}

static bool is_quit(const char *line, size_t size)
{
    return size == 1 && (*line == 'q' || *line == 'Q');
}

/* Sends lines and waits for their answers until input or connection end. */
static void talk_lines(struct dialog *dialog, exchange *talk)
{
    cor_lines lines = dialog_lines(dialog);
    char *line;
    size_t size;
    while (dialog_next_line(dialog, &lines, &line, &size) && !is_quit(line, size)) {
        if (size == 0) {
            continue; /* nothing to send, so nothing would come back */
        }
        if (cor_chan_send(talk->sent, &size, 0) < 0 || !dialog_send(dialog, line, size) ||
            cor_chan_recv(talk->answered, NULL, 0) != 1) {
            break;
        }
    }
    cor_lines_free(&lines);
}

static void echo_run(struct dialog *dialog)
{
    exchange talk = {.sent = cor_chan_new(sizeof(size_t), 1), .answered = cor_chan_new(0, 1)};
    dialog->state = &talk;
    if (talk.sent == NULL || talk.answered == NULL) {
        dialog_no_memory(dialog);
    } else if (dialog_start(dialog, receive)) {
        talk_lines(dialog, &talk);
        dialog_leave(dialog);
    }
    cor_chan_free(talk.sent);
    cor_chan_free(talk.answered);
}

const dialog_kind echo_kind = {.name = "echo", .address = "127.0.0.1:9999", .failure = "err :  ", .run = echo_run};
