/* SPDX-License-Identifier: MIT */
/* Moving a whole stream: copy it to another connection, or drop it before closing. */
#include <coracle/io.h>
#include <coracle/time.h>

int64_t cor_copy(cor_conn *target, cor_conn *source)
{
    int64_t total = 0;
    for (;;) {
        cor_buffer buffer;
        ssize_t count = cor_read_buffer(source, &buffer);
        if (count <= 0) {
            return count < 0 ? count : total;
        }
        ssize_t written = cor_write(target, buffer.data, buffer.size);
        cor_buffer_free(&buffer);
        if (written < 0) {
            return written;
        }
        total += count;
    }
}

int64_t cor_drain(cor_conn *conn, int64_t max_bytes, int64_t deadline)
{
    int64_t total = 0;
    if (deadline != 0 && cor_set_read_deadline(conn, deadline) < 0) {
        return 0;
    }
    while (total < max_bytes) {
        cor_buffer buffer;
        ssize_t count = cor_read_buffer(conn, &buffer);
        if (count <= 0) {
            break;
        }
        cor_buffer_free(&buffer);
        total += count;
    }
    return total;
}
