/* SPDX-License-Identifier: MIT */
/*
 * A member of the broadcast room: sends each line typed, prints what the others say; /q or /quit leaves.
 *     ./example_broadcast_client [ADDRESS]    in another terminal, first:  ./example_broadcast_server
 */
#include <coracle.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cor_conn *server, *input;
static atomic_bool leaving; /* the end of the stream is our own doing; the two tasks may run on two threads */

static void show(char *text, size_t size)
{
    printf("msg: ----> %.*s\n", (int)size, cor_printable(text, size));
}

/* Prints message by message: each ends with LF or, from a server without framing, when nothing follows for 100 ms. */
static void receive(void *unused)
{
    char text[4096], *end;
    size_t used = 0;
    ssize_t n;
    cor_error error;

    (void)unused;
    do {
        cor_set_read_deadline(server, used > 0 ? cor_after(100 * COR_MILLISECOND) : 0);
        n = cor_read(server, text + used, sizeof text - used);
        used += n > 0 ? n : 0;
        while ((end = memchr(text, '\n', used)) != NULL) {
            show(text, end - text);
            used -= end + 1 - text;
            memmove(text, end + 1, used);
        }
        if (used > 0 && (n <= 0 || used == sizeof text)) {
            show(text, used);
            used = 0;
        }
    } while (n > 0 || n == COR_ETIMEOUT);
    if (!leaving) {
        cor_conn_error(server, "read", (int)n, &error);
        printf("recv server msg failed: %s\n", cor_error_text(&error, text, sizeof text));
        cor_close(input); /* nobody to type for */
    }
}

/* Sends {"client_ip":"<own address>","message":"<line>"} as Go writes it: with \u003c \u003e \u0026 for < > &. */
static ssize_t send_message(const char *line)
{
    char own[COR_ADDR_TEXT], *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return -ENOMEM;
    }
    json_object *object = json_object_new_object();
    json_object_object_add(object, "client_ip", json_object_new_string(cor_local_addr(server, own, sizeof own)));
    json_object_object_add(object, "message", json_object_new_string(line));
    const char *c = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    for (; *c; c++) {
        fprintf(out, strchr("<>&", *c) ? "\\u%04x" : "%c", *c);
    }
    json_object_put(object);
    ssize_t code = fclose(out) == 0 ? cor_write(server, text, size) : -ENOMEM;
    free(text);
    return code;
}

static int converse(cor_lines *lines)
{
    char *line;
    ssize_t code;

    while ((code = cor_lines_next(lines, &line, NULL)) == 1) {
        line[strcspn(line, "\r")] = '\0';
        if (strcmp(line, "/q") == 0 || strcmp(line, "/quit") == 0) {
            puts("Byebye ...");
            return 0;
        }
        if (*line && (code = send_message(line)) < 0) {
            break;
        }
    }
    return (int)code;
}

static int run(void *address)
{
    cor_error error;
    cor_group receiver = {0};
    char text[COR_ERROR_TEXT];

    if (cor_dial(&server, "tcp", address, &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    if (cor_open_fd(&input, 0) < 0 || cor_group_go(&receiver, receive, NULL) < 0) {
        return 1;
    }
    cor_lines lines = cor_lines_of(input, 16000);
    int code = converse(&lines);
    cor_lines_free(&lines);
    leaving = true;
    if (code == 0) { /* what the others still say is read to its end */
        cor_close_write(server);
        cor_group_wait(&receiver, cor_after(2 * COR_SECOND));
    }
    cor_close(server);
    cor_group_wait(&receiver, 0);
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(run, argc > 1 ? argv[1] : "0.0.0.0:1253", NULL);
}
