/* SPDX-License-Identifier: MIT */
/*
 * Texts: a peer's made safe for a terminal, where control characters move the cursor, change the title, even type; a
 * line's ends trimmed; a failed call in words.
 */
#include <coracle/io.h>
#include <coracle/lines.h>
#include <string.h>

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

char *cor_printable(char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_control(data[i])) {
            data[i] = '?';
        } else if (i > 0 && data[i - 1] == '\xc2' && (data[i] & 0xe0) == 0x80) { /* C1: c2 80 .. c2 9f */
            data[i - 1] = '?';
            data[i] = '?';
        }
    }
    return data;
}

char *cor_trim(char *text, const char *cut)
{
    text += strspn(text, cut);
    size_t length = strlen(text);
    while (length > 0 && strchr(cut, text[length - 1]) != NULL) {
        length--;
    }
    text[length] = '\0';
    return text;
}

char *cor_conn_error_text(cor_conn *conn, const char *op, int code, char *text, size_t size)
{
    cor_error error;
    cor_conn_error(conn, op, code, &error);
    return cor_error_text(&error, text, size);
}
