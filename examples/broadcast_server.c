/* SPDX-License-Identifier: MIT */
/*
 * The broadcast room: passes on what each client says, {"client_ip":"...","message":"..."}, to all the others.
 *     ./example_broadcast_server [ADDRESS]    in two or more other terminals:  ./example_broadcast_client
 * Each member has a queue and a writing task of its own, so that nobody has to wait for a slow one: it is cut.
 */
#include <coracle.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGE = 16384, MAX_DEPTH = 32, QUEUE = 256 };
enum { LOG_STYLE = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE };

struct member {
    cor_conn *conn;
    cor_chan *queue; /* of char *: texts to be written, then freed */
    char address[COR_ADDR_TEXT];
    struct member *next;
};
static struct member *room;
static cor_mutex room_lock;

/* Prints one line, made safe for a terminal. */
static void COR_PRINTF(1, 2) say(const char *format, ...)
{
    char *line;
    va_list values;
    va_start(values, format);
    int size = vasprintf(&line, format, values);
    va_end(values);
    if (size >= 0) {
        puts(cor_printable(line, (size_t)size));
        free(line);
    }
}

/* Queues a line for a member; one whose queue is still full at the deadline is too slow and is cut. */
static void post(struct member *to, int64_t deadline, const char *address, const char *words, const char *message)
{
    char *text;
    if (asprintf(&text, "%s%s%s\n", address, words, message) < 0) {
        text = NULL;
    }
    if (!text || cor_chan_send(to->queue, &text, deadline) < 0) {
        free(text);
        cor_close(to->conn); /* its two tasks find the connection closed and end */
    }
}

static void publish(struct member *from, const char *message)
{
    int64_t deadline = cor_after(100 * COR_MILLISECOND); /* one for all: many slow members cost no more than one */
    cor_mutex_lock(&room_lock);
    for (struct member *to = room; to; to = to->next) {
        bool own = to == from;
        post(to, deadline, from->address, own ? ": 已经收到信息" : " 地址发送了请求消息：", own ? "" : message);
    }
    cor_mutex_unlock(&room_lock);
}

static void write_queue(void *arg)
{
    struct member *me = arg;
    char *text;
    ssize_t code = 0;
    while (cor_chan_recv(me->queue, &text, 0) == 1) {
        cor_set_write_deadline(me->conn, cor_after(10 * COR_SECOND));
        if (code >= 0 && (code = cor_write(me->conn, text, strlen(text))) < 0) {
            say("broad message to %s failed: %s", me->address, cor_strerror((int)code));
            cor_close(me->conn);
        }
        free(text);
    }
}

/* Takes the objects out of a stream, however they are split or glued; gives the reason why it ended. */
static const char *read_objects(struct member *me, json_tokener *parser)
{
    char data[4096];
    ssize_t n;
    size_t size = 0; /* of the object being read */
    while ((n = cor_read(me->conn, data, sizeof data)) > 0) {
        for (char *next = data; next < data + n; next += json_tokener_get_parse_end(parser)) {
            json_object *message, *object = json_tokener_parse_ex(parser, next, (int)(data + n - next));
            size += json_tokener_get_parse_end(parser);
            bool too_long = size > MAX_MESSAGE;
            if (!object && json_tokener_get_error(parser) == json_tokener_continue && !too_long) {
                break;
            }
            if (too_long || !json_object_object_get_ex(object, "message", &message) ||
                !json_object_is_type(message, json_type_string)) {
                const char *reason = too_long ? "message too long" : "invalid message";
                json_object_put(object);
                post(me, cor_after(0), me->address, ": ", reason);
                return reason;
            }
            say("%s---->%s", me->address, json_object_to_json_string_ext(object, LOG_STYLE));
            say("connection is connected from  %s", me->address);
            publish(me, json_object_get_string(message));
            json_object_put(object);
            size = 0;
        }
    }
    return cor_strerror((int)n);
}

static void stay(struct member *me, json_tokener *parser)
{
    cor_mutex_lock(&room_lock);
    me->next = room;
    room = me;
    cor_mutex_unlock(&room_lock);

    say("read client message failed:%s", read_objects(me, parser));

    cor_mutex_lock(&room_lock);
    struct member **link = &room;
    while (*link != me) {
        link = &(*link)->next;
    }
    *link = me->next;
    cor_mutex_unlock(&room_lock);
}

static void welcome(cor_conn *conn, void *unused)
{
    struct member me = {.conn = conn, .queue = cor_chan_new(sizeof(char *), QUEUE)};
    json_tokener *parser = json_tokener_new_ex(MAX_DEPTH);
    cor_group writer = {0};
    (void)unused;
    cor_remote_addr(conn, me.address, sizeof me.address);
    if (me.queue && parser && cor_group_go(&writer, write_queue, &me) == 0) {
        json_tokener_set_flags(parser, JSON_TOKENER_VALIDATE_UTF8);
        stay(&me, parser);
        cor_chan_close(me.queue); /* the writer writes what is left and ends */
        cor_group_wait(&writer, 0);
        cor_close_write(conn); /* closing over unread input would reset the connection and destroy those last texts */
        cor_drain(conn, 1 << 20, cor_after(COR_SECOND));
    }
    if (parser) {
        json_tokener_free(parser);
    }
    cor_chan_free(me.queue);
    cor_close(conn);
}

static int serve(void *address)
{
    cor_listener *listener;
    cor_error error;
    char text[COR_ERROR_TEXT];
    if (cor_listen(&listener, "tcp", address, &error) < 0) {
        printf("%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
    printf("listening port:  %s\n", strrchr(text, ':') + 1);
    return cor_serve_until_signal(listener, welcome, NULL, 5 * COR_SECOND) < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(serve, argc > 1 ? argv[1] : "0.0.0.0:1253", NULL);
}
