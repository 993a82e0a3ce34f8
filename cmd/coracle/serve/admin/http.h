/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server for status: libmicrohttpd on one thread of its own, which is no worker and runs no task. It knows
 * routes and requests, and nothing of services.
 *
 * Strangers. A request has a head of at most 16 KiB, no body, one Host, and one connection: every answer closes it, and
 * what a client has put after its request is never read as another one. Names are checked as guard.h says. A connection
 * that moves nothing for 10 s is closed. There are at most CLIENTS_MOST, and the oldest gives way to new ones
 * (clients.h): whoever holds connections keeps nobody else out. Answers under way have at most HTTP_BYTES_UNDER_WAY
 * together; beyond that it is 503.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_HTTP_H
#define CORACLE_CMD_SERVE_ADMIN_HTTP_H

#include "serve/admin/clients.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { HTTP_BYTES_UNDER_WAY = 32 << 20 };

/* A request whose head has been found good. */
typedef struct http_request {
    const char *accept; /* header; NULL: none */
    struct MHD_Connection *connection;
} http_request;

/* What is answered. The handler writes into `body`, or sets one of the two others. */
typedef struct http_reply {
    unsigned status;   /* 200 unless changed */
    const char *type;  /* Content-Type; text/plain unless changed */
    FILE *body;        /* in memory */
    int fd;            /* a file to send in its place, closed afterwards; -1: none */
    const void *bytes; /* static bytes in its place; NULL: none */
    size_t size;       /* of `bytes` */
    int retry_after;   /* seconds; 0: not said */
} http_reply;

typedef struct http_route {
    const char *method; /* "GET" (HEAD is answered too) or "POST" */
    const char *path;
    void (*answer)(void *arg, const http_request *request, http_reply *reply);
} http_route;

typedef struct http_server http_server;

typedef struct http_setup {
    const http_route *routes; /* up to one without a path */
    clients_pause *on_pause;
    void *arg;       /* of both */
    const char *own; /* the host of the command line, which a request may name beside addresses; NULL: none */
    bool any_host;   /* names are not looked at */
} http_setup;

/*
 * Serves on the listening socket `fd`, which never waits, and which it takes. Keeps what `setup` points to. Returns
 * NULL when memory, descriptors or threads ran out; then `fd` is the caller's.
 */
http_server *http_start(int fd, const http_setup *setup);

/* Ends connections and thread. Stops the calling thread until an answer being made is finished. NULL is accepted. */
void http_stop(http_server *server);

/* The value of a word in the request's query; NULL: not there. */
const char *http_argument(const http_request *request, const char *name);

#endif
