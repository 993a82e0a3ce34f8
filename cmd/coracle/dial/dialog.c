/* SPDX-License-Identifier: MIT */
/* Lines in, text out, and how each of the two tasks of a client learns of the other's end. */
#include "dial/dialog.h"

#include "escape.h"
#include "exits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long answers under way may take to arrive when there is nothing more to send. */
#define LEAVE_NS (2 * COR_SECOND)
#define LINE_MAX_BYTES ((size_t)1024 * 1024)

void dialog_failed(struct dialog *dialog, const char *before, const char *op, int code)
{
    /* Over UDP nobody has answered before: only now is it known that nobody is there. */
    int exit_code = code == -ECONNREFUSED ? EXIT_UNREACHABLE : EXIT_FAILED;
    if (atomic_exchange(&dialog->exit_code, exit_code) == EXIT_OK) {
        cor_error error;
        char text[COR_ERROR_TEXT];
        cor_conn_error(dialog->conn, op, code, &error);
        fprintf(stderr, "%s%s\n", before, cor_error_text(&error, text, sizeof(text)));
    }
}

void dialog_ended(struct dialog *dialog, const char *before, ssize_t count)
{
    if (!atomic_load(&dialog->leaving) || (count < 0 && count != COR_ETIMEOUT)) {
        dialog_failed(dialog, before, "read", (int)count);
    }
}

void dialog_no_memory(struct dialog *dialog)
{
    if (atomic_exchange(&dialog->exit_code, EXIT_FAILED) == EXIT_OK) {
        fprintf(stderr, "coracle dial: %s\n", cor_strerror(-ENOMEM));
    }
}

void *dialog_alloc(struct dialog *dialog, size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) {
        dialog_no_memory(dialog);
    }
    return memory;
}

bool dialog_put(struct dialog *dialog, const void *bytes, size_t size)
{
    ssize_t count = dialog->out == NULL ? -EBADF : cor_write(dialog->out, bytes, size);
    if (count < 0 && atomic_exchange(&dialog->exit_code, EXIT_FAILED) == EXIT_OK && count != -EPIPE) {
        fprintf(stderr, "coracle dial: standard output: %s\n", cor_strerror((int)count));
    }
    return count >= 0;
}

bool dialog_show(struct dialog *dialog, const char *before, const void *bytes, size_t size, const char *after, int keep)
{
    size_t total = strlen(before) + escape_size(bytes, size, keep) + strlen(after);
    char *text = dialog_alloc(dialog, total + 1);
    if (text == NULL) {
        return false;
    }
    char *end = mempcpy(text, before, strlen(before));
    end = escape_copy(end, bytes, size, keep);
    memcpy(end, after, strlen(after));
    bool done = dialog_put(dialog, text, total);
    free(text);
    return done;
}

bool dialog_say(struct dialog *dialog, const char *line)
{
    return dialog_show(dialog, line, NULL, 0, "\n", 0);
}

cor_lines dialog_lines(struct dialog *dialog)
{
    return cor_lines_of(dialog->in, LINE_MAX_BYTES);
}

static bool is_line_end(char c)
{
    return c == '\r' || c == '\n';
}

void dialog_input_ended(struct dialog *dialog, int code)
{
    if (code < 0 && code != COR_ECLOSED && code != COR_ECANCELED &&
        atomic_exchange(&dialog->exit_code, EXIT_FAILED) == EXIT_OK) {
        fprintf(stderr, "coracle dial: standard input: %s\n", cor_strerror(code));
    }
}

bool dialog_next_line(struct dialog *dialog, cor_lines *lines, char **line, size_t *size)
{
    int code = dialog->in == NULL ? 0 : cor_lines_next(lines, line, size);
    while (code == COR_ETOO_LONG) {
        fprintf(stderr, "coracle dial: a line of more than %zu bytes was not sent\n", LINE_MAX_BYTES);
        code = cor_lines_next(lines, line, size);
    }
    if (code <= 0) {
        dialog_input_ended(dialog, code);
        return false;
    }
    while (*size > 0 && is_line_end((*line)[*size - 1])) {
        *size -= 1;
    }
    while (*size > 0 && is_line_end(**line)) {
        *line += 1;
        *size -= 1;
    }
    return true;
}

bool dialog_send(struct dialog *dialog, const void *bytes, size_t size)
{
    ssize_t count = cor_write(dialog->conn, bytes, size);
    if (count < 0) {
        dialog_failed(dialog, "", "write", (int)count);
    }
    return count >= 0;
}

void dialog_stop_input(struct dialog *dialog)
{
    if (dialog->in != NULL) {
        cor_close(dialog->in);
    }
    cor_set_write_deadline(dialog->conn, cor_now());
}

bool dialog_start(struct dialog *dialog, void (*task)(void *dialog))
{
    int code = cor_group_go(&dialog->tasks, task, dialog);
    if (code < 0) {
        atomic_store(&dialog->exit_code, EXIT_FAILED);
        fprintf(stderr, "coracle dial: %s\n", cor_strerror(code));
    }
    return code == 0;
}

void dialog_leave(struct dialog *dialog)
{
    atomic_store(&dialog->leaving, true);
    cor_close_write(dialog->conn);
    cor_set_read_deadline(dialog->conn, cor_after(LEAVE_NS));
    cor_group_wait(&dialog->tasks, 0);
}
