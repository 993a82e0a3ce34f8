/* SPDX-License-Identifier: MIT */
/*
 * Buffered writing, through a lent buffer that goes back with each flush: a writer at rest holds none. What does not
 * fit leaves with what is buffered in one vectored write, and is never copied. The first error stays: of what was
 * under way then the peer may have got a part.
 */
#include "base/memory.h"
#include "io/buffer.h"

#include <coracle/buffered.h>
#include <coracle/bulk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

cor_writer cor_writer_of(cor_conn *conn)
{
    return (cor_writer){.conn = conn};
}

size_t cor_writer_buffered(const cor_writer *writer)
{
    return writer->count;
}

void cor_writer_free(cor_writer *writer)
{
    if (writer != NULL && writer->buf != NULL) {
        cori_buffer_give(writer->buf);
        writer->buf = NULL;
        writer->count = 0;
    }
}

/* Sends what is buffered, and these bytes after it. */
static int send_with(cor_writer *writer, const void *buf, size_t size)
{
    struct iovec parts[] = {{writer->buf, writer->count}, {(void *)(uintptr_t)buf, size}};
    ssize_t rc = cor_writev(writer->conn, parts, 2);
    writer->error = rc < 0 ? (int)rc : 0;
    cor_writer_free(writer);
    return writer->error;
}

int cor_writer_flush(cor_writer *writer)
{
    int rc = writer->error < 0 ? cori_in_vain(writer->error) : 0;
    return rc < 0 || writer->count == 0 ? rc : send_with(writer, NULL, 0);
}

/* A buffer to write into: 0, -ENOMEM, or the error that stays. */
static int begin(cor_writer *writer)
{
    if (writer->error == 0 && writer->buf == NULL) {
        writer->buf = cori_buffer_take();
        return writer->buf != NULL ? 0 : -ENOMEM;
    }
    return writer->error < 0 ? cori_in_vain(writer->error) : 0;
}

ssize_t cor_writer_write(cor_writer *writer, const void *buf, size_t size)
{
    int rc = writer->error < 0 ? cori_in_vain(writer->error) : 0;
    if (rc == 0 && size > CORI_BUFFER_BYTES - writer->count) {
        rc = send_with(writer, buf, size);
    } else if (rc == 0 && size > 0) {
        rc = begin(writer);
        if (rc == 0) {
            memcpy(writer->buf + writer->count, buf, size);
            writer->count += size;
        }
    }
    return rc < 0 ? rc : (ssize_t)size;
}

/* Formats what did not fit. */
static ssize_t print_long(cor_writer *writer, size_t length, const char *format, va_list values)
{
    char *text = cori_malloc(length + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    (void)vsnprintf(text, length + 1, format, values);
    ssize_t rc = cor_writer_write(writer, text, length);
    free(text);
    return rc;
}

ssize_t cor_writer_printf(cor_writer *writer, const char *format, ...)
{
    va_list values, again;
    int rc = begin(writer);
    if (rc < 0) {
        return rc;
    }
    size_t room = CORI_BUFFER_BYTES - writer->count;
    va_start(values, format);
    va_copy(again, values);
    int before = cori_errno_keep();
    int length = vsnprintf(writer->buf + writer->count, room, format, values);
    ssize_t count = length >= 0 ? length : -EINVAL;
    cori_errno_restore(before);
    if (length >= 0 && (size_t)length >= room) {
        count = print_long(writer, (size_t)length, format, again);
    } else {
        writer->count += length > 0 ? (size_t)length : 0;
    }
    if (writer->count == 0) {
        cor_writer_free(writer);
    }
    va_end(again);
    va_end(values);
    return count;
}
