/* SPDX-License-Identifier: MIT */
/* What is asked of each version of Landlock: all that it knows, and nothing that it would not understand. */
/* test: workers=1 */
/* sources: cmd/coracle/serve/sandbox/landlock.c */
/* link: -Wl,--wrap=syscall */
#include "serve/sandbox/landlock.h"
#include "support/taskcase.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long wrap_syscall(long number, ...) __asm__("__wrap_syscall");

/* The kernel's, and what it was asked for. */
static long version;
static uint64_t asked[3]; /* files, tcp, scopes */
static uint64_t ports[4], allowed_files;
static size_t port_count, file_count;

static long create(const uint64_t *rules, size_t size, unsigned long flags)
{
    if (version < 0) {
        errno = (int)-version;
        return -1;
    }
    if (rules == NULL) {
        assert_int_equal(flags, 1);
        return version;
    }
    assert_int_equal(flags, 0);
    assert_int_equal(size, sizeof(asked));
    memcpy(asked, rules, sizeof(asked));
    return dup(STDERR_FILENO);
}

long wrap_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    long result = 0;
    if (number == SYS_landlock_create_ruleset) {
        const uint64_t *rules = va_arg(arguments, const uint64_t *);
        size_t size = va_arg(arguments, size_t);
        result = create(rules, size, va_arg(arguments, unsigned long));
    } else if (number == SYS_landlock_add_rule) {
        (void)va_arg(arguments, int);
        bool is_port = va_arg(arguments, int) == 2;
        const uint64_t *rule = va_arg(arguments, const uint64_t *);
        if (is_port) {
            assert_int_equal(rule[0], 1); /* to listen, not to connect */
            ports[port_count++] = rule[1];
        } else {
            allowed_files = rule[0];
            file_count++;
        }
    }
    va_end(arguments);
    return result;
}

static struct landlock begin(long of, bool abstract)
{
    struct landlock set = {.version = (int)of};
    version = of;
    memset(asked, 0xff, sizeof(asked));
    port_count = file_count = 0;
    assert_int_equal(landlock_begin(&set, abstract), 0);
    return set;
}

static void each_version_gives_all_that_it_has(void **state)
{
    (void)state;
    static const struct {
        int version;
        uint64_t files, tcp, scopes;
        const char *missing;
    } rows[] = {
        {1, 0x1fff, 0, 0, "truncating files, tcp, devices, signals"},
        {2, 0x3fff, 0, 0, "truncating files, tcp, devices, signals"},
        {3, 0x7fff, 0, 0, "tcp, devices, signals"},
        {4, 0x7fff, 3, 0, "devices, signals"},
        {5, 0xffff, 3, 0, "signals"},
        {6, 0xffff, 3, 3, ""},
        {7, 0xffff, 3, 3, ""},
        {99, 0xffff, 3, 3, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct landlock set = begin(rows[i].version, true);
        assert_int_equal(landlock_version(), rows[i].version);
        assert_int_equal(asked[0], rows[i].files);
        assert_int_equal(asked[1], rows[i].tcp);
        assert_int_equal(asked[2], rows[i].scopes);
        assert_string_equal(landlock_missing(rows[i].version), rows[i].missing);
        assert_int_equal(landlock_allow_port(&set, 7000), 0);
        assert_int_equal(port_count, rows[i].tcp != 0);
        close(set.fd);
    }
}

static void without_it_there_is_version_0(void **state)
{
    (void)state;
    static const int errors[] = {ENOSYS, EOPNOTSUPP, EPERM};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        version = -errors[i];
        assert_int_equal(landlock_version(), 0);
    }
    assert_string_equal(landlock_missing(0), "files, tcp, signals");
}

static void sockets_by_name_may_stay_in_reach(void **state)
{
    (void)state;
    struct landlock set = begin(6, false);
    assert_int_equal(asked[2], 2);
    close(set.fd);
}

static void a_file_gets_a_files_rights_only(void **state)
{
    (void)state;
    struct landlock set = begin(7, true);
    assert_int_equal(landlock_allow(&set, "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_SOCKET), 0);
    assert_int_equal(allowed_files, 1 << 2 | 1 << 1);
    assert_int_equal(landlock_allow(&set, "/", LANDLOCK_READ), 0);
    assert_int_equal(allowed_files, 1 << 2 | 1 << 3);
    assert_int_equal(landlock_allow(&set, "/", LANDLOCK_WRITE), 0);
    assert_int_equal(allowed_files, 1 << 1 | 1 << 8); /* not to truncate, not to remove */
    assert_int_equal(landlock_allow(&set, "/", LANDLOCK_SOCKET), 0);
    assert_int_equal(allowed_files, 1 << 9 | 1 << 5 | 1 << 3);
    assert_int_equal(landlock_allow(&set, "/nowhere/at all", LANDLOCK_READ), 0);
    assert_int_equal(file_count, 4);
    close(set.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_gives_all_that_it_has),
        cmocka_unit_test(without_it_there_is_version_0),
        cmocka_unit_test(sockets_by_name_may_stay_in_reach),
        cmocka_unit_test(a_file_gets_a_files_rights_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
