/* SPDX-License-Identifier: MIT */
/* What is waited for of libnats has a bound: here it tells of the ends of connections and subjects when it likes. */
/* sources: cmd/coracle/serve/bus/nats.c */
/* test: workers=1 no-uring */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/bus/nats.h"

#if COR_HAVE_NATS

#include "serve/bus/nats_calls.h"
#include "serve/loader.h"

#include <unistd.h>

/* What the library has been given, and what it has been asked to do. */
static struct {
    natsConnectionHandler closed;
    void *closed_with;
    natsOnCompleteCB complete;
    void *complete_with;
    natsMsgHandler message;
    void *message_with;
    bool silent, half; /* it tells of no ends, or not of connections' */
    int connections;   /* destroyed */
    int subscriptions; /* destroyed */
} library;

static char things[3]; /* an options', a connection's and a subscription's place */

static natsStatus make_fake_options(natsOptions **options)
{
    *options = (natsOptions *)&things[0];
    return NATS_OK;
}

static void drop_options(natsOptions *options)
{
    (void)options;
}

static natsStatus set_fake_servers(natsOptions *options, const char **servers, int count)
{
    (void)options;
    (void)servers;
    return count == 1 ? NATS_OK : NATS_ERR;
}

#define SETTER(name, type)                                                                                             \
    static natsStatus name(natsOptions *options, type value)                                                           \
    {                                                                                                                  \
        (void)options;                                                                                                 \
        (void)value;                                                                                                   \
        return NATS_OK;                                                                                                \
    }
SETTER(set_text, const char *)
SETTER(set_time, int64_t)
SETTER(set_count, int)
SETTER(set_bool, bool)

static natsStatus set_closed(natsOptions *options, natsConnectionHandler closed, void *with)
{
    (void)options;
    library.closed = closed;
    library.closed_with = with;
    return NATS_OK;
}

static natsStatus fake_connect(natsConnection **connection, natsOptions *options)
{
    (void)options;
    *connection = (natsConnection *)&things[1];
    return NATS_OK;
}

static int64_t fake_max_payload(natsConnection *connection)
{
    (void)connection;
    return 1024;
}

static natsStatus fake_subscribe(natsSubscription **subscription, natsConnection *connection, const char *subject,
                                 natsMsgHandler message, void *with)
{
    (void)connection;
    (void)subject;
    *subscription = (natsSubscription *)&things[2];
    library.message = message;
    library.message_with = with;
    return NATS_OK;
}

static natsStatus set_complete(natsSubscription *subscription, natsOnCompleteCB complete, void *with)
{
    (void)subscription;
    library.complete = complete;
    library.complete_with = with;
    return NATS_OK;
}

static natsStatus set_limits(natsSubscription *subscription, int messages, int bytes)
{
    (void)subscription;
    return messages < 0 && bytes > 0 ? NATS_OK : NATS_ERR;
}

static natsStatus no_error(natsConnection *connection, const char **text)
{
    (void)connection;
    *text = NULL;
    return NATS_OK;
}

static const char *no_last_error(natsStatus *last)
{
    *last = NATS_OK;
    return NULL;
}

static const char *text_of(natsStatus code)
{
    return code == NATS_OK ? "fine" : "not fine";
}

static void tell_closed(void)
{
    library.closed((natsConnection *)&things[1], library.closed_with);
}

static void fake_close(natsConnection *connection)
{
    (void)connection;
    if (!library.silent) {
        library.complete(library.complete_with);
    }
    if (!library.silent && !library.half) {
        tell_closed();
    }
}

static void drop_connection(natsConnection *connection)
{
    (void)connection;
    library.connections++;
}

static natsStatus none_dropped(natsSubscription *subscription, int64_t *dropped)
{
    (void)subscription;
    *dropped = 3;
    return NATS_OK;
}

static natsStatus fake_unsubscribe(natsSubscription *subscription)
{
    (void)subscription;
    return NATS_OK;
}

static void drop_subscription(natsSubscription *subscription)
{
    (void)subscription;
    library.subscriptions++;
}

static const char *data_of(const natsMsg *message)
{
    return (const char *)message;
}

static int size_of(const natsMsg *message)
{
    return (int)strlen((const char *)message);
}

static void drop_message(natsMsg *message)
{
    (void)message;
}

const char *loader_load(const char *name, const loader_call *calls, size_t count, void *table)
{
    (void)name;
    (void)calls;
    (void)count;
    *(struct nats_calls *)table = (struct nats_calls){
        .natsOptions_Create = make_fake_options,
        .natsOptions_Destroy = drop_options,
        .natsOptions_SetServers = set_fake_servers,
        .natsOptions_SetName = set_text,
        .natsOptions_SetTimeout = set_time,
        .natsOptions_SetWriteDeadline = set_time,
        .natsOptions_SetPingInterval = set_time,
        .natsOptions_SetMaxPingsOut = set_count,
        .natsOptions_SetAllowReconnect = set_bool,
        .natsOptions_SetNoEcho = set_bool,
        .natsOptions_SetSendAsap = set_bool,
        .natsOptions_UseGlobalMessageDelivery = set_bool,
        .natsOptions_SetClosedCB = set_closed,
        .natsConnection_Connect = fake_connect,
        .natsConnection_GetMaxPayload = fake_max_payload,
        .natsConnection_Subscribe = fake_subscribe,
        .natsConnection_GetLastError = no_error,
        .natsConnection_Close = fake_close,
        .natsConnection_Destroy = drop_connection,
        .natsSubscription_SetOnCompleteCB = set_complete,
        .natsSubscription_SetPendingLimits = set_limits,
        .natsSubscription_GetDropped = none_dropped,
        .natsSubscription_Unsubscribe = fake_unsubscribe,
        .natsSubscription_Destroy = drop_subscription,
        .natsMsg_GetData = data_of,
        .natsMsg_GetDataLength = size_of,
        .natsMsg_Destroy = drop_message,
        .natsStatus_GetText = text_of,
        .nats_GetLastError = no_last_error,
    };
    return NULL;
}

static int frames;

static void on_frame(void *listener, const char *bytes, size_t size)
{
    assert_ptr_equal(listener, &frames);
    assert_memory_equal(bytes, "frame", size);
    frames++;
}

static void hear_one(void)
{
    char frame[] = "frame";
    library.message((natsConnection *)&things[1], (natsSubscription *)&things[2], (natsMsg *)frame,
                    library.message_with);
}

static const bus_options given = {.servers = "nats://127.0.0.1:4222", .subject = "rooms"};
static struct bus *bus;
static char why[BUS_WHY];

static struct bus_topic *begin(void)
{
    assert_int_equal(nats_ops->connect(bus, why), 0);
    struct bus_topic *topic = nats_ops->listen(bus, "rooms", &frames);
    assert_non_null(topic);
    return topic;
}

static int open_bus(void **state)
{
    (void)state;
    memset(&library, 0, sizeof(library));
    frames = 0;
    (void)alarm(60); /* a wait without an end */
    assert_null(nats_load(&given));
    bus = nats_ops->open(&given, on_frame);
    return bus == NULL;
}

static void it_tells(void **state)
{
    (void)state;
    for (int life = 1; life < 3; life++) {
        struct bus_topic *topic = begin();
        hear_one();
        nats_ops->disconnect(bus, why);
        assert_string_equal(why, "not fine");
        assert_int_equal(library.connections, life);
        assert_int_equal(nats_ops->unlisten(bus, topic), 3);
        assert_int_equal(library.subscriptions, life);
        assert_int_equal(frames, life);
    }
    nats_ops->close(bus);
}

/* Nothing is freed that the library may still use. */
static void *left[2];

static void leave_alone(void)
{
    static int lives;
    nats_ops->disconnect(bus, why);
    left[lives++] = library.closed_with;
    assert_int_equal(library.connections + library.subscriptions, 0);
}

/* It says nothing of an end, or only later: that is not taken for the end of the next connection. */
static void it_tells_too_late(void **state)
{
    (void)state;
    library.silent = true;
    struct bus_topic *topic = begin();
    leave_alone();
    hear_one();
    assert_int_equal(nats_ops->unlisten(bus, topic), 0);
    hear_one(); /* nobody listens any more */
    assert_int_equal(frames, 1);
    library.complete(library.complete_with);
    const natsConnectionHandler closed = library.closed;
    topic = begin();
    closed((natsConnection *)&things[1], left[0]);
    library.silent = false;
    library.half = true;
    leave_alone();
    (void)nats_ops->unlisten(bus, topic);
    assert_int_equal(library.subscriptions, 0);
    library.half = false;
    topic = begin();
    nats_ops->disconnect(bus, why);
    (void)nats_ops->unlisten(bus, topic);
    assert_int_equal(library.connections, 1);
    assert_int_equal(library.subscriptions, 1);
    nats_ops->close(bus);
    closed((natsConnection *)&things[1], left[1]); /* all that it needs is still there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_tells, open_bus),
        cmocka_unit_test_setup(it_tells_too_late, open_bus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    puts("built without libnats");
    return 77;
}

#endif
