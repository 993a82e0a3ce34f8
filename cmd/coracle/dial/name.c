/* SPDX-License-Identifier: MIT */
/*
 * dial --as name: asks for a name, then sends each line as "NAME says: LINE" until Q. The server is not expected to
 * answer.
 */
#include "dial/dial.h"

#include <stdlib.h>
#include <string.h>

#define SAYS " says: "

/* Notices the end of the connection while the terminal is silent; anything that does come is not shown. */
static void watch(void *arg)
{
    struct dial *dial = arg;
    cor_buffer data;
    ssize_t count;
    while ((count = cor_read_buffer(dial->conn, &data)) > 0) {
        cor_buffer_free(&data);
    }
    if (!atomic_load(&dial->leaving)) {
        dial_failed(dial, "Error reading ", "read", (int)count);
    }
    dial_stop_input(dial);
}

static bool send_says(struct dial *dial, const char *name, const char *line, size_t size)
{
    size_t total = strlen(name) + strlen(SAYS) + size;
    char *text = malloc(total);
    if (text == NULL) {
        return false;
    }
    memcpy(mempcpy(mempcpy(text, name, strlen(name)), SAYS, strlen(SAYS)), line, size);
    bool sent = dial_send(dial, text, total);
    free(text);
    return sent;
}

static void talk(struct dial *dial)
{
    cor_lines lines = dial_lines(dial);
    char *line;
    size_t size;
    if (dial_say(dial, "First, what is your name?") && dial_next_line(dial, &lines, &line, &size)) {
        char *name = strndup(line, size);
        while (name != NULL && dial_say(dial, "What to send to the server? Type Q to quit.") &&
               dial_next_line(dial, &lines, &line, &size) && !(size == 1 && *line == 'Q') &&
               send_says(dial, name, line, size)) {}
        free(name);
    }
    cor_lines_free(&lines);
}

static void name_run(struct dial *dial)
{
    if (dial_start(dial, watch)) {
        talk(dial);
        dial_leave(dial);
    }
}

const dial_kind name_kind = {
    .name = "name",
    .address = "localhost:50000",
    .failure = "Error dialing ",
    .run = name_run,
};
