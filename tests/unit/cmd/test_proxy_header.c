/* SPDX-License-Identifier: MIT */
/* PROXY headers: both versions, in any pieces, never a byte too many; and what is none. */
/* sources: cmd/coracle/serve/proxy_header.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "serve/proxy_header.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
/* A literal with its NULs, without the last one. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/*
 * Feeds as much as is asked for. Gives -1 if it is no header, else how many bytes it takes; then `of` is whole. What
 * is asked for never goes beyond the `size` bytes of the whole header.
 */
static int feed(struct proxy_header *of, const char *bytes, size_t size)
{
    int more;
    *of = (struct proxy_header){0};
    while ((more = proxy_header_look(of)) > 0) {
        assert_true(of->size + (size_t)more <= sizeof(of->bytes));
        if (of->size + (size_t)more > size) {
            fail_msg("asks for %d bytes after %zu of %zu", more, of->size, size);
        }
        memcpy(of->bytes + of->size, bytes + of->size, (size_t)more);
        of->size += (size_t)more;
    }
    return more < 0 ? more : (int)(of->size + of->skip);
}

static void is_from(const char *bytes, size_t size, const char *from)
{
    struct proxy_header of;
    char text[COR_ADDR_TEXT] = "";
    assert_int_equal(feed(&of, bytes, size), size);
    if (of.from.ip.family != 0) {
        cor_addr_text(of.from, text, sizeof(text));
    }
    assert_string_equal(text, from);
}

/* Something comes after it, which is not asked for before it is refused. */
static void is_none(const char *bytes, size_t size)
{
    struct proxy_header of;
    char padded[512] = {0};
    memcpy(padded, bytes, size);
    if (feed(&of, padded, sizeof(padded)) != -1) {
        fail_msg("taken: %.60s", bytes);
    }
}

static void version_1(void **state)
{
    (void)state;
    is_from(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), "192.0.2.1:56324");
    is_from(BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n"), "1.1.1.1:0");
    is_from(BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n"), "[2001:db8::1]:65535");
    is_from(BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 7 1\r\n"), "192.0.2.1:7"); /* one form for one address */
    is_from(BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
                  "65535\r\n"),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    is_from(BYTES("PROXY UNKNOWN\r\n"), "");
    is_from(BYTES("PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n"), "");
}

static void version_2(void **state)
{
    (void)state;
    is_from(BYTES(V2 "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"), "192.0.2.1:56324");
    is_from(BYTES(V2 "\x21\x11\0\x0f\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x04\0\0"), "192.0.2.1:56324");
    is_from(BYTES(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
                     "\x02\0\x50\x01\xbb"),
            "[2001:db8::1]:80");
    is_from(BYTES(V2 "\x20\0\0\0"), ""); /* LOCAL: the proxy asks whether we live */
    is_from(BYTES(V2 "\x20\x11\0\x04"    /* and what it adds */
                     "abcd"),
            "");
    is_from(BYTES(V2 "\x21\0\0\0"), "");       /* it does not know */
    is_from(BYTES(V2 "\x21\x12\0\x02xx"), ""); /* a datagram's: none of ours */
}

static void none(void **state)
{
    (void)state;
    is_none(BYTES("GET / HTTP/1.1\r\n"));
    is_none(BYTES("PROXY"));
    is_none(BYTES("PROXY\r\n"));
    is_none(BYTES("PROXX UNKNOWN\r\n"));
    is_none(BYTES("PROXY UNKNOWNS\r\n"));
    is_none(BYTES("PROXY UNKNOWN\n\n\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 00443 443\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n"));
    is_none(BYTES("PROXY TCP4 192.0.2.256 198.51.100.2 1 443\r\n"));
    is_none(BYTES("PROXY TCP4 ::1 ::1 1 443\r\n"));
    is_none(BYTES("PROXY TCP6 1.1.1.1 1.1.1.1 1 443\r\n"));
    is_none(BYTES("PROXY TCP6 fe80::1%lo ::1 1 443\r\n"));
    is_none(BYTES("PROXY TCP5 1.1.1.1 1.1.1.1 1 443\r\n"));
    is_none(BYTES("PROXY UDP4 1.1.1.1 1.1.1.1 1 443\r\n"));
    is_none(BYTES("PROXY TCP4 1.1.1.1\0 1.1.1.1 1 443\r\n"));
    is_none(BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaa\r\n"));                    /* 108 and more */
    is_none(BYTES(V2 "\x11\x11\0\x0c"));                           /* version 1 in 2's form */
    is_none(BYTES(V2 "\x22\x11\0\x0c"));                           /* no such command */
    is_none(BYTES(V2 "\x21\x11\0\x0b\xc0\0\x02\x01\xc6\x33\x64")); /* its addresses do not fit in */
    is_none(BYTES(V2 "\x21\x21\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"));
    is_none(BYTES("\r\n\r\n\0\r\nQUIX\n\x20\0\0\0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(version_2),
        cmocka_unit_test(none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
