/* SPDX-License-Identifier: MIT */
/* Finding inherited sockets, and who each of them is for. */
#include "serve/life/inherit.h"

#include "exits.h"
#include "serve/life/manager.h"
#include "serve/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static int out_of_memory(void)
{
    fprintf(stderr, "coracle serve: %s\n", cor_strerror(-ENOMEM));
    return EXIT_TRY_AGAIN;
}

/* Splits "ack:echo" into names. NULL: no memory. */
static char **split_names(const char *text)
{
    size_t count = 2;
    for (const char *at = text; (at = strchr(at, ':')) != NULL; at++) {
        count++;
    }
    char **names = calloc(count, sizeof(*names));
    for (size_t i = 0; names != NULL && *text != '\0'; i++) {
        size_t size = strcspn(text, ":");
        names[i] = strndup(text, size);
        text += size + (text[size] == ':');
    }
    return names;
}

static size_t count_names(char **names)
{
    size_t count = 0;
    while (names[count] != NULL) {
        count++;
    }
    return count;
}

/* Fills in the sockets, which begin at descriptor `first`. */
static int list_sockets(struct inheritance *found, int first)
{
    found->count = found->names != NULL ? count_names(found->names) : 0;
    found->sockets = calloc(found->count + 1, sizeof(*found->sockets));
    if (found->names == NULL || found->sockets == NULL) {
        return out_of_memory();
    }
    for (size_t i = 0; i < found->count; i++) {
        int fd = first + (int)i;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
            fprintf(stderr, "coracle serve: socket '%s': descriptor %d is not open\n", found->names[i], fd);
            return EXIT_BAD_CONFIG;
        }
        size_t size = strlen(found->names[i]);
        bool owns_file = found->restarted && size > 0 && found->names[i][size - 1] == '+';
        if (owns_file) {
            found->names[i][size - 1] = '\0';
        }
        found->sockets[i] = (struct inherited){fd, owns_file, found->names[i]};
    }
    return EXIT_OK;
}

int inherit_find(struct inheritance *found)
{
    const char *missing = manager_missing();
    const char *text = getenv(RESTART_VARIABLE);
    if (text != NULL) {
        found->restarted = true;
        found->ready_fd = FIRST_FD;
        found->names = split_names(text);
        unsetenv(RESTART_VARIABLE);
        int code = list_sockets(found, FIRST_FD + 1);
        return code == EXIT_OK && fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) < 0 ? EXIT_BAD_CONFIG : code;
    }
    if (missing != NULL) {
        fprintf(stderr,
                "coracle serve: %s: built without libsystemd; install libsystemd-dev and build again, or let "
                "the service listen itself\n",
                missing);
        return EXIT_BAD_CONFIG;
    }
    int count = manager_sockets(&found->names);
    if (count < 0) {
        fprintf(stderr, "coracle serve: LISTEN_FDS: %s\n", cor_strerror(count));
        return EXIT_BAD_CONFIG;
    }
    return count == 0 ? EXIT_OK : list_sockets(found, FIRST_FD);
}

/* The socket's network, which may say less than the address did that it was made for. NULL: none that we serve. */
static const char *network_of(int fd)
{
    int family = 0, type = 0;
    socklen_t size = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || (type != SOCK_STREAM && type != SOCK_DGRAM)) {
        return NULL;
    }
    if (family == AF_INET || family == AF_INET6) {
        return type == SOCK_STREAM ? "tcp" : "udp";
    }
    return family == AF_UNIX && type == SOCK_STREAM ? "unix" : NULL;
}

/* Gives a socket to a service. Returns an exit code, after one line on stderr. */
static int give(struct inherited *socket, struct service *service)
{
    const char *network = network_of(socket->fd);
    if (network == NULL) {
        fprintf(stderr, "coracle serve: socket '%s': neither tcp, udp nor a unix stream\n", socket->name);
        return EXIT_BAD_CONFIG;
    }
    service->address = (address){.text = ""};
    snprintf(service->address.network, sizeof(service->address.network), "%s", network);
    if (address_is_packets(&service->address) && service->def->answer == NULL) {
        fprintf(stderr, "coracle serve: %s does not serve %s: %s\n", service->def->name, network,
                service->def->streams_only);
        return EXIT_BAD_CONFIG;
    }
    service->inherited = socket->fd;
    service->owns_file = socket->owns_file;
    socket->fd = 0;
    return EXIT_OK;
}

/* The first service without a socket; of that name unless it is NULL. */
static struct service *free_service(struct serve *serve, const char *name)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        struct service *service = &serve->services[i];
        if (service->inherited == 0 && (name == NULL || strcmp(service->def->name, name) == 0)) {
            return service;
        }
    }
    return NULL;
}

/* A pass over all sockets: those with the name of a service, or the others. Returns an exit code. */
static int assign(struct serve *serve, bool named)
{
    struct inheritance *found = &serve->inheritance;
    int code = EXIT_OK;
    for (size_t i = 0; i < found->count && code == EXIT_OK; i++) {
        struct inherited *socket = &found->sockets[i];
        if (socket->fd == 0) {
            continue;
        }
        bool admin = strcmp(socket->name, "admin") == 0;
        struct service *service = admin ? NULL : free_service(serve, named ? socket->name : NULL);
        if (admin && serve->options.admin != NULL && found->admin == 0) {
            found->admin = socket->fd;
            serve->admin_owns_file = socket->owns_file;
            socket->fd = 0;
        } else if (service != NULL) {
            code = give(socket, service);
        } else if (!named || found->restarted) {
            fprintf(stderr, "coracle serve: socket '%s': %s\n", socket->name,
                    admin ? "--admin is not given" : "there is no service for it");
            code = EXIT_BAD_CONFIG;
        }
    }
    return code;
}

int inherit_assign(struct serve *serve)
{
    int code = assign(serve, true);
    return code == EXIT_OK ? assign(serve, false) : code;
}

int inherit_listen(cor_listener **listener, cor_conn **packets, int fd, const address *at, cor_error *error)
{
    int code = packets != NULL ? cor_conn_of_fd(packets, fd) : cor_listener_of_fd(listener, fd);
    if (code < 0) {
        *error = (cor_error){.op = "listen", .code = code};
        snprintf(error->network, sizeof(error->network), "%s", at->network);
        snprintf(error->address, sizeof(error->address), "descriptor %d", fd);
        return code;
    }
    close(fd); /* the library works on a copy */
    return 0;
}

void inherit_clear(struct inheritance *found)
{
    for (size_t i = 0; i < found->count; i++) {
        if (found->sockets != NULL && found->sockets[i].fd > 0) {
            close(found->sockets[i].fd);
        }
    }
    for (size_t i = 0; i < found->count; i++) {
        free(found->names[i]);
    }
    free(found->names);
    free(found->sockets);
    *found = (struct inheritance){0};
}
