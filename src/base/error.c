/* SPDX-License-Identifier: MIT */
/* Error texts (Go's words) and the printing of cor_error. */
#include "base/platform.h"

#include <coracle/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The kernel's errors that networking meets, in Go's lower-case words. */
static const struct {
    int number;
    const char *text;
} errno_texts[] = {
    {EPERM, "operation not permitted"},
    {ENOENT, "no such file or directory"},
    {EINTR, "interrupted system call"},
    {EIO, "input/output error"},
    {ENXIO, "no such device or address"},
    {EBADF, "bad file descriptor"},
    {EAGAIN, "resource temporarily unavailable"},
    {ENOMEM, "cannot allocate memory"},
    {EACCES, "permission denied"},
    {EFAULT, "bad address"},
    {EBUSY, "device or resource busy"},
    {EEXIST, "file exists"},
    {ENODEV, "no such device"},
    {ENOTDIR, "not a directory"},
    {EISDIR, "is a directory"},
    {EINVAL, "invalid argument"},
    {ENFILE, "too many open files in system"},
    {EMFILE, "too many open files"},
    {ENOTTY, "inappropriate ioctl for device"},
    {EFBIG, "file too large"},
    {ENOSPC, "no space left on device"},
    {ESPIPE, "illegal seek"},
    {EROFS, "read-only file system"},
    {EPIPE, "broken pipe"},
    {ERANGE, "numerical result out of range"},
    {ENAMETOOLONG, "file name too long"},
    {ENOSYS, "function not implemented"},
    {ELOOP, "too many levels of symbolic links"},
    {EPROTO, "protocol error"},
    {EOVERFLOW, "value too large for defined data type"},
    {ENOTSOCK, "socket operation on non-socket"},
    {EDESTADDRREQ, "destination address required"},
    {EMSGSIZE, "message too long"},
    {EPROTOTYPE, "protocol wrong type for socket"},
    {ENOPROTOOPT, "protocol not available"},
    {EPROTONOSUPPORT, "protocol not supported"},
    {EOPNOTSUPP, "operation not supported"},
    {EAFNOSUPPORT, "address family not supported by protocol"},
    {EADDRINUSE, "address already in use"},
    {EADDRNOTAVAIL, "cannot assign requested address"},
    {ENETDOWN, "network is down"},
    {ENETUNREACH, "network is unreachable"},
    {ENETRESET, "network dropped connection on reset"},
    {ECONNABORTED, "software caused connection abort"},
    {ECONNRESET, "connection reset by peer"},
    {ENOBUFS, "no buffer space available"},
    {EISCONN, "transport endpoint is already connected"},
    {ENOTCONN, "transport endpoint is not connected"},
    {ESHUTDOWN, "cannot send after transport endpoint shutdown"},
    {ETIMEDOUT, "connection timed out"},
    {ECONNREFUSED, "connection refused"},
    {EHOSTDOWN, "host is down"},
    {EHOSTUNREACH, "no route to host"},
    {EALREADY, "operation already in progress"},
    {EINPROGRESS, "operation now in progress"},
    {ECANCELED, "operation canceled"},
};

const char *cor_strerror(int code)
{
    static _Thread_local char unknown[24];
    switch (code) {
    case 0:
        return "EOF";
#define TEXT_CASE(name, value, text)                                                                                   \
    case value:                                                                                                        \
        return text;
        COR_ERROR_LIST(TEXT_CASE)
#undef TEXT_CASE
    default:
        break;
    }
    for (size_t i = 0; i < sizeof(errno_texts) / sizeof(errno_texts[0]); i++) {
        if (errno_texts[i].number == -code) {
            return errno_texts[i].text;
        }
    }
    (void)snprintf(unknown, sizeof(unknown), "errno %d", code < 0 ? -code : code);
    return unknown;
}

bool cor_is_timeout(int code)
{
    return code == COR_ETIMEOUT || code == -EAGAIN || code == -ETIMEDOUT;
}

bool cor_is_temporary(int code)
{
    if (code == COR_ESERVER_MISBEHAVING) {
        return true;
    }
    return cor_is_timeout(code) || code == -EINTR || code == -EMFILE || code == -ENFILE;
}

/* Appends to a text of limited size; `used` counts what would have been written. */
static void append(char *text, size_t size, size_t *used, const char *piece)
{
    size_t length = strlen(piece);
    if (*used < size) {
        size_t room = size - *used;
        size_t taken = length < room ? length : room;
        memcpy(text + *used, piece, taken);
    }
    *used += length;
}

/* Appends `before` and `piece` if there is a piece. */
static void append_part(char *text, size_t size, size_t *used, const char *before, const char *piece)
{
    if (piece[0] != '\0') {
        append(text, size, used, before);
        append(text, size, used, piece);
    }
}

char *cor_error_text(const cor_error *error, char *text, size_t size)
{
    size_t used = 0;
    if (size == 0) {
        return text;
    }
    if (error->op[0] != '\0' && !(error->code == 0 && strcmp(error->op, "read") == 0)) {
        append(text, size, &used, error->op);
        append_part(text, size, &used, " ", error->network);
        append_part(text, size, &used, " ", error->source);
        append_part(text, size, &used, error->source[0] != '\0' ? "->" : " ", error->address);
        append(text, size, &used, ": ");
    }
    if (error->code == COR_EUNKNOWN_NETWORK) {
        append(text, size, &used, "unknown network ");
        append(text, size, &used, error->where);
    } else {
        append_part(text, size, &used, "", error->where);
        append(text, size, &used, error->where[0] != '\0' ? ": " : "");
        append(text, size, &used, cor_strerror(error->code));
    }
    text[used < size ? used : size - 1] = '\0';
    return text;
}
