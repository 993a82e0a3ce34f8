/* SPDX-License-Identifier: MIT */
/*
 * The client of the print server: asks for a name, then sends what is typed, until Q or the end of input.
 *     ./example_name_client [ADDRESS]         in another terminal, first:  ./example_print_server
 */
#include <coracle.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cor_conn *server, *input;

/* The server says nothing, so the end of its stream is all that can come; then nobody need type on. */
static void watch_server(void *unused)
{
    (void)unused;
    cor_drain(server, INT64_MAX, 0);
    cor_close(input);
}

static int ask(const char *question, cor_lines *lines, char **answer)
{
    puts(question);
    int code = cor_lines_next(lines, answer, NULL);
    if (code == 1) {
        *answer = cor_trim(*answer, "\r");
    }
    return code;
}

static int converse(cor_lines *lines)
{
    char *line, *name = NULL;
    ssize_t code = ask("First, what is your name?", lines, &line);

    if (code == 1 && (name = strdup(line)) == NULL) {
        code = -ENOMEM;
    }
    while (code > 0 && (code = ask("What to send to the server? Type Q to quit.", lines, &line)) == 1 &&
           strcmp(line, "Q") != 0) {
        code = cor_printf(server, "%s says: %s", name, line);
    }
    free(name);
    return (int)code;
}

static int run(void *address)
{
    cor_error error;
    char text[COR_ERROR_TEXT];

    if (cor_dial(&server, "tcp", address, &error) < 0) {
        printf("Error dialing %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    int code = cor_open_fd(&input, 0);
    if (code == 0 && (code = cor_go(watch_server, NULL)) == 0) {
        cor_lines lines = cor_lines_of(input, 65536);
        code = converse(&lines);
        cor_lines_free(&lines);
    }
    if (code < 0) {
        fprintf(stderr, "%s\n", code == COR_ECLOSED ? "the server has gone" : cor_strerror(code));
    }
    cor_close(server);
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(run, argc > 1 ? argv[1] : "localhost:50000", NULL);
}
