/* SPDX-License-Identifier: MIT */
/* `coracle dial`: connects, opens the terminal, runs the kind of client asked for; and what the kinds share. */
#include "dial/dial.h"

#include "command.h"
#include "exits.h"
#include "options.h"
#include "safe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long answers under way may take to arrive when there is nothing more to send. */
#define LEAVE_NS (2 * COR_SECOND)
#define LINE_MAX_BYTES ((size_t)1024 * 1024)

static const dial_kind *const kinds[] = {&raw_kind, &echo_kind, &name_kind, &broadcast_kind, &get_kind};
static const char *const kind_names[] = {"raw", "echo", "name", "broadcast", "get", NULL};

#define FIELD(name) offsetof(dial_options, name)

static const option_def defs[] = {
    {"as", 'a', OPTION_CHOICE, FIELD(kind), "KIND", "what to talk (default raw)", kind_names, 0, 0},
    {"timeout", 't', OPTION_DURATION, FIELD(timeout), "D", "of connecting (default 10s; 0: the system's)", NULL, 0, 0},
    {"send-only", 0, OPTION_FLAG, FIELD(send_only), NULL, "raw: drop what comes", NULL, 0, 0},
    {"recv-only", 0, OPTION_FLAG, FIELD(recv_only), NULL, "raw: do not read standard input", NULL, 0, 0},
    {"no-shutdown", 0, OPTION_FLAG, FIELD(no_shutdown), NULL, "raw: keep sending open when input ends", NULL, 0, 0},
    {"crlf", 0, OPTION_FLAG, FIELD(crlf), NULL, "raw: send LF as CR LF", NULL, 0, 0},
};

static const option_table table = {"coracle dial", defs, sizeof(defs) / sizeof(defs[0])};

void dial_help(FILE *to)
{
    fprintf(to, "Usage: coracle dial [OPTIONS] [--as KIND] [ADDRESS]\n"
                "Connects to ADDRESS and talks.\n\n"
                "Kinds:\n"
                "  raw        copies standard input to the server and the server to standard output, unchanged\n"
                "  echo       sends each line and shows what comes back; Q ends   (default 127.0.0.1:9999)\n"
                "  name       asks for a name, sends 'NAME says: LINE'; Q ends    (default localhost:50000)\n"
                "  broadcast  sends lines to the room, shows its messages; /q ends (default 127.0.0.1:1253)\n"
                "  get        sends 'GET / ' and shows all that comes\n\n"
                "ADDRESS is host:port, :port or [::1]:port, or NETWORK://... with network tcp, tcp4, tcp6 or unix.\n\n"
                "Options:\n");
    options_print(&table, to);
    fprintf(to,
            "\nEnds with 0 when all went well, 69 when nobody answers at ADDRESS, 1 when the connection was lost.\n");
}

void dial_failed(struct dial *dial, const char *before, const char *op, int code)
{
    if (atomic_exchange(&dial->exit_code, EXIT_FAILED) == EXIT_OK) {
        cor_error error;
        char text[COR_ERROR_TEXT];
        cor_conn_error(dial->conn, op, code, &error);
        fprintf(stderr, "%s%s\n", before, cor_error_text(&error, text, sizeof(text)));
    }
}

bool dial_put(struct dial *dial, const void *bytes, size_t size)
{
    ssize_t count = dial->out == NULL ? -EBADF : cor_write(dial->out, bytes, size);
    if (count < 0 && atomic_exchange(&dial->exit_code, EXIT_FAILED) == EXIT_OK && count != -EPIPE) {
        fprintf(stderr, "coracle dial: standard output: %s\n", cor_strerror((int)count));
    }
    return count >= 0;
}

bool dial_show(struct dial *dial, const char *before, const void *bytes, size_t size, const char *after, int keep)
{
    size_t total = strlen(before) + safe_size(bytes, size, keep) + strlen(after);
    char *text = malloc(total + 1);
    if (text == NULL) {
        return false;
    }
    char *end = mempcpy(text, before, strlen(before));
    end = safe_copy(end, bytes, size, keep);
    memcpy(end, after, strlen(after));
    bool done = dial_put(dial, text, total);
    free(text);
    return done;
}

bool dial_say(struct dial *dial, const char *line)
{
    return dial_show(dial, line, NULL, 0, "\n", 0);
}

cor_lines dial_lines(struct dial *dial)
{
    return cor_lines_of(dial->in, LINE_MAX_BYTES);
}

static bool is_line_end(char c)
{
    return c == '\r' || c == '\n';
}

void dial_input_ended(struct dial *dial, int code)
{
    if (code < 0 && code != COR_ECLOSED && code != COR_ECANCELED &&
        atomic_exchange(&dial->exit_code, EXIT_FAILED) == EXIT_OK) {
        fprintf(stderr, "coracle dial: standard input: %s\n", cor_strerror(code));
    }
}

bool dial_next_line(struct dial *dial, cor_lines *lines, char **line, size_t *size)
{
    int code = dial->in == NULL ? 0 : cor_lines_next(lines, line, size);
    while (code == COR_ETOO_LONG) {
        fprintf(stderr, "coracle dial: a line of more than %zu bytes was not sent\n", LINE_MAX_BYTES);
        code = cor_lines_next(lines, line, size);
    }
    if (code <= 0) {
        dial_input_ended(dial, code);
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

bool dial_send(struct dial *dial, const void *bytes, size_t size)
{
    ssize_t count = cor_write(dial->conn, bytes, size);
    if (count < 0) {
        dial_failed(dial, "", "write", (int)count);
    }
    return count >= 0;
}

void dial_stop_input(struct dial *dial)
{
    if (dial->in != NULL) {
        cor_close(dial->in);
    }
}

bool dial_start(struct dial *dial, void (*task)(void *dial))
{
    int code = cor_group_go(&dial->tasks, task, dial);
    if (code < 0) {
        atomic_store(&dial->exit_code, EXIT_FAILED);
        fprintf(stderr, "coracle dial: %s\n", cor_strerror(code));
    }
    return code == 0;
}

void dial_leave(struct dial *dial)
{
    atomic_store(&dial->leaving, true);
    cor_close_write(dial->conn);
    cor_set_read_deadline(dial->conn, cor_after(LEAVE_NS));
    cor_group_wait(&dial->tasks, 0);
}

/* Opens a standard stream through a copy of its descriptor, so that closing it here closes nothing of others. */
static cor_conn *open_stream(int fd)
{
    cor_conn *stream = NULL;
    int copy = dup(fd);
    if (copy >= 0 && cor_open_fd(&stream, copy) < 0) {
        close(copy);
        stream = NULL;
    }
    return stream;
}

static int dial_main(void *arg)
{
    struct dial *dial = arg;
    const dial_kind *kind = kinds[dial->options.kind];
    cor_error error;
    int64_t deadline = dial->options.timeout > 0 ? cor_after(dial->options.timeout) : 0;
    int code = cor_dial_until(&dial->conn, dial->address.network, dial->address.text, deadline, &error);
    if (code < 0) {
        char text[COR_ERROR_TEXT];
        fprintf(stderr, "%s%s\n", kind->failure, cor_error_text(&error, text, sizeof(text)));
        return exit_code_of(code);
    }
    dial->in = dial->options.recv_only ? NULL : open_stream(STDIN_FILENO);
    dial->out = open_stream(STDOUT_FILENO);
    kind->run(dial);
    cor_close(dial->conn);
    dial_stop_input(dial);
    if (dial->out != NULL) {
        cor_close(dial->out);
    }
    return atomic_load(&dial->exit_code);
}

int dial_command(int argc, char **argv)
{
    struct dial dial = {.options = {.timeout = 10 * COR_SECOND}};
    int first = options_read(&table, argc, argv, &dial.options);
    if (first == OPTIONS_HELP) {
        dial_help(stdout);
        return EXIT_OK;
    }
    if (first == OPTIONS_BAD) {
        return EXIT_USAGE;
    }
    const char *text = first < argc ? argv[first] : kinds[dial.options.kind]->address;
    if (text == NULL || argc - first > 1) {
        fprintf(stderr, "coracle dial: %s; see 'coracle dial --help'\n",
                text == NULL ? "no ADDRESS given" : "more than one ADDRESS");
        return EXIT_USAGE;
    }
    if (dial.options.send_only && dial.options.recv_only) {
        fprintf(stderr, "coracle dial: --send-only and --recv-only exclude each other\n");
        return EXIT_USAGE;
    }
    dial.address = address_split(text);
    /* One worker: a client is two tasks that mostly wait. */
    int code = cor_run(dial_main, &dial, &(cor_options){.workers = 1});
    if (code < 0) {
        fprintf(stderr, "coracle dial: cannot start: %s\n", cor_strerror(code));
        return exit_code_of(code);
    }
    return code;
}
