/* SPDX-License-Identifier: MIT */
/* Hardware addresses. */
#include "support/taskcase.h"

#include <coracle/addr.h>
#include <coracle/error.h>
#include <string.h>

/* N046 */
TASK_TEST(hardware_addresses)
{
    static const char long_one[] = "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01";
    static const char *const valid[][2] = {
        {"00:00:5e:00:53:01", "00:00:5e:00:53:01"},
        {"00-00-5E-00-53-01", "00:00:5e:00:53:01"},
        {"0000.5e00.5301", "00:00:5e:00:53:01"},
        {"02:00:5e:10:00:00:00:01", "02:00:5e:10:00:00:00:01"},
        {"02-00-5e-10-00-00-00-01", "02:00:5e:10:00:00:00:01"},
        {"0200.5e10.0000.0001", "02:00:5e:10:00:00:00:01"},
        {long_one, long_one},
        {"00-00-00-00-fe-80-00-00-00-00-00-00-02-00-5e-10-00-00-00-01", long_one},
        {"0000.0000.fe80.0000.0000.0000.0200.5e10.0000.0001", long_one},
        {"ab:cd:ef:AB:CD:EF", "ab:cd:ef:ab:cd:ef"},
    };
    static const char *const invalid[] = {"",
                                          "0",
                                          "01",
                                          "01.02.03.04.05.06",
                                          "01:02:03:04:05",
                                          "01:02:03:04:05:06:",
                                          "01:02:03:04:05:06:07",
                                          "x1:02:03:04:05:06",
                                          "01002:03:04:05:06",
                                          "01:02003:04:05:06",
                                          "01:02:03:04005:06",
                                          "01-02:03-04-05-06",
                                          "01:02-03-04-05-06",
                                          "0123:4567:89AF",
                                          "0123.4567.89a",
                                          "0123.4567-89af",
                                          "0123.4567.89",
                                          "000000000000",
                                          "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01:02"};
    char text[COR_ADDR_TEXT];
    cor_mac mac;
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        T_REQUIRE(cor_mac_parse(&mac, valid[i][0]) == 0, "\"%s\" is invalid", valid[i][0]);
        T_STR(cor_mac_text(mac, text, sizeof(text)), valid[i][1]);
    }
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        T_REQUIRE(cor_mac_parse(&mac, invalid[i]) == COR_EINVALID_MAC, "\"%s\" is valid", invalid[i]);
    }
    T_STR(cor_mac_text(mac, text, sizeof(text)), "ab:cd:ef:ab:cd:ef");
    T_STR(cor_mac_text(mac, text, 6), "ab:cd");
    T_STR(cor_mac_text((cor_mac){0}, text, sizeof(text)), "");
    T_STR(cor_strerror(COR_EINVALID_MAC), "invalid MAC address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hardware_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
