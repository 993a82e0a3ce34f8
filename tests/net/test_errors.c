/* SPDX-License-Identifier: MIT */
/* The words and classes of errors: as Go prints and classifies them. */
/* test: simulated */
#include "net/netcase.h"

#include <coracle/buffered.h>
#include <coracle/chan.h>
#include <coracle/io.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <wchar.h>

static const char *text_of(const cor_error *error)
{
    static char text[COR_ERROR_TEXT];
    return cor_error_text(error, text, sizeof(text));
}

/* The text of `op` on `conn` having given `code`, with "S" for its local and "A" for its remote address. */
static void expect_text(cor_conn *conn, const char *op, int code, const char *form)
{
    char wanted[COR_ERROR_TEXT] = "", address[COR_ADDR_TEXT];
    cor_error error;
    for (size_t length = 0; *form != '\0'; form++) {
        if (*form == 'S' || *form == 'A') {
            (void)(*form == 'S' ? cor_local_addr : cor_remote_addr)(conn, address, sizeof(address));
        } else {
            address[0] = *form;
            address[1] = '\0';
        }
        length += (size_t)snprintf(wanted + length, sizeof(wanted) - length, "%s", address);
    }
    cor_conn_error(conn, op, code, &error);
    T_STR(text_of(&error), wanted);
    T_EQ(error.code, code);
}

/* N048, N049, N051, N055, N056, N061, N062, N063, N190, N200 */
TASK_TEST(errors_of_a_connection)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    expect_text(a, "read", -ECONNRESET, "read tcp S->A: read: connection reset by peer");
    expect_text(a, "write", -EPIPE, "write tcp S->A: write: broken pipe");
    expect_text(a, "writev", -EPIPE, "writev tcp S->A: writev: broken pipe");
    expect_text(a, "readfrom", -EPIPE, "readfrom tcp S->A: splice: broken pipe");
    expect_text(a, "readfrom", COR_ECLOSED, "readfrom tcp S->A: use of closed network connection");
    expect_text(a, "writeto", -ECONNRESET, "writeto tcp S->A: splice: connection reset by peer");
    expect_text(a, "read", COR_ETIMEOUT, "read tcp S->A: i/o timeout");
    expect_text(a, "write", COR_ETIMEOUT, "write tcp S->A: i/o timeout");
    expect_text(b, "read", COR_ECLOSED, "read tcp S->A: use of closed network connection");
    expect_text(b, "read", COR_ECANCELED, "read tcp S->A: operation was canceled");
    close_pair(a, b);
}

/* N231, N251, N252 */
TASK_TEST(errors_of_other_kinds)
{
    cor_conn *a, *b;
    make_pair(KIND_UNIX, &a, &b);
    expect_text(a, "read", COR_ETIMEOUT, "read unix S->A: i/o timeout");
    expect_text(b, "read", -ECONNRESET, "read unix S->@: read: connection reset by peer");
    close_pair(a, b);
    make_pair(KIND_PIPE, &a, &b);
    expect_text(a, "write", COR_EPIPE_CLOSED, "write pipe pipe->pipe: io: read/write on closed pipe");
    close_pair(a, b);
}

/* N057 */
TASK_TEST(end_of_stream_is_a_bare_word)
{
    cor_conn *a, *b;
    cor_error error;
    make_pair(KIND_TCP, &a, &b);
    cor_conn_error(a, "read", 0, &error);
    T_STR(text_of(&error), "EOF");
    T_STR(cor_strerror(0), "EOF");
    close_pair(a, b);
}

/* The peer's address is known after it has reset the connection, when the kernel has forgotten it. */
TASK_TEST(address_of_a_vanished_peer)
{
    cor_conn *a, *b;
    char before[COR_ADDR_TEXT], after[COR_ADDR_TEXT], byte;
    make_pair(KIND_TCP, &a, &b);
    (void)cor_remote_addr(a, before, sizeof(before));
    T_CODE(cor_set_linger(b, 0), 0);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_read(a, &byte, 1), -ECONNRESET);
    T_STR(cor_remote_addr(a, after, sizeof(after)), before);
    expect_text(a, "read", -ECONNRESET, "read tcp S->A: read: connection reset by peer");
    T_CODE(cor_close(a), 0);
}

/* N056 */
TASK_TEST(kernel_words)
{
    static const struct {
        int code;
        const char *text;
    } words[] = {{-ECONNREFUSED, "connection refused"},
                 {-EADDRINUSE, "address already in use"},
                 {-EADDRNOTAVAIL, "cannot assign requested address"},
                 {-EPIPE, "broken pipe"},
                 {-ECONNRESET, "connection reset by peer"},
                 {-ENOTCONN, "transport endpoint is not connected"},
                 {-EMSGSIZE, "message too long"},
                 {-EDESTADDRREQ, "destination address required"},
                 {-ENOENT, "no such file or directory"},
                 {-EACCES, "permission denied"},
                 {-EPERM, "operation not permitted"},
                 {-EMFILE, "too many open files"},
                 {-EINVAL, "invalid argument"},
                 {-ENETUNREACH, "network is unreachable"},
                 {-EHOSTUNREACH, "no route to host"},
                 {-ETIMEDOUT, "connection timed out"},
                 {-EAGAIN, "resource temporarily unavailable"},
                 {-ENOTSOCK, "socket operation on non-socket"},
                 {-EAFNOSUPPORT, "address family not supported by protocol"},
                 {-1999, "errno 1999"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        T_STR(cor_strerror(words[i].code), words[i].text);
    }
}

/* N059, N061, N062, N063, N065, N348 */
TASK_TEST(classes)
{
    static const int timeouts[] = {COR_ETIMEOUT, -EAGAIN, -ETIMEDOUT};
    static const int passing[] = {-EINTR, -EMFILE, -ENFILE};
    static const int lasting[] = {COR_ECLOSED,       COR_ECANCELED,     -ECONNRESET, -ECONNREFUSED, -EPIPE,
                                  COR_ENO_SUCH_HOST, COR_EMISSING_PORT, -EADDRINUSE, -ECONNABORTED, 0};
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        T_ASSERT(cor_is_timeout(timeouts[i]) && cor_is_temporary(timeouts[i]));
    }
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        T_ASSERT(!cor_is_timeout(passing[i]) && cor_is_temporary(passing[i]));
    }
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
        T_ASSERT(!cor_is_timeout(lasting[i]) && !cor_is_temporary(lasting[i]));
    }
}

/* N014, N053, N054: an error has what belongs to it, nothing of an earlier one; without one to fill all works too. */
TASK_TEST(errors_are_filled_afresh)
{
    cor_listener *listener = NULL;
    cor_conn *conn = NULL;
    cor_error error;
    memset(&error, 'x', sizeof(error));
    T_CODE(cor_dial(&conn, "tcp", "", &error), COR_EMISSING_ADDRESS);
    T_STR(error.op, "dial");
    T_STR(error.network, "tcp");
    T_STR(error.source, "");
    T_STR(error.address, "");
    T_STR(text_of(&error), "dial tcp: missing address");
    T_CODE(cor_listen(&listener, "tcp4", ":1x", &error), COR_EUNKNOWN_PORT);
    T_STR(error.op, "listen");
    T_STR(error.network, "tcp4");
    T_STR(error.address, "");
    T_CODE(cor_listen(&listener, "tcp4", ":1x", NULL), COR_EUNKNOWN_PORT);
    T_CODE(cor_dial(&conn, "tcp4", "127.0.0.1:1x", NULL), COR_EUNKNOWN_PORT);
    T_CODE(cor_dial(&conn, "nonsense", "127.0.0.1:1", NULL), COR_EUNKNOWN_NETWORK);
    T_ASSERT(listener == NULL && conn == NULL);
}

/* The text is cut at the buffer and always ended. */
TASK_TEST(texts_are_cut)
{
    cor_conn *a, *b;
    cor_error error;
    char text[COR_ERROR_TEXT], small[10];
    make_pair(KIND_TCP, &a, &b);
    cor_conn_error(a, "read", -ECONNRESET, &error);
    for (size_t size = 1; size < sizeof(small); size++) {
        memset(small, 'x', sizeof(small));
        (void)cor_error_text(&error, small, size);
        T_EQ(strlen(small), size - 1);
        T_MEM(small, cor_error_text(&error, text, sizeof(text)), size - 1);
        T_EQ(strlen(cor_local_addr(a, small, size)), size - 1);
        T_EQ(strlen(cor_remote_addr(a, small, size)), size - 1);
    }
    small[0] = 'x';
    (void)cor_local_addr(a, small, 0);
    (void)cor_error_text(&error, small, 0);
    T_EQ(small[0], 'x');
    close_pair(a, b);
}

/* Whatever `call` comes to. */
#define KEEPS_ERRNO(call)                                                                                              \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        intptr_t result = (intptr_t)(call);                                                                            \
        (void)result;                                                                                                  \
        T_REQUIRE(errno == 77, "%s sets errno to %d", #call, errno);                                                   \
    } while (0)

/* Calls that the C library or the kernel tells by errno what is wrong: we return it. */
TASK_TEST(errno_is_not_set)
{
    T_SKIP_SIMULATED("no call gets there");
    enum { NO_FD = 99999, NO_INTERFACE = 99999 };
    char text[COR_ADDR_TEXT];
    cor_conn *a, *b, *other;
    cor_listener *listener;
    cor_addr addr = {.ip.family = AF_INET6, .ip.bytes = {0xfe, 0x80}, .zone = NO_INTERFACE};
    const wint_t no_character = 0x7fffffff;
    make_pair(KIND_UNIX, &a, &b);
    cor_writer writer = cor_writer_of(a);
    KEEPS_ERRNO(cor_open_fd(&other, NO_FD));
    KEEPS_ERRNO(cor_open_fd(&other, eventfd(0, EFD_CLOEXEC))); /* is it a terminal? */
    KEEPS_ERRNO(cor_close(other));
    KEEPS_ERRNO(cor_listen(&listener, "tcp6", "[::1%nosuch0]:0", NULL));
    KEEPS_ERRNO(cor_addr_text(addr, text, sizeof(text)));
    KEEPS_ERRNO(cor_listen_packet(&other, "ip4:nosuch", "127.0.0.1", NULL));
    KEEPS_ERRNO(cor_printf(a, "%lc", no_character));
    KEEPS_ERRNO(cor_writer_printf(&writer, "%lc", no_character));
    KEEPS_ERRNO(cor_signal_catch(SIGKILL));
    KEEPS_ERRNO(cor_dump(NO_FD));
    if (!taskcase_is_slow()) { /* a sanitizer would not let it fail */
        KEEPS_ERRNO(cor_chan_new(UINT16_MAX, PTRDIFF_MAX / (UINT16_MAX + 1)));
    }
    cor_writer_free(&writer);
    close_pair(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_a_connection),
        cmocka_unit_test(errors_of_other_kinds),
        cmocka_unit_test(end_of_stream_is_a_bare_word),
        cmocka_unit_test(address_of_a_vanished_peer),
        cmocka_unit_test(kernel_words),
        cmocka_unit_test(classes),
        cmocka_unit_test(errors_are_filled_afresh),
        cmocka_unit_test(texts_are_cut),
        cmocka_unit_test(errno_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
