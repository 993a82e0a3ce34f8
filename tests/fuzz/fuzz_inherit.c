/* SPDX-License-Identifier: MIT */
/*
 * What a service manager, or the process before, says of the sockets that are handed over: names in the environment.
 * Each socket goes to at most one service, of its name if it has one; nothing is left over without an error, and what
 * nobody takes is closed once.
 *
 * Input: a byte with bit 0 for a process that is taken over from, bit 1 for --admin; one with the number of services,
 * then one for each with its kind; one with what sockets there are, and one for each with what it is; then the names.
 */
/* sources: cmd/coracle/address.c cmd/coracle/exits.c */
#include "exits.h"
#include "input.h"
#include "serve/life/inherit.h"
#include "serve/life/manager.h"
#include "serve/service.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVICES = 6, SOCKETS = 12, FIRST = 3 };
enum what { NOT_OPEN, A_FILE, TCP, TCP6, UDP, UNIX, UNIXGRAM, KINDS };

/* The descriptors of this process are in use: these stand for them. */
static struct {
    enum what sockets[SOCKETS];
    int closed[SOCKETS];
    const char *names;
    bool missing;
} given;

static enum what what_is(int fd)
{
    return fd >= FIRST && fd < FIRST + SOCKETS ? given.sockets[fd - FIRST] : NOT_OPEN;
}

static int fake_fcntl(int fd, int command, int flag)
{
    CHECK(command == F_SETFD && flag == FD_CLOEXEC);
    errno = EBADF;
    return what_is(fd) == NOT_OPEN ? -1 : 0;
}

static int fake_getsockopt(int fd, int level, int option, void *value, const socklen_t *size)
{
    static const int families[KINDS] = {0, 0, AF_INET, AF_INET6, AF_INET, AF_UNIX, AF_UNIX};
    enum what is = what_is(fd);
    CHECK(level == SOL_SOCKET && *size == sizeof(int) && is != NOT_OPEN);
    errno = ENOTSOCK;
    *(int *)value = option == SO_DOMAIN ? families[is] : is == UDP || is == UNIXGRAM ? SOCK_DGRAM : SOCK_STREAM;
    return is == A_FILE ? -1 : 0;
}

static int fake_close(int fd)
{
    CHECK(fd >= FIRST);
    if (fd < FIRST + SOCKETS) {
        given.closed[fd - FIRST]++;
    }
    return 0;
}

#define fcntl fake_fcntl
#define getsockopt fake_getsockopt
#define close fake_close
#include "../../cmd/coracle/serve/life/inherit.c"
#undef close
#undef getsockopt
#undef fcntl

const char *manager_missing(void)
{
    return given.missing ? "LISTEN_FDS" : NULL;
}

int manager_sockets(char ***names)
{
    if (given.names[0] == '!') {
        return -EINVAL;
    }
    *names = given.names[0] != '\0' ? split_names(given.names) : NULL;
    return *names != NULL ? (int)count_names(*names) : 0;
}

static bool answer(cor_packet *packet, const char *name)
{
    (void)packet, (void)name;
    return true;
}

static const service_def defs[] = {
    {.name = "echo", .answer = answer},
    {.name = "ack", .streams_only = "it is so"},
    {.name = "a"},
};

static bool has_name(const char *name)
{
    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++) {
        if (strcmp(defs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What there is after all sockets have found their places. */
static void check_assigned(const struct serve *serve, const struct inheritance *found)
{
    int used[SOCKETS] = {0};
    for (size_t i = 0; i < serve->service_count; i++) {
        const struct service *service = &serve->services[i];
        if (service->inherited == 0) {
            continue;
        }
        CHECK(service->inherited >= FIRST + found->restarted && service->inherited < FIRST + SOCKETS);
        enum what is = what_is(service->inherited);
        const char *network = is == UDP ? "udp" : is == UNIX ? "unix" : "tcp";
        CHECK(strcmp(service->address.network, network) == 0 && is != NOT_OPEN && is != A_FILE && is != UNIXGRAM);
        CHECK(is != UDP || service->def->answer != NULL);
        used[service->inherited - FIRST]++;
        const char *name = found->sockets[service->inherited - FIRST - found->restarted].name;
        CHECK(strcmp(name, service->def->name) == 0 || !found->restarted);
        CHECK(strcmp(name, service->def->name) == 0 || !has_name(name) || strcmp(name, "admin") != 0);
    }
    used[found->admin != 0 ? found->admin - FIRST : 0] += found->admin != 0;
    for (size_t i = 0; i < found->count; i++) {
        CHECK(found->sockets[i].fd == 0 && used[i + (size_t)found->restarted] == 1);
    }
}

static void take_over(struct serve *serve)
{
    struct inheritance *found = &serve->inheritance;
    int code = inherit_find(found);
    CHECK(code == EXIT_OK || code == EXIT_BAD_CONFIG);
    CHECK(getenv(RESTART_VARIABLE) == NULL);
    for (size_t i = 0; code == EXIT_OK && i < found->count; i++) {
        CHECK(found->sockets[i].fd == FIRST + found->restarted + (int)i && what_is(found->sockets[i].fd) != NOT_OPEN);
        CHECK(strchr(found->sockets[i].name, ':') == NULL);
    }
    size_t count = found->count;
    int first = FIRST + found->restarted;
    if (code == EXIT_OK) {
        code = inherit_assign(serve);
        CHECK(code == EXIT_OK || code == EXIT_BAD_CONFIG);
    }
    int kept[SOCKETS] = {0};
    if (code == EXIT_OK) {
        check_assigned(serve, found);
    }
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].inherited != 0) {
            kept[serve->services[i].inherited - FIRST]++;
        }
    }
    kept[found->admin != 0 ? found->admin - FIRST : 0] += found->admin != 0;
    inherit_clear(found);
    CHECK(found->count == 0 && found->names == NULL && found->sockets == NULL);
    for (int i = 0; i < SOCKETS; i++) {
        CHECK(given.closed[i] + kept[i] <= 1 && (given.closed[i] == 0 || i + FIRST < first + (int)count));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static struct service services[SERVICES];
    static struct serve serve;
    input in = {data, size};
    unsigned flags = input_byte(&in);
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "we");
        CHECK(nowhere != NULL);
    }
    memset(&given, 0, sizeof(given));
    memset(&serve, 0, sizeof(serve));
    memset(services, 0, sizeof(services));
    serve.services = services;
    serve.options.admin = (flags & 2) != 0 ? "7070" : NULL;
    serve.service_count = input_byte(&in) % (SERVICES + 1);
    for (size_t i = 0; i < serve.service_count; i++) {
        services[i].def = &defs[input_byte(&in) % (sizeof(defs) / sizeof(defs[0]))];
    }
    unsigned sockets = input_byte(&in) % (SOCKETS + 1);
    for (unsigned i = 0; i < sockets; i++) {
        given.sockets[i] = (enum what)(input_byte(&in) % KINDS);
    }
    char *names = input_text(&in);
    given.names = names;
    given.missing = (flags & 4) != 0;
    CHECK((flags & 1) != 0 ? setenv(RESTART_VARIABLE, names, 1) == 0 : unsetenv(RESTART_VARIABLE) == 0);
    FILE *kept = stderr;
    stderr = nowhere;
    take_over(&serve);
    stderr = kept;
    free(names);
    return 0;
}
