/* SPDX-License-Identifier: MIT */
/*
 * The echo client: sends each line typed and prints what comes back, until q or the end of input.
 *     ./example_echo_client [ADDRESS]         in another terminal, first:  ./example_echo_server
 */
#include <coracle.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int run(void *address)
{
    cor_conn *conn, *input;
    cor_error error;
    char *line, text[COR_ERROR_TEXT];
    ssize_t code;

    if (cor_dial(&conn, "tcp", address, &error) < 0) {
        printf("err :  %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    if (cor_open_fd(&input, 0) < 0) {
        return 1;
    }
    cor_lines lines = cor_lines_of(input, 65536);
    while ((code = cor_lines_next(&lines, &line, NULL)) == 1 && strcasecmp(line = cor_trim(line, "\r"), "q") != 0) {
        size_t size = strlen(line);
        code = cor_write(conn, line, size);
        if (code < 0 || (size > 0 && (code = cor_read_full(conn, line, size)) <= 0)) {
            printf("recv failed, err: %s\n", cor_conn_error_text(conn, "read", (int)code, text, sizeof text));
            return 1;
        }
        puts(cor_printable(line, size));
    }
    cor_lines_free(&lines);
    cor_close(conn);
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(run, argc > 1 ? argv[1] : "127.0.0.1:9999", NULL);
}
