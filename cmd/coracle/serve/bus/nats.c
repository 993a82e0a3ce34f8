/* SPDX-License-Identifier: MIT */
/*
 * A connection to NATS: its options from ours, its subjects, its ends, and who waits for them.
 *
 * A subscription that has been given up is not freed at once: this version of the library may be about to look at it,
 * on the thread that reads, for a message that has come before (nats.c, issue 637). An answer of the server that was
 * asked for afterwards tells that the thread has gone on. So RETIRED_MAX of them are collected before one is waited
 * for.
 *
 * The library tells of the end of a connection and of each subscription on threads of its own, and does not if memory
 * runs out. So that is waited for with a bound. After it whatever those threads may still use is left alone for good.
 */
#include "serve/bus/nats.h"

#if COR_HAVE_NATS

#include "serve/bus/nats_calls.h"
#include "serve/loader.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name of the interface that the header describes; another one may have other functions. */
#define LIBRARY "libnats.so.3.4"

/* A server that does not answer is given up after three pings, and one that takes nothing after this time. */
enum { CONNECT_MS = 2000, WRITE_MS = 2000, PING_MS = 1000, PINGS_OUT = 2 };
/* Of a subject, what waits on the library's side to be taken; the rest is dropped. */
enum { WAITING_BYTES = 16 * 1024 * 1024 };
enum { RETIRED_MAX = 64, FLUSH_MS = 2000 };
/* How long the library may take to tell of ends; it takes a moment unless memory ran out. */
enum { ENDED_S = 5 };
enum { SERVERS_MAX = 16, CREDS_MAX = 512 };

static struct nats_calls nats;

/* What the library's threads have of one connection after another. */
struct wire {
    struct bus *bus;
    size_t heard; /* guard: the bus's lock; topics that the library has not called for the last time */
    bool closed;  /* guard: the bus's lock; the connection has ended, and the thread that reads with it */
};

struct bus {
    const bus_options *options;
    bus_frame frame;
    natsConnection *connection; /* NULL: not connected */
    struct wire *wire;          /* NULL: there was none yet, or the last one was left alone */
    bool leaves;                /* one was left alone: this has to stay for it */
    size_t max_size;
    natsSubscription *retired[RETIRED_MAX];
    size_t retired_count;
    pthread_mutex_t lock;
    pthread_cond_t ended;
};

struct bus_topic {
    struct bus *bus;
    struct wire *wire;
    void *listener; /* guard: the bus's lock, held while it gets a frame; NULL: it wants no more */
    natsSubscription *subscription;
    bool complete; /* guard: the bus's lock; it has been called for the last time */
};

/* Keeps the first failure of several calls. */
static void then(natsStatus *all, natsStatus one)
{
    *all = *all == NATS_OK ? one : *all;
}

/* Says why it failed: in the server's words if it has any, else the library's. */
static void tell(char *why, natsStatus code, natsConnection *connection)
{
    natsStatus last = NATS_OK;
    const char *text = NULL;
    if (connection == NULL || nats.natsConnection_GetLastError(connection, &text) == NATS_OK || text == NULL) {
        text = nats.nats_GetLastError(&last);
    }
    text = text == NULL || *text == '\0' || (connection == NULL && last != code) ? nats.natsStatus_GetText(code) : text;
    snprintf(why, BUS_WHY, "%s", text);
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message, void *arg)
{
    struct bus_topic *topic = arg;
    (void)connection;
    (void)subscription;
    pthread_mutex_lock(&topic->bus->lock);
    if (topic->listener != NULL) {
        topic->bus->frame(topic->listener, nats.natsMsg_GetData(message), (size_t)nats.natsMsg_GetDataLength(message));
    }
    pthread_mutex_unlock(&topic->bus->lock);
    nats.natsMsg_Destroy(message);
}

static void on_closed(natsConnection *connection, void *arg)
{
    struct wire *wire = arg;
    struct bus *bus = wire->bus;
    (void)connection;
    pthread_mutex_lock(&bus->lock);
    wire->closed = true;
    pthread_cond_broadcast(&bus->ended);
    pthread_mutex_unlock(&bus->lock);
}

static void on_complete(void *arg)
{
    struct bus_topic *topic = arg;
    struct bus *bus = topic->bus;
    pthread_mutex_lock(&bus->lock);
    topic->complete = true;
    topic->wire->heard--;
    if (topic->listener == NULL) {
        free(topic);
    }
    pthread_cond_broadcast(&bus->ended);
    pthread_mutex_unlock(&bus->lock);
}

/* --- options */

/* A host and perhaps a port, after a scheme perhaps. */
static bool is_server(const char *url)
{
    const char *host = strstr(url, "://");
    bool known = host == NULL || strncmp(url, "nats://", 7) == 0 || strncmp(url, "tls://", 6) == 0;
    host = host == NULL ? url : host + 3;
    size_t size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    const char *port = host + (size < strlen(host) ? size : strlen(host));
    size_t digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
    bool good = *port == '\0' || (*port == ':' && digits > 0 && digits < 6 && port[1 + digits] == '\0' &&
                                  strtoul(port + 1, NULL, 10) < 65536);
    return known && good && port > host && strchr(host, '/') == NULL;
}

/* The servers' URLs: one that asks for TLS asks for all. */
static natsStatus set_servers(natsOptions *to, const char *given, bool *secure)
{
    const char *servers[SERVERS_MAX];
    int count = 0;
    char *list = strdup(given), *rest = NULL;
    natsStatus code = list != NULL ? NATS_OK : NATS_NO_MEMORY;
    for (char *one = list != NULL ? strtok_r(list, ",", &rest) : NULL; one != NULL && count < SERVERS_MAX;
         one = strtok_r(NULL, ",", &rest)) {
        *secure = *secure || strncmp(one, "tls://", 6) == 0;
        servers[count++] = one;
        then(&code, is_server(one) ? NATS_OK : NATS_ADDRESS_MISSING);
    }
    then(&code, count > 0 ? NATS_OK : NATS_ADDRESS_MISSING);
    then(&code, code != NATS_OK ? code : nats.natsOptions_SetServers(to, servers, count));
    free(list);
    return code;
}

/* The file has "USER:PASSWORD" or a token on its first line, or is what NATS calls a credentials file. */
static natsStatus set_creds(natsOptions *to, const char *path)
{
    char line[CREDS_MAX];
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(line, sizeof(line), file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (!read) {
        return NATS_INVALID_ARG;
    }
    if (strncmp(line, "-----BEGIN", 10) == 0) {
        return nats.natsOptions_SetUserCredentialsFromFiles(to, path, NULL);
    }
    size_t size = strcspn(line, "\r\n");
    line[size] = '\0';
    char *colon = strchr(line, ':');
    natsStatus code;
    if (size == 0 || size == sizeof(line) - 1) {
        code = NATS_INVALID_ARG; /* nothing, or only the beginning */
    } else if (colon != NULL) {
        *colon = '\0';
        code = nats.natsOptions_SetUserInfo(to, line, colon + 1);
    } else {
        code = nats.natsOptions_SetToken(to, line);
    }
    explicit_bzero(line, sizeof(line));
    return code;
}

static natsStatus set_security(natsOptions *to, const bus_options *from, bool secure)
{
    natsStatus code = NATS_OK;
    if (secure || from->ca != NULL || from->cert != NULL) {
        code = nats.natsOptions_SetSecure(to, true);
    }
    if (from->ca != NULL) {
        then(&code, nats.natsOptions_LoadCATrustedCertificates(to, from->ca));
    }
    if (from->cert != NULL) {
        const char *key = from->key != NULL ? from->key : from->cert;
        then(&code, nats.natsOptions_LoadCertificatesChain(to, from->cert, key));
    }
    return code;
}

/* Makes the library's options of ours. On failure there are none, and `why` says so. */
static natsOptions *make_options(const bus_options *from, struct wire *wire, char *why)
{
    natsOptions *to = NULL;
    bool secure = false;
    natsStatus code = nats.natsOptions_Create(&to);
    then(&code, code != NATS_OK ? code : set_servers(to, from->servers, &secure));
    then(&code, code != NATS_OK ? code : set_security(to, from, secure));
    if (code == NATS_OK && from->creds != NULL && (code = set_creds(to, from->creds)) != NATS_OK) {
        snprintf(why, BUS_WHY, "%s: %s", from->creds, nats.natsStatus_GetText(code));
    } else if (code == NATS_ADDRESS_MISSING) {
        snprintf(why, BUS_WHY, "not a server as in nats://host:4222 or tls://host: %s", from->servers);
    } else if (code != NATS_OK) {
        tell(why, code, NULL);
    }
    if (code == NATS_OK) {
        then(&code, nats.natsOptions_SetName(to, "coracle"));
        then(&code, nats.natsOptions_SetTimeout(to, CONNECT_MS));
        then(&code, nats.natsOptions_SetWriteDeadline(to, WRITE_MS));
        then(&code, nats.natsOptions_SetPingInterval(to, PING_MS));
        then(&code, nats.natsOptions_SetMaxPingsOut(to, PINGS_OUT));
        then(&code, nats.natsOptions_SetAllowReconnect(to, false));
        then(&code, nats.natsOptions_SetNoEcho(to, true));
        then(&code, nats.natsOptions_SetSendAsap(to, true));
        then(&code, nats.natsOptions_UseGlobalMessageDelivery(to, true));
        then(&code, nats.natsOptions_SetClosedCB(to, on_closed, wire));
        if (code != NATS_OK) {
            tell(why, code, NULL);
        }
    }
    if (code != NATS_OK && to != NULL) {
        nats.natsOptions_Destroy(to);
        to = NULL;
    }
    return to;
}

/* --- the connection */

static struct bus *bus_open(const bus_options *options, bus_frame frame)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (bus != NULL) {
        *bus = (struct bus){.options = options, .frame = frame};
        pthread_mutex_init(&bus->lock, NULL);
        pthread_cond_init(&bus->ended, NULL);
    }
    return bus;
}

/* What a connection that is about to be made tells of its end. A failed one may have told, too. */
static struct wire *fresh_wire(struct bus *bus)
{
    if (bus->wire == NULL && (bus->wire = calloc(1, sizeof(*bus->wire))) != NULL) {
        bus->wire->bus = bus;
    }
    if (bus->wire != NULL) {
        pthread_mutex_lock(&bus->lock);
        bus->wire->closed = false;
        pthread_mutex_unlock(&bus->lock);
    }
    return bus->wire;
}

static int bus_connect(struct bus *bus, char *why)
{
    struct wire *wire = fresh_wire(bus);
    if (wire == NULL) {
        snprintf(why, BUS_WHY, "%s", nats.natsStatus_GetText(NATS_NO_MEMORY));
        return -ENOMEM;
    }
    natsOptions *options = make_options(bus->options, wire, why);
    if (options == NULL) {
        return -EINVAL;
    }
    natsStatus code = nats.natsConnection_Connect(&bus->connection, options);
    nats.natsOptions_Destroy(options);
    if (code != NATS_OK) {
        tell(why, code, NULL);
        return -ECONNREFUSED;
    }
    bus->max_size = (size_t)nats.natsConnection_GetMaxPayload(bus->connection);
    return 0;
}

static void free_retired(struct bus *bus)
{
    while (bus->retired_count > 0) {
        nats.natsSubscription_Destroy(bus->retired[--bus->retired_count]);
    }
}

/* Waits until the library has told that a connection has ended, with all its topics. False: it does not tell. */
static bool has_ended(struct bus *bus)
{
    const struct wire *wire = bus->wire;
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ENDED_S;
    pthread_mutex_lock(&bus->lock);
    while (code == 0 && (!wire->closed || wire->heard > 0)) {
        code = pthread_cond_clockwait(&bus->ended, &bus->lock, CLOCK_MONOTONIC, &until);
    }
    bool ended = wire->closed && wire->heard == 0;
    pthread_mutex_unlock(&bus->lock);
    return ended;
}

static void bus_disconnect(struct bus *bus, char *why)
{
    *why = '\0';
    if (bus->connection == NULL) {
        return;
    }
    tell(why, NATS_CONNECTION_CLOSED, bus->connection);
    nats.natsConnection_Close(bus->connection);
    if (has_ended(bus)) {
        free_retired(bus);
        nats.natsConnection_Destroy(bus->connection);
    } else {
        bus->retired_count = 0;
        bus->wire = NULL;
        bus->leaves = true;
    }
    bus->connection = NULL;
}

static int bus_publish(struct bus *bus, const char *subject, const char *bytes, size_t size)
{
    if (size > bus->max_size) {
        return -EMSGSIZE;
    }
    natsStatus code = nats.natsConnection_Publish(bus->connection, subject, bytes, (int)size);
    return code == NATS_OK ? 0 : -EPIPE;
}

static size_t bus_max_size(const struct bus *bus)
{
    return bus->max_size;
}

static void bus_close(struct bus *bus)
{
    if (bus->leaves) {
        return;
    }
    pthread_mutex_destroy(&bus->lock);
    pthread_cond_destroy(&bus->ended);
    free(bus->wire);
    free(bus);
}

/* --- subjects */

/* Frees a subscription when nobody can look at it any more. */
static void retire(struct bus *bus, natsSubscription *subscription)
{
    if (bus->connection == NULL) { /* the thread that reads has ended */
        nats.natsSubscription_Destroy(subscription);
        return;
    }
    bus->retired[bus->retired_count++] = subscription;
    if (bus->retired_count == RETIRED_MAX) {
        (void)nats.natsConnection_FlushTimeout(bus->connection, FLUSH_MS); /* or it has ended, or time has passed */
        free_retired(bus);
    }
}

/* No frame of it comes any more. */
static void give_up(struct bus_topic *topic)
{
    pthread_mutex_lock(&topic->bus->lock);
    topic->listener = NULL;
    bool over = topic->complete;
    pthread_mutex_unlock(&topic->bus->lock);
    if (over) {
        free(topic); /* else its last call does it */
    }
}

static uint64_t bus_unlisten(struct bus *bus, struct bus_topic *topic)
{
    natsSubscription *subscription = topic->subscription;
    int64_t dropped = 0;
    if (topic->wire != bus->wire) { /* left alone */
        give_up(topic);
        return 0;
    }
    (void)nats.natsSubscription_GetDropped(subscription, &dropped); /* it may have ended */
    (void)nats.natsSubscription_Unsubscribe(subscription);
    give_up(topic);
    retire(bus, subscription);
    return dropped > 0 ? (uint64_t)dropped : 0;
}

static struct bus_topic *bus_listen(struct bus *bus, const char *subject, void *listener)
{
    struct bus_topic *topic = malloc(sizeof(*topic));
    if (topic == NULL) {
        return NULL;
    }
    *topic = (struct bus_topic){.bus = bus, .wire = bus->wire, .listener = listener};
    if (nats.natsConnection_Subscribe(&topic->subscription, bus->connection, subject, on_message, topic) != NATS_OK) {
        free(topic);
        return NULL;
    }
    pthread_mutex_lock(&bus->lock);
    topic->wire->heard++;
    pthread_mutex_unlock(&bus->lock);
    if (nats.natsSubscription_SetOnCompleteCB(topic->subscription, on_complete, topic) != NATS_OK) {
        pthread_mutex_lock(&bus->lock);
        topic->wire->heard--;
        pthread_mutex_unlock(&bus->lock);
        (void)bus_unlisten(bus, topic); /* it ended just now, and nobody tells when to free the topic: it is not */
        return NULL;
    }
    (void)nats.natsSubscription_SetPendingLimits(topic->subscription, -1, WAITING_BYTES);
    return topic;
}

static const bus_ops ops = {
    .open = bus_open,
    .connect = bus_connect,
    .listen = bus_listen,
    .unlisten = bus_unlisten,
    .publish = bus_publish,
    .max_size = bus_max_size,
    .disconnect = bus_disconnect,
    .close = bus_close,
};

const bus_ops *const nats_ops = &ops;

/* --- loading */

static const char *load_calls(void)
{
    static const loader_call calls[] = {
#define NATS_NAME(name) {#name, offsetof(struct nats_calls, name)},
        NATS_EACH_CALL(NATS_NAME)
#undef NATS_NAME
    };
    return loader_load(LIBRARY, calls, sizeof(calls) / sizeof(calls[0]), &nats);
}

/* One subject to say and hear on: words with dots between them, and no word that stands for others. */
static bool is_subject(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && text[0] != '.' && text[size - 1] != '.' && strstr(text, "..") == NULL &&
           strpbrk(text, " \t\r\n*>") == NULL;
}

const char *nats_load(const bus_options *options)
{
    static char why[BUS_WHY];
    if (strchr(options->servers, '@') != NULL) {
        return "everybody can see a password in a URL in the list of processes; use --bus-creds FILE";
    }
    if (!is_subject(options->subject)) {
        return "--subject: words with dots between them, without blanks, * or >";
    }
    const char *trouble = load_calls();
    if (trouble != NULL) {
        return trouble;
    }
    natsOptions *made = make_options(options, NULL, why);
    if (made == NULL) {
        return why;
    }
    nats.natsOptions_Destroy(made);
    return NULL;
}

#else

const bus_ops *const nats_ops = NULL;

const char *nats_load(const bus_options *options)
{
    (void)options;
    return "built without libnats; install libnats-dev and build again";
}

#endif
