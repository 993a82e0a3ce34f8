/* SPDX-License-Identifier: MIT */
/* Name servers that misbehave, and answers that are none. */
#include "net/nameserver.h"

#include "net/hosts.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

/* What is no answer to the question is passed over (N286): another number, another question, no message. */
TASK_TEST(forged_answers)
{
    static const char *const names[] = {"forged", "other", "junk", "cut"};
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[32], text[64];
        (void)snprintf(name, sizeof(name), "%s.test", names[i]);
        (void)snprintf(text, sizeof(text), "lookup %s: i/o timeout", name);
        expect_error(name, cor_after(20 * COR_MILLISECOND), COR_ETIMEOUT, text);
    }
    end(&own, &tasks);
}

/* Answers that lead nowhere, and servers that do not want to. */
TASK_TEST(useless_answers)
{
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options attempts:1");
    expect_error("loop.test", cor_after(SOON), COR_ENO_SUCH_HOST, "lookup loop.test: no such host");
    expect_error("refused.test", cor_after(SOON), COR_ESERVER_MISBEHAVING, "lookup refused.test: server misbehaving");
    expect_error("torn.test", cor_after(SOON), COR_EBAD_ANSWER, "lookup torn.test: invalid DNS response");
    end(&own, &tasks);
}

/* A host with IPv6 only (N282). */
TASK_TEST(one_family)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "six.test", cor_after(SOON), NULL), 1);
    T_STR(out[0], "2001:db8::6");
    end(&own, &tasks);
}

/* Starts a name server that answers over TCP, too. */
static void begin_with_tcp(server *own, cor_group *tasks, const char *options)
{
    char address[COR_ADDR_TEXT];
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    int rc = -EADDRINUSE;
    for (int i = 0; i < 10 && rc == -EADDRINUSE; i++) { /* the number may be taken for TCP by somebody else */
        if (i > 0) {
            end(own, tasks);
        }
        *own = (server){0};
        *tasks = (cor_group){0};
        begin(own, tasks, options);
        T_EQ(getsockname(own->fd, (void *)&here, &len), 0);
        (void)snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(here.sin_port));
        rc = cor_listen(&own->tcp, "tcp", address, NULL);
    }
    T_CODE(rc, 0);
    go_on(1, tasks, serve_tcp, own);
}

/* An answer that is cut is asked for again over TCP (N285), and all that it has is given, in its order. */
TASK_TEST(cut_answers)
{
    static char out[RECORDS + 1][COR_ADDR_TEXT];
    cor_records *found = NULL;
    server own;
    cor_group tasks;
    begin_with_tcp(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "big.test", cor_after(SOON), NULL), MOST);
    T_EQ(cor_lookup_host(out, RECORDS + 1, "big.test", cor_after(SOON), NULL), RECORDS);
    T_CODE(cor_lookup_ip(&found, "ip", "big.test", cor_after(SOON), NULL), 0);
    T_EQ(found->count, RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        char text[COR_ADDR_TEXT];
        (void)snprintf(text, sizeof(text), "192.0.%d.%d", i >> 8, i & 255);
        T_STR(out[i], text);
        T_STR(found->list[i].text, text);
    }
    cor_records_free(found);
    T_CODE(cor_listener_close(own.tcp), 0);
    end(&own, &tasks);
}

/* N282, N279: with single-request IPv6 is asked for when the answer about IPv4 is there. */
TASK_TEST(one_question_at_a_time)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options timeout:30 single-request-reopen");
    expect_error("mute.test", cor_after(20 * BRIEFLY), COR_ETIMEOUT, "lookup mute.test: i/o timeout");
    T_EVENTUALLY(get(&own.questions) == 1, SOON);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    T_EQ(get(&own.questions), 3);
    T_EQ(cor_lookup_host(out, MOST, "four.test", cor_after(SOON), NULL), 1);
    T_EQ(cor_lookup_host(out, MOST, "six.test", cor_after(SOON), NULL), 1);
    T_STR(out[0], "2001:db8::6");
    expect_error("nowhere.test", 0, COR_ENO_SUCH_HOST, "lookup nowhere.test: no such host");
    end(&own, &tasks);
}

/* N279: trust-ad sets the AD bit of questions, over TCP too; without it the bit is not set. */
TASK_TEST(trusted_servers)
{
    char out[MOST][COR_ADDR_TEXT];
    static const char *const options[] = {"", "options trust-ad", "options trust-ad use-vc"};
    for (int i = 0; i < 3; i++) {
        server own;
        cor_group tasks;
        begin_with_tcp(&own, &tasks, options[i]);
        T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
        T_EQ(get(&own.questions), 2);
        T_EQ(get(&own.trusting), i > 0 ? 2 : 0);
        T_CODE(cor_listener_close(own.tcp), 0);
        end(&own, &tasks);
    }
}

/* N279: with no-reload the servers of the first reading stay, on all workers. */
TASK_TEST(servers_do_not_change)
{
    char out[MOST][COR_ADDR_TEXT];
    server first = {0}, second = {0};
    cor_group tasks = {0};
    begin(&first, &tasks, "options no-reload");
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    begin(&second, &tasks, "");
    T_EQ(rename(second.file, first.file), 0);
    T_EQ(setenv("COR_RESOLV_CONF", first.file, 1), 0);
    cori_files_check_ns = 0;
    T_EQ(cor_lookup_host(out, MOST, "four.test", cor_after(SOON), NULL), 1);
    T_EQ(get(&second.questions), 0);
    T_EQ(get(&first.questions), 4);
    end(&first, &tasks); /* both servers are in the group */
    T_EQ(close(second.fd), 0);
}

/* A server that is not there, or refuses, is followed by the next (N287). */
TASK_TEST(next_server)
{
    char out[MOST][COR_ADDR_TEXT], text[128];
    server own = {0};
    cor_group tasks = {0};
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    begin(&own, &tasks, "");
    T_EQ(getsockname(own.fd, (void *)&here, &len), 0);
    int gone = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* bound, and silent: nobody else can have the port */
    struct sockaddr_in silent = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    T_EQ(bind(gone, (void *)&silent, len), 0);
    T_EQ(getsockname(gone, (void *)&silent, &len), 0);
    int size = snprintf(text, sizeof(text), "nameserver 127.0.0.1:%d\nnameserver 127.0.0.1:%d\noptions timeout:1\n",
                        ntohs(silent.sin_port), ntohs(here.sin_port));
    int file = open(own.file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    T_EQ(write(file, text, (size_t)size), size);
    T_EQ(close(file), 0);
    T_EQ(cor_lookup_host(out, MOST, "both.test", 0, NULL), 2);
    T_EQ(close(gone), 0);
    end(&own, &tasks);
}

static void look_up_mute(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "mute.test", 0, NULL);
}

/* N279: while lookups keep a worker busy, resolv.conf is looked at every 5 s (here: at once). What has begun goes
 * on. */
TASK_TEST(servers_change)
{
    char out[MOST][COR_ADDR_TEXT];
    server first = {0}, second = {0};
    cor_group tasks = {0}, mute = {0};
    int silence = 0;
    begin(&first, &tasks, "options timeout:30 attempts:1");
    go_on(cor_worker_id(), &mute, look_up_mute, &silence);
    T_EVENTUALLY(get(&first.questions) == 2, SOON);
    begin(&second, &tasks, "");
    T_EQ(rename(second.file, first.file), 0);
    T_EQ(setenv("COR_RESOLV_CONF", first.file, 1), 0);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    T_EQ(get(&first.questions), 4); /* the 5 s are not over */
    cori_files_check_ns = 0;
    T_EQ(cor_lookup_host(out, MOST, "four.test", cor_after(SOON), NULL), 1);
    T_EQ(get(&first.questions), 4);
    T_EQ(get(&second.questions), 2);
    cor_group_cancel(&mute);
    (void)cor_group_wait(&mute, cor_after(SOON));
    T_CODE(silence, COR_ECANCELED);
    end(&first, &tasks); /* both servers are in the group */
    T_EQ(close(second.fd), 0);
}

/* Two of each family; here only those of the loopback can be reached. */
static size_t near_and_far(unsigned char *packet, size_t end, int type)
{
    static const unsigned char v4[2][4] = {{192, 0, 2, 1}, {127, 0, 0, 1}};
    static const unsigned char v6[2][16] = {{0x20, 0x01, 0x0d, 0xb8, [15] = 6}, {[15] = 1}};
    packet[7] = 2;
    for (int i = 0; i < 2; i++) {
        end += type == TYPE_A ? put_record(packet + end, type, v4[i], 4) : put_record(packet + end, type, v6[i], 16);
    }
    return end;
}

/* A network of its own, with a loopback and nothing else; false if that is not allowed here. */
static bool own_network(void)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = unshare(CLONE_NEWNET) == 0 ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    bool done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0;
    (void)close(fd);
    return done;
}

static const cor_options one_worker = {.workers = 1};

/* N284: what cannot be reached comes last (rule 1), and IPv6 first among the others (rule 6). */
TASK_TEST_WITH(addresses_are_in_order, &one_worker)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {.records = near_and_far};
    cor_group tasks = {0};
    if (!own_network() || !has_ipv6()) {
        T_SKIP("needs a network namespace with IPv6, which there is not here");
    }
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "near.test", cor_after(SOON), NULL), 4);
    T_STR(out[0], "::1");
    T_STR(out[1], "127.0.0.1");
    end(&own, &tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_answers),
        cmocka_unit_test(useless_answers),
        cmocka_unit_test(one_family),
        cmocka_unit_test(cut_answers),
        cmocka_unit_test(one_question_at_a_time),
        cmocka_unit_test(trusted_servers),
        cmocka_unit_test(servers_do_not_change),
        cmocka_unit_test(next_server),
        cmocka_unit_test(servers_change),
        cmocka_unit_test(addresses_are_in_order),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
