/* SPDX-License-Identifier: MIT */
/* N030: the text of a connection's end, dialed, leads to an equal end. */
/* test: simulated */
#include "net/netcase.h"

#include <coracle/addr.h>

/* Dials `address`, shows the peer's end, and dials what was shown. */
static void expect_round_trip(cor_listener *listener, const char *network, const char *address)
{
    cor_addr ends[2];
    char text[COR_ADDR_TEXT];
    (void)snprintf(text, sizeof(text), "%s", address);
    for (int i = 0; i < 2; i++) {
        cor_conn *near = NULL, *far = NULL;
        T_CODE(cor_dial(&near, network, text, NULL), 0);
        T_CODE(cor_accept(listener, &far), 0);
        ends[i] = cor_remote_endpoint(near);
        T_EQ(cor_addr_compare(ends[i], cor_local_endpoint(far)), 0);
        (void)cor_addr_text(ends[i], text, sizeof(text));
        T_OK(cor_close(near));
        T_OK(cor_close(far));
    }
    T_ASSERT(ends[0].port != 0);
    T_EQ(cor_addr_compare(ends[0], ends[1]), 0);
}

static void round_trips(const char *network, const char *ip)
{
    char address[COR_ADDR_TEXT], port[8];
    cor_listener *listener = NULL;
    (void)snprintf(address, sizeof(address), "%s:0", ip);
    T_CODE(cor_listen(&listener, network, address, NULL), 0);
    (void)cor_listener_addr(listener, address, sizeof(address));
    expect_round_trip(listener, network, address);
    char host[COR_ADDR_TEXT];
    T_OK(cor_split_host_port(address, host, sizeof(host), port, sizeof(port)));
    (void)snprintf(address, sizeof(address), ":%s", port); /* no address: this host */
    if (strcmp(network, "tcp4") == 0) {
        expect_round_trip(listener, network, address);
    }
    T_OK(cor_listener_close(listener));
}

TASK_TEST(an_end_dialed_by_its_text_is_the_same)
{
    round_trips("tcp4", "127.0.0.1");
    round_trips("tcp", "127.0.0.1");
    if (has_ipv6()) {
        round_trips("tcp6", "[::1]");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_end_dialed_by_its_text_is_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
