/* SPDX-License-Identifier: MIT */
/* The environment of a program: one block of memory with the pointers before the texts. */
#include "serve/exec/environment.h"

#include "serve/exec/child.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Most variables that are added, and most bytes of one. */
enum { OWN_MAX = 8, TEXT_MAX = 160 };

/* Names and beginnings of names that a program does not get from the server's environment. */
static const char *const dropped[] = {
    "PROTO=",         "TCPLOCAL",    "TCPREMOTE",   "TCPCONN",         "UNIXLOCAL", "UNIXREMOTE",      CHILD_MARK,
    "NOTIFY_SOCKET=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_", "JOURNAL_STREAM=",
};

struct block {
    char **variables;
    size_t count;
    char (*texts)[TEXT_MAX];
    size_t used;
};

static bool is_dropped(const char *variable)
{
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
        if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void add(struct block *block, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct block *block, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = block->texts[block->used++];
    vsnprintf(text, TEXT_MAX, format, arguments);
    va_end(arguments);
    block->variables[block->count++] = text;
}

static void add_unix(struct block *block, cor_conn *conn, const char *bound)
{
    cor_credentials peer;
    add(block, "PROTO=UNIX");
    add(block, "UNIXLOCALPATH=%s", bound);
    if (cor_peer_credentials(conn, &peer) == 0) {
        add(block, "UNIXREMOTEPID=%d", (int)peer.pid);
        add(block, "UNIXREMOTEEUID=%u", (unsigned)peer.uid);
        add(block, "UNIXREMOTEEGID=%u", (unsigned)peer.gid);
    }
}

static void add_tcp(struct block *block, cor_addr local, cor_addr remote)
{
    char text[64];
    add(block, "PROTO=TCP");
    add(block, "TCPLOCALIP=%s", cor_ip_text(local.ip, text, sizeof(text)));
    add(block, "TCPLOCALPORT=%u", local.port);
    add(block, "TCPREMOTEIP=%s", cor_ip_text(remote.ip, text, sizeof(text)));
    add(block, "TCPREMOTEPORT=%u", remote.port);
}

char **environment_for(const struct connection *one, const char *bound)
{
    size_t inherited = 0;
    while (environ[inherited] != NULL) {
        inherited++;
    }
    size_t pointers = (inherited + OWN_MAX + 1) * sizeof(char *);
    char **variables = malloc(pointers + (size_t)OWN_MAX * TEXT_MAX);
    if (variables == NULL) {
        return NULL;
    }
    struct block block = {.variables = variables, .texts = (char(*)[TEXT_MAX])((char *)variables + pointers)};
    add(&block, CHILD_MARK "%d.%llu", (int)getpid(), (unsigned long long)one->id);
    cor_addr remote = connection_endpoint(one);
    if (remote.ip.family == 0) {
        add_unix(&block, one->conn, bound);
    } else {
        add_tcp(&block, cor_local_endpoint(one->conn), remote);
    }
    for (size_t i = 0; i < inherited; i++) {
        if (!is_dropped(environ[i])) {
            block.variables[block.count++] = environ[i];
        }
    }
    block.variables[block.count] = NULL;
    return variables;
}
