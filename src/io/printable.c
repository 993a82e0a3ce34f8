/* SPDX-License-Identifier: MIT */
/* Text of a peer on a terminal: control characters move the cursor, change the title, even type; none may get there. */
#include <coracle/io.h>

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
