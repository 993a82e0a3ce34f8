/* SPDX-License-Identifier: MIT */
/* The status server's listener, its routes, and its beginning and end. */
#include "serve/admin/admin.h"

#include "serve/admin/recent.h"
#include "serve/admin/views.h"
#include "serve/life/inherit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if COR_HAVE_ADMIN

#include "serve/admin/mhd.h"

static const http_route routes[] = {
    {"GET", "/metrics", metrics_view}, {"GET", "/livez", livez_view},
    {"GET", "/readyz", readyz_view},   {"GET", "/tasks", tasks_view},
    {"GET", "/status", status_view},   {"POST", "/kick", kick_view},
    {"GET", "/", page_html_view},      {"GET", "/page.css", page_css_view},
    {"GET", "/page.js", page_js_view}, {0},
};

/* Whoever runs the server may look, others may not: the file gets its mode when the socket is bound. */
static int make_private(int fd, const char *network, const char *where, void *unused)
{
    (void)network, (void)where, (void)unused;
    return fchmod(fd, S_IRUSR | S_IWUSR) != 0 ? -errno : 0;
}

static bool is_unix(const struct admin *admin)
{
    return strcmp(admin->at.network, "unix") == 0;
}

static int64_t time_of_day(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * COR_SECOND + now.tv_nsec;
}

static int listen_at(struct admin *admin, cor_error *error)
{
    cor_listen_options options = COR_LISTEN_INIT;
    options.backlog = 2 * CLIENTS_MOST;
    options.control = is_unix(admin) ? make_private : NULL;
    if (!is_unix(admin) && strncmp(admin->at.network, "tcp", 3) != 0) {
        *error = (cor_error){.op = "listen", .code = COR_EUNEXPECTED_TYPE};
        snprintf(error->network, sizeof(error->network), "%s", admin->at.network);
        snprintf(error->address, sizeof(error->address), "%s", admin->at.text);
        return error->code;
    }
    int fd = admin->serve->inheritance.admin;
    int code = fd != 0 ? inherit_listen(&admin->listener, NULL, fd, &admin->at, error)
                       : cor_listen_with(&admin->listener, &options, admin->at.network, admin->at.text, error);
    if (code == 0) {
        admin->serve->admin_owns_file = fd != 0 ? admin->serve->admin_owns_file : is_unix(admin);
        cor_listener_addr(admin->listener, admin->bound, sizeof(admin->bound));
        if (address_is_public(admin->listener)) { /* everybody who reaches it may look and kick */
            LOG(LEVEL_WARN, "admin_public", {"local", admin->bound, 0});
        }
    }
    return code;
}

/* No session is left, or none has begun. */
static void forget_recent(struct serve *serve)
{
    free(serve->recent);
    serve->recent = NULL;
}

const char *admin_load(void)
{
    return mhd_load();
}

int admin_listen(struct serve *serve, cor_error *error)
{
    *error = (cor_error){0};
    if (serve->options.admin == NULL) {
        return 0;
    }
    struct admin *admin = malloc(sizeof(*admin));
    serve->recent = recent_new();
    if (admin == NULL || serve->recent == NULL) {
        free(admin);
        forget_recent(serve);
        *error = (cor_error){.op = "listen", .code = -ENOMEM};
        return -ENOMEM;
    }
    *admin = (struct admin){.serve = serve, .started = cor_now(), .born = time_of_day()};
    admin->before.at = admin->last.at = admin->started;
    admin->at = address_of_admin(serve->options.admin, admin->text, sizeof(admin->text));
    char port[16];
    admin->names_host = !is_unix(admin) &&
                        cor_split_host_port(admin->at.text, admin->host, sizeof(admin->host), port, sizeof(port)) == 0;
    int code = listen_at(admin, error);
    if (code < 0) {
        free(admin);
        forget_recent(serve);
    } else {
        serve->admin = admin;
    }
    return code;
}

void admin_announce(const struct serve *serve)
{
    if (serve->admin != NULL) {
        log_announce("listening admin %s %s", serve->admin->at.network, serve->admin->bound);
    }
}

void admin_hint(const struct serve *serve)
{
    char target[COR_ADDR_TEXT + 16];
    const struct admin *admin = serve->admin;
    if (admin != NULL) {
        address_to_dial(admin->at.network, admin->bound, target, sizeof(target));
        log_hint("look: %s status %s", program_invocation_name, target);
    }
}

/* The first of several is told: they are the same trouble. */
static void accept_paused(void *arg, int code, int64_t pause_ns)
{
    struct admin *admin = arg;
    atomic_fetch_add(&admin->serve->accept_pauses, 1);
    if (pause_ns == CLIENTS_PAUSE_NS) {
        LOG(LEVEL_WARN, "accept_paused", {"service", "admin", 0}, {"error", cor_strerror(code), 0},
            {"ms", NULL, pause_ns / COR_MILLISECOND});
    }
}

int admin_start(struct serve *serve)
{
    struct admin *admin = serve->admin;
    if (admin == NULL) {
        return 0;
    }
    int fd = cor_listener_fd(admin->listener);
    if (fd < 0) {
        return fd;
    }
    const http_setup setup = {.routes = routes,
                              .on_pause = accept_paused,
                              .arg = admin,
                              .own = admin->names_host ? admin->host : NULL,
                              .any_host = is_unix(admin)};
    admin->http = http_start(fd, &setup);
    if (admin->http == NULL) {
        close(fd);
        return -EAGAIN;
    }
    return 0;
}

static int stop_http(void *arg)
{
    http_stop(arg);
    return 0;
}

int admin_fd(const struct serve *serve)
{
    return cor_listener_fd(serve->admin->listener);
}

void admin_own_file(struct serve *serve, bool own)
{
    if (is_unix(serve->admin) && cor_listener_unlink_on_close(serve->admin->listener, own) < 0) {
        LOG(LEVEL_WARN, "file_stays", {"service", "admin", 0});
    }
}

void admin_end_answers(struct serve *serve)
{
    struct admin *admin = serve->admin;
    if (admin == NULL) {
        return;
    }
    cor_listener_close(admin->listener);
    /* Off the worker: an answer being made may wait for a task. */
    if (admin->http != NULL && cor_blocking(stop_http, admin->http) < 0) {
        http_stop(admin->http);
    }
    admin->http = NULL;
}

void admin_stop(struct serve *serve)
{
    struct admin *admin = serve->admin;
    if (admin == NULL) {
        return;
    }
    admin_end_answers(serve);
    serve->admin = NULL;
    ask_end(&admin->asker);
    if (ask_late_for(&admin->asker) == 0) {
        free(admin);
    }
    forget_recent(serve);
}

#else /* the command refuses the option */

const char *admin_load(void)
{
    return "built without libmicrohttpd; install libmicrohttpd-dev and build again";
}

int admin_listen(struct serve *serve, cor_error *error)
{
    (void)serve, (void)error;
    return 0;
}

void admin_announce(const struct serve *serve)
{
    (void)serve;
}

void admin_hint(const struct serve *serve)
{
    (void)serve;
}

int admin_start(struct serve *serve)
{
    (void)serve;
    return 0;
}

int admin_fd(const struct serve *serve)
{
    (void)serve;
    return -EBADF;
}

void admin_own_file(struct serve *serve, bool own)
{
    (void)serve, (void)own;
}

void admin_end_answers(struct serve *serve)
{
    (void)serve;
}

void admin_stop(struct serve *serve)
{
    (void)serve;
}

#endif
