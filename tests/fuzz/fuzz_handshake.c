/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket entry answers to a whole head. Who is upgraded has asked as RFC 6455 says, and is no browser with a
 * page from elsewhere; who gets the page has named a host of ours; all of that by another way of looking: at lines cut
 * out of the head. Every answer is whole, and has nothing of the request in it but the proof of its key.
 *
 * Input: the list of --origin (empty: none), NUL, the host of the address, NUL, the head.
 */
/* test: needs-websocket */
/* sources: cmd/coracle/serve/ws/handshake.c cmd/coracle/serve/ws/head.c cmd/coracle/serve/guard.c */
/* sources: cmd/coracle/serve/room/name.c cmd/coracle/escape.c cmd/coracle/utf8.c */
#include "hosts.h"
#include "input.h"
#include "serve/ws/handshake.h"

/* A field's value in a copy without what is around it; NULL: there is none. The caller frees it. */
static char *value_of(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *begin = line + length + 1, *end = strstr(begin, "\r\n");
            while (begin < end && strchr(" \t", *begin) != NULL) {
                begin++;
            }
            while (end > begin && strchr(" \t", end[-1]) != NULL) {
                end--;
            }
            return exact_copy(begin, (size_t)(end - begin), 1);
        }
    }
    return NULL;
}

static bool is_listed(const char *origin, const char *list)
{
    char *copy = exact_copy(list, strlen(list), 1), *rest = copy;
    bool found = false;
    for (char *one = strsep(&rest, ","); one != NULL; one = strsep(&rest, ",")) {
        found = found || strcmp(one, "*") == 0 || (*one != '\0' && strcasecmp(one, origin) == 0);
    }
    free(copy);
    return found;
}

static bool is_page_of(const char *origin, const char *host)
{
    return (strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0) ||
           (strncasecmp(origin, "https://", 8) == 0 && strcasecmp(origin + 8, host) == 0);
}

static void check_upgrade(const char *head, const handshake_rules *rules)
{
    char *host = value_of(head, "host"), *origin = value_of(head, "origin"), *key = value_of(head, "sec-websocket-key");
    char *version = value_of(head, "sec-websocket-version"), *body = value_of(head, "transfer-encoding");
    CHECK(strncmp(head, "GET /", 5) == 0 && strstr(head, " HTTP/1.1\r\n") != NULL && body == NULL);
    CHECK(host != NULL && *host != '\0' && key != NULL && strlen(key) == 24 && strcmp(key + 22, "==") == 0);
    CHECK(version != NULL && strcmp(version, "13") == 0);
    if (origin != NULL && rules->origins != NULL) {
        CHECK(is_listed(origin, rules->origins));
    } else if (origin != NULL) {
        CHECK(is_page_of(origin, host) && is_host_of(host, rules->own != NULL ? rules->own : "localhost"));
    }
    free(host);
    free(origin);
    free(key);
    free(version);
    free(body);
}

static void check_page(const char *head, const handshake_rules *rules)
{
    char *host = value_of(head, "host"), *key = value_of(head, "sec-websocket-key");
    CHECK(strncmp(head, "GET /", 5) == 0 && key == NULL);
    CHECK(host == NULL || rules->origins != NULL || is_host_of(host, rules->own != NULL ? rules->own : "localhost"));
    free(host);
    free(key);
}

/* The answer in full. */
static void check_answer(const handshake_answer *decided, const struct http_head *head, const char *bytes)
{
    char text[HANDSHAKE_MAX + 1];
    size_t size = decided->result == HANDSHAKE_UPGRADE ? handshake_write_upgrade(head, bytes, text)
                                                       : handshake_write_end(decided, "text/plain", 0, text);
    CHECK(size < HANDSHAKE_MAX);
    text[size] = '\0';
    CHECK(strlen(text) == size && strncmp(text, "HTTP/1.1 ", 9) == 0);
    CHECK(strcmp(strstr(text, "\r\n\r\n"), "\r\n\r\n") == 0);
    CHECK((strncmp(text, "HTTP/1.1 101 ", 13) == 0) == (decided->result == HANDSHAKE_UPGRADE));
    CHECK((decided->result == HANDSHAKE_UPGRADE) == (decided->reason == REASON_NONE));
    char *accept = value_of(text, "sec-websocket-accept");
    CHECK((accept != NULL) == (decided->result == HANDSHAKE_UPGRADE));
    CHECK(accept == NULL || (strlen(accept) == 28 && accept[27] == '='));
    free(accept);
}

static void ask(const char *bytes, size_t size, const handshake_rules *rules)
{
    struct http_head head = {0};
    head_result result = head_read(&head, bytes, size);
    if (result == HEAD_MORE) {
        return;
    }
    handshake_answer decided =
        result == HEAD_COMPLETE ? handshake_decide(&head, bytes, rules) : handshake_refuse(result);
    if (decided.result != HANDSHAKE_OTHER) {
        CHECK(*decided.room == '\0' || room_name_is_good(decided.room, strlen(decided.room)));
        char *text = exact_copy(bytes, head.size, 1);
        (decided.result == HANDSHAKE_UPGRADE ? check_upgrade : check_page)(text, rules);
        free(text);
    }
    check_answer(&decided, &head, bytes);
}

static void refuse(unsigned reason)
{
    char text[HANDSHAKE_MAX];
    size_t size = handshake_write_refusal((close_reason)(reason % REASON_COUNT), "refused: words\n", text);
    CHECK(size < HANDSHAKE_MAX && memcmp(text + size - 15, "refused: words\n", 15) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    char *origins = input_text(&in), *own = input_text(&in);
    const handshake_rules rules = {*origins != '\0' ? origins : NULL, *own != '\0' ? own : NULL};
    char *bytes = exact_copy(in.next, in.left, 0);
    ask(bytes, in.left, &rules);
    refuse((unsigned)size);
    free(bytes);
    free(own);
    free(origins);
    return 0;
}
