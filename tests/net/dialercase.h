/* SPDX-License-Identifier: MIT */
/* What tests of dialers share: a listener, whose port the other family has too, and ends of addresses. */
#ifndef TEST_NET_DIALERCASE_H
#define TEST_NET_DIALERCASE_H

#include "net/dialcase.h"

static cor_listener *listener;
static char address[COR_ADDR_TEXT], both[COR_ADDR_TEXT]; /* the listener's, and "[::]" with its port */
static uint16_t port;

static inline void open_listener(void)
{
    const char *network;
    listener = listen_kind(KIND_TCP, &network, address);
    port = port_of(address);
    (void)snprintf(both, sizeof(both), "[::]:%u", port);
}

static inline void expect_peer(cor_conn *client, const char *remote)
{
    char text[COR_ADDR_TEXT];
    cor_conn *server;
    T_STR(cor_remote_addr(client, text, sizeof(text)), remote);
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
}

static inline cor_addr endpoint_of(const char *host, uint16_t at_port)
{
    cor_addr addr = {.port = at_port};
    T_CODE(cor_ip_parse(&addr.ip, host), 0);
    return addr;
}

/* A port of the loopback where nobody listens while the socket that is given is open. */
static inline int closed_port(uint16_t *closed)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(bound, (struct sockaddr *)&at, len), 0);
    T_EQ(getsockname(bound, (struct sockaddr *)&at, &len), 0);
    *closed = ntohs(at.sin_port);
    return bound;
}

#endif
