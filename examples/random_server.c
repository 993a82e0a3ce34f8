/* SPDX-License-Identifier: MIT */
/*
 * The random number server: answers each line with a number from 1 to 100, until STOP.
 *     ./example_random_server PORT            in another terminal:  nc localhost PORT
 */
#include <coracle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN = 1, MAX = 100, MAX_LINE = 4096 };

static bool is_stop(const char *line, size_t length)
{
    static const char space[] = " \t\r\v\f";
    const char *word = line + strspn(line, space);
    return strncmp(word, "STOP", 4) == 0 && word + 4 + strspn(word + 4, space) == line + length;
}

static void answer(cor_conn *conn, void *unused)
{
    cor_lines lines = cor_lines_of(conn, MAX_LINE); /* one reader for all lines: what it reads ahead is kept */
    char *line, text[COR_ERROR_TEXT];
    size_t length;
    ssize_t code;

    (void)unused;
    printf("Serving %s\n", cor_remote_addr(conn, text, sizeof text));
    cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    while ((code = cor_lines_next(&lines, &line, &length)) == 1 && !is_stop(line, length)) {
        code = cor_printf(conn, "%d\n", MIN + (int)arc4random_uniform(MAX - MIN + 1));
        if (code < 0) {
            break;
        }
        cor_set_deadline(conn, cor_after(5 * COR_MINUTE));
    }
    if (code == COR_ETOO_LONG) {
        code = cor_printf(conn, "%s\n", cor_strerror(COR_ETOO_LONG)) < 0 ? code : COR_ETOO_LONG;
    }
    if (code <= 0) {
        printf("%s\n", cor_strerror((int)code));
    }
    cor_lines_free(&lines);
    cor_finish(conn, cor_after(COR_SECOND));
}

static int serve(void *port)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];

    snprintf(text, sizeof text, ":%s", (const char *)port);
    if (cor_listen(&listener, "tcp4", text, &error) < 0) {
        printf("%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    return cor_serve_until_signal(listener, answer, NULL, 5 * COR_SECOND) < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2) {
        puts("Please provide a port number!");
        return 2;
    }
    return cor_run(serve, argv[1], NULL);
}
