/* SPDX-License-Identifier: MIT */
/* libmicrohttpd's callbacks. They run on its thread, as do all answers: nothing here needs a lock. */
#include "serve/admin/http.h"

#if COR_HAVE_ADMIN

#include "serve/admin/clients.h"
#include "serve/admin/mhd.h"
#include "serve/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 16 * 1024, IDLE_SECONDS = 10 };

struct http_server {
    http_setup setup;
    size_t under_way; /* bytes of answers that have not been sent */
    clients clients;
};

/* An answer's memory or file. */
struct sent {
    http_server *server;
    char *bytes;
    size_t size;
};

/* What the head of a request has. */
struct head {
    const char *host, *origin, *site;
    int hosts;
    bool has_body;
};

static void free_sent(void *arg)
{
    struct sent *sent = arg;
    sent->server->under_way -= sent->size;
    free(sent->bytes);
    free(sent);
}

static enum MHD_Result look_at_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct head *head = arg;
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0) {
        head->host = value;
        head->hosts++;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_ORIGIN) == 0) {
        head->origin = value != NULL ? value : "";
    } else if (strcasecmp(name, "Sec-Fetch-Site") == 0) {
        head->site = value;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0 ||
               (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 && (value == NULL || strcmp(value, "0") != 0))) {
        head->has_body = true;
    }
    return MHD_YES;
}

/* A NUL in a path or a word of the query would hide what follows: it becomes a byte that is in none of ours. */
static size_t unescape(void *arg, struct MHD_Connection *connection, char *text)
{
    size_t size = mhd.http_unescape(text);
    (void)arg, (void)connection;
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == '\0' ? '\1' : text[i];
    }
    return size;
}

static void refuse(http_reply *reply, unsigned status, const char *why)
{
    reply->status = status;
    fprintf(reply->body, "%s\n", why);
}

/* Checks the head. Returns whether the request may be answered; if not, the reply says why. */
static bool check_head(const http_server *server, struct MHD_Connection *connection, const char *path,
                       http_reply *reply)
{
    struct head head = {0};
    mhd.get_connection_values(connection, MHD_HEADER_KIND, look_at_header, &head);
    if (head.hosts != 1 || head.host == NULL) {
        refuse(reply, MHD_HTTP_BAD_REQUEST, "a request has one Host");
    } else if (head.has_body) {
        refuse(reply, MHD_HTTP_CONTENT_TOO_LARGE, "a request has no body here");
    } else if (!server->setup.any_host && !guard_host(head.host, server->setup.own)) {
        refuse(reply, MHD_HTTP_MISDIRECTED_REQUEST,
               "Host must be localhost, an IP address, or the name given to --admin");
    } else if (!guard_origin(head.origin, head.host) || !guard_site(head.site, strcmp(path, "/") == 0)) {
        refuse(reply, MHD_HTTP_FORBIDDEN, "pages of other servers may not ask");
    } else {
        return true;
    }
    return false;
}

/* Finds who answers; if nobody does, the reply says why. */
static const http_route *find_route(const http_server *server, const char *method, const char *path, const char **allow,
                                    http_reply *reply)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (const http_route *route = server->setup.routes; route->path != NULL; route++) {
        if (strcmp(route->path, path) == 0) {
            if (strcmp(route->method, wanted) == 0) {
                return route;
            }
            *allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
        }
    }
    refuse(reply, *allow != NULL ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND,
           *allow != NULL ? "not by this method" : "not found");
    return NULL;
}

/* Makes libmicrohttpd's response of the memory, which it takes. */
static struct MHD_Response *respond_memory(http_server *server, char *bytes, size_t size)
{
    struct sent *sent = malloc(sizeof(*sent));
    if (sent == NULL) {
        free(bytes);
        return NULL;
    }
    *sent = (struct sent){.server = server, .bytes = bytes, .size = size};
    struct MHD_Response *response =
        mhd.create_response_from_buffer_with_free_callback_cls(size, bytes, free_sent, sent);
    server->under_way += size;
    if (response == NULL) {
        free_sent(sent);
    }
    return response;
}

static struct MHD_Response *respond_file(int fd)
{
    struct stat status;
    struct MHD_Response *response =
        fstat(fd, &status) == 0 ? mhd.create_response_from_fd64((uint64_t)status.st_size, fd) : NULL;
    if (response == NULL) {
        close(fd);
    }
    return response;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, const http_reply *reply, const char *allow,
                                  struct MHD_Response *response)
{
    static const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONNECTION, "close"},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                                    "img-src data:; "
                                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                                    "require-trusted-types-for 'script'; trusted-types 'none'"},
    };
    char seconds[16];
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        mhd.add_response_header(response, headers[i][0], headers[i][1]);
    }
    mhd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    if (allow != NULL) {
        mhd.add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    if (reply->retry_after > 0) {
        snprintf(seconds, sizeof(seconds), "%d", reply->retry_after);
        mhd.add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    enum MHD_Result result = mhd.queue_response(connection, reply->status, response);
    mhd.destroy_response(response);
    return result;
}

/* Fills in the reply. Returns the methods allowed if the one asked for is not, else NULL. */
static const char *fill_reply(http_server *server, struct MHD_Connection *connection, const char *path,
                              const char *method, http_reply *reply)
{
    const char *allow = NULL;
    if (server->under_way > HTTP_BYTES_UNDER_WAY) {
        reply->retry_after = 1;
        refuse(reply, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers are in progress");
    } else if (check_head(server, connection, path, reply)) {
        const http_route *route = find_route(server, method, path, &allow, reply);
        if (route != NULL) {
            const http_request request = {
                .accept = mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT),
                .connection = connection,
            };
            route->answer(server->setup.arg, &request, reply);
        }
    }
    return allow;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **context)
{
    http_server *server = arg;
    char *bytes = NULL;
    size_t size = 0;
    (void)version, (void)upload, (void)upload_size, (void)context;
    http_reply reply = {.status = MHD_HTTP_OK, .type = "text/plain; charset=utf-8", .fd = -1};
    reply.body = open_memstream(&bytes, &size);
    if (reply.body == NULL) {
        return MHD_NO;
    }
    const char *allow = fill_reply(server, connection, path, method, &reply);
    bool failed = ferror(reply.body) != 0;
    failed |= fclose(reply.body) != 0;
    struct MHD_Response *response = NULL;
    if (reply.fd >= 0 || reply.bytes != NULL || failed) {
        free(bytes);
        response = reply.fd >= 0 ? respond_file(reply.fd)
                   : failed      ? NULL
                                 : mhd.create_response_from_buffer(reply.size, (void *)(uintptr_t)reply.bytes,
                                                                   MHD_RESPMEM_PERSISTENT);
    } else {
        response = respond_memory(server, bytes, size);
    }
    return response == NULL ? MHD_NO : send_reply(connection, &reply, allow, response);
}

const char *http_argument(const http_request *request, const char *name)
{
    return mhd.lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

http_server *http_start(int fd, const http_setup *setup)
{
    http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return NULL;
    }
    server->setup = *setup;
    clients *of = &server->clients;
    of->listener = fd;
    of->on_pause = setup->on_pause;
    of->arg = setup->arg;
    of->daemon = mhd.start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, server,
                                  MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MOST, MHD_OPTION_CONNECTION_TIMEOUT,
                                  (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
                                  MHD_OPTION_NOTIFY_CONNECTION, clients_notice, of, MHD_OPTION_UNESCAPE_CALLBACK,
                                  unescape, NULL, MHD_OPTION_END);
    if (of->daemon == NULL || clients_start(of) < 0) {
        if (of->daemon != NULL) {
            mhd.stop_daemon(of->daemon);
        }
        free(server);
        return NULL;
    }
    return server;
}

void http_stop(http_server *server)
{
    if (server != NULL) {
        clients_stop(&server->clients);
        free(server);
    }
}

#endif
