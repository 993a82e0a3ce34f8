/* SPDX-License-Identifier: MIT */
/* Who is asked for a name. */
#include "net/nameserver.h"

#include <string.h>

/* Where an address is in the list. */
static int place_of(char (*list)[COR_ADDR_TEXT], int count, const char *address)
{
    int place = 0;
    while (place < count && strcmp(list[place], address) != 0) {
        place++;
    }
    T_REQUIRE(place < count, "%s is missing", address);
    return place;
}

/* N276, N296: the hosts file comes before the name servers, and nobody is asked for what it knows. */
TASK_TEST(files_come_before_servers)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    int count = cor_lookup_host(out, MOST, "localhost", cor_after(SOON), NULL);
    T_ASSERT(count >= 1);
    T_EQ(get(&own.questions), 0);
    T_EQ(place_of(out, count, "127.0.0.1"), strcmp(out[0], "::1") == 0);
    T_EQ(cor_lookup_host(out, MOST, "both.example.test", cor_after(SOON), NULL), 2);
    T_EQ(get(&own.questions), 2);
    end(&own, &tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_before_servers),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
