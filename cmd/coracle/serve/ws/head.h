/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1 request, read strictly: what a WebSocket entry asks for before it answers. Lines end in CRLF,
 * names are tokens, values have no control characters, nothing is folded, and what may come once comes once (RFC 9112).
 * Of fields that are of no interest here nothing is kept. A head has at most HEAD_MAX bytes. Bytes that can become no
 * head are refused as soon as they are seen, not when the head is over.
 *
 * Pure: no memory, no I/O. The caller keeps all that has come in one piece; texts are places in it.
 */
#ifndef CORACLE_CMD_SERVE_WS_HEAD_H
#define CORACLE_CMD_SERVE_WS_HEAD_H

#include <stdbool.h>
#include <stddef.h>

enum { HEAD_MAX = 8192 };

/* A piece of the head. */
typedef struct head_text {
    size_t at, size;
    bool given;
} head_text;

/* What has been read of a head. All-zero is the beginning of one. */
struct http_head {
    size_t size; /* bytes of whole lines so far; when it is complete, of all of it */
    size_t seen; /* bytes looked at */
    head_text method, target;
    unsigned minor; /* HTTP/1.0 or 1.1 */
    head_text host, origin, key, version;
    bool asks_websocket; /* Upgrade has websocket */
    bool asks_upgrade;   /* Connection has upgrade */
    bool has_body;       /* Content-Length other than 0, or Transfer-Encoding */
};

typedef enum head_result { HEAD_MORE, HEAD_COMPLETE, HEAD_BAD, HEAD_TOO_LONG } head_result;

/*
 * Reads on. `bytes` is all that has come since the head began, `size` grows from call to call. After HEAD_COMPLETE
 * head->size tells where the head ends. Only after HEAD_MORE may it be called again.
 */
head_result head_read(struct http_head *head, const char *bytes, size_t size);

/* Whether a text of the head is this one; letters in `text` are lower case and match both cases. */
bool head_is(const char *bytes, head_text piece, const char *text);

#endif
