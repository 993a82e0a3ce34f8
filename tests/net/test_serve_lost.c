/* SPDX-License-Identifier: MIT */
/* cor_serve when memory runs out between accepting and the handler: the connection is closed, and that is told. */
/* test: serial */
#include "net/netcase.h"

#include "base/sys.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { CLIENTS = 400, LOSSES = 3 };

/* What fails until LOSSES connections are lost. The fault hook has no argument, hence globals; all atomic. */
static int failing; /* an enum cori_sys_call, or -1 */
static int served, lost, lost_code, lost_family, lost_port;
static cor_listener *listener;
static cor_group loop, handlers;
static int clients[CLIENTS], ports[CLIENTS];

/* An allocation fails only if it is what comes after an accept: it is the slot's then, and no poller's. */
static int hook(enum cori_sys_call call)
{
    static _Thread_local enum cori_sys_call last;
    bool after = call == CORI_SYS_MMAP || last == CORI_SYS_ACCEPT;
    last = call;
    return (int)call == get(&failing) && after && get(&lost) < LOSSES ? -ENOMEM : 0;
}

static void note_loss(int code, cor_addr peer, void *arg)
{
    T_ASSERT(arg == &lost);
    __atomic_store_n(&lost_code, code, __ATOMIC_RELEASE);
    __atomic_store_n(&lost_family, peer.ip.family, __ATOMIC_RELEASE);
    __atomic_store_n(&lost_port, peer.port, __ATOMIC_RELEASE);
    (void)add(&lost, 1);
}

static void stay(cor_conn *conn, void *arg)
{
    char byte;
    (void)arg;
    (void)add(&served, 1);
    T_EQ(cor_read(conn, &byte, 1), 0);
    T_CODE(cor_close(conn), 0);
}

static void serve_task(void *arg)
{
    (void)arg;
    T_CODE(cor_serve(listener, &handlers, stay, NULL), 0);
}

/* A client that takes nothing of the library's: it is not to fail. */
static int connect_to(cor_addr server, int *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server.port)}, mine = {0};
    socklen_t len = sizeof(mine);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_REQUIRE(fd >= 0, "socket: errno %d", errno);
    T_EQ(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    T_EQ(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
    *port = ntohs(mine.sin_port);
    return fd;
}

/* Each client is served or told to be lost; those that come when there is memory again are served. */
static void lose_some(enum cori_sys_call call)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    int count = 0, beyond = 0;
    served = lost = 0;
    listener = listen_kind(KIND_TCP, &network, address);
    T_CODE(cor_listener_on_loss(listener, note_loss, &lost), 0);
    cor_addr server = cor_listener_endpoint(listener);
    go_on(0, &loop, serve_task, NULL);
    clients[count] = connect_to(server, &ports[count]);
    count++;
    T_EVENTUALLY(get(&served) == 1, SOON);
    __atomic_store_n(&failing, (int)call, __ATOMIC_RELEASE);
    while (count < CLIENTS && beyond < 2) {
        int before = get(&lost);
        clients[count] = connect_to(server, &ports[count]);
        count++;
        T_EVENTUALLY(get(&served) + get(&lost) == count, SOON);
        if (get(&lost) > before) {
            T_CODE(get(&lost_code), -ENOMEM);
            T_EQ(get(&lost_family), AF_INET);
            T_EQ(get(&lost_port), ports[count - 1]);
        }
        beyond += before == LOSSES;
    }
    __atomic_store_n(&failing, -1, __ATOMIC_RELEASE);
    T_EQ(get(&lost), LOSSES);
    for (int i = 0; i < count; i++) {
        close(clients[i]);
    }
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&loop);
    wait_for(&handlers);
    T_EQ(get(&served) + get(&lost), count);
}

TASK_TEST(no_slot)
{
    lose_some(CORI_SYS_ALLOC);
}

TASK_TEST(no_stack)
{
    lose_some(CORI_SYS_MMAP);
}

static int with_hook(void **state)
{
    (void)state;
    failing = -1;
    cori_sys_fault = hook;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_slot),
        cmocka_unit_test(no_stack),
    };
    return cmocka_run_group_tests(tests, with_hook, NULL);
}
