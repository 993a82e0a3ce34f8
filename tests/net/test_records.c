/* SPDX-License-Identifier: MIT */
/* Records other than addresses: what comes of good answers and of bad ones. */
#include "net/nameserver.h"

enum { TYPE_NS = 2, TYPE_PTR = 12, TYPE_MX = 15, TYPE_TXT = 16, TYPE_SRV = 33, ROUNDS = 64 };

/* Names in messages: "a.test.", "-a.", ".". */
#define A_TEST "\1a\4test\0"
#define B_TEST "\1b\4test\0"
#define NO_NAME "\2-a\0"

/* Appends records whose data is a text with NULs. */
#define PUT(type, data) (end += put_record(packet + end, (type), (const unsigned char *)(data), sizeof(data) - 1))

/* The records of one name of every type. */
static size_t all_types(unsigned char *packet, size_t end, int type)
{
    packet[7] = 3;
    switch (type) {
    case TYPE_MX:
        PUT(TYPE_MX, "\0\24" A_TEST);
        PUT(TYPE_MX, "\0\12" B_TEST);
        PUT(TYPE_MX, "\0\36\0");
        break;
    case TYPE_TXT:
        PUT(TYPE_TXT, "\3one\4 two");
        PUT(TYPE_TXT, "\0");
        PUT(TYPE_TXT, "\3a\0b");
        break;
    case TYPE_NS:
        PUT(TYPE_NS, A_TEST);
        PUT(TYPE_NS, "\0");
        PUT(TYPE_NS, B_TEST);
        break;
    case TYPE_SRV:
        PUT(TYPE_SRV, "\0\2\0\0\0\120" B_TEST);
        PUT(TYPE_SRV, "\0\1\0\12\1\273" A_TEST);
        PUT(TYPE_SRV, "\0\3\0\0\0\0\0");
        break;
    case TYPE_PTR: /* with records that were not asked for */
        PUT(TYPE_MX, "\0\24" A_TEST);
        PUT(TYPE_PTR, A_TEST);
        PUT(TYPE_TXT, "\3one");
        break;
    default:
        packet[7] = 0;
    }
    return end;
}

/* N292: strings are joined, records are in order, ".", a mail server or a root, is a name, others are passed over. */
TASK_TEST(records_of_each_type)
{
    server own = {.records = all_types};
    cor_group tasks = {0};
    cor_records *found = NULL;
    begin(&own, &tasks, "");
    T_CODE(cor_lookup_mx(&found, "x.test", 0, NULL), 0);
    T_EQ(found->count, 3);
    T_STR(found->list[0].text, "b.test.");
    T_EQ(found->list[0].priority, 10);
    T_STR(found->list[1].text, "a.test.");
    T_STR(found->list[2].text, ".");
    T_STR(found->name, "x.test.");
    T_STR(found->server, own.address);
    cor_records_free(found);
    T_CODE(cor_lookup_txt(&found, "x.test.", 0, NULL), 0);
    T_EQ(found->count, 3);
    T_STR(found->list[0].text, "one two");
    T_EQ(found->list[1].size_bytes, 0);
    T_EQ(found->list[2].size_bytes, 3);
    T_EQ(memcmp(found->list[2].text, "a\0b", 4), 0);
    cor_records_free(found);
    T_CODE(cor_lookup_ns(&found, ".", 0, NULL), 0);
    T_EQ(found->count, 3);
    T_STR(found->list[1].text, ".");
    cor_records_free(found);
    T_CODE(cor_lookup_srv(&found, "web", "tcp", "x.test", 0, NULL), 0);
    T_EQ(found->count, 3);
    T_STR(found->name, "_web._tcp.x.test.");
    T_STR(found->list[0].text, "a.test.");
    T_EQ(found->list[0].port, 443);
    T_EQ(found->list[0].weight, 10);
    T_STR(found->list[2].text, ".");
    cor_records_free(found);
    T_CODE(cor_lookup_srv(&found, "", "", "x.test", 0, NULL), 0);
    T_STR(found->name, "x.test.");
    cor_records_free(found);
    T_CODE(cor_lookup_addr(&found, "192.0.2.77", 0, NULL), 0);
    T_EQ(found->count, 1);
    T_STR(found->list[0].text, "a.test.");
    cor_records_free(found);
    end(&own, &tasks);
}

static size_t bad_names(unsigned char *packet, size_t end, int type)
{
    packet[7] = 2;
    if (type == TYPE_MX) {
        PUT(TYPE_MX, "\0\12" NO_NAME);
        PUT(TYPE_MX, "\0\12" A_TEST);
    } else if (type == TYPE_NS) {
        PUT(TYPE_NS, "\3a.b\0");
        PUT(TYPE_NS, "\3a\0b\0");
    } else if (type == TYPE_SRV) {
        PUT(TYPE_SRV, "\0\2\0\0\0\120\1 \0");
        PUT(TYPE_SRV, "\0\2\0\0\0\120" A_TEST);
    } else if (type == TYPE_TXT) {
        PUT(TYPE_TXT, "\3one");
        PUT(TYPE_TXT, "\4one"); /* longer than it is */
    } else {
        PUT(TYPE_CNAME, NO_NAME);
        PUT(TYPE_CNAME, NO_NAME);
    }
    return end;
}

/* N291: records with names that are none are left out, and that is told. */
TASK_TEST(names_that_are_none)
{
    char name[COR_NAME_TEXT];
    server own = {.records = bad_names};
    cor_group tasks = {0};
    cor_records *found = NULL;
    begin(&own, &tasks, "");
    T_CODE(cor_lookup_mx(&found, "x.test", 0, NULL), 0);
    T_EQ(found->count, 1);
    T_EQ(found->dropped, 1);
    T_STR(found->list[0].text, "a.test.");
    cor_records_free(found);
    T_CODE(cor_lookup_ns(&found, "x.test", 0, NULL), 0);
    T_EQ(found->count, 0);
    T_EQ(found->dropped, 2);
    cor_records_free(found);
    T_CODE(cor_lookup_srv(&found, "a", "b", "x.test", 0, NULL), 0);
    T_EQ(found->count, 1);
    T_EQ(found->dropped, 1);
    cor_records_free(found);
    found = NULL;
    T_CODE(cor_lookup_txt(&found, "x.test", 0, NULL), COR_EBAD_ANSWER);
    T_CODE(cor_lookup_cname(name, sizeof(name), "x.test", 0, NULL), COR_EBAD_ANSWER);
    T_ASSERT(found == NULL);
    end(&own, &tasks);
}

/* Two aliases, then an IPv6 address only. */
static size_t aliases(unsigned char *packet, size_t end, int type)
{
    if (type == TYPE_A) {
        return end;
    }
    packet[7] = 3;
    PUT(TYPE_CNAME, A_TEST);
    memcpy(packet + end, A_TEST "\0\5\0\1\0\0\0\74\0\10" B_TEST, 26);
    end += 26;
    memcpy(packet + end, B_TEST "\0\34\0\1\0\0\0\74\0\20\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\6", 34);
    return end + 34;
}

/* N281, N291: a name's aliases are followed to their end, also of a host that has IPv6 only. */
TASK_TEST(canonical_names)
{
    char name[COR_NAME_TEXT];
    server own = {.records = aliases};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_cname(name, sizeof(name), "x.test", 0, NULL), 7);
    T_STR(name, "b.test.");
    T_EQ(cor_lookup_cname(name, 4, "x.test", 0, NULL), 7);
    T_STR(name, "b.t");
    end(&own, &tasks);
}

static size_t two_weights(unsigned char *packet, size_t end, int type)
{
    T_EQ(type, TYPE_SRV);
    packet[7] = 3;
    PUT(TYPE_SRV, "\0\0\0\0\0\120\0");
    PUT(TYPE_SRV, "\0\0\0\1\0\120" A_TEST);
    PUT(TYPE_SRV, "\0\0\0\3\0\120" B_TEST);
    return end;
}

/* N292: services are drawn by weight; one of weight 0 comes after the others. */
TASK_TEST(services_by_weight)
{
    server own = {.records = two_weights};
    cor_group tasks = {0};
    int first = 0;
    begin(&own, &tasks, "");
    for (int i = 0; i < ROUNDS; i++) {
        cor_records *found = NULL;
        T_CODE(cor_lookup_srv(&found, "", "", "x.test", 0, NULL), 0);
        T_STR(found->list[2].text, ".");
        first += found->list[0].text[0] == 'b';
        cor_records_free(found);
    }
    T_REQUIRE(first > 28 && first < ROUNDS, "of %d rounds %d began with 3 of 4 shares", ROUNDS, first);
    end(&own, &tasks);
}

static void expect(int rc, int code, const cor_error *error, const char *text)
{
    char shown[COR_ERROR_TEXT];
    T_CODE(rc, code);
    T_STR(cor_error_text(error, shown, sizeof(shown)), text);
}

static size_t nothing(unsigned char *packet, size_t end, int type)
{
    (void)packet, (void)type;
    return end;
}

static void look_up_texts(void *arg)
{
    cor_records *found = NULL;
    *(int *)arg = cor_lookup_txt(&found, "x.test", 0, NULL);
}

/* N066: Go's words, with the server if one has answered; N047, N295, N297. */
TASK_TEST(errors_of_records)
{
    char wants[160];
    server own = {.records = nothing};
    cor_group tasks = {0}, leaving = {0};
    cor_records *found = NULL;
    cor_error error;
    int left = 0;
    begin(&own, &tasks, "options attempts:1 timeout:1");
    (void)snprintf(wants, sizeof(wants), "lookup x.test on %s: no such host", own.address);
    expect(cor_lookup_mx(&found, "x.test", 0, &error), COR_ENO_SUCH_HOST, &error, wants);
    (void)snprintf(wants, sizeof(wants), "lookup _a._b.x.test on %s: no such host", own.address);
    expect(cor_lookup_srv(&found, "a", "b", "x.test", 0, &error), COR_ENO_SUCH_HOST, &error, wants);
    (void)snprintf(wants, sizeof(wants), "lookup 192.0.2.1 on %s: no such host", own.address);
    expect(cor_lookup_addr(&found, "192.0.2.1", 0, &error), COR_ENO_SUCH_HOST, &error, wants);
    int asked = get(&own.questions);
    expect(cor_lookup_txt(&found, "-x", 0, &error), COR_ENO_SUCH_HOST, &error, "lookup -x: no such host");
    expect(cor_lookup_txt(&found, "", 0, &error), COR_ENO_SUCH_HOST, &error, "lookup : no such host");
    expect(cor_lookup_ns(&found, "a\x01.b", 0, &error), COR_ENO_SUCH_HOST, &error, "lookup a\x01.b: no such host");
    expect(cor_lookup_addr(&found, "1.2.3", 0, &error), COR_EUNRECOGNIZED_ADDRESS, &error,
           "lookup 1.2.3: unrecognized address");
    expect(cor_lookup_mx(&found, "x.test", LONG_AGO, &error), COR_ETIMEOUT, &error, "lookup x.test: i/o timeout");
    T_EQ(get(&own.questions), asked);
    __atomic_store_n(&own.silent, true, __ATOMIC_RELEASE);
    go_on(0, &leaving, look_up_texts, &left);
    T_EVENTUALLY(get(&own.questions) > asked, SOON);
    cor_group_cancel(&leaving);
    (void)cor_group_wait(&leaving, cor_after(SOON));
    T_CODE(left, COR_ECANCELED);
    end(&own, &tasks);
}

/* N283, N274: addresses as values, of one family or both; literals ask nobody. */
TASK_TEST(addresses_as_values)
{
    server own = {0};
    cor_group tasks = {0};
    cor_records *found = NULL;
    cor_error error;
    begin(&own, &tasks, "");
    T_CODE(cor_lookup_ip(&found, "ip", "fe80::1%1", 0, NULL), 0);
    T_EQ(found->list[0].addr.zone, 1);
    T_STR(found->server, "");
    cor_records_free(found);
    expect(cor_lookup_ip(&found, "ip4", "::1", 0, &error), COR_ENO_SUITABLE_ADDRESS, &error,
           "lookup ::1: no suitable address found");
    expect(cor_lookup_ip(&found, "tcp", "::1", 0, &error), COR_EUNKNOWN_NETWORK, &error, "unknown network tcp");
    T_EQ(get(&own.questions), 0);
    T_CODE(cor_lookup_ip(&found, "ip", "both.test", 0, NULL), 0);
    T_EQ(found->count, 2);
    T_STR(found->server, own.address);
    cor_records_free(found);
    T_EQ(get(&own.questions), 2);
    T_CODE(cor_lookup_ip(&found, "ip6", "both.test", 0, NULL), 0);
    T_EQ(found->count, 1);
    T_STR(found->list[0].text, "2001:db8::6");
    cor_records_free(found);
    T_EQ(get(&own.questions), 3);
    end(&own, &tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_each_type), cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(canonical_names),      cmocka_unit_test(services_by_weight),
        cmocka_unit_test(errors_of_records),    cmocka_unit_test(addresses_as_values),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
