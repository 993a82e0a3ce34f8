/* SPDX-License-Identifier: MIT */
/* Which of several addresses wins a dial, when the next is tried, and what is left of those that lose. */
#include "net/dialercase.h"
#include "net/race.h"
#include "support/faults.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ENDED_DIALS = 300, LATE = 95, TRIES = 20 };

static const cor_options one_worker = {.workers = 1};

static void need_ipv6(void)
{
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
}

/* A listener on 127.0.0.1, and nothing but silence on the same port of ::1. */
static void open_silent_first(blackhole *hole)
{
    need_ipv6();
    open_listener();
    for (int i = 0; !open_blackhole6(hole, port); i++) {
        T_ASSERT(i < TRIES);
        T_CODE(cor_listener_close(listener), 0);
        open_listener();
    }
}

/* Silence on the same port of both. */
static void open_silent_both(blackhole *first, blackhole *second)
{
    open_blackhole(second);
    for (int i = 0; !open_blackhole6(first, port_of(second->address)); i++) {
        T_ASSERT(i < TRIES);
        close_blackhole(second);
        open_blackhole(second);
    }
    (void)snprintf(both, sizeof(both), "[::]:%u", port_of(second->address));
}

/* Dials both families; how long it took, ms. The connection is the listener's. */
static int64_t dial_both_ms(const cor_dialer *dialer)
{
    cor_conn *client;
    int64_t start = cor_now();
    T_CODE(cor_dial_with(&client, dialer, "tcp", both, NULL), 0);
    int64_t took_ms = (cor_now() - start) / COR_MILLISECOND;
    expect_peer(client, address);
    return took_ms;
}

/* Each dial takes that long, and one of a few not much longer: the machine may be busy with other things. */
static void expect_ms(const cor_dialer *dialer, int64_t least_ms)
{
    for (int i = 0; i < TRIES; i++) {
        int64_t took_ms = dial_both_ms(dialer);
        T_REQUIRE(took_ms >= least_ms, "%jd ms, before %jd ms", (intmax_t)took_ms, (intmax_t)least_ms);
        if (taskcase_is_slow() || took_ms <= least_ms + LATE) {
            return;
        }
    }
    T_REQUIRE(false, "long after %jd ms", (intmax_t)least_ms);
}

/* N120, N121: a first family that does not answer costs the delay. */
TASK_TEST(the_other_family_begins_after_the_delay)
{
    blackhole hole;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    expect_ms(&dialer, 300);
    dialer.fallback_delay_ns = 1;
    expect_ms(&dialer, 0);
    dialer.fallback_delay_ns = 100 * COR_MILLISECOND;
    expect_ms(&dialer, 100);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N120: one that refuses costs nothing. */
TASK_TEST(the_other_family_begins_when_the_first_has_failed)
{
    cor_dialer dialer = COR_DIALER_INIT;
    open_listener(); /* 127.0.0.1 only */
    dialer.fallback_delay_ns = FAR_AWAY;
    expect_ms(&dialer, 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N119: tcp4 and a negative delay know no race. */
TASK_TEST(no_race_unless_both_families_are_asked_for)
{
    blackhole hole;
    cor_conn *conn = NULL;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    dialer.timeout_ns = 50 * COR_MILLISECOND;
    dialer.fallback_delay_ns = -1;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, NULL), COR_ETIMEOUT);
    dialer.fallback_delay_ns = 1;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp6", both, NULL), COR_ETIMEOUT);
    T_ASSERT(conn == NULL);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N120: nobody answers: the error of the first family, whichever fails last. */
TASK_TEST(the_first_familys_error_is_told)
{
    blackhole first, second;
    cor_conn *conn = NULL;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    need_ipv6();
    open_silent_both(&first, &second);
    close_blackhole(&first); /* refuses, and the other does not answer */
    dialer.timeout_ns = 50 * COR_MILLISECOND;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), -ECONNREFUSED);
    expect_text(&error, "dial tcp ", both, ": connect: connection refused");
    close_blackhole(&second);
    open_silent_both(&first, &second);
    dialer.fallback_delay_ns = COR_MILLISECOND;
    int64_t start = cor_now();
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), COR_ETIMEOUT);
    T_ASSERT(cor_now() - start >= dialer.timeout_ns);
    expect_text(&error, "dial tcp ", both, ": i/o timeout");
    close_blackhole(&second); /* now the other one refuses */
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), COR_ETIMEOUT);
    T_ASSERT(conn == NULL);
    close_blackhole(&first);
}

/* Races the listed addresses until `deadline`; the connection's remote end in `text`. */
static int race_until(const cori_candidates *candidates, int64_t deadline, char *text, cori_race_error *error)
{
    static const cor_dialer plain = COR_DIALER_INIT;
    cori_dialing dialing = {.network = cori_network_find("tcp"), .with = &plain, .deadline = deadline};
    cori_slot *slot;
    int rc = cori_race(&dialing, candidates, NULL, &slot, error);
    if (rc == 0) {
        cor_conn *conn = cori_slot_publish(slot);
        (void)cor_remote_addr(conn, text, COR_ADDR_TEXT);
        T_CODE(cor_close(conn), 0);
    }
    return rc;
}

static int race_to(const cori_candidates *candidates, char *text, cori_race_error *error)
{
    return race_until(candidates, 0, text, error);
}

/* N034, N119: the first one's family comes first, in order; the first error is told. */
TASK_TEST(the_family_of_the_first_comes_first)
{
    char text[COR_ADDR_TEXT];
    uint16_t closed;
    cori_race_error error;
    int bound = closed_port(&closed);
    open_listener();
    cori_candidates list = {.count = 3};
    list.list[0] = endpoint_of("127.0.0.1", closed);
    list.list[1] = endpoint_of("::1", port);
    list.list[2] = endpoint_of("127.0.0.1", port);
    T_CODE(race_to(&list, text, &error), 0);
    T_STR(text, address);
    list.list[2] = endpoint_of("127.0.0.2", closed);
    T_CODE(race_to(&list, text, &error), -ECONNREFUSED);
    T_EQ(error.index, 0);
    T_STR(error.call, "connect");
    list.list[0] = endpoint_of("::1", port);
    list.list[1] = endpoint_of("255.255.255.255", port);
    list.list[2] = endpoint_of("127.0.0.1", port);
    T_CODE(race_to(&list, text, &error), 0);
    T_STR(text, address);
    T_EQ(close(bound), 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N126, N127: many that answer cost no more than one; none at all is an error. */
TASK_TEST(many_addresses_and_none)
{
    char text[COR_ADDR_TEXT];
    cori_race_error error;
    cor_conn *server;
    open_listener();
    cori_candidates list = {.count = 16};
    for (int i = 0; i < list.count; i++) {
        list.list[i] = endpoint_of("127.0.0.1", port);
    }
    T_CODE(race_to(&list, text, &error), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_CODE(cor_close(server), 0);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &server), COR_ETIMEOUT);
    list.count = 0;
    T_CODE(race_to(&list, text, &error), COR_EMISSING_ADDRESS);
    T_EQ(error.index, -1);
    T_CODE(cor_listener_close(listener), 0);
}

/* Takes what is queued at a listening socket; how many of them say something before their end, which all must have. */
static int take_all(int listening)
{
    struct pollfd ready = {.fd = listening, .events = POLLIN};
    int said = 0;
    while (poll(&ready, 1, 0) > 0) {
        char byte;
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        T_ASSERT(fd >= 0);
        said += recv(fd, &byte, 1, 0) > 0;
        T_EQ(close(fd), 0);
    }
    return said;
}

static void dial_and_speak(void *arg)
{
    cor_conn *conn;
    cor_dialer dialer = COR_DIALER_INIT;
    dialer.timeout_ns = SOON;
    dialer.fallback_delay_ns = 1;
    (void)arg;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, NULL), 0);
    write_all(conn, "x", 1);
    T_CODE(cor_close(conn), 0);
}

static int sockets_open(void)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    return (int)stats.connections;
}

/*
 * N122: two that begin to answer in the same moment, a second later, when the first packets are sent again. One
 * connection is returned; the other, if it came about, ends without a word.
 */
TASK_TEST(one_connection_is_left)
{
    blackhole first, second;
    cor_group dialing = {0};
    need_ipv6();
    open_silent_both(&first, &second);
    go_in(&dialing, dial_and_speak, NULL);
    T_EVENTUALLY(sockets_open() == 2, SOON);
    stop_filling(&first);
    stop_filling(&second);
    (void)(take_all(first.listening) + take_all(second.listening));
    wait_for(&dialing);
    T_EQ(take_all(first.listening) + take_all(second.listening), 1);
    close_blackhole(&first);
    close_blackhole(&second);
}

static int started; /* atomic */

static void dial_to_its_end(void *arg)
{
    cor_conn *conn;
    (void)add(&started, 1);
    int rc = cor_dial_with(&conn, arg, "tcp", both, NULL);
    T_REQUIRE(rc == 0 || rc == COR_ECANCELED || rc == COR_ETIMEOUT, "%d", rc);
    if (rc == 0) {
        T_CODE(cor_close(conn), 0);
    }
}

static void accept_and_close(void *arg)
{
    cor_conn *conn;
    while (cor_accept(arg, &conn) == 0) {
        T_CODE(cor_close(conn), 0);
    }
}

/* N123, N124: cancelled, or out of time, at any moment of a race; the runner counts descriptors. */
TASK_TEST(races_end_at_any_moment)
{
    blackhole hole;
    cor_group acceptors = {0};
    open_silent_first(&hole);
    go_on(1, &acceptors, accept_and_close, listener);
    for (int i = 0; i < (int)taskcase_scale(ENDED_DIALS); i++) {
        cor_group dialing = {0};
        cor_dialer dialer = COR_DIALER_INIT;
        int before = get(&started);
        dialer.fallback_delay_ns = 1 + i % 7 * 20000;
        dialer.timeout_ns = i % 3 == 0 ? 1 + i % 11 * 20000 : 0;
        go_on(i, &dialing, dial_to_its_end, &dialer);
        for (int spins = 0; get(&started) == before && spins < i % 50; spins++) {
            cor_yield();
        }
        for (int spins = 0; spins < i % 13; spins++) {
            cor_yield();
        }
        cor_group_cancel(&dialing);
        wait_for(&dialing);
    }
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&acceptors);
}

/* Each call of a race fails once, whichever it is: it ends, in time, and nothing is left of it. */
TASK_TEST(race_in_spite_of_faults)
{
    blackhole hole;
    cor_conn *conn;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    dialer.fallback_delay_ns = COR_MILLISECOND;
    dialer.timeout_ns = 100 * COR_MILLISECOND; /* where the answering family fails, the silent one uses it up */
    if (cor_dial_with(&conn, &dialer, "tcp", both, NULL) == 0) {
        T_CODE(cor_close(conn), 0);
    }
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

static void each_call_fails_once(void **state)
{
    static const struct {
        int call;
        unsigned from;
    } kinds[] = {{CORI_SYS_SOCKET, 3}, {CORI_SYS_CONNECT, 1}, {CORI_SYS_GETSOCKOPT, 1}, {CORI_SYS_EPOLL_CTL, 2}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned nth = kinds[i].from; nth < kinds[i].from + 3; nth++) {
            faults_set(kinds[i].call, nth, -ENOMEM);
            race_in_spite_of_faults(state);
            faults_clear();
        }
    }
}

/* Gives an interface fd00::1, and the ways to 2001:db8::/32 and 198.51.100.0/24. */
static bool send_through(char *name, int index, int fd6, int fd4)
{
    struct in6_ifreq own = {.ifr6_addr.s6_addr = {0xfd, [15] = 1}, .ifr6_prefixlen = 128, .ifr6_ifindex = index};
    struct in6_rtmsg to6 = {.rtmsg_dst_len = 32, .rtmsg_metric = 1, .rtmsg_flags = RTF_UP, .rtmsg_ifindex = index};
    struct rtentry to4 = {.rt_flags = RTF_UP, .rt_dev = name};
    struct sockaddr_in net = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xC6336400)};
    struct sockaddr_in mask = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xFFFFFF00)};
    memcpy(&to4.rt_dst, &net, sizeof(net));
    memcpy(&to4.rt_genmask, &mask, sizeof(mask));
    memcpy(to6.rtmsg_dst.s6_addr, (const uint8_t[]){0x20, 0x01, 0x0d, 0xb8}, 4);
    return ioctl(fd6, SIOCSIFADDR, &own) == 0 && ioctl(fd6, SIOCADDRT, &to6) == 0 && ioctl(fd4, SIOCADDRT, &to4) == 0;
}

/*
 * A network of its own in which what is sent to 2001:db8::/32 and 198.51.100.0/24 goes into a tunnel that nobody reads.
 * The tunnel's descriptor; -1 if that is not allowed here.
 */
static int enter_silent_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct ifreq made = {.ifr_name = "silent", .ifr_flags = IFF_TUN | IFF_NO_PI}, up = {.ifr_name = "silent"};
    if (unshare(CLONE_NEWNET) < 0) {
        return -1;
    }
    int fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int tunnel = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    bool done = ioctl(fd4, SIOCSIFFLAGS, &lo) == 0 && ioctl(tunnel, TUNSETIFF, &made) == 0 &&
                ioctl(fd4, SIOCGIFINDEX, &up) == 0;
    int index = up.ifr_ifindex;
    up.ifr_flags = IFF_UP | IFF_RUNNING;
    done = done && ioctl(fd4, SIOCSIFFLAGS, &up) == 0 && send_through(up.ifr_name, index, fd6, fd4);
    (void)close(fd6);
    (void)close(fd4);
    if (!done && tunnel >= 0) {
        (void)close(tunnel);
    }
    return done ? tunnel : -1;
}

/* True once the host may send there: the kernel makes a new address usable in its own time. */
static bool has_source_for(const char *host)
{
    cori_sockaddr to;
    cor_addr addr = endpoint_of(host, 1);
    socklen_t len = cori_addr_to_sockaddr(&addr, AF_INET6, &to);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool sends = connect(fd, &to.any, len) == 0;
    T_EQ(close(fd), 0);
    return sends;
}

/* N120: the way of IPv6 leads nowhere, as seen from a host that has both: IPv4 after the delay and a round trip. */
TASK_TEST_WITH(a_network_that_swallows_ipv6, &one_worker)
{
    char text[COR_ADDR_TEXT];
    cori_race_error error;
    int64_t took_ns = 0;
    int tunnel = enter_silent_network();
    if (tunnel < 0) {
        T_SKIP("needs a network namespace with IPv6 and a tunnel, which is refused here");
    }
    T_EVENTUALLY(has_source_for("2001:db8::1"), SOON);
    open_listener();
    cori_candidates list = {.count = 2};
    list.list[0] = endpoint_of("2001:db8::1", port);
    list.list[1] = endpoint_of("127.0.0.1", port);
    for (int i = 0; i < TRIES; i++) {
        int64_t start = cor_now();
        T_CODE(race_to(&list, text, &error), 0);
        took_ns = cor_now() - start;
        T_STR(text, address);
        T_ASSERT(took_ns >= 300 * COR_MILLISECOND);
        if (taskcase_is_slow() || took_ns <= (300 + LATE) * COR_MILLISECOND) {
            break;
        }
    }
    T_ASSERT(taskcase_is_slow() || took_ns <= (300 + LATE) * COR_MILLISECOND);
    print_message("over IPv4 after %jd us\n", (intmax_t)(took_ns / COR_MICROSECOND));
    list.list[1] = endpoint_of("198.51.100.1", port);
    T_CODE(race_until(&list, cor_after(400 * COR_MILLISECOND), text, &error), COR_ETIMEOUT);
    T_EQ(error.index, 0);
    list.list[0] = endpoint_of("127.0.0.2", port); /* refuses; the error stays its own when the other is silent */
    list.list[1] = endpoint_of("2001:db8::1", port);
    T_CODE(race_until(&list, cor_after(50 * COR_MILLISECOND), text, &error), -ECONNREFUSED);
    T_EQ(error.index, 0);
    T_EQ(close(tunnel), 0);
    T_CODE(cor_listener_close(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_family_begins_after_the_delay),
        cmocka_unit_test(the_other_family_begins_when_the_first_has_failed),
        cmocka_unit_test(no_race_unless_both_families_are_asked_for),
        cmocka_unit_test(the_first_familys_error_is_told),
        cmocka_unit_test(the_family_of_the_first_comes_first),
        cmocka_unit_test(many_addresses_and_none),
        cmocka_unit_test(one_connection_is_left),
        cmocka_unit_test(races_end_at_any_moment),
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(a_network_that_swallows_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
