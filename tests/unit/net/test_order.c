/* SPDX-License-Identifier: MIT */
/* The order in which addresses are tried (N284): RFC 6724's examples, and each rule by itself. */
/* test: workers=1 */
#include "net/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An address and its source, where it can be reached: "" otherwise. */
typedef struct reached {
    const char *to, *from;
} reached;

static cor_ip ip_of(const char *text)
{
    cor_ip ip = {0};
    if (text[0] != '\0') {
        assert_int_equal(cor_ip_parse(&ip, text), 0);
    }
    return ip;
}

static uint32_t key_of(const reached *one)
{
    cor_ip to = ip_of(one->to), from = ip_of(one->from);
    return cori_order_key(&to, &from);
}

/* The first comes before the second. */
static const struct {
    const char *what;
    reached first, second;
} pairs[] = {
    {"1: what can be reached", {"3ffe::1", "10.0.0.1"}, {"2001:db8:1::1", ""}},
    {"2: the source's scope", {"2001:db8:1::1", "2001:db8:1::2"}, {"198.51.100.121", "169.254.13.78"}},
    {"2: the source's scope", {"198.51.100.121", "198.51.100.117"}, {"2001:db8:1::1", "fe80::1"}},
    {"2: a site's", {"fec0::1", "fec0::2"}, {"2001:db8:1::1", "fec0::2"}},
    {"2: a multicast's", {"ff05::1", "fec0::2"}, {"ff02::1", "fec0::2"}},
    {"2: the loopback's is the link's", {"127.0.0.1", "169.254.0.1"}, {"192.0.2.1", "169.254.0.1"}},
    {"5: the source's label", {"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001:db8:1::1", "2002:c633:6401::2"}},
    {"5: the source's label", {"10.1.2.3", "10.1.2.4"}, {"fc00::1", "2001:db8:1::2"}},
    {"5: Teredo is not global", {"10.1.2.3", "10.1.2.4"}, {"2001:db8:1::1", "2001::1"}},
    {"5: unique local is not global", {"3ffe::1", "3ffe::2"}, {"fd00::1", "2001:db8:1::2"}},
    {"6: IPv6", {"2001:db8:1::1", "2001:db8:1::2"}, {"10.1.2.3", "10.1.2.4"}},
    {"6: IPv4 before 6to4", {"10.1.2.3", "10.1.2.4"}, {"2002:c633:6401::1", "2002:c633:6401::2"}},
    {"6: IPv4 before unique local", {"10.1.2.3", "10.1.2.4"}, {"fd00::1", "fd00::2"}},
    {"6: 6to4 before Teredo", {"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001::1", "2001::2"}},
    {"6: unique local before 6bone", {"fd00::1", "fd00::2"}, {"3ffe::1", "3ffe::2"}},
    {"6: the loopback", {"::1", "::1"}, {"fe80::1", "fe80::2"}},
    {"8: the link", {"fe80::1", "fe80::2"}, {"2001:db8:1::1", "2001:db8:1::2"}},
    {"8: the link, IPv4", {"169.254.1.1", "169.254.1.2"}, {"192.0.2.1", "192.0.2.2"}},
    {"9: the longer prefix", {"2001:db8:1::1", "2001:db8:1::2"}, {"2001:db8:3ffe::1", "2001:db8:3f44::2"}},
};

static void each_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (key_of(&pairs[i].first) >= key_of(&pairs[i].second)) {
            fail_msg("%s: %s is not before %s", pairs[i].what, pairs[i].first.to, pairs[i].second.to);
        }
    }
}

/* 9 looks at IPv6 only, and at no more than 64 bits; what cannot be reached is all the same. */
static void equals(void **state)
{
    static const reached same[][2] = {
        {{"192.0.2.1", "192.0.2.2"}, {"10.0.0.1", "192.0.2.2"}},
        {{"2001:db8::1", "2001:db8::2"}, {"2001:db8::8000:0:0:1", "2001:db8::2"}},
        {{"2001:db8::1", ""}, {"fe80::1", ""}},
        {{"192.0.2.1", ""}, {"::1", ""}},
        {{"255.0.0.1", "192.0.2.2"}, {"224.0.0.1", "192.0.2.2"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(key_of(&same[i][0]), key_of(&same[i][1]));
    }
}

/* The kernel knows what can be reached; equal addresses stay as they are, also far more than it is asked about. */
static void addresses_of_this_host(void **state)
{
    enum { MANY = 4000 };
    cor_addr *list = calloc(MANY + 1, sizeof(*list));
    (void)state;
    assert_non_null(list);
    for (int i = 0; i < MANY; i++) { /* of the loopback, and one that no host may send to */
        list[i] = (cor_addr){.ip = {.family = 2, .bytes = {127, 0, (uint8_t)(i >> 8), (uint8_t)(i & 255)}}, .port = 7};
    }
    list[3].ip = list[MANY].ip = ip_of("fe80::1"); /* without a zone it cannot be reached */
    cori_order(list, MANY + 1);
    assert_int_equal(list[MANY].ip.bytes[0] + list[MANY - 1].ip.bytes[0], 2 * 0xfe);
    for (int i = 0; i < MANY - 1; i++) {
        int was = i < 3 ? i : i + 1;
        assert_int_equal(list[i].ip.bytes[2] << 8 | list[i].ip.bytes[3], was);
        assert_int_equal(list[i].port, 7);
    }
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule),
        cmocka_unit_test(equals),
        cmocka_unit_test(addresses_of_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
