/* SPDX-License-Identifier: MIT */
/* What is made of resolv.conf. */
/* test: workers=1 */
#include "net/resolv_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void read_text(const char *text, cori_resolv_conf *out)
{
    char path[] = "/tmp/cor-test-resolv-XXXXXX";
    int file = mkstemp(path);
    size_t size = strlen(text);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, size), size);
    cori_resolv_read(path, out);
    assert_int_equal(close(file), 0);
    assert_int_equal(unlink(path), 0);
}

/* N279 */
static void what_it_says(void **state)
{
    cori_resolv_conf conf;
    (void)state;
    read_text("# a comment\n; another\nnameserver 192.0.2.1\n\tnameserver 2001:db8::1 # the rest is not read\n"
              "nameserver [::1]:5353\nnameserver 192.0.2.4\ndomain first.test other.test\nsearch a.test b.test\n"
              "options ndots:3 timeout:7 attempts:4 rotate use-vc edns0 unknown:1\nsortlist 192.0.2.0\n",
              &conf);
    assert_string_equal(conf.servers, "192.0.2.1,[2001:db8::1],[::1]:5353");
    assert_int_equal(conf.domain_count, 2);
    assert_string_equal(conf.domains[0], "a.test");
    assert_string_equal(conf.domains[1], "b.test");
    assert_int_equal(conf.ndots, 3);
    assert_int_equal(conf.timeout_s, 7);
    assert_int_equal(conf.attempts, 4);
    assert_true(conf.rotate && conf.use_tcp);
    assert_false(conf.single_request || conf.trust_ad || conf.no_reload);
    read_text("options single-request-reopen\noptions trust-ad no-reload", &conf);
    assert_true(conf.single_request && conf.trust_ad && conf.no_reload && !conf.use_tcp);
    read_text("options single-request", &conf);
    assert_true(conf.single_request && !conf.trust_ad && !conf.no_reload);
    read_text("search a.test b.test\ndomain first.test other.test", &conf);
    assert_int_equal(conf.domain_count, 1);
    assert_string_equal(conf.domains[0], "first.test");
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* N279: a file with no-reload is read once; until it says that, and another file, each time. */
static void no_reload(void **state)
{
    char path[] = "/tmp/cor-test-resolv-XXXXXX", other[] = "/tmp/cor-test-resolv-XXXXXX";
    int file = mkstemp(path), other_file = mkstemp(other);
    cori_resolv_conf conf;
    (void)state;
    write_file(path, "nameserver 192.0.2.1");
    cori_resolv_take(path, &conf);
    write_file(path, "nameserver 192.0.2.2\nsearch a.test b.test\noptions no-reload");
    cori_resolv_take(path, &conf);
    assert_string_equal(conf.servers, "192.0.2.2");
    write_file(path, "nameserver 192.0.2.3");
    write_file(other, "nameserver 192.0.2.4\noptions no-reload");
    memset(&conf, 0, sizeof(conf));
    cori_resolv_take(path, &conf);
    assert_string_equal(conf.servers, "192.0.2.2");
    assert_int_equal(conf.domain_count, 2);
    assert_ptr_equal(conf.domains[0], conf.search);
    assert_string_equal(conf.domains[1], "b.test");
    cori_resolv_take(other, &conf);
    assert_string_equal(conf.servers, "192.0.2.4");
    assert_int_equal(close(file) + close(other_file) + unlink(path) + unlink(other), 0);
}

/* Numbers out of bounds are brought within them. */
static void bounds(void **state)
{
    cori_resolv_conf conf;
    (void)state;
    read_text("options ndots:99 timeout:0 attempts:-1", &conf);
    assert_int_equal(conf.ndots, 15);
    assert_int_equal(conf.timeout_s, 1);
    assert_int_equal(conf.attempts, 1);
    read_text("options ndots:-1 timeout:100000 attempts:99999999999999999999", &conf);
    assert_int_equal(conf.ndots, 0);
    assert_int_equal(conf.timeout_s, 60);
    assert_true(conf.attempts >= 1 && conf.attempts <= 10);
}

/* No file, and a file without a server: the servers of this host. */
static void defaults(void **state)
{
    cori_resolv_conf conf;
    (void)state;
    cori_resolv_read("/nowhere/resolv.conf", &conf);
    assert_string_equal(conf.servers, "127.0.0.1,[::1]");
    assert_int_equal(conf.ndots, 1);
    assert_int_equal(conf.timeout_s, 5);
    assert_int_equal(conf.attempts, 2);
    assert_int_equal(conf.domain_count, 0);
    assert_false(conf.rotate || conf.use_tcp);
    read_text("nameserver\nsearch\ndomain\noptions\n\n   \n", &conf);
    assert_string_equal(conf.servers, "127.0.0.1,[::1]");
    assert_int_equal(conf.domain_count, 0);
}

/* Long lines and many words fit or are left out, whole. */
static void much(void **state)
{
    enum { WORDS = 500, SIZE = 20000 };
    cori_resolv_conf conf;
    char *text = malloc(SIZE), word[32];
    (void)state;
    assert_non_null(text);
    (void)snprintf(text, SIZE, "search");
    for (int i = 0; i < WORDS; i++) {
        (void)snprintf(word, sizeof(word), " n%d.example.test", i);
        strcat(text, word);
    }
    strcat(text, "\nnameserver ");
    size_t used = strlen(text);
    memset(text + used, 'x', 2 * CORI_RESOLV_TEXT);
    text[used + 2 * CORI_RESOLV_TEXT] = '\0';
    read_text(text, &conf);
    assert_int_equal(conf.domain_count, CORI_RESOLV_DOMAINS);
    assert_string_equal(conf.domains[CORI_RESOLV_DOMAINS - 1], "n5.example.test");
    assert_string_equal(conf.servers, "127.0.0.1,[::1]");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_says), cmocka_unit_test(no_reload), cmocka_unit_test(bounds),
        cmocka_unit_test(defaults),     cmocka_unit_test(much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
