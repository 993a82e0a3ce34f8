/* SPDX-License-Identifier: MIT */
/* Names of hosts by DNS, against a scripted name server on loopback; no packet leaves this machine. */
#include "net/netcase.h"

#include <coracle/io.h>
#include <coracle/lookup.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MOST = 16, ASKERS = 8, CANCELLED = 100, PACKET = 2048, HEADER = 12, TYPE_A = 1, TYPE_AAAA = 28 };

/* What the server does with a question. */
typedef struct server {
    int fd;
    int questions;     /* atomic */
    bool silent, ends; /* atomic */
    char file[64];
} server;

/* The offset after the question's name; the name itself, dotted, in `name`. */
static size_t read_name(const unsigned char *packet, size_t size, char *name)
{
    size_t at = HEADER;
    while (at < size && packet[at] != 0) {
        size_t length = packet[at];
        memcpy(name, packet + at + 1, length);
        name[length] = '.';
        name += length + 1;
        at += length + 1;
    }
    *name = '\0';
    return at + 1;
}

/* Appends an answer for the question's name. */
static size_t put_record(unsigned char *to, int type, const unsigned char *data, int size)
{
    const unsigned char head[] = {0xc0, HEADER, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, 0, (unsigned char)size};
    memcpy(to, head, sizeof(head));
    memcpy(to + sizeof(head), data, (size_t)size);
    return sizeof(head) + (size_t)size;
}

/* The script: the first label of the name says what is answered. Gives the size, 0 for no answer. */
static size_t answer(unsigned char *packet, size_t size)
{
    static const unsigned char v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 6};
    char name[PACKET];
    size_t end = read_name(packet, size, name) + 4;
    int type = packet[end - 3];
    packet[2] |= 0x80;
    packet[3] = 0x80;
    memset(packet + 6, 0, 6); /* no answers, and nothing additional */
    if (strncmp(name, "fails.", 6) == 0) {
        packet[3] |= 2;
    } else if (strncmp(name, "both.", 5) == 0 || (strncmp(name, "four.", 5) == 0 && type == TYPE_A)) {
        packet[7] = 1;
        end += put_record(packet + end, type, type == TYPE_A ? v4 : v6, type == TYPE_A ? 4 : 16);
    } else if (strncmp(name, "here.", 5) == 0 && type == TYPE_A) {
        packet[7] = 1;
        end += put_record(packet + end, TYPE_A, (const unsigned char[]){127, 0, 0, 1}, 4);
    } else if (strcmp(name, "short.found.test.") == 0 && type == TYPE_A) {
        packet[7] = 1;
        end += put_record(packet + end, TYPE_A, v4, 4);
    } else if (strncmp(name, "forged.", 7) == 0 && type == TYPE_A) {
        packet[7] = 1;
        end += put_record(packet + end, TYPE_A, v4, 4);
        packet[0] ^= 0x55;
    } else if (strncmp(name, "four.", 5) != 0 && strncmp(name, "here.", 5) != 0) {
        packet[3] |= 3;
    }
    return end;
}

static void serve(void *arg)
{
    server *own = arg;
    unsigned char packet[PACKET];
    while (!__atomic_load_n(&own->ends, __ATOMIC_ACQUIRE)) {
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        int rc = cor_wait_fd(own->fd, COR_READABLE, cor_after(SOON));
        ssize_t size = rc < 0 ? -1 : recvfrom(own->fd, packet, sizeof(packet) / 2, MSG_DONTWAIT, (void *)&peer, &len);
        if (size > HEADER) {
            (void)add(&own->questions, 1);
            size_t reply = __atomic_load_n(&own->silent, __ATOMIC_ACQUIRE) ? 0 : answer(packet, (size_t)size);
            T_ASSERT(reply == 0 || sendto(own->fd, packet, reply, 0, (void *)&peer, len) == (ssize_t)reply);
        } else if (rc == COR_ECANCELED) {
            return;
        }
    }
}

/* Starts a name server and has the library ask it. */
static void begin(server *own, cor_group *group, const char *options)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);
    own->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(own->fd, (void *)&here, len), 0);
    T_EQ(getsockname(own->fd, (void *)&here, &len), 0);
    (void)snprintf(own->file, sizeof(own->file), "/tmp/cor-resolv-XXXXXX");
    int file = mkstemp(own->file);
    T_ASSERT(dprintf(file, "# made by a test\nnameserver 127.0.0.1:%d\n%s\n", ntohs(here.sin_port), options) > 0);
    T_EQ(close(file), 0);
    T_EQ(setenv("COR_RESOLV_CONF", own->file, 1), 0);
    go_on(1, group, serve, own);
}

static void end(server *own, cor_group *group)
{
    __atomic_store_n(&own->ends, true, __ATOMIC_RELEASE);
    cor_group_cancel(group);
    (void)cor_group_wait(group, cor_after(SOON));
    T_EQ(close(own->fd), 0);
    T_EQ(unlink(own->file), 0);
}

/* Looks up a name that must fail; the whole text is compared. */
static void expect_error(const char *name, int64_t deadline, int code, const char *text)
{
    char out[MOST][COR_ADDR_TEXT], shown[COR_ERROR_TEXT];
    cor_error error = {0};
    T_CODE(cor_lookup_host(out, MOST, name, deadline, &error), code);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
}

/* Literals, with zones too, are given back as they are, and nobody is asked (N274). */
TASK_TEST(literals_ask_nobody)
{
    char out[1][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, 1, "127.0.0.1", 0, NULL), 1);
    T_STR(out[0], "127.0.0.1");
    T_EQ(cor_lookup_host(out, 1, "fe80::1%1", 0, NULL), 1);
    T_STR(out[0], "fe80::1%1");
    T_EQ(get(&own.questions), 0);
    end(&own, &tasks);
}

/* Both families are asked for, and what one has is enough (N282). */
TASK_TEST(both_families)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    T_EQ(cor_lookup_host(out, MOST, "both.example.test", 0, NULL), 2);
    bool v6_first = strcmp(out[0], "2001:db8::6") == 0;
    T_STR(out[v6_first], "192.0.2.1");
    T_STR(out[!v6_first], "2001:db8::6");
    T_EQ(cor_lookup_host(out, 1, "both.example.test", 0, NULL), 1);
    T_EQ(cor_lookup_host(out, MOST, "four.example.test.", 0, NULL), 1);
    T_STR(out[0], "192.0.2.1");
    end(&own, &tasks);
}

/* Go's words and classes for what can go wrong (N066, N275, N290); names that cannot be are not asked for. */
TASK_TEST(errors)
{
    static const char *const bad[] = {"", "-x.test", "x-.test", "a..test", "12.34", "a b.test", ".test"};
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options attempts:1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "lookup %s: no such host", bad[i]);
        expect_error(bad[i], 0, COR_ENO_SUCH_HOST, text);
    }
    T_EQ(get(&own.questions), 0);
    expect_error("nowhere.example.test", 0, COR_ENO_SUCH_HOST, "lookup nowhere.example.test: no such host");
    expect_error("fails.example.test", 0, COR_ESERVER_MISBEHAVING, "lookup fails.example.test: server misbehaving");
    T_ASSERT(cor_is_temporary(COR_ESERVER_MISBEHAVING) && !cor_is_timeout(COR_ESERVER_MISBEHAVING));
    end(&own, &tasks);
}

/* The search list is gone through for short names; the error names what was asked for (N288). */
TASK_TEST(search_list)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "search lost.test found.test");
    T_EQ(cor_lookup_host(out, MOST, "short", 0, NULL), 1);
    T_STR(out[0], "192.0.2.1");
    expect_error("short.", 0, COR_ENO_SUCH_HOST, "lookup short.: no such host");
    end(&own, &tasks);
}

/* A server that does not answer: the deadline ends the lookup, or the servers' own time (N067, N287). */
TASK_TEST(no_answer)
{
    server own = {.silent = true};
    cor_group tasks = {0};
    begin(&own, &tasks, "options timeout:1 attempts:1");
    expect_error("both.test", cor_after(BRIEFLY), COR_ETIMEOUT, "lookup both.test: i/o timeout");
    expect_error("both.test", LONG_AGO, COR_ETIMEOUT, "lookup both.test: i/o timeout");
    int64_t before = cor_now();
    expect_error("both.test", 0, COR_ETIMEOUT, "lookup both.test: i/o timeout");
    T_ASSERT(cor_now() - before >= COR_SECOND / 2);
    end(&own, &tasks);
}

/* An answer with another number than the question's is none (N286). */
TASK_TEST(forged_answers)
{
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "");
    expect_error("forged.test", cor_after(20 * COR_MILLISECOND), COR_ETIMEOUT, "lookup forged.test: i/o timeout");
    end(&own, &tasks);
}

static void look_up_both(void *arg)
{
    char out[MOST][COR_ADDR_TEXT];
    *(int *)arg = cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL);
}

/* Lookups of one name at the same time are one, on each worker; a task that is cancelled ends its own only (N283). */
TASK_TEST(merged)
{
    server own = {.silent = true};
    cor_group servers = {0}, leaving = {0}, staying = {0};
    int left[ASKERS] = {0}, stayed[ASKERS] = {0};
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < ASKERS; i++) {
        go_on(0, &leaving, look_up_both, &left[i]);
        go_on(0, &staying, look_up_both, &stayed[i]);
    }
    T_EVENTUALLY(get(&own.questions) == 2, SOON);
    cor_group_cancel(&leaving);
    (void)cor_group_wait(&leaving, cor_after(SOON));
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE); /* the next attempt is answered */
    wait_for(&staying);
    for (int i = 0; i < ASKERS; i++) {
        T_CODE(left[i], COR_ECANCELED);
        T_EQ(stayed[i], 2);
    }
    T_ASSERT(get(&own.questions) <= 6);
    end(&own, &servers);
}

static void look_up_own(void *arg)
{
    char name[32], out[MOST][COR_ADDR_TEXT];
    (void)snprintf(name, sizeof(name), "both.n%d.test", *(int *)arg);
    *(int *)arg = cor_lookup_host(out, MOST, name, 0, NULL);
}

/* After many lookups that were cancelled the next one works, and no descriptor is left (N294). */
TASK_TEST(many_cancelled)
{
    server own = {.silent = true};
    cor_group servers = {0}, tasks = {0};
    int numbers[CANCELLED];
    char out[MOST][COR_ADDR_TEXT];
    begin(&own, &servers, "");
    for (int i = 0; i < CANCELLED; i++) {
        numbers[i] = i;
        go_on(i, &tasks, look_up_own, &numbers[i]);
    }
    T_EVENTUALLY(get(&own.questions) >= CANCELLED, SOON);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    for (int i = 0; i < CANCELLED; i++) {
        T_CODE(numbers[i], COR_ECANCELED);
    }
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    end(&own, &servers);
}

/* Many names on all workers at once. */
TASK_TEST(many_at_once)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    int numbers[CANCELLED];
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < CANCELLED; i++) {
        numbers[i] = i;
        go_on(i, &tasks, look_up_own, &numbers[i]);
    }
    wait_for(&tasks);
    for (int i = 0; i < CANCELLED; i++) {
        T_EQ(numbers[i], 2);
    }
    end(&own, &servers);
}

static void dial_silent(void *arg)
{
    cor_conn *conn;
    cor_error error = {0};
    char shown[COR_ERROR_TEXT];
    *(int *)arg = cor_dial(&conn, "tcp", "here.test:1", &error);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), "dial tcp: lookup here.test: operation was canceled");
}

static void expect_dial_error(const char *network, const char *address, int64_t deadline, int code, const char *text)
{
    char shown[COR_ERROR_TEXT];
    cor_error error = {0};
    cor_conn *conn;
    T_CODE(cor_dial_until(&conn, network, address, deadline, &error), code);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
}

/* A dial by name asks for the families of its network (N283), within its deadline (N067, N111) and its group (N297). A
 * listener may have a name too (N080). */
TASK_TEST(dial_by_name)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    cor_listener *listener;
    cor_conn *conn;
    char at[COR_ADDR_TEXT], host[COR_ADDR_TEXT], port[COR_ADDR_TEXT];
    int left = 0;
    begin(&own, &servers, "options timeout:1 attempts:1");
    T_CODE(cor_listen(&listener, "tcp4", "here.test:0", NULL), 0);
    T_EQ(get(&own.questions), 1);
    (void)cor_listener_addr(listener, at, sizeof(at));
    T_CODE(cor_split_host_port(at, host, sizeof(host), port, sizeof(port)), 0);
    (void)snprintf(host, sizeof(host), "here.test:%s", port);
    T_CODE(cor_dial(&conn, "tcp", host, NULL), 0);
    T_EQ(get(&own.questions), 3);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_listener_close(listener), 0);
    expect_dial_error("tcp6", "here.test:1", 0, COR_ENO_SUCH_HOST, "dial tcp6: lookup here.test: no such host");
    expect_dial_error("tcp", "fails.test:1", 0, COR_ESERVER_MISBEHAVING,
                      "dial tcp: lookup fails.test: server misbehaving");
    __atomic_store_n(&own.silent, true, __ATOMIC_RELEASE);
    expect_dial_error("tcp", "here.test:1", cor_after(BRIEFLY), COR_ETIMEOUT,
                      "dial tcp: lookup here.test: i/o timeout");
    int asked = get(&own.questions);
    go_on(0, &tasks, dial_silent, &left);
    T_EVENTUALLY(get(&own.questions) > asked, SOON);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    T_CODE(left, COR_ECANCELED);
    end(&own, &servers);
}

/* errno is the task's, whatever the lookup did to it, and whether it worked. */
TASK_TEST(errno_stays)
{
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group servers = {0};
    begin(&own, &servers, "options timeout:1 attempts:1");
    errno = EXDEV;
    T_EQ(cor_lookup_host(out, MOST, "both.test", 0, NULL), 2);
    T_EQ(errno, EXDEV);
    expect_error("nowhere.test", 0, COR_ENO_SUCH_HOST, "lookup nowhere.test: no such host");
    T_EQ(errno, EXDEV);
    T_EQ(setenv("COR_RESOLV_CONF", "/nowhere/resolv.conf", 1), 0); /* then the servers of this host are asked */
    T_ASSERT(cor_lookup_host(out, MOST, "-", cor_after(BRIEFLY), NULL) < 0);
    T_ASSERT(cor_lookup_host(out, MOST, "nowhere.test", LONG_AGO, NULL) < 0);
    T_EQ(errno, EXDEV);
    end(&own, &servers);
}

static void look_up_and_yield(void *arg)
{
    int number = *(int *)arg;
    for (int i = 0; i < 4; i++) {
        *(int *)arg = number;
        look_up_own(arg);
        cor_yield();
    }
}

/* Floating tasks change workers between lookups, and not within one. */
TASK_TEST(floating)
{
    server own = {0};
    cor_group servers = {0}, tasks = {0};
    int numbers[CANCELLED];
    begin(&own, &servers, "options timeout:1 attempts:5");
    for (int i = 0; i < CANCELLED; i++) {
        numbers[i] = i;
        cori_spawn spawn = {.entry = call_task,
                            .arg_a = (void *)(uintptr_t)look_up_and_yield,
                            .arg_b = &numbers[i],
                            .function = look_up_and_yield,
                            .worker = -1,
                            .floats = true};
        T_CODE(cori_group_start(&tasks, &spawn), 0);
    }
    wait_for(&tasks);
    for (int i = 0; i < CANCELLED; i++) {
        T_EQ(numbers[i], 2);
    }
    end(&own, &servers);
}

/* More lookups than may be asked at a time queue; one that is cancelled in the queue is never asked. */
TASK_TEST(queued)
{
    enum { MANY = 250 };
    server own = {.silent = true};
    cor_group servers = {0}, tasks = {0};
    static int numbers[MANY];
    char out[MOST][COR_ADDR_TEXT];
    begin(&own, &servers, "options timeout:60 attempts:1");
    for (int i = 0; i < MANY; i++) {
        numbers[i] = i;
        go_on(0, &tasks, look_up_own, &numbers[i]);
    }
    T_EVENTUALLY(get(&own.questions) >= 200, SOON);
    T_EQ(get(&own.questions), 200);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    T_EQ(get(&own.questions), 200);
    __atomic_store_n(&own.silent, false, __ATOMIC_RELEASE);
    T_EQ(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL), 2);
    end(&own, &servers);
}

/* A lookup under way when the main task returns leaves nothing. */
TASK_TEST(abandoned)
{
    static server own = {.silent = true};
    static cor_group servers;
    static int numbers[2];
    begin(&own, &servers, "");
    T_CODE(cor_go(look_up_own, &numbers[0]), 0);
    T_CODE(cor_go(look_up_own, &numbers[1]), 0);
    T_EVENTUALLY(get(&own.questions) >= 2, SOON);
    end(&own, &servers);
    taskcase_leaves_tasks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_ask_nobody),
        cmocka_unit_test(both_families),
        cmocka_unit_test(errors),
        cmocka_unit_test(search_list),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(forged_answers),
        cmocka_unit_test(merged),
        cmocka_unit_test(many_cancelled),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(dial_by_name),
        cmocka_unit_test(errno_stays),
        cmocka_unit_test(floating),
        cmocka_unit_test(queued),
        cmocka_unit_test(abandoned),
    };
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
