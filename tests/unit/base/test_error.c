/* SPDX-License-Identifier: MIT */
/* Error texts are Go's words, and cor_error prints as net.OpError does. */
/* test: workers=1 */
#include "support/taskcase.h"

#include <errno.h>
#include <stdio.h>

/* N056 */
static void errno_texts_are_go_words(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *text;
    } words[] = {
        {ECONNREFUSED, "connection refused"},
        {EADDRINUSE, "address already in use"},
        {EADDRNOTAVAIL, "cannot assign requested address"},
        {EPIPE, "broken pipe"},
        {ECONNRESET, "connection reset by peer"},
        {ENOTCONN, "transport endpoint is not connected"},
        {EMSGSIZE, "message too long"},
        {EDESTADDRREQ, "destination address required"},
        {ENOENT, "no such file or directory"},
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {EMFILE, "too many open files"},
        {EINVAL, "invalid argument"},
        {ENETUNREACH, "network is unreachable"},
        {EHOSTUNREACH, "no route to host"},
        {ETIMEDOUT, "connection timed out"},
        {EAGAIN, "resource temporarily unavailable"},
        {ENOTSOCK, "socket operation on non-socket"},
        {EAFNOSUPPORT, "address family not supported by protocol"},
        {ECONNABORTED, "software caused connection abort"},
        {ENOMEM, "cannot allocate memory"},
        {ENFILE, "too many open files in system"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        assert_string_equal(cor_strerror(-words[i].number), words[i].text);
    }
}

/* N056, N057, N062, N063, N065 */
static void own_texts(void **state)
{
    (void)state;
    assert_string_equal(cor_strerror(0), "EOF");
    assert_string_equal(cor_strerror(COR_ECLOSED), "use of closed network connection");
    assert_string_equal(cor_strerror(COR_ETIMEOUT), "i/o timeout");
    assert_string_equal(cor_strerror(COR_ECANCELED), "operation was canceled");
    assert_string_equal(cor_strerror(COR_ENO_SUCH_HOST), "no such host");
    assert_string_equal(cor_strerror(COR_EPIPE_CLOSED), "io: read/write on closed pipe");
    assert_string_equal(cor_strerror(-9999), "errno 9999");
    assert_string_equal(cor_strerror(-133), "errno 133");
}

/* Every code of the list has its own value and a text. */
static void own_codes_are_distinct(void **state)
{
    (void)state;
    static const int codes[] = {
#define CODE(name, value, text) name,
        COR_ERROR_LIST(CODE)
#undef CODE
    };
    size_t count = sizeof(codes) / sizeof(codes[0]);
    for (size_t i = 0; i < count; i++) {
        assert_true(codes[i] <= -2000);
        assert_true(strncmp(cor_strerror(codes[i]), "errno", 5) != 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i], codes[j]);
        }
    }
}

/* N059, N061, N062, N063 */
static void classification(void **state)
{
    (void)state;
    static const struct {
        int code;
        bool timeout, temporary;
    } cases[] = {
        {COR_ETIMEOUT, true, true},  {-EAGAIN, true, true},         {-ETIMEDOUT, true, true},    {-EINTR, false, true},
        {-EMFILE, false, true},      {-ENFILE, false, true},        {-ECONNRESET, false, false}, {0, false, false},
        {COR_ECLOSED, false, false}, {COR_ECANCELED, false, false}, {-EPIPE, false, false},      {5, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(cor_is_timeout(cases[i].code), cases[i].timeout);
        assert_int_equal(cor_is_temporary(cases[i].code), cases[i].temporary);
    }
}

/* N048, N049, N055, N056, N066 */
static void operation_errors_print_as_in_go(void **state)
{
    (void)state;
    static const struct {
        cor_error error;
        const char *text;
    } cases[] = {
        {{-EADDRINUSE, "listen", "tcp", "", "127.0.0.1:80", "bind"},
         "listen tcp 127.0.0.1:80: bind: address already in use"},
        {{-ECONNREFUSED, "dial", "tcp", "", "127.0.0.1:1", "connect"},
         "dial tcp 127.0.0.1:1: connect: connection refused"},
        {{-ECONNRESET, "read", "tcp", "127.0.0.1:5000", "127.0.0.1:45324", "read"},
         "read tcp 127.0.0.1:5000->127.0.0.1:45324: read: connection reset by peer"},
        {{COR_ETIMEOUT, "read", "udp", "127.0.0.1:40150", "", ""}, "read udp 127.0.0.1:40150: i/o timeout"},
        {{-EMSGSIZE, "write", "udp", "127.0.0.1:40150", "127.0.0.1:44655", "sendto"},
         "write udp 127.0.0.1:40150->127.0.0.1:44655: sendto: message too long"},
        {{COR_ECLOSED, "accept", "tcp", "", "127.0.0.1:80", ""},
         "accept tcp 127.0.0.1:80: use of closed network connection"},
        {{COR_EINVALID_PORT, "listen", "tcp4", "", "", "address -10"}, "listen tcp4: address -10: invalid port"},
        {{COR_EUNKNOWN_PORT, "listen", "tcp4", "", "", "lookup tcp4/12a"},
         "listen tcp4: lookup tcp4/12a: unknown port"},
        {{COR_EUNKNOWN_NETWORK, "dial", "foo", "", "", "foo"}, "dial foo: unknown network foo"},
        {{COR_EMISSING_ADDRESS, "dial", "tcp", "", "", ""}, "dial tcp: missing address"},
        {{COR_EMISSING_PORT, "dial", "tcp", "", "", "address localhost"},
         "dial tcp: address localhost: missing port in address"},
        {{COR_ENO_SUCH_HOST, "dial", "tcp", "", "", "lookup nowhere.invalid"},
         "dial tcp: lookup nowhere.invalid: no such host"},
        {{0, "read", "tcp", "127.0.0.1:1", "127.0.0.1:2", ""}, "EOF"},
        {{-ENOENT, "dial", "unix", "", "/run/none", "connect"},
         "dial unix /run/none: connect: no such file or directory"},
        {{-EMFILE, "accept", "tcp", "", "[::]:80", "accept4"}, "accept tcp [::]:80: accept4: too many open files"},
        {{COR_ETIMEOUT, "", "", "", "", ""}, "i/o timeout"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[COR_ERROR_TEXT];
        assert_ptr_equal(cor_error_text(&cases[i].error, text, sizeof(text)), text);
        assert_string_equal(text, cases[i].text);
    }
}

static void text_is_cut_and_terminated(void **state)
{
    (void)state;
    const cor_error error = {.code = -EADDRINUSE, .op = "listen", .network = "tcp", .address = "127.0.0.1:80"};
    char whole[COR_ERROR_TEXT], part[COR_ERROR_TEXT];
    (void)cor_error_text(&error, whole, sizeof(whole));
    for (size_t size = 1; size <= strlen(whole) + 2; size++) {
        memset(part, 'x', sizeof(part));
        (void)cor_error_text(&error, part, size);
        size_t expected = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
        assert_int_equal(strlen(part), expected);
        assert_memory_equal(part, whole, expected);
        assert_int_equal(part[size], 'x');
    }
    part[0] = 'x';
    (void)cor_error_text(&error, part, 0);
    assert_int_equal(part[0], 'x');
}

/* The longest parts still fit COR_ERROR_TEXT. */
static void longest_text_fits(void **state)
{
    (void)state;
    cor_error error = {.code = -EAFNOSUPPORT};
    memset(error.op, 'o', sizeof(error.op) - 1);
    memset(error.network, 'n', sizeof(error.network) - 1);
    memset(error.source, 's', 108);
    memset(error.address, 'a', 108);
    memset(error.where, 'w', sizeof(error.where) - 1);
    char text[COR_ERROR_TEXT];
    (void)cor_error_text(&error, text, sizeof(text));
    assert_true(strstr(text, "address family not supported by protocol") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_texts_are_go_words),
        cmocka_unit_test(own_texts),
        cmocka_unit_test(own_codes_are_distinct),
        cmocka_unit_test(classification),
        cmocka_unit_test(operation_errors_print_as_in_go),
        cmocka_unit_test(text_is_cut_and_terminated),
        cmocka_unit_test(longest_text_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
