/* SPDX-License-Identifier: MIT */
/* Prefixes: blocks of addresses and what is in them. */
#include "support/taskcase.h"

#include <coracle/addr.h>
#include <coracle/error.h>
#include <string.h>
#include <sys/socket.h>

static cor_prefix prefix_of(const char *text)
{
    cor_prefix prefix = {.bits = 0};
    T_REQUIRE(cor_prefix_parse(&prefix, text) == 0, "\"%s\" is invalid", text);
    return prefix;
}

/* N041: the address as it is written, and its network */
TASK_TEST(prefixes_are_parsed)
{
    static const char *const valid[][3] = {
        {"135.104.0.0/32", "135.104.0.0/32", "135.104.0.0/32"},
        {"135.104.0.1/24", "135.104.0.1/24", "135.104.0.0/24"},
        {"255.255.255.255/0", "255.255.255.255/0", "0.0.0.0/0"},
        {"255.255.255.255/9", "255.255.255.255/9", "255.128.0.0/9"},
        {"1.2.3.4/024", "1.2.3.4/24", "1.2.3.0/24"},
        {"::1/128", "::1/128", "::1/128"},
        {"abcd:2345::/127", "abcd:2345::/127", "abcd:2345::/127"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/65", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/65",
         "ffff:ffff:ffff:ffff:8000::/65"},
        {"::ffff:192.0.2.129/121", "192.0.2.129/25", "192.0.2.128/25"},
        {"::ffff:192.0.2.129/96", "192.0.2.129/0", "0.0.0.0/0"},
        {"::ffff:192.0.2.129/95", "::fffe:0:0/95", "::fffe:0:0/95"},
    };
    static const char *const invalid[] = {"",
                                          "/24",
                                          "1.2.3.4",
                                          "1.2.3.4/",
                                          "1.2.3.4/33",
                                          "1.2.3/24",
                                          "1.2.3.4/-1",
                                          "1.2.3.4/+1",
                                          "1.2.3.4/1 ",
                                          "::1/129",
                                          "::1/35/1",
                                          "010.0.0.0/8",
                                          "1.2.3.4/255.0.0.0",
                                          "fe80::1%lo/64",
                                          "::/4294967296",
                                          "::/340282366920938463463374607431768211456",
                                          "1111:1111:1111:1111:1111:1111:111.111.111.111111111/1"};
    char text[COR_ADDR_TEXT];
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        cor_prefix prefix = prefix_of(valid[i][0]);
        T_STR(cor_prefix_text(prefix, text, sizeof(text)), valid[i][1]);
        T_STR(cor_prefix_text(cor_prefix_masked(prefix), text, sizeof(text)), valid[i][2]);
    }
    cor_prefix untouched = prefix_of("192.0.2.0/24");
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        T_REQUIRE(cor_prefix_parse(&untouched, invalid[i]) == COR_EINVALID_CIDR, "\"%s\" is valid", invalid[i]);
    }
    T_STR(cor_prefix_text(untouched, text, sizeof(text)), "192.0.2.0/24");
    T_STR(cor_prefix_text(untouched, text, 9), "192.0.2.");
    T_STR(cor_prefix_text((cor_prefix){.bits = 8}, text, sizeof(text)), "<nil>");
    T_STR(cor_strerror(COR_EINVALID_CIDR), "invalid CIDR address");
}

/* N043, N044: families do not mix; the bits after the prefix do not count */
TASK_TEST(prefixes_contain)
{
    static const struct {
        const char *prefix, *ip;
        bool inside;
    } cases[] = {
        {"172.16.1.1/24", "172.16.1.255", true},
        {"172.16.1.1/24", "172.16.2.0", false},
        {"192.168.0.0/23", "192.168.1.9", true},
        {"192.168.0.0/23", "192.168.2.0", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::", false},
        {"::/0", "0.0.0.0", false},
        {"::/0", "ffff::", true},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"10.0.0.0/8", "::ffff:10.9.9.9", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1/128", "::1", true},
        {"::1/128", "::2", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cor_ip ip;
        T_CODE(cor_ip_parse(&ip, cases[i].ip), 0);
        T_REQUIRE(cor_prefix_contains(prefix_of(cases[i].prefix), ip) == cases[i].inside, "%s in %s: %s", cases[i].ip,
                  cases[i].prefix, cases[i].inside ? "false" : "true");
    }
    T_ASSERT(!cor_prefix_contains((cor_prefix){.bits = 0}, (cor_ip){0}));
}

/* What a caller has put together wrong contains nothing, and nothing beyond its bytes is read. */
TASK_TEST(too_many_bits)
{
    cor_prefix prefix = prefix_of("10.0.0.0/32");
    prefix.bits = 33;
    T_ASSERT(!cor_prefix_contains(prefix, prefix.ip));
    T_EQ(cor_prefix_masked(prefix).ip.family, 0);
    prefix = prefix_of("::1/128");
    prefix.bits = 255;
    T_ASSERT(!cor_prefix_contains(prefix, prefix.ip));
    T_EQ(cor_prefix_masked(prefix).ip.family, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_parsed),
        cmocka_unit_test(prefixes_contain),
        cmocka_unit_test(too_many_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
