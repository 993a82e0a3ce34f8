/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server for status: libmicrohttpd on one thread of its own, which is no worker and runs no task. It knows
 * routes and requests, and nothing of services.
 *
 * Strangers. A request has a head of at most 16 KiB, no body, one Host, and one connection: every answer closes it, and
 * what a client has put after its request is never read as another one. Names are checked as guard.h says. A connection
 * that moves nothing for 10 s is closed. There are at most HTTP_CONNECTIONS; when most of them are taken, a new one
 * ends the oldest that has had its second, and the one that takes the last place ends the oldest at once: whoever holds
 * connections keeps nobody else out. Answers under way have at most HTTP_BYTES_UNDER_WAY together; beyond that it is
 * 503.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_HTTP_H
#define CORACLE_CMD_SERVE_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { HTTP_CONNECTIONS = 32, HTTP_BYTES_UNDER_WAY = 32 << 20 };

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

/*
 * Serves on the listening socket `fd`, which it takes, with routes up to one without a path; answers get `arg`. `own`
 * is the host of the command line that a request may name beside addresses; NULL with `any_host`: names are not looked
 * at. Keeps the routes and `own`. Returns NULL when memory or threads ran out; then `fd` is the caller's.
 */
http_server *http_start(int fd, const http_route *routes, void *arg, const char *own, bool any_host);

/* Ends connections and thread. Stops the calling thread until an answer being made is finished. NULL is accepted. */
void http_stop(http_server *server);

/* The value of a word in the request's query; NULL: not there. */
const char *http_argument(const http_request *request, const char *name);

#endif
