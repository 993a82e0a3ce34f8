/* SPDX-License-Identifier: MIT */
/*
 * The echo client: sends each line typed and prints what comes back, until q or the end of input.
 *     ./example_echo_client [ADDRESS]         in another terminal, first:  ./example_echo_server
 */
#include <coracle.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Reads the whole answer, however many reads it takes, over the line that it answers. */
static ssize_t receive(cor_conn *conn, char *line, size_t size)
{
    ssize_t n = 1;
    for (size_t got = 0; got < size && n > 0; got += n > 0 ? n : 0) {
        n = cor_read(conn, line + got, size - got);
    }
    for (size_t i = 0; i < size; i++) { /* a terminal would obey control bytes */
        bool c1 = i > 0 && line[i - 1] == '\xc2' && (line[i] & 0xe0) == 0x80;
        line[i] = c1 || iscntrl((unsigned char)line[i]) ? '?' : line[i];
    }
    return n;
}

static int converse(cor_conn *conn, cor_lines *lines)
{
    char *line, text[COR_ERROR_TEXT];
    cor_error error;
    ssize_t code;

    while ((code = cor_lines_next(lines, &line, NULL)) == 1) {
        line += strspn(line, "\r");
        size_t size = strcspn(line, "\r");
        if (size == 1 && toupper((unsigned char)*line) == 'Q') {
            return 0;
        }
        if (size > 0) { /* nothing sent, nothing to wait for */
            code = cor_write(conn, line, size);
            if (code < 0 || (code = receive(conn, line, size)) <= 0) {
                cor_conn_error(conn, "read", (int)code, &error);
                printf("recv failed, err: %s\n", cor_error_text(&error, text, sizeof text));
                return 1;
            }
        }
        printf("%.*s\n", (int)size, line);
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
