/* SPDX-License-Identifier: MIT */
/* Which names and pages the status server answers. */
/* sources: cmd/coracle/serve/guard.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "serve/guard.h"

static void test_hosts(void **state)
{
    static const char *const ours[] = {
        "localhost", "LocalHost:7070", "127.0.0.1",           "127.0.0.1:7070", "192.0.2.7:1",
        "[::1]",     "[::1]:7070",     "[2001:db8::1]:65535", "status.example", "STATUS.example:80"};
    static const char *const others[] = {
        "",
        ":7070",
        "evil.example",
        "evil.example:7070",
        "localhost.evil.example",
        "evil.localhost",
        "localhost:",
        "localhost:x",
        "localhost:1x",
        "localhost:123456",
        "localhost:7070:1",
        "localhost@evil.example",
        "127.1",
        "2130706433",
        "0x7f.1",
        "127.0.0.1.",
        "127.0.0.1.evil.example",
        "::1",
        "[::1",
        "[::1]x",
        "[]",
        "[127.0.0.1]",
        "[localhost]",
        "[::1]:",
        "[fe80::1%lo]",
        " localhost",
        "localhost ",
        "[status.example]",
    };
    char longest[300];
    (void)state;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        assert_true(guard_host(ours[i], "status.example"));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(guard_host(others[i], "status.example"));
    }
    assert_false(guard_host("status.example", NULL));
    assert_false(guard_host("status.example", "other.example"));
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(guard_host(longest, longest));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(guard_origin(NULL, "localhost"));
    assert_true(guard_origin("http://localhost:7070", "localhost:7070"));
    assert_true(guard_origin("HTTP://LOCALHOST", "localhost"));
    assert_false(guard_origin("https://localhost", "localhost"));
    assert_false(guard_origin("http://localhost", "localhost:7070"));
    assert_false(guard_origin("http://localhost:7070.evil.example", "localhost:7070"));
    assert_false(guard_origin("null", "null"));
    assert_false(guard_origin("", ""));
    assert_false(guard_origin("http://", "localhost"));
}

static void test_sites(void **state)
{
    (void)state;
    assert_true(guard_site(NULL, false));
    assert_true(guard_site("none", false));
    assert_true(guard_site("same-origin", false));
    assert_true(guard_site("cross-site", true));
    assert_false(guard_site("cross-site", false));
    assert_false(guard_site("same-site", false));
    assert_false(guard_site("", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
