/* SPDX-License-Identifier: MIT */
/*
 * What `coracle dial` makes of a server's bytes. Whatever the server sends, and whenever it ends: the client ends as
 * well, and all that reaches the terminal may be shown there. The kind `get` shows the whole stream as if it had come
 * in one piece; `echo` and `broadcast` show all of it as well, in lines of their own; `name` shows nothing of it.
 *
 * Input: a byte with the kind, and bit 2 if the connection is lost in the end, cuts, what the user types up to a NUL,
 * then what the server sends before it leaves.
 */
/* sources: cmd/coracle/dial/broadcast.c cmd/coracle/dial/echo.c cmd/coracle/dial/get.c cmd/coracle/dial/name.c */
/* sources: cmd/coracle/dial/dialog.c cmd/coracle/escape.c cmd/coracle/utf8.c */
#include "dial/dialog.h"
#include "escape.h"
#include "input.h"
#include "runtime.h"
#include "utf8.h"

#include <coracle/io.h>

static const dialog_kind *const kinds[] = {&get_kind, &echo_kind, &broadcast_kind, &name_kind};

static struct {
    cor_conn *server, *user, *screen; /* the other ends of the client's three */
    cor_conn *client;
    bool lost;
    const uint8_t *sends;
    size_t size;
    cuts at;
    const char *types;
    char *shown;
    size_t shown_bytes, room;
} play;

static void take_all(cor_conn *conn)
{
    char bytes[512];
    while (cor_read(conn, bytes, sizeof(bytes)) > 0) {}
}

static void server_reads(void *arg)
{
    (void)arg;
    take_all(play.server);
}

static void server_writes(void *arg)
{
    (void)arg;
    ssize_t count = 0;
    for (size_t sent = 0, next; sent < play.size && count >= 0; sent += next) {
        next = cuts_next(&play.at, play.size - sent);
        count = cor_write(play.server, play.sends + sent, next);
    }
    if (play.lost) {
        cor_set_read_deadline(play.client, 1); /* long past: its read fails, if it is its turn before the end */
        cor_yield();
    }
    cor_close(play.server);
}

static void user_types(void *arg)
{
    (void)arg;
    (void)!cor_write(play.user, play.types, strlen(play.types));
    cor_close(play.user);
}

static void screen_shows(void *arg)
{
    char bytes[512];
    ssize_t count;
    (void)arg;
    while ((count = cor_read(play.screen, bytes, sizeof(bytes))) > 0) {
        CHECK((size_t)count <= play.room - play.shown_bytes);
        memcpy(play.shown + play.shown_bytes, bytes, (size_t)count);
        play.shown_bytes += (size_t)count;
    }
}

static void check_shown(void)
{
    size_t step;
    for (size_t i = 0; i < play.shown_bytes; i += step) {
        uint32_t rune;
        step = utf8_decode(play.shown + i, play.shown_bytes - i, &rune);
        CHECK(step > 0 && (rune == '\n' || rune == '\t' || rune >= 0x20) && rune != 0x7F &&
              (rune < 0x80 || rune >= 0xA0));
        CHECK(rune < 0x202A || rune > 0x202E);
    }
}

/* What the server sent is what get has shown. */
static void check_whole(void)
{
    const int keep = ESCAPE_KEEP_LINES | ESCAPE_KEEP_BACKSLASH;
    size_t size = escape_size(play.sends, play.size, keep);
    char *whole = malloc(size + 1);
    CHECK(whole != NULL);
    escape_copy(whole, play.sends, play.size, keep);
    size_t same = 0;
    while (same < size && same < play.shown_bytes && whole[same] == play.shown[same]) {
        same++;
    }
    CHECK(same == size && size == play.shown_bytes);
    free(whole);
}

static void run_client(void *arg)
{
    const dialog_kind *kind = arg;
    struct dialog dialog = {.address = {.text = ""}};
    cor_group others = {0}, screen = {0};
    CHECK(cor_pipe(&dialog.conn, &play.server) == 0 && cor_pipe(&dialog.in, &play.user) == 0);
    CHECK(cor_pipe(&dialog.out, &play.screen) == 0);
    play.client = dialog.conn;
    CHECK(cor_group_go(&others, server_reads, NULL) == 0 && cor_group_go(&others, server_writes, NULL) == 0);
    CHECK(cor_group_go(&others, user_types, NULL) == 0 && cor_group_go(&screen, screen_shows, NULL) == 0);
    kind->run(&dialog);
    cor_close(dialog.conn);
    dialog_stop_input(&dialog);
    cor_close(dialog.out);
    CHECK(cor_group_wait(&others, 0) == 0 && cor_group_wait(&screen, 0) == 0);
    cor_close(play.screen);
    CHECK(dialog.exit_code == 0 || dialog.exit_code == 1);
    check_shown();
    if (kind == &get_kind) {
        check_whole();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    input in = {data, size};
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "we");
        CHECK(nowhere != NULL);
        runtime_start();
    }
    unsigned choice = input_byte(&in);
    const dialog_kind *kind = kinds[choice % 4];
    play.lost = (choice & 4) != 0;
    play.at = input_cuts(&in);
    char *types = input_text(&in);
    play.types = types;
    play.sends = in.next;
    play.size = in.left;
    play.shown_bytes = 0;
    play.room = 64 * (size + 16);
    play.shown = malloc(play.room);
    CHECK(play.shown != NULL);
    FILE *kept = stderr;
    stderr = nowhere; /* the client says there how the connection ended */
    runtime_run(run_client, (void *)(uintptr_t)kind);
    stderr = kept;
    free(play.shown);
    free(types);
    return 0;
}
