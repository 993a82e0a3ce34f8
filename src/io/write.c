/* SPDX-License-Identifier: MIT */
/* Formatted writes: a short text is made on the stack, a long one on the heap, and both go out in one piece. */
#include "base/memory.h"

#include <coracle/io.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHORT_BYTES = 256 };

/* Formats into the heap and writes; for texts that did not fit the stack. */
static ssize_t write_long(cor_conn *conn, size_t length, const char *format, va_list values)
{
    char *text = cori_malloc(length + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    (void)vsnprintf(text, length + 1, format, values);
    ssize_t rc = cor_write(conn, text, length);
    free(text);
    return rc;
}

ssize_t cor_printf(cor_conn *conn, const char *format, ...)
{
    char text[SHORT_BYTES];
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int before = cori_errno_keep();
    int length = vsnprintf(text, sizeof(text), format, values);
    ssize_t rc = -EINVAL;
    if (length < 0) {
        cori_errno_restore(before);
    } else {
        bool fits = (size_t)length < sizeof(text);
        rc = fits ? cor_write(conn, text, (size_t)length) : write_long(conn, (size_t)length, format, again);
    }
    va_end(again);
    va_end(values);
    return rc;
}
