/* SPDX-License-Identifier: MIT */
/*
 * The status server: what a browser or anybody else sends it, through libmicrohttpd and our use of it. A request that
 * is answered has one Host that is this server's, no body, and comes from no other server's page, all of which is
 * checked here once more by other means; it is answered once, whatever follows it. Every answer of ours has the headers
 * that keep a browser from running any of it, and nothing of the request is in it. Then guard.h's three questions
 * alone, for any words.
 *
 * Input: a byte, of which the values from 192 on say how many silent connections there are beside, cuts, then what the
 * client sends before it half-closes; each line and each value is also a word for guard.h.
 */
/* test: needs-admin */
/* sources: cmd/coracle/serve/admin/http.c cmd/coracle/serve/guard.c cmd/coracle/serve/admin/mhd.c */
/* sources: cmd/coracle/serve/admin/clients.c cmd/coracle/serve/loader.c */
#include "hosts.h"
#include "input.h"
#include "serve/admin/http.h"
#include "serve/admin/mhd.h"
#include "serve/guard.h"

#include <stdatomic.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OWN "status.example"
enum { ANSWER_BYTES = 1 << 16, FIRST_SILENT = 192, SILENT_MAX = 40 };

static struct sockaddr_un where = {.sun_family = AF_UNIX};
static socklen_t where_bytes;
static atomic_int answered;

/* What a request had in its head. */
struct seen {
    const char *host, *origin, *site;
    int hosts;
};

static enum MHD_Result see(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct seen *seen = arg;
    (void)kind;
    seen->hosts += strcasecmp(name, "host") == 0;
    seen->host = strcasecmp(name, "host") == 0 ? value : seen->host;
    seen->origin = strcasecmp(name, "origin") == 0 ? value : seen->origin;
    seen->site = strcasecmp(name, "sec-fetch-site") == 0 ? value : seen->site;
    CHECK(strcasecmp(name, "transfer-encoding") != 0);
    CHECK(strcasecmp(name, "content-length") != 0 || strcmp(value, "0") == 0);
    return MHD_YES;
}

static void check_request(const http_request *request, bool is_page)
{
    struct seen seen = {0};
    mhd.get_connection_values(request->connection, MHD_HEADER_KIND, see, &seen);
    CHECK(seen.hosts == 1 && seen.host != NULL && is_host_of(seen.host, OWN));
    CHECK(seen.origin == NULL ||
          (strncasecmp(seen.origin, "http://", 7) == 0 && strcasecmp(seen.origin + 7, seen.host) == 0));
    CHECK(is_page || seen.site == NULL || strcmp(seen.site, "none") == 0 || strcmp(seen.site, "same-origin") == 0);
    atomic_fetch_add(&answered, 1);
}

static void answer_page(void *arg, const http_request *request, http_reply *reply)
{
    static const char page[] = "<!doctype html>";
    (void)arg;
    check_request(request, true);
    reply->type = "text/html; charset=utf-8";
    reply->bytes = page;
    reply->size = sizeof(page) - 1;
}

static void answer_status(void *arg, const http_request *request, http_reply *reply)
{
    const char *limit = http_argument(request, "limit");
    (void)arg;
    check_request(request, false);
    if (limit != NULL && *limit == '\0') { /* stands for workers that do not answer */
        reply->status = 503;
        reply->retry_after = 1;
    }
    fprintf(reply->body, "status%zu\n", limit != NULL ? strlen(limit) : 0);
}

static void answer_kick(void *arg, const http_request *request, http_reply *reply)
{
    (void)arg;
    check_request(request, false);
    reply->status = 404;
    fprintf(reply->body, "no such connection\n");
}

static void answer_tasks(void *arg, const http_request *request, http_reply *reply)
{
    (void)arg;
    check_request(request, false);
    reply->fd = memfd_create("tasks", MFD_CLOEXEC);
    CHECK(dprintf(reply->fd, "task 1\n") > 0);
}

static const http_route routes[] = {
    {"GET", "/", answer_page},
    {"GET", "/status", answer_status},
    {"GET", "/tasks", answer_tasks},
    {"POST", "/kick", answer_kick},
    {NULL, NULL, NULL},
};

static void ignore_pause(void *arg, int code, int64_t pause_ns)
{
    (void)arg, (void)code, (void)pause_ns;
}

static http_server *server;

static void stop(void)
{
    http_stop(server);
}

static void start(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    where_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                              (size_t)snprintf(where.sun_path + 1, 64, "coracle-fuzz-http-%d", (int)getpid()));
    CHECK(bind(fd, (struct sockaddr *)&where, where_bytes) == 0 && listen(fd, 64) == 0);
    CHECK(mhd_load() == NULL);
    server = http_start(fd, &(http_setup){.routes = routes, .on_pause = ignore_pause, .own = OWN});
    CHECK(server != NULL && atexit(stop) == 0);
}

/* Sends the bytes in pieces; a server that does not want more is no mistake. */
static void send_pieces(int fd, const uint8_t *bytes, size_t size, cuts at)
{
    for (size_t sent = 0; sent < size;) {
        size_t next = cuts_next(&at, size - sent);
        if (send(fd, bytes + sent, next, MSG_NOSIGNAL) != (ssize_t)next) {
            break;
        }
        sent += next;
    }
    (void)shutdown(fd, SHUT_WR);
}

static size_t count_words(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) {
        count++;
    }
    return count;
}

static void check_answer(const char *text)
{
    int count = atomic_exchange(&answered, 0);
    size_t ours = count_words(text, "Content-Security-Policy: default-src 'none'");
    /* A head that fills its memory leaves libmicrohttpd no room for the answer's: it ends the connection then. */
    CHECK(count <= 1 && ours <= 1 && (count <= 0 || ours == 1 || *text == '\0'));
    CHECK(count_words(text, "X-Content-Type-Options: nosniff") == ours);
    CHECK(count_words(text, "HTTP/1.1 200 ") <= (size_t)count);
    CHECK(count_words(text, "\r\nRetry-After: 1\r\n") <= count_words(text, "HTTP/1.1 503 "));
    CHECK(*text == '\0' || strncmp(text, "HTTP/1.", 7) == 0);
    CHECK(count_words(text, "secret") == 0);
}

static int connect_here(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&where, where_bytes) == 0);
    return fd;
}

static void ask(const uint8_t *bytes, size_t size, cuts at)
{
    static char answer[ANSWER_BYTES];
    size_t used = 0;
    ssize_t count;
    int fd = connect_here();
    send_pieces(fd, bytes, size, at);
    while (used < sizeof(answer) - 1 && (count = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0) {
        used += (size_t)count;
    }
    answer[used] = '\0';
    close(fd);
    check_answer(answer);
}

static void check_guard(const char *word, const char *other)
{
    CHECK(guard_host(word, OWN) == is_host_of(word, OWN));
    CHECK(!guard_host(word, NULL) || guard_host(word, OWN));
    bool same = strncasecmp(other, "http://", 7) == 0 && strcasecmp(other + 7, word) == 0;
    CHECK(guard_origin(other, word) == same && guard_origin(NULL, word));
    CHECK(guard_site(word, false) == (strcmp(word, "none") == 0 || strcmp(word, "same-origin") == 0));
    CHECK(guard_site(word, true) && guard_site(NULL, false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (where_bytes == 0) {
        start();
    }
    input in = {data, size};
    unsigned silent = input_byte(&in);
    cuts at = input_cuts(&in);
    int fds[SILENT_MAX], count = silent < FIRST_SILENT ? 0 : (int)(silent - FIRST_SILENT) % (SILENT_MAX + 1);
    for (int i = 0; i < count; i++) {
        fds[i] = connect_here();
    }
    ask(in.next, in.left, at);
    for (int i = 0; i < count; i++) {
        close(fds[i]);
    }
    char *text = input_text(&in), *other = exact_copy("", 0, 1), *rest = text;
    for (char *line = strsep(&rest, "\r\n"); line != NULL; line = strsep(&rest, "\r\n")) {
        check_guard(line, other);
        const char *value = strchr(line, ':') != NULL ? strchr(line, ':') + 1 : line;
        char *word = exact_copy(value + strspn(value, " "), strlen(value) - strspn(value, " "), 1);
        check_guard(word, other);
        free(other);
        other = word;
    }
    free(other);
    free(text);
    return 0;
}
