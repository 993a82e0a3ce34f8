/* SPDX-License-Identifier: MIT */
/*
 * Fetches a page the oldest way, HTTP/0.9: "GET / ", then everything until the end of stream.
 *     ./example_get localhost:8000            in another terminal, first:  echo hello | nc -N -l 8000
 */
#include <coracle.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Pages are data, never a printf format; control bytes, which a terminal would obey, are shown as '?'. */
static void print_page(const char *data, ssize_t size)
{
    static char last;
    for (ssize_t i = 0; i < size; last = data[i++]) {
        bool c1 = last == '\xc2' && (data[i] & 0xe0) == 0x80;
        putchar(c1 || (iscntrl((unsigned char)data[i]) && !isspace((unsigned char)data[i])) ? '?' : data[i]);
    }
}

static int get(void *address)
{
    cor_conn *conn;
    cor_error error;
    char data[4096], text[COR_ERROR_TEXT];

    if (cor_dial_until(&conn, "tcp", address, cor_after(10 * COR_SECOND), &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    cor_set_deadline(conn, cor_after(COR_MINUTE));
    ssize_t n = cor_write(conn, "GET / \n", strlen("GET / \n"));
    while (n > 0 && (n = cor_read(conn, data, sizeof data)) > 0) {
        print_page(data, n);
    }
    if (n < 0) {
        cor_conn_error(conn, "read", (int)n, &error);
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
    }
    cor_close(conn);
    return n < 0 || fflush(stdout) == EOF;
}

int main(int argc, char **argv)
{
    return cor_run(get, argc > 1 ? argv[1] : "www.apache.org:80", NULL);
}
