/* SPDX-License-Identifier: MIT */
/* One function for each kind of mistake. */
#include "serve/check.h"

#include "exits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A site as browsers name it: a scheme, a host, perhaps a port, and no path. Or all sites, or nothing. */
static bool is_site(const char *text, size_t size)
{
    static const char *const schemes[] = {"http://", "https://"};
    if (size == 0 || (size == 1 && *text == '*')) {
        return true;
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t scheme = strlen(schemes[i]);
        if (size > scheme && strncasecmp(text, schemes[i], scheme) == 0) {
            return memchr(text + scheme, '/', size - scheme) == NULL;
        }
    }
    return false;
}

static int check_sites(const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t size = strcspn(list, ",");
        if (!is_site(list, size)) {
            fprintf(stderr, "coracle serve: --origin: '%.*s' is not a site such as https://chat.example, nor *\n",
                    (int)size, list);
            return EXIT_USAGE;
        }
        list += size + (list[size] == ',');
    }
    return EXIT_OK;
}

static int check_needs(const char *option, bool given, const char *needed, bool there)
{
    if (given && !there) {
        fprintf(stderr, "coracle serve: --%s has no meaning without %s\n", option, needed);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int check_file(const char *option, const char *path)
{
    if (path != NULL && access(path, R_OK) != 0) {
        fprintf(stderr, "coracle serve: --%s: %s: %s\n", option, path, cor_strerror(-errno));
        return EXIT_BAD_CONFIG;
    }
    return EXIT_OK;
}

static int check_bus(const bus_options *bus)
{
    const struct {
        const char *option, *path;
    } files[] = {{"bus-creds", bus->creds}, {"bus-ca", bus->ca}, {"bus-cert", bus->cert}, {"bus-key", bus->key}};
    int code = EXIT_OK;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && code == EXIT_OK; i++) {
        code = check_needs(files[i].option, files[i].path != NULL, "--bus", bus->servers != NULL);
        code = code == EXIT_OK ? check_file(files[i].option, files[i].path) : code;
    }
    return code == EXIT_OK ? check_needs("bus-key", bus->key != NULL, "--bus-cert", bus->cert != NULL) : code;
}

int check_options(const serve_options *options)
{
    int code = check_sites(options->origin);
    return code == EXIT_OK ? check_bus(&options->bus) : code;
}

int check_services(const struct serve *serve)
{
    bool rooms = false;
    for (size_t i = 0; i < serve->service_count; i++) {
        rooms = rooms || serve->services[i].def->has_rooms;
    }
    return check_needs("bus", serve->options.bus.servers != NULL, "the service broadcast", rooms);
}
