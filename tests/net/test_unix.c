/* SPDX-License-Identifier: MIT */
/* Unix stream sockets: names, the socket file's life, full backlogs. */
#include "net/netcase.h"

#include "base/sys.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static const cor_options one_worker = {.workers = 1};

/* A folder of its own, removed at the end. */
typedef struct folder {
    char path[64];
    char socket[80];
} folder;

static folder make_folder(void)
{
    folder of = {.path = "/tmp/cor-test-XXXXXX"};
    T_ASSERT(mkdtemp(of.path) != NULL);
    (void)snprintf(of.socket, sizeof(of.socket), "%s/socket", of.path);
    return of;
}

static void remove_folder(const folder *of)
{
    T_EQ(rmdir(of->path), 0);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void expect_dial_error(const char *path, int code, const char *after)
{
    cor_conn *conn = NULL;
    cor_error error;
    char text[COR_ERROR_TEXT], wanted[COR_ERROR_TEXT];
    T_CODE(cor_dial(&conn, "unix", path, &error), code);
    (void)snprintf(wanted, sizeof(wanted), "dial unix %s: connect: %s", path, after);
    T_STR(cor_error_text(&error, text, sizeof(text)), wanted);
    T_ASSERT(conn == NULL);
}

/* Exchanges a byte through `address` and checks the names that both ends see. */
static void expect_reached(cor_listener *listener, const char *address)
{
    char text[COR_ADDR_TEXT], byte = 0;
    cor_conn *client, *server;
    T_CODE(cor_dial(&client, "unix", address, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_STR(cor_remote_addr(client, text, sizeof(text)), address);
    T_STR(cor_local_addr(client, text, sizeof(text)), "@");
    T_STR(cor_local_addr(server, text, sizeof(text)), address);
    T_STR(cor_remote_addr(server, text, sizeof(text)), "@");
    write_all(client, "x", 1);
    read_all(server, &byte, 1);
    T_EQ(byte, 'x');
    close_pair(client, server);
}

/* N230, N231, N235 */
TASK_TEST(path)
{
    char text[COR_ADDR_TEXT];
    folder of = make_folder();
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), 0);
    T_STR(cor_listener_addr(listener, text, sizeof(text)), of.socket);
    T_ASSERT(exists(of.socket));
    expect_reached(listener, of.socket);
    T_CODE(cor_listener_close(listener), 0);
    T_ASSERT(!exists(of.socket));
    remove_folder(&of);
}

static const char *closed_with; /* the file of the listener that is being closed */
static int closes, files_left;  /* calls of close(2) meanwhile, and in how many of them the file was there */

static int look_for_file(enum cori_sys_call call)
{
    if (call == CORI_SYS_CLOSE && closed_with != NULL) {
        closes++;
        files_left += exists(closed_with);
    }
    return 0;
}

TASK_TEST_WITH(a_listener_comes_and_goes, &one_worker)
{
    folder of = make_folder();
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), 0);
    closed_with = of.socket;
    T_CODE(cor_listener_close(listener), 0);
    closed_with = NULL;
    T_ASSERT(closes > 0);
    T_EQ(files_left, 0);
    remove_folder(&of);
}

/* The file goes before the socket is closed: who finds it is not refused because of an end that is under way. */
static void the_file_goes_first(void **state)
{
    cori_sys_fault = look_for_file;
    a_listener_comes_and_goes(state);
    cori_sys_fault = NULL;
}

/* N230, N231 */
TASK_TEST(abstract_names_have_no_file)
{
    char name[64], text[COR_ADDR_TEXT];
    cor_listener *listener;
    (void)abstract_name(name, sizeof(name));
    T_CODE(cor_listen(&listener, "unix", name, NULL), 0);
    T_STR(cor_listener_addr(listener, text, sizeof(text)), name);
    T_ASSERT(!exists(name) && !exists(name + 1));
    expect_reached(listener, name);
    T_CODE(cor_listener_close(listener), 0);
    expect_dial_error(name, -ECONNREFUSED, "connection refused");
}

/* N230: the kernel chooses. */
TASK_TEST(empty_address_binds_a_name)
{
    char name[COR_ADDR_TEXT];
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unix", "", NULL), 0);
    (void)cor_listener_addr(listener, name, sizeof(name));
    T_REQUIRE(name[0] == '@' && strlen(name) == 6, "\"%s\"", name);
    expect_reached(listener, name);
    T_CODE(cor_listener_close(listener), 0);
}

/* N230, N232: 108 bytes hold a whole abstract name, and a path with its NUL. */
TASK_TEST(longest_names)
{
    char name[COR_ADDR_TEXT];
    cor_listener *listener;
    memset(name, 'n', sizeof(name));
    name[0] = '@';
    (void)snprintf(name + 1, 40, "cor-test-longest-%d-", (int)getpid());
    name[strlen(name)] = 'n';
    name[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
    T_CODE(cor_listen(&listener, "unix", name, NULL), 0);
    expect_reached(listener, name);
    T_CODE(cor_listener_close(listener), 0);
    strcat(name, "n");
    T_CODE(cor_listen(&listener, "unix", name, NULL), -EINVAL);
    expect_dial_error(name, -EINVAL, "invalid argument");
    name[0] = '/';
    name[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0'; /* as long as the array: no room for the NUL */
    T_CODE(cor_listen(&listener, "unix", name, NULL), -EINVAL);
}

/* N233, N235 */
TASK_TEST(path_in_use)
{
    folder of = make_folder();
    cor_listener *listener, *second = NULL;
    cor_error error;
    char text[COR_ERROR_TEXT], wanted[COR_ERROR_TEXT];
    (void)snprintf(wanted, sizeof(wanted), "listen unix %s: bind: address already in use", of.socket);
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), 0);
    T_CODE(cor_listen(&second, "unix", of.socket, &error), -EADDRINUSE);
    T_STR(cor_error_text(&error, text, sizeof(text)), wanted);
    T_ASSERT(second == NULL && exists(of.socket));
    expect_reached(listener, of.socket);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_listener_close(listener), COR_ECLOSED);
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), 0);
    T_CODE(cor_listener_close(listener), 0);
    remove_folder(&of);
}

/* N233, N234: a socket file that nobody listens on any more. */
TASK_TEST(stale_path)
{
    folder of = make_folder();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    cor_listener *listener;
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", of.socket);
    expect_dial_error(of.socket, -ENOENT, "no such file or directory");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    T_EQ(close(fd), 0);
    expect_dial_error(of.socket, -ECONNREFUSED, "connection refused");
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), 0);
    expect_reached(listener, of.socket);
    T_CODE(cor_listener_close(listener), 0);
    T_ASSERT(!exists(of.socket));
    remove_folder(&of);
}

/* N233: what is bound is not replaced, even if it does not listen, or is no stream; and no file but a socket is. */
static int bound_socket(const char *path, int type)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    T_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void expect_not_replaced(const char *path)
{
    cor_listener *listener;
    struct stat before, after;
    T_EQ(lstat(path, &before), 0);
    T_CODE(cor_listen(&listener, "unix", path, NULL), -EADDRINUSE);
    T_EQ(lstat(path, &after), 0);
    T_ASSERT(before.st_ino == after.st_ino && before.st_ctime == after.st_ctime);
    T_EQ(unlink(path), 0);
}

TASK_TEST(only_stale_sockets_are_replaced)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    folder of = make_folder();
    for (int i = 0; i < 3; i++) {
        int fd = bound_socket(of.socket, types[i]);
        expect_not_replaced(of.socket);
        T_EQ(close(fd), 0);
    }
    FILE *file = fopen(of.socket, "we");
    T_ASSERT(file != NULL && fclose(file) == 0);
    expect_not_replaced(of.socket);
    T_EQ(symlink("nothing", of.socket), 0);
    expect_not_replaced(of.socket);
    remove_folder(&of);
}

/* Several that find the same stale file: one of them listens in the end, and it can be reached. */
enum { STARTERS = 8 };
static cor_listener *started[STARTERS];
static int start_count; /* atomic */

static void start_one(void *path)
{
    cor_listener *listener;
    int rc = cor_listen(&listener, "unix", path, NULL);
    T_ASSERT(rc == 0 || rc == -EADDRINUSE);
    if (rc == 0) {
        started[add(&start_count, 1) - 1] = listener;
    }
}

TASK_TEST(one_takes_a_stale_path_over)
{
    folder of = make_folder();
    for (int round = 0; round < 8; round++) {
        cor_group starters = {0};
        T_EQ(close(bound_socket(of.socket, SOCK_STREAM)), 0);
        start_count = 0;
        for (int i = 0; i < STARTERS; i++) {
            go_on(i, &starters, start_one, of.socket);
        }
        wait_for(&starters);
        T_EQ(get(&start_count), 1);
        expect_reached(started[0], of.socket);
        T_CODE(cor_listener_close(started[0]), 0);
    }
    remove_folder(&of);
}

/* Closing removes a listener's own file, and never that of a successor. */
TASK_TEST(a_successor_keeps_its_file)
{
    folder of = make_folder();
    cor_listener *first, *second;
    T_CODE(cor_listen(&first, "unix", of.socket, NULL), 0);
    T_EQ(unlink(of.socket), 0);
    T_CODE(cor_listen(&second, "unix", of.socket, NULL), 0);
    T_CODE(cor_listener_close(first), 0);
    T_ASSERT(exists(of.socket));
    expect_reached(second, of.socket);
    T_CODE(cor_listener_close(second), 0);
    T_ASSERT(!exists(of.socket));
    remove_folder(&of);
}

/* The wait for an address that is in use ends with its task's group. */
static void listen_cancelled(void *path)
{
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unix", path, NULL), COR_ECANCELED);
}

TASK_TEST(waiting_for_an_address_is_cancelled)
{
    folder of = make_folder();
    cor_group waiting = {0};
    int fd = bound_socket(of.socket, SOCK_STREAM);
    go_in(&waiting, listen_cancelled, of.socket);
    cor_group_cancel(&waiting);
    wait_for(&waiting);
    T_EQ(close(fd), 0);
    T_EQ(unlink(of.socket), 0);
    remove_folder(&of);
}

/* N234: a full backlog is an error at once, and a timeout by class. */
TASK_TEST(full_backlog)
{
    char name[64];
    cor_conn *conns[64], *conn;
    size_t count = 0;
    int rc = 0;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)abstract_name(name, sizeof(name));
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
    T_EQ(listen(fd, 2), 0);
    while (count < 64 && (rc = cor_dial(&conn, "unix", name, NULL)) == 0) {
        conns[count++] = conn;
    }
    T_CODE(rc, -EAGAIN);
    T_ASSERT(cor_is_timeout(rc));
    expect_dial_error(name, -EAGAIN, "resource temporarily unavailable");
    while (count > 0) {
        T_CODE(cor_close(conns[--count]), 0);
    }
    T_EQ(close(fd), 0);
}

/* N245 */
TASK_TEST(listener_deadline)
{
    char name[64];
    cor_listener *listener;
    cor_conn *conn;
    T_CODE(cor_listen(&listener, "unix", abstract_name(name, sizeof(name)), NULL), 0);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_listener_close(listener), COR_ECLOSED);
}

/* A descriptor passed along with data ends a read early: the bytes behind it must not be forgotten. */
static void send_rights(int fd)
{
    char byte = 'r';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    T_EQ(sendmsg(fd, &message, 0), 1);
}

static void read_around_rights(void *arg)
{
    char buf[64];
    T_CODE(cor_set_read_deadline(arg, cor_after(SOON)), 0);
    for (size_t have = 0; have < 5;) {
        ssize_t count = cor_read(arg, buf + have, sizeof(buf) - have);
        T_REQUIRE(count > 0, "read gave %zd after %zu bytes", count, have);
        have += (size_t)count;
    }
    T_MEM(buf, "abrcd", 5);
}

/* One worker: the reader is parked, and all bytes are there when it goes on. */
TASK_TEST_WITH(bytes_behind_passed_rights, &one_worker)
{
    cor_conn *a, *b;
    cor_group reader = {0};
    make_pair(KIND_UNIX, &a, &b);
    go_in(&reader, read_around_rights, b);
    T_PARKED(b, CORI_READ);
    write_all(a, "ab", 2);
    send_rights(raw_fd(a));
    write_all(a, "cd", 2);
    wait_for(&reader);
    close_pair(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path),
        cmocka_unit_test(the_file_goes_first),
        cmocka_unit_test(abstract_names_have_no_file),
        cmocka_unit_test(empty_address_binds_a_name),
        cmocka_unit_test(longest_names),
        cmocka_unit_test(path_in_use),
        cmocka_unit_test(stale_path),
        cmocka_unit_test(only_stale_sockets_are_replaced),
        cmocka_unit_test(one_takes_a_stale_path_over),
        cmocka_unit_test(a_successor_keeps_its_file),
        cmocka_unit_test(waiting_for_an_address_is_cancelled),
        cmocka_unit_test(full_backlog),
        cmocka_unit_test(listener_deadline),
        cmocka_unit_test(bytes_behind_passed_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
