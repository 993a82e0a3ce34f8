/* SPDX-License-Identifier: MIT */
/*
 * The broadcast room: passes on what each client says, {"client_ip":"...","message":"..."}, to all the others.
 *     ./example_broadcast_server [ADDRESS]    in two or more other terminals:  ./example_broadcast_client
 * json-c ends the program when it finds no memory for a key; `coracle serve broadcast` lives on (docs/adr/0024).
 */
#include <coracle.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MESSAGE = 16384 };

struct member {
    cor_conn *conn;
    char address[COR_ADDR_TEXT];
    struct member *next;
};
static struct member *room;
static cor_mutex room_lock; /* parks tasks, not threads: it may be held over a write */

/*
 * Tells all. A member whose buffers stay full for 100 ms is cut; one deadline, so many such cost hardly more than one.
 */
static void publish(struct member *from, const char *message)
{
    int64_t deadline = cor_after(100 * COR_MILLISECOND);
    cor_mutex_lock(&room_lock);
    for (struct member *to = room; to; to = to->next) {
        int64_t soon = cor_after(COR_MILLISECOND); /* for whoever comes after the slow ones */
        cor_set_write_deadline(to->conn, soon > deadline ? soon : deadline);
        ssize_t n = to == from ? cor_printf(to->conn, "%s: 已经收到信息\n", from->address)
                               : cor_printf(to->conn, "%s 地址发送了请求消息：%s\n", from->address, message);
        if (n < 0) {
            printf("broad message to %s failed: %s\n", to->address, cor_strerror((int)n));
            cor_close(to->conn); /* its task finds it closed and ends */
        }
    }
    cor_mutex_unlock(&room_lock);
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
            if (!object && json_tokener_get_error(parser) == json_tokener_continue && size <= MAX_MESSAGE) {
                break;
            }
            if (size > MAX_MESSAGE || !json_object_object_get_ex(object, "message", &message) ||
                !json_object_is_type(message, json_type_string)) {
                const char *reason = size > MAX_MESSAGE ? "message too long" : "invalid message";
                json_object_put(object);
                cor_set_write_deadline(me->conn, cor_after(COR_SECOND));
                return cor_printf(me->conn, "%s: %s\n", me->address, reason) < 0 ? "client gone" : reason;
            }
            char *text = (char *)json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE);
            cor_printable(text, strlen(text));
            printf("%s---->%s\nconnection is connected from  %s\n", me->address, text, me->address);
            publish(me, json_object_get_string(message));
            json_object_put(object);
            size = 0;
        }
    }
    return cor_strerror((int)n);
}

static void welcome(cor_conn *conn, void *unused)
{
    struct member me = {.conn = conn}, **link = &room;
    json_tokener *parser = json_tokener_new();
    (void)unused;
    if (parser) {
        json_tokener_set_flags(parser, JSON_TOKENER_VALIDATE_UTF8);
        cor_remote_addr(conn, me.address, sizeof me.address);
        cor_mutex_lock(&room_lock);
        me.next = room;
        room = &me;
        cor_mutex_unlock(&room_lock);
        printf("read client message failed:%s\n", read_objects(&me, parser));
        json_tokener_free(parser);
        cor_mutex_lock(&room_lock);
        while (*link != &me) {
            link = &(*link)->next;
        }
        *link = me.next;
        cor_mutex_unlock(&room_lock);
    }
    cor_finish(conn, cor_after(COR_SECOND)); /* a reason given just now must not be destroyed by a reset */
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
