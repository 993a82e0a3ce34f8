/* SPDX-License-Identifier: MIT */
/* What tests of dialing share: addresses that swallow what is sent to them, and the texts of errors. */
#ifndef TEST_NET_DIALCASE_H
#define TEST_NET_DIALCASE_H

#include "net/netcase.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* A listener whose backlog is full and that nobody accepts from: the kernel drops further SYNs. */
typedef struct blackhole {
    int listening;
    int filling[8];
    char address[COR_ADDR_TEXT];
} blackhole;

/* Fills the backlog of a listener at `at`, whose port 0 becomes one; false: another program has that port. */
static inline bool fill_backlog(blackhole *hole, struct sockaddr *at, socklen_t len)
{
    hole->listening = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(setsockopt(hole->listening, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
    if (bind(hole->listening, at, len) < 0 || listen(hole->listening, 0) < 0) {
        T_EQ(errno, EADDRINUSE);
        T_EQ(close(hole->listening), 0);
        return false;
    }
    T_EQ(getsockname(hole->listening, at, &len), 0);
    for (size_t i = 0; i < sizeof(hole->filling) / sizeof(hole->filling[0]); i++) {
        hole->filling[i] = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int rc = connect(hole->filling[i], at, len);
        T_ASSERT(rc == 0 || errno == EINPROGRESS);
    }
    return true;
}

static inline bool open_blackhole6(blackhole *hole, uint16_t port)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};
    return fill_backlog(hole, (struct sockaddr *)&at, sizeof(at));
}

static inline void open_blackhole(blackhole *hole)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    T_ASSERT(fill_backlog(hole, (struct sockaddr *)&at, sizeof(at)));
    (void)snprintf(hole->address, sizeof(hole->address), "127.0.0.1:%u", ntohs(at.sin_port));
}

/* Takes back what fills the backlog; what has been accepted into it stays there. */
static inline void stop_filling(blackhole *hole)
{
    for (size_t i = 0; i < sizeof(hole->filling) / sizeof(hole->filling[0]); i++) {
        T_ASSERT(hole->filling[i] < 0 || close(hole->filling[i]) == 0);
        hole->filling[i] = -1;
    }
}

static inline void close_blackhole(blackhole *hole)
{
    stop_filling(hole);
    T_EQ(close(hole->listening), 0);
}

static inline void expect_text(const cor_error *error, const char *before, const char *at, const char *after)
{
    char text[COR_ERROR_TEXT], wanted[COR_ERROR_TEXT];
    (void)snprintf(wanted, sizeof(wanted), "%s%s%s", before, at, after);
    T_STR(cor_error_text(error, text, sizeof(text)), wanted);
}

static inline uint16_t port_of(const char *text)
{
    return (uint16_t)atoi(strrchr(text, ':') + 1);
}

#endif
