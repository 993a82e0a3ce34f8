/* SPDX-License-Identifier: MIT */
/* Who may come in: the longest block decides, lists and files, and that a mistake changes nothing. */
/* sources: cmd/coracle/serve/access.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/access.h"

static struct access of = {.lock = PTHREAD_MUTEX_INITIALIZER};
static char trouble[ACCESS_TROUBLE];

static bool lets_in(const char *text)
{
    cor_ip ip;
    assert_int_equal(cor_ip_parse(&ip, text), 0);
    return access_allows(&of, ip);
}

static void read_lists(const char *allow, const char *deny)
{
    assert_true(access_read(&of, allow, deny, trouble));
}

static void test_the_longest_decides(void **state)
{
    (void)state;
    assert_true(lets_in("192.0.2.1"));
    read_lists("10.1.0.0/16,10.1.2.3", "10.0.0.0/8, 10.1.2.0/24");
    assert_false(lets_in("10.9.9.9"));
    assert_true(lets_in("10.1.9.9"));
    assert_false(lets_in("10.1.2.4"));
    assert_true(lets_in("10.1.2.3"));
    assert_false(lets_in("192.0.2.1")); /* in no block, and there is an allow list */
    assert_false(lets_in("2001:db8::1"));
    read_lists(NULL, "10.0.0.0/8,2001:db8::/32");
    assert_true(lets_in("192.0.2.1"));
    assert_false(lets_in("10.9.9.9"));
    assert_false(lets_in("2001:db8:1::1"));
    assert_true(lets_in("2001:db9::1"));
    read_lists("10.0.0.0/8", "10.0.0.0/8"); /* in both: denied */
    assert_false(lets_in("10.9.9.9"));
    read_lists("0.0.0.0/0", NULL);
    assert_true(lets_in("192.0.2.1"));
    assert_false(lets_in("2001:db8::1")); /* all of IPv4 is nothing of IPv6 */
    read_lists("10.7.7.7/8", NULL);       /* an address within the network says the network */
    assert_true(lets_in("10.1.1.1"));
    access_clear(&of);
    assert_true(lets_in("192.0.2.1"));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_files_and_mistakes(void **state)
{
    char path[] = "/tmp/coracle-access-XXXXXX", list[64];
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(list, sizeof(list), "192.0.2.1,@%s", path);
    write_file(path, "# friends\n10.0.0.0/8  # all of them\r\n\n  2001:db8::/32\n");
    read_lists(list, NULL);
    assert_int_equal(access_count(&of), 3);
    assert_true(lets_in("192.0.2.1"));
    assert_true(lets_in("10.1.1.1"));
    assert_true(lets_in("2001:db8::7"));
    assert_false(lets_in("192.0.2.2"));
    char comment[6000]; /* lines may be of any length, and what is behind a '#' is no block */
    memset(comment, 'x', sizeof(comment));
    comment[0] = '#';
    memcpy(comment + 4094, " 192.0.2.2\n", sizeof(" 192.0.2.2\n"));
    write_file(path, comment);
    read_lists(list, NULL);
    assert_int_equal(access_count(&of), 1);
    assert_false(lets_in("192.0.2.2"));
    memcpy(comment + 4094, "\n10.0.0.0/8", sizeof("\n10.0.0.0/8"));
    write_file(path, comment);
    read_lists(list, NULL);
    assert_int_equal(access_count(&of), 2);
    write_file(path, "192.0.2.2\n10.0.0.0/33\n");
    assert_false(access_read(&of, list, NULL, trouble));
    assert_non_null(strstr(trouble, ":2: '10.0.0.0/33' is not an address"));
    assert_false(lets_in("192.0.2.2")); /* nothing has changed */
    assert_true(lets_in("10.1.1.1"));
    unlink(path);
    assert_false(access_read(&of, list, NULL, trouble));
    assert_non_null(strstr(trouble, "no such file"));
    assert_false(access_read(&of, "192.0.2.1,,10.0.0.1", NULL, trouble));
    memset(comment, ' ', sizeof(comment) - 1);
    memcpy(comment, "192.0.2.1", 9);
    memcpy(comment + 5000, "x", 2);
    assert_false(access_read(&of, comment, NULL, trouble));
    assert_false(access_read(&of, NULL, "example.org", trouble));
    assert_non_null(strstr(trouble, "--deny: 'example.org' is not an address"));
    assert_true(lets_in("10.1.1.1"));
    access_clear(&of);
}

/* Against looking at all rules one after the other. */
static void test_like_a_plain_search(void **state)
{
    enum { RULES = 300, LOOKS = 3000 };
    static struct {
        cor_prefix block;
        bool allow;
    } rules[RULES];
    static char lists[2][RULES * 32];
    unsigned seed = 7;
    (void)state;
    for (int i = 0; i < RULES; i++) {
        char text[32];
        unsigned value = (unsigned)rand_r(&seed);
        snprintf(text, sizeof(text), "10.%u.%u.%u/%u", value % 4, value / 4 % 4, value / 16 % 256,
                 8 + value / 4096 % 25);
        assert_int_equal(cor_prefix_parse(&rules[i].block, text), 0);
        rules[i].allow = value / 65536 % 2;
        char *list = lists[rules[i].allow];
        snprintf(list + strlen(list), sizeof(lists[0]) - strlen(list), "%s%s", *list != '\0' ? "," : "", text);
    }
    read_lists(lists[1], lists[0]);
    for (int i = 0; i < LOOKS; i++) {
        char text[32];
        cor_ip ip;
        unsigned value = (unsigned)rand_r(&seed);
        snprintf(text, sizeof(text), "10.%u.%u.%u", value % 5, value / 8 % 5, value / 64 % 256);
        assert_int_equal(cor_ip_parse(&ip, text), 0);
        int longest = -1;
        bool allowed = false;
        for (int j = 0; j < RULES; j++) {
            if (cor_prefix_contains(rules[j].block, ip) && rules[j].block.bits >= longest) {
                allowed = rules[j].allow && (rules[j].block.bits > longest || allowed);
                longest = rules[j].block.bits;
            }
        }
        assert_int_equal(access_allows(&of, ip), allowed);
    }
    access_clear(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_decides),
        cmocka_unit_test(test_files_and_mistakes),
        cmocka_unit_test(test_like_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
