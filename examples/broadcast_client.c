/* SPDX-License-Identifier: MIT */
/*
 * A member of the broadcast room: sends each line typed, prints what the others say; /q or /quit leaves.
 *     ./example_broadcast_client [ADDRESS]    in another terminal, first:  ./example_broadcast_server
 */
#include <coracle.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LINE = 16000 };

static cor_conn *server, *input;

/* Prints message by message until the stream ends, and then ends the input too: there is nobody left to type for. */
static void receive(void *end)
{
    cor_lines lines = cor_lines_of(server, 65536);
    char *line;
    size_t size;
    lines.pause_ns = 100 * COR_MILLISECOND; /* a server without framing ends a message by a pause */
    while ((*(int *)end = cor_lines_next(&lines, &line, &size)) == 1) {
        printf("msg: ----> %s\n", cor_printable(line, size));
    }
    cor_lines_free(&lines);
    cor_close(input);
}

/* Sends each line as {"client_ip":"<own address>","message":"<line>"}; 1 after /q, 0 at the end, or an error. */
static int send_lines(cor_lines *lines)
{
    static char quoted[COR_JSON_QUOTE_MAX(MAX_LINE) + 1];
    char *line, own[COR_ADDR_TEXT];
    ssize_t code;
    cor_local_addr(server, own, sizeof own);
    while ((code = cor_lines_next(lines, &line, NULL)) == 1) {
        line = cor_trim(line, "\r");
        if (strcmp(line, "/q") == 0 || strcmp(line, "/quit") == 0) {
            puts("Byebye ...");
            break;
        }
        *cor_json_quote(quoted, line, strlen(line)) = '\0';
        if (*line && (code = cor_printf(server, "{\"client_ip\":\"%s\",\"message\":%s}", own, quoted)) < 0) {
            break;
        }
    }
    return (int)code;
}

static int run(void *address)
{
    cor_group receiver = {0};
    cor_error error;
    char text[COR_ERROR_TEXT];
    int end;
    if (cor_dial(&server, "tcp", address, &error) < 0) {
        fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof text));
        return 1;
    }
    if (cor_open_fd(&input, 0) < 0 || cor_group_go(&receiver, receive, &end) < 0) {
        return 1;
    }
    cor_lines lines = cor_lines_of(input, MAX_LINE);
    int code = send_lines(&lines);
    cor_close_write(server); /* what the others still say is read to its end */
    if (code == COR_ETOO_LONG) {
        fprintf(stderr, "%s\n", cor_strerror(code));
    } else if (cor_group_wait(&receiver, cor_after(2 * COR_SECOND)) == 0 && code < 0) {
        printf("recv server msg failed: %s\n", cor_conn_error_text(server, "read", end, text, sizeof text));
    }
    cor_lines_free(&lines);
    cor_close(server);
    cor_group_wait(&receiver, 0);
    return code < 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(run, argc > 1 ? argv[1] : "0.0.0.0:1253", NULL);
}
