/* SPDX-License-Identifier: MIT */
/*
 * From the options to rules.
 *
 * A file that will be opened again by its name is not the same file then: editors and logrotate put another one in its
 * place. What is allowed is therefore its folder, with all below; and a folder that holds the system's own secrets is
 * refused. Of /proc the process sees itself, by a descriptor that stays open: the kernel makes that folder anew when
 * nobody has it open, and the rule was for the one before.
 */
#include "serve/sandbox/files.h"

#include "exits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What names of hosts and ports are looked up in; by files, so one that is replaced later is out of reach. */
static const char *const name_files[] = {"/etc/hosts",    "/etc/services",      "/etc/resolv.conf", "/etc/host.conf",
                                         "/etc/gai.conf", "/etc/nsswitch.conf", "/etc/protocols"};

/* Rules being made; `code` is that of the first that could not be. */
struct making {
    const struct landlock *set;
    int code;         /* -errno */
    const char *wide; /* a file whose folder is not one to open; NULL: none */
};

static void allow(struct making *making, const char *path, unsigned uses)
{
    if (making->code == 0) {
        making->code = landlock_allow(making->set, path, uses);
    }
}

/* The folder of `path`, and the one that it really is in if the last part is a link. */
static void allow_folder_of(struct making *making, const char *path, unsigned uses)
{
    char folder[PATH_MAX], real[PATH_MAX], target[PATH_MAX];
    const char *names[] = {path, realpath(path, target) != NULL ? target : path};
    for (size_t i = 0; i < 2; i++) {
        const char *end = strrchr(names[i], '/');
        int size = end == NULL ? 0 : end == names[i] ? 1 : (int)(end - names[i]);
        if (snprintf(folder, sizeof(folder), "%.*s", size == 0 ? 1 : size, size == 0 ? "." : names[i]) >= PATH_MAX ||
            realpath(folder, real) == NULL) {
            continue;
        }
        if (strcmp(real, "/") == 0 || strcmp(real, "/etc") == 0) {
            making->wide = path;
        }
        allow(making, real, uses);
    }
}

static void allow_list(const char *path, void *making)
{
    allow_folder_of(making, path, LANDLOCK_READ);
}

/* Whether the socket at an address has a file. */
static bool has_file(const address *at)
{
    return strncmp(at->network, "unix", 4) == 0 && at->text[0] != '@' && at->text[0] != '\0';
}

static bool is_number(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0';
}

/* Allows what listening at an address takes. */
static void allow_address(struct making *making, const address *at)
{
    char host[256], port[32];
    cor_ip ip;
    if (has_file(at)) {
        allow_folder_of(making, at->text, LANDLOCK_SOCKET);
    }
    if (strncmp(at->network, "unix", 4) == 0 || cor_split_host_port(at->text, host, sizeof(host), port, sizeof(port))) {
        return; /* what is no address is found out by whoever listens there */
    }
    int number = strncmp(at->network, "tcp", 3) == 0 ? cor_lookup_port(at->network, port, NULL) : -1;
    if (making->code == 0 && number >= 0) {
        making->code = landlock_allow_port(making->set, (uint16_t)number);
    }
    bool numeric = is_number(port) && (host[0] == '\0' || cor_ip_parse(&ip, host) == 0);
    for (size_t i = 0; !numeric && i < sizeof(name_files) / sizeof(name_files[0]); i++) {
        allow(making, name_files[i], LANDLOCK_READ);
    }
}

static void allow_addresses(struct making *making, const struct serve *serve)
{
    char text[300];
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].inherited == 0) {
            allow_address(making, &serve->services[i].address);
        }
    }
    if (serve->options.admin != NULL && serve->inheritance.admin == 0) {
        address at = address_of_admin(serve->options.admin, text, sizeof(text));
        allow_address(making, &at);
    }
}

int files_allow(struct serve *serve, const struct landlock *set)
{
    struct making making = {.set = set};
    const serve_options *options = &serve->options;
    serve->sandbox.self = open("/proc/self", O_PATH | O_CLOEXEC);
    if (serve->sandbox.self >= 0) {
        making.code = landlock_allow_fd(set, serve->sandbox.self, LANDLOCK_READ);
    }
    allow(&making, "/proc/sys/net/core/somaxconn", LANDLOCK_READ);
    access_each_file(options->allow, allow_list, &making);
    access_each_file(options->deny, allow_list, &making);
    access_each_file(options->proxy_from, allow_list, &making);
    if (options->log_file != NULL) {
        allow_folder_of(&making, options->log_file, LANDLOCK_WRITE);
    }
    allow_addresses(&making, serve);
    if (making.wide != NULL) {
        fprintf(stderr,
                "coracle serve: --sandbox: %s: all files beside it would be accessible; give it a folder of its own\n",
                making.wide);
        return EXIT_BAD_CONFIG;
    }
    if (making.code < 0) {
        fprintf(stderr, "coracle serve: --sandbox: landlock: %s\n", cor_strerror(making.code));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

bool files_need_abstract(const struct serve *serve)
{
    const char *manager = getenv("NOTIFY_SOCKET");
    bool needed = manager != NULL && manager[0] == '@';
    for (size_t i = 0; i < serve->service_count; i++) {
        needed = needed || strcmp(serve->services[i].address.network, "unixgram") == 0;
    }
    return needed;
}
