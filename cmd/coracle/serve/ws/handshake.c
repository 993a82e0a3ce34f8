/* SPDX-License-Identifier: MIT */
/* From a request to an answer. */
#include "serve/ws/handshake.h"

#if COR_HAVE_WEBSOCKET

#include "serve/guard.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* RFC 6455, section 1.3: what the accept value is made with. */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
enum { KEY_SIZE = 24, KEY_BYTES = 16 };
#define ROOM_PATH "/room/"
/* The longest name with a port. */
enum { HOST_MAX = 264 };

#define UNKNOWN_HOST                                                                                                   \
    "This host name is not one that the server knows. If it is right, start the server with --origin http://NAME:PORT"

static handshake_answer other(const char *status, const char *fields, close_reason reason)
{
    return (handshake_answer){HANDSHAKE_OTHER, status, fields, reason, NULL, ""};
}

/* Finds the room that a target names, without its query: "" for `/`. False: it is neither that nor `/room/NAME`. */
static bool find_room(const char *bytes, head_text target, char room[ROOM_NAME_SIZE])
{
    const char *path = bytes + target.at, *query = memchr(path, '?', target.size);
    size_t size = query != NULL ? (size_t)(query - path) : target.size, before = strlen(ROOM_PATH);
    memset(room, 0, ROOM_NAME_SIZE);
    if (size == 1 && *path == '/') {
        return true;
    }
    return size > before && memcmp(path, ROOM_PATH, before) == 0 &&
           room_name_decode(path + before, size - before, room);
}

/* A key is the base64 of 16 bytes. */
static bool is_key(const char *bytes, head_text key)
{
    struct base64_decode_ctx decoder;
    uint8_t decoded[BASE64_DECODE_LENGTH(KEY_SIZE)];
    size_t size = sizeof(decoded);
    base64_decode_init(&decoder);
    return key.given && key.size == KEY_SIZE &&
           base64_decode_update(&decoder, &size, decoded, key.size, bytes + key.at) == 1 &&
           base64_decode_final(&decoder) == 1 && size == KEY_BYTES;
}

/* What follows "http://" or "https://" in an origin; empty if it is another. */
static head_text host_of(const char *bytes, head_text origin)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t size = strlen(schemes[i]);
        if (origin.size > size && strncasecmp(bytes + origin.at, schemes[i], size) == 0) {
            return (head_text){origin.at + size, origin.size - size, true};
        }
    }
    return (head_text){0};
}

/* Whether a list, with commas, has the origin or a "*". */
static bool is_listed(const char *origins, const char *origin, size_t size)
{
    for (const char *at = origins; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if ((length == 1 && *at == '*') || (length > 0 && length == size && strncasecmp(at, origin, size) == 0)) {
            return true;
        }
        at += length + (at[length] == ',');
    }
    return false;
}

/* Whether Host has a name that nobody else can make lead here. */
static bool is_known(const char *bytes, head_text host, const char *own)
{
    char text[HOST_MAX];
    if (host.size >= sizeof(text)) {
        return false;
    }
    memcpy(text, bytes + host.at, host.size);
    text[host.size] = '\0';
    return guard_host(text, own);
}

static bool may_come_from(const struct http_head *head, const char *bytes, const char *origins)
{
    if (!head->origin.given) {
        return true;
    }
    if (origins != NULL) {
        return is_listed(origins, bytes + head->origin.at, head->origin.size);
    }
    head_text host = host_of(bytes, head->origin);
    return host.size > 0 && host.size == head->host.size &&
           strncasecmp(bytes + host.at, bytes + head->host.at, host.size) == 0;
}

static handshake_answer decide_upgrade(const struct http_head *head, const char *bytes, const char *origins)
{
    if (!head->asks_websocket || !head->asks_upgrade || head->minor == 0 || !is_key(bytes, head->key)) {
        return other("400 Bad Request", "", REASON_PROTOCOL);
    }
    if (!head_is(bytes, head->version, "13")) {
        return other("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n", REASON_PROTOCOL);
    }
    if (!may_come_from(head, bytes, origins)) {
        return other("403 Forbidden", "", REASON_DENIED);
    }
    return (handshake_answer){.result = HANDSHAKE_UPGRADE};
}

handshake_answer handshake_decide(const struct http_head *head, const char *bytes, const handshake_rules *rules)
{
    if (head->has_body || (head->minor > 0 && (!head->host.given || head->host.size == 0))) {
        return other("400 Bad Request", "", REASON_PROTOCOL);
    }
    if (head->method.size != 3 || memcmp(bytes + head->method.at, "GET", 3) != 0) {
        return other("405 Method Not Allowed", "Allow: GET\r\n", REASON_PROTOCOL);
    }
    char room[ROOM_NAME_SIZE];
    if (!find_room(bytes, head->target, room)) {
        return other("404 Not Found", "", REASON_EOF);
    }
    bool upgrade = head->asks_websocket || head->key.given;
    if (rules->origins == NULL && head->host.given && (head->origin.given || !upgrade) &&
        !is_known(bytes, head->host, rules->own)) {
        return (handshake_answer){HANDSHAKE_OTHER, "403 Forbidden", "", REASON_DENIED, UNKNOWN_HOST, ""};
    }
    handshake_answer answer = {HANDSHAKE_PAGE, "200 OK", "", REASON_EOF, NULL, ""};
    if (upgrade) {
        answer = decide_upgrade(head, bytes, rules->origins);
    }
    memcpy(answer.room, room, sizeof(room));
    return answer;
}

handshake_answer handshake_refuse(head_result result)
{
    return result == HEAD_TOO_LONG ? other("431 Request Header Fields Too Large", "", REASON_TOO_LONG)
                                   : other("400 Bad Request", "", REASON_PROTOCOL);
}

handshake_answer handshake_turn_away(close_reason reason)
{
    switch (reason) {
    case REASON_EOF:
        return other("404 Not Found", "", reason);
    case REASON_DENIED:
        return other("403 Forbidden", "", reason);
    case REASON_PER_IP:
    case REASON_RATE:
        return other("429 Too Many Requests", "", reason);
    default:
        return other("503 Service Unavailable", "", reason);
    }
}

size_t handshake_write_upgrade(const struct http_head *head, const char *bytes, char to[HANDSHAKE_MAX])
{
    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    char accept[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1] = "";
    sha1_init(&sha1);
    sha1_update(&sha1, head->key.size, (const uint8_t *)bytes + head->key.at);
    sha1_update(&sha1, strlen(GUID), (const uint8_t *)GUID);
    sha1_digest(&sha1, sizeof(digest), digest);
    base64_encode_raw(accept, sizeof(digest), digest);
    return (size_t)snprintf(to, HANDSHAKE_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n\r\n",
                            accept);
}

size_t handshake_write_end(const handshake_answer *answer, const char *type, size_t body_size, char to[HANDSHAKE_MAX])
{
    return (size_t)snprintf(to, HANDSHAKE_MAX,
                            "HTTP/1.1 %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n"
                            "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
                            answer->status, type, body_size, answer->fields);
}

size_t handshake_write_refusal(close_reason reason, const char *words, char to[HANDSHAKE_MAX])
{
    handshake_answer answer = handshake_turn_away(reason);
    size_t size = handshake_write_end(&answer, "text/plain", strlen(words), to);
    return size + (size_t)snprintf(to + size, HANDSHAKE_MAX - size, "%s", words);
}

#endif
