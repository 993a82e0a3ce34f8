/* SPDX-License-Identifier: MIT */
/*
 * dial --as name: asks for a name, then sends each line as "NAME says: LINE" until Q. The server is not expected to
 * answer.
 */
#include "dial/dialog.h"

#include <stdlib.h>
#include <string.h>

#define SAYS " says: "

/* Notices the end of the connection while the terminal is silent; anything that does come is not shown. */
static void watch(void *arg)
{
    struct dialog *dialog = arg;
    cor_buffer data;
    ssize_t count;
    while ((count = cor_read_buffer(dialog->conn, &data)) > 0) {
        cor_buffer_free(&data);
    }
    dialog_ended(dialog, "Error reading ", count);
    dialog_stop_input(dialog);
}

static bool send_says(struct dialog *dialog, const char *name, const char *line, size_t size)
{
    size_t total = strlen(name) + strlen(SAYS) + size;
    char *text = dialog_alloc(dialog, total);
    if (text == NULL) {
        return false;
    }
    memcpy(mempcpy(mempcpy(text, name, strlen(name)), SAYS, strlen(SAYS)), line, size);
    bool sent = dialog_send(dialog, text, total);
    free(text);
    return sent;
}

static void talk(struct dialog *dialog)
{
    cor_lines lines = dialog_lines(dialog);
    char *line;
    size_t size;
    if (dialog_say(dialog, "First, what is your name?") && dialog_next_line(dialog, &lines, &line, &size)) {
        char *name = strndup(line, size);
        if (name == NULL) {
            dialog_no_memory(dialog);
        }
        while (name != NULL && dialog_say(dialog, "What to send to the server? Type Q to quit.") &&
               dialog_next_line(dialog, &lines, &line, &size) && !(size == 1 && *line == 'Q') &&
               send_says(dialog, name, line, size)) {}
        free(name);
    }
    cor_lines_free(&lines);
}

static void name_run(struct dialog *dialog)
{
    if (dialog_start(dialog, watch)) {
        talk(dialog);
        dialog_leave(dialog);
    }
}

const dialog_kind name_kind = {
    .name = "name",
    .address = "localhost:50000",
    .failure = "Error dialing ",
    .run = name_run,
};
