/* SPDX-License-Identifier: MIT */
/* The interfaces of this host. What changes them happens in a network namespace, where that is allowed. */
#include "net/netcase.h"

#include "base/sys.h"

#include <coracle/interface.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const cor_options one_worker = {.workers = 1};
enum { MANY = 64 };

static cor_interface loopback(void)
{
    cor_interface lo = {.index = 0};
    T_CODE(cor_interface_by_name(&lo, "lo", NULL), 0);
    return lo;
}

static void expect_same(const cor_interface *one, const cor_interface *other)
{
    T_STR(one->name, other->name);
    T_EQ(one->index, other->index);
    T_EQ(one->mtu, other->mtu);
    T_EQ(one->flags, other->flags);
    T_EQ(one->mac.size_bytes, other->mac.size_bytes);
    T_MEM(one->mac.bytes, other->mac.bytes, sizeof(one->mac.bytes));
}

/* N298: each is found again by its number and by its name, as it was in the list. */
TASK_TEST(interfaces_are_listed)
{
    static cor_interface all[MANY];
    int count = cor_interfaces(all, MANY), loopbacks = 0;
    T_ASSERT(count >= 1 && count <= MANY);
    T_EQ(cor_interfaces(NULL, 0), count);
    for (int i = 0; i < count; i++) {
        cor_interface by_index, by_name;
        char mac[64];
        T_ASSERT(all[i].index >= 1 && all[i].mtu > 0);
        T_CODE(cor_interface_by_index(&by_index, all[i].index, NULL), 0);
        T_CODE(cor_interface_by_name(&by_name, all[i].name, NULL), 0);
        expect_same(&by_index, &all[i]);
        expect_same(&by_name, &all[i]);
        T_EQ(if_nametoindex(all[i].name), all[i].index);
        loopbacks += (all[i].flags & COR_INTERFACE_LOOPBACK) != 0;
        T_ASSERT(all[i].mac.size_bytes == 0 || strlen(cor_mac_text(all[i].mac, mac, sizeof(mac))) >= 17);
    }
    T_ASSERT(loopbacks >= 1);
    T_EQ(loopback().mac.size_bytes, 0);
}

/* N298 */
TASK_TEST(flags_are_printed)
{
    char text[80];
    T_STR(cor_interface_flags_text(0, text, sizeof(text)), "0");
    T_STR(cor_interface_flags_text(COR_INTERFACE_LOOPBACK | COR_INTERFACE_UP, text, sizeof(text)), "up|loopback");
    T_STR(cor_interface_flags_text(0x3f, text, sizeof(text)), "up|broadcast|loopback|pointtopoint|multicast|running");
    T_STR(cor_interface_flags_text(0x3f, text, 6), "up|br");
    T_STR(cor_interface_flags_text(COR_INTERFACE_MULTICAST, text, sizeof(text)), "multicast");
}

static bool holds(const cor_prefix *list, int count, const char *text)
{
    char shown[COR_ADDR_TEXT];
    bool found = false;
    for (int i = 0; i < count && i < MANY; i++) {
        found = found || strcmp(cor_prefix_text(list[i], shown, sizeof(shown)), text) == 0;
    }
    return found;
}

/* N299 */
TASK_TEST(unicast_addresses)
{
    cor_prefix all[MANY], of_lo[MANY];
    int lo = loopback().index;
    int count = cor_interface_addrs(0, all, MANY), local = cor_interface_addrs(lo, of_lo, MANY);
    T_ASSERT(count >= local && local >= 1 && count <= MANY);
    T_EQ(cor_interface_addrs(lo, NULL, 0), local);
    T_ASSERT(holds(of_lo, local, "127.0.0.1/8") && holds(all, count, "127.0.0.1/8"));
    T_ASSERT(!has_ipv6() || (holds(of_lo, local, "::1/128") && holds(all, count, "::1/128")));
    for (int i = 0; i < count; i++) {
        T_EQ(cor_ip_traits(all[i].ip) & COR_IP_MULTICAST, 0);
    }
    int sum = 0;
    static cor_interface each[MANY];
    int interfaces = cor_interfaces(each, MANY);
    for (int i = 0; i < interfaces; i++) {
        sum += cor_interface_addrs(each[i].index, NULL, 0);
    }
    T_EQ(sum, count);
    T_EQ(cor_interface_addrs(INT_MAX, all, MANY), 0);
}

static bool in_group(int index, const char *text)
{
    cor_ip wanted, groups[MANY];
    bool found = false;
    T_CODE(cor_ip_parse(&wanted, text), 0);
    int count = cor_interface_groups(index, groups, MANY);
    T_ASSERT(count >= 0 && count <= MANY);
    for (int i = 0; i < count; i++) {
        T_ASSERT((cor_ip_traits(groups[i]) & COR_IP_MULTICAST) != 0);
        found = found || cor_ip_compare(groups[i], wanted) == 0;
    }
    return found;
}

/* N300: a group is listed while a socket is in it, of the interface that it was joined on. */
TASK_TEST(multicast_groups)
{
    int lo = loopback().index;
    struct ip_mreqn four = {.imr_ifindex = lo};
    struct ipv6_mreq six = {.ipv6mr_interface = (unsigned)lo};
    uint32_t number = htonl(0xefff0000U | (uint32_t)getpid() % 0xffff); /* others run this test, too */
    char text4[COR_ADDR_TEXT], text6[COR_ADDR_TEXT];
    memcpy(&four.imr_multiaddr, &number, sizeof(number));
    six.ipv6mr_multiaddr.s6_addr[0] = 0xff;
    six.ipv6mr_multiaddr.s6_addr[1] = 0x02;
    memcpy(six.ipv6mr_multiaddr.s6_addr + 12, &number, sizeof(number));
    (void)cor_ip_text(cor_ip_of(&number, 4), text4, sizeof(text4));
    (void)cor_ip_text(cor_ip_of(&six.ipv6mr_multiaddr, 16), text6, sizeof(text6));
    T_ASSERT(!in_group(lo, text4));
    int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has6 = fd6 >= 0 && setsockopt(fd6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof(six)) == 0;
    T_EQ(setsockopt(fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four)), 0);
    T_ASSERT(in_group(lo, text4) && in_group(0, text4));
    T_ASSERT(!has6 || (in_group(lo, text6) && in_group(0, text6)));
    T_ASSERT(!in_group(INT_MAX, text4));
    T_EQ(close(fd4), 0);
    T_ASSERT(!in_group(lo, text4));
    T_EQ(fd6 >= 0 ? close(fd6) : 0, 0);
    T_ASSERT(!in_group(lo, text6));
}

/* A network namespace of this thread's own, which is the process's main one; a socket in it. Skips if refused. */
static int own_network(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        T_SKIP("needs a network namespace, which is refused here");
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    T_ASSERT(fd >= 0);
    return fd;
}

static void set_address(int fd, unsigned long request, uint32_t address)
{
    struct ifreq lo = {.ifr_name = "lo"};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&lo.ifr_addr;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(address);
    T_EQ(ioctl(fd, request, &lo), 0);
}

/* N301: with a peer, the address of this end is the interface's. */
TASK_TEST_WITH(this_end_of_point_to_point, &one_worker)
{
    int fd = own_network();
    cor_prefix list[MANY];
    set_address(fd, SIOCSIFADDR, 0x0a090807);
    set_address(fd, SIOCSIFDSTADDR, 0x0a010203);
    int count = cor_interface_addrs(loopback().index, list, MANY);
    T_EQ(count, 1);
    T_EQ(cor_ip_compare(list[0].ip, cor_ip_of("\x0a\x09\x08\x07", 4)), 0);
    T_EQ(close(fd), 0);
}

/* N302 */
TASK_TEST_WITH(interfaces_come_and_go, &one_worker)
{
    int fd = own_network();
    cor_interface bridge;
    char text[80];
    struct ifreq up = {.ifr_name = "cor-test0", .ifr_flags = IFF_UP}, down = {.ifr_name = "cor-test0"};
    int before = cor_interfaces(NULL, 0);
    T_CODE(cor_interface_by_name(&bridge, "cor-test0", NULL), COR_ENO_SUCH_INTERFACE);
    if (ioctl(fd, SIOCBRADDBR, "cor-test0") < 0) {
        T_SKIP("this kernel has no bridges, whose making is to be seen");
    }
    T_EQ(cor_interfaces(NULL, 0), before + 1);
    T_CODE(cor_interface_by_name(&bridge, "cor-test0", NULL), 0);
    T_STR(cor_interface_flags_text(bridge.flags, text, sizeof(text)), "broadcast|multicast");
    T_EQ(bridge.mac.size_bytes, 6);
    T_EQ(ioctl(fd, SIOCSIFFLAGS, &up), 0);
    T_CODE(cor_interface_by_index(&bridge, bridge.index, NULL), 0);
    T_ASSERT((bridge.flags & COR_INTERFACE_UP) != 0);
    T_EQ(ioctl(fd, SIOCSIFFLAGS, &down), 0);
    T_EQ(ioctl(fd, SIOCBRDELBR, "cor-test0"), 0);
    T_EQ(cor_interfaces(NULL, 0), before);
    T_CODE(cor_interface_by_index(&bridge, bridge.index, NULL), COR_ENO_SUCH_INTERFACE);
    T_EQ(cor_interface_addrs(bridge.index, NULL, 0), 0);
    T_EQ(close(fd), 0);
}

static void expect_text(int result, const cor_error *error, int code, const char *wanted)
{
    char text[COR_ERROR_TEXT];
    T_CODE(result, code);
    T_STR(cor_error_text(error, text, sizeof(text)), wanted);
}

/* N303 */
TASK_TEST(errors_have_gos_words)
{
    cor_interface one = {.index = 77};
    cor_error error;
    expect_text(cor_interface_by_name(&one, "", &error), &error, COR_EINVALID_INTERFACE_NAME,
                "route ip+net: invalid network interface name");
    expect_text(cor_interface_by_name(&one, "nonexistent-and-long", &error), &error, COR_ENO_SUCH_INTERFACE,
                "route ip+net: no such network interface");
    expect_text(cor_interface_by_index(&one, 0, &error), &error, COR_EINVALID_INTERFACE_INDEX,
                "route ip+net: invalid network interface index");
    expect_text(cor_interface_by_index(&one, -1, &error), &error, COR_EINVALID_INTERFACE_INDEX,
                "route ip+net: invalid network interface index");
    expect_text(cor_interface_by_index(&one, INT_MAX, &error), &error, COR_ENO_SUCH_INTERFACE,
                "route ip+net: no such network interface");
    T_CODE(cor_interface_by_index(&one, 0, NULL), COR_EINVALID_INTERFACE_INDEX);
    T_EQ(one.index, 77);
}

static enum cori_sys_call failing;

static int fail_one(enum cori_sys_call call)
{
    return call == failing ? -EMFILE : 0;
}

/* Without a descriptor to ask with, no list is a short one. Outside tasks, where all these calls may be made, too. */
static void no_descriptor_is_an_error(void **state)
{
    (void)state;
    cor_interface one;
    assert_int_equal(cor_interface_by_name(&one, "lo", NULL), 0);
    failing = CORI_SYS_SOCKET;
    cori_sys_fault = fail_one;
    assert_int_equal(cor_interfaces(NULL, 0), -EMFILE);
    assert_int_equal(cor_interface_addrs(0, NULL, 0), -EMFILE);
    failing = CORI_SYS_READ;
    assert_int_equal(cor_interface_groups(0, NULL, 0), -EMFILE);
    cori_sys_fault = NULL;
    assert_true(cor_interface_groups(0, NULL, 0) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interfaces_are_listed),      cmocka_unit_test(flags_are_printed),
        cmocka_unit_test(unicast_addresses),          cmocka_unit_test(multicast_groups),
        cmocka_unit_test(this_end_of_point_to_point), cmocka_unit_test(interfaces_come_and_go),
        cmocka_unit_test(errors_have_gos_words),      cmocka_unit_test(no_descriptor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
