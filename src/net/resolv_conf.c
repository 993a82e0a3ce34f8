/* SPDX-License-Identifier: MIT */
/*
 * Reading resolv.conf: at most three servers; "domain" and "search", of which the last wins; the options ndots (0 to
 * 15), timeout (1 s and more), attempts (1 and more), rotate, use-vc, single-request (also -reopen), trust-ad and
 * no-reload. What is not understood is passed over. A server may have a port, "127.0.0.1:5353" or "[::1]:5353". The
 * file is small, and read before a worker's first of several lookups only; with no-reload once in a process.
 */
#include "net/resolv_conf.h"

#include "base/atomic.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 1000, NDOTS_MAX = 15, TIMEOUT_MAX_S = 60, ATTEMPTS_MAX = 10 };
#define BLANKS " \t\r\n"
#define HERE "127.0.0.1,[::1]"

static int within(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

static void add_server(cori_resolv_conf *conf, int *count, const char *server)
{
    size_t used = strlen(conf->servers);
    bool bare_v6 = server[0] != '[' && strchr(server, ':') != strrchr(server, ':');
    if (*count < CORI_RESOLV_SERVERS && used + strlen(server) + 4 < sizeof(conf->servers)) {
        (void)snprintf(conf->servers + used, sizeof(conf->servers) - used, "%s%s%s%s", used > 0 ? "," : "",
                       bare_v6 ? "[" : "", server, bare_v6 ? "]" : "");
        ++*count;
    }
}

static void set_search(cori_resolv_conf *conf, char **rest, int most)
{
    size_t used = 0;
    conf->domain_count = 0;
    for (char *word = strtok_r(NULL, BLANKS, rest); word != NULL; word = strtok_r(NULL, BLANKS, rest)) {
        size_t size = strlen(word) + 1;
        if (conf->domain_count == most || used + size > sizeof(conf->search)) {
            return;
        }
        memcpy(conf->search + used, word, size);
        conf->domains[conf->domain_count++] = conf->search + used;
        used += size;
    }
}

static void set_option(cori_resolv_conf *conf, const char *word)
{
    const char *colon = strchr(word, ':');
    int value = colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
    if (strncmp(word, "ndots:", 6) == 0) {
        conf->ndots = within(value, 0, NDOTS_MAX);
    } else if (strncmp(word, "timeout:", 8) == 0) {
        conf->timeout_s = within(value, 1, TIMEOUT_MAX_S);
    } else if (strncmp(word, "attempts:", 9) == 0) {
        conf->attempts = within(value, 1, ATTEMPTS_MAX);
    } else if (strcmp(word, "rotate") == 0) {
        conf->rotate = true;
    } else if (strcmp(word, "use-vc") == 0 || strcmp(word, "usevc") == 0 || strcmp(word, "tcp") == 0) {
        conf->use_tcp = true;
    } else if (strcmp(word, "single-request") == 0 || strcmp(word, "single-request-reopen") == 0) {
        conf->single_request = true;
    } else if (strcmp(word, "trust-ad") == 0) {
        conf->trust_ad = true;
    } else if (strcmp(word, "no-reload") == 0) {
        conf->no_reload = true;
    }
}

static void read_line(cori_resolv_conf *conf, int *servers, char *line)
{
    char *rest = NULL;
    char *key = line[0] == '#' || line[0] == ';' ? NULL : strtok_r(line, BLANKS, &rest);
    if (key == NULL) {
        return;
    }
    if (strcmp(key, "nameserver") == 0) {
        char *server = strtok_r(NULL, BLANKS, &rest);
        if (server != NULL) {
            add_server(conf, servers, server);
        }
    } else if (strcmp(key, "domain") == 0 || strcmp(key, "search") == 0) {
        set_search(conf, &rest, key[0] == 'd' ? 1 : CORI_RESOLV_DOMAINS);
    } else if (strcmp(key, "options") == 0) {
        for (char *word = strtok_r(NULL, BLANKS, &rest); word != NULL; word = strtok_r(NULL, BLANKS, &rest)) {
            set_option(conf, word);
        }
    }
}

void cori_resolv_read(const char *path, cori_resolv_conf *out)
{
    *out = (cori_resolv_conf){.ndots = 1, .timeout_s = 5, .attempts = 2};
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    int servers = 0;
    for (int i = 0; file != NULL && i < LINES_MAX && getline(&line, &room, file) >= 0; i++) {
        read_line(out, &servers, line);
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
    if (servers == 0) {
        (void)snprintf(out->servers, sizeof(out->servers), "%s", HERE);
    }
}

/* What a file with no-reload said. It is made once and never freed. */
typedef struct kept_conf {
    cori_resolv_conf conf;
    char path[];
} kept_conf;

static kept_conf *kept; /* atomic; NULL: no file has said no-reload */

static void copy(const cori_resolv_conf *from, cori_resolv_conf *to)
{
    *to = *from;
    for (int i = 0; i < to->domain_count; i++) {
        to->domains[i] = to->search + (from->domains[i] - from->search);
    }
}

void cori_resolv_take(const char *path, cori_resolv_conf *out)
{
    const kept_conf *before = cori_load_acquire(&kept);
    if (before != NULL && strcmp(before->path, path) == 0) {
        copy(&before->conf, out);
        return;
    }
    cori_resolv_read(path, out);
    size_t size = strlen(path) + 1;
    kept_conf *made = out->no_reload && before == NULL ? cori_malloc(sizeof(*made) + size) : NULL;
    if (made == NULL) {
        return;
    }
    copy(out, &made->conf);
    memcpy(made->path, path, size);
    kept_conf *none = NULL;
    if (!cori_cas_acq_rel(&kept, &none, made)) {
        free(made); /* another worker was first */
    }
}
