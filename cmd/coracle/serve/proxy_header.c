/* SPDX-License-Identifier: MIT */
/* Both versions of the PROXY protocol. */
#include "serve/proxy_header.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORTEST = 15, /* "PROXY UNKNOWN\r\n"; version 2 has 16 */
    V2_FIXED = 16,
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_TCP4_BYTES = 12, /* two addresses, two ports */
    V2_TCP6_BYTES = 36,
    WORDS = 6
};

static const char v1_mark[] = "PROXY ";
static const unsigned char v2_mark[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool begins_with(const struct proxy_header *of, const void *mark, size_t size)
{
    return memcmp(of->bytes, mark, of->size < size ? of->size : size) == 0;
}

static unsigned number_at(const struct proxy_header *of, size_t at)
{
    return (unsigned)of->bytes[at] << 8 | of->bytes[at + 1];
}

static int look_v2(struct proxy_header *of)
{
    if (of->size < V2_FIXED) {
        return (int)(V2_FIXED - of->size);
    }
    unsigned command = of->bytes[12], family = of->bytes[13];
    size_t length = number_at(of, 14), addresses = 0;
    if (command == V2_PROXY) {
        addresses = family == V2_TCP4 ? V2_TCP4_BYTES : family == V2_TCP6 ? V2_TCP6_BYTES : 0;
    } else if (command != V2_LOCAL) {
        return -1;
    }
    if (addresses > length) {
        return -1;
    }
    if (of->size < V2_FIXED + addresses) {
        return (int)(V2_FIXED + addresses - of->size);
    }
    if (addresses > 0) {
        size_t ip_bytes = (addresses - 4) / 2;
        of->from.ip = cor_ip_of(of->bytes + V2_FIXED, ip_bytes);
        of->from.port = (uint16_t)number_at(of, V2_FIXED + 2 * ip_bytes);
    }
    of->skip = length - addresses;
    return 0;
}

/* Digits without a leading zero, up to 65535. */
static bool parse_port(const char *text, uint16_t *port)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long value = strtoul(text, NULL, 10);
    if (digits == 0 || digits > 5 || text[digits] != '\0' || value > UINT16_MAX || (*text == '0' && digits > 1)) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

static bool parse_ip(const char *text, bool v6, cor_ip *ip)
{
    return (strchr(text, ':') != NULL) == v6 && cor_ip_parse(ip, text) == 0;
}

/* The line without its end: PROXY TCP4 CLIENT PROXY CLIENT'S-PORT PROXY'S-PORT, or PROXY UNKNOWN and anything. */
static bool parse_v1(struct proxy_header *of, char *line)
{
    char *words[WORDS] = {line};
    int count = 1;
    if (strncmp(line, "PROXY UNKNOWN", SHORTEST - 2) == 0) {
        return line[SHORTEST - 2] == '\0' || line[SHORTEST - 2] == ' ';
    }
    for (char *space; (space = strchr(words[count - 1], ' ')) != NULL; words[count++] = space + 1) {
        *space = '\0';
        if (count == WORDS) {
            return false;
        }
    }
    cor_ip proxy;
    cor_addr from = {0};
    uint16_t port;
    bool v6 = count == WORDS && strcmp(words[1], "TCP6") == 0;
    if (count != WORDS || (!v6 && strcmp(words[1], "TCP4") != 0) || !parse_ip(words[2], v6, &from.ip) ||
        !parse_ip(words[3], v6, &proxy) || !parse_port(words[4], &from.port) || !parse_port(words[5], &port)) {
        return false;
    }
    of->from = from;
    return true;
}

static int look_v1(struct proxy_header *of)
{
    char line[PROXY_HEADER_BYTES];
    unsigned char last = of->bytes[of->size - 1];
    if (last == '\n' && of->bytes[of->size - 2] == '\r') {
        memcpy(line, of->bytes, of->size);
        line[of->size - 2] = '\0';
        return strlen(line) == of->size - 2 && parse_v1(of, line) ? 0 : -1;
    }
    int more = last == '\r' ? 1 : 2; /* the line's end */
    return last == '\n' || of->size + (size_t)more > PROXY_HEADER_BYTES ? -1 : more;
}

int proxy_header_look(struct proxy_header *of)
{
    bool v2 = begins_with(of, v2_mark, sizeof(v2_mark));
    if (!v2 && !begins_with(of, v1_mark, sizeof(v1_mark) - 1)) {
        return -1;
    }
    if (of->size < SHORTEST) {
        return (int)(SHORTEST - of->size);
    }
    return v2 ? look_v2(of) : look_v1(of);
}

int proxy_header_read(struct proxy_header *of, ssize_t (*read)(void *arg, void *buf, size_t size), void *arg)
{
    int more;
    ssize_t count = 1;
    while (count > 0 && (more = proxy_header_look(of)) > 0) {
        count = read(arg, of->bytes + of->size, (size_t)more);
        of->size += count > 0 ? (size_t)count : 0;
    }
    if (count > 0 && more < 0) {
        return -EPROTO;
    }
    while (count > 0 && of->skip > 0) {
        unsigned char dropped[64];
        count = read(arg, dropped, of->skip < sizeof(dropped) ? of->skip : sizeof(dropped));
        of->skip -= count > 0 ? (size_t)count : 0;
    }
    return count > 0 ? 1 : (int)count;
}
