/* SPDX-License-Identifier: MIT */
/*
 * The echo client: sends each line typed and prints what comes back, until q or the end of input.
 *     ./example_echo_client [ADDRESS]         in another terminal, first:  ./example_echo_server
 */
#include <coracle.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static char *trim(char *line)
{
    line += strspn(line, "\r");
    line[strcspn(line, "\r")] = '\0';
    return line;
}

static int converse(cor_conn *conn, cor_lines *lines)
{
    char *line, text[COR_ERROR_TEXT];
    cor_error error;
    ssize_t code;

    while ((code = cor_lines_next(lines, &line, NULL)) == 1 && strcasecmp(line = trim(line), "q") != 0) {
        size_t size = strlen(line);
        code = cor_write(conn, line, size);
        if (code < 0 || (size > 0 && (code = cor_read_full(conn, line, size)) <= 0)) {
            cor_conn_error(conn, "read", (int)code, &error);
            printf("recv failed, err: %s\n", cor_error_text(&error, text, sizeof text));
            return 1;
        }
        puts(cor_printable(line, size));
    }
    return code < 0;
}

static int run(void *address)
{
    cor_conn *conn, *input;
    cor_error error;
    char text[COR_ERROR_TEXT];

    if (cor_dial(&conn, "tcp", address, &error) < 0) {
        printf("err :  %s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    if (cor_open_fd(&input, 0) < 0) {
        return 1;
    }
    cor_lines lines = cor_lines_of(input, 65536);
    int code = converse(conn, &lines);
    cor_lines_free(&lines);
    cor_close(conn);
    return code;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(run, argc > 1 ? argv[1] : "127.0.0.1:9999", NULL);
}
