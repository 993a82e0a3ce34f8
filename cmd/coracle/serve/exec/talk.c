/* SPDX-License-Identifier: MIT */
/* Three copies and a watch. */
#include "serve/exec/talk.h"

#include "log.h"
#include "serve/memory.h"

#include <errno.h>
#include <string.h>

/* What a pipe takes: as much is in it when a write to its reader has to wait, or when what came out of it has to. */
#define PIPE_BYTES (64 * 1024)

static void report(struct talk *talk, talk_part part, int code)
{
    talk_event event = {part, code};
    int sent = cor_chan_try_send(talk->events, &event);
    (void)sent; /* there is room for one of each, and the channel stays until this task has ended */
}

void talk_told(void *arg)
{
    report(arg, PART_OTHERS, 0);
}

/* Whether the process has written something within the idle limit. */
static bool still_moving(const struct talk *talk)
{
    int64_t idle = session_options(talk->session)->idle_timeout;
    int64_t last = atomic_load_explicit(&talk->moved_at, memory_order_relaxed);
    return last != 0 && (idle == 0 || cor_now() - last < idle);
}

/* Writes to the process for as long as it takes something or says something. Returns 0 or an error code. */
static int write_in(const struct talk *talk, const cor_buffer *data)
{
    int64_t idle = session_options(talk->session)->idle_timeout;
    size_t done = 0;
    int code;
    bool moving;
    do {
        size_t written = 0;
        cor_set_write_deadline(talk->in, idle > 0 ? cor_after(idle) : 0);
        code = cor_write_counted(talk->in, data->data + done, data->size - done, &written);
        done += written;
        moving = written > 0 || still_moving(talk);
    } while (code == COR_ETIMEOUT && moving);
    return code;
}

static void close_in(struct talk *talk)
{
    if (talk->in != NULL) {
        cor_close(talk->in);
        talk->in = NULL;
    }
}

void talk_in(void *arg)
{
    struct talk *talk = arg;
    struct session *session = talk->session;
    cor_buffer data;
    int code = 0;
    for (;;) {
        ssize_t count = session_read_buffer(session, &data);
        if (count == COR_ETIMEOUT && still_moving(talk)) {
            session->heard = true; /* the idle limit counts from now on, not the one for the first byte */
            continue;
        }
        if (count <= 0) {
            code = (int)count;
            break;
        }
        if (talk->in != NULL) {
            memory_pipe_taken(session->seen, PIPE_BYTES);
            code = write_in(talk, &data);
            memory_pipe_left(session->seen, PIPE_BYTES);
        }
        cor_buffer_free(&data);
        if (code == -EPIPE) { /* it has closed 0 */
            close_in(talk);
        } else if (code < 0) {
            break;
        }
    }
    report(talk, PART_IN, code); /* first, or the end of the process that this causes might be heard of before */
    close_in(talk);
}

void talk_out(void *arg)
{
    struct talk *talk = arg;
    cor_buffer data;
    ssize_t count;
    int code = 0;
    while (code == 0 && (count = cor_read_buffer(talk->out, &data)) > 0) {
        atomic_store_explicit(&talk->moved_at, cor_now(), memory_order_relaxed);
        memory_pipe_taken(talk->session->seen, PIPE_BYTES);
        code = session_write(talk->session, data.data, data.size);
        memory_pipe_left(talk->session->seen, PIPE_BYTES);
        cor_buffer_free(&data);
    }
    cor_close(talk->out); /* then it writes in vain, and is told by SIGPIPE */
    if (code == 0) {
        cor_close_write(talk->session->conn);
    }
    report(talk, PART_OUT, code);
}

void talk_watch(void *arg)
{
    struct talk *talk = arg;
    int code = cor_wait_fd(talk->child.pidfd, COR_READABLE, 0);
    report(talk, PART_PROCESS, code < 0 ? code : 0);
}

/*
 * Standard error becomes events, line by line; a line that is too long is cut. One process may write so many lines a
 * second; the others are counted and dropped, and it is read from slowly meanwhile, so that a flood costs neither the
 * log nor a CPU much.
 */
enum { LINE_BYTES = 256, LINES_PER_SECOND = 20 };
#define SLOW_NS (10 * COR_MILLISECOND)

struct lines {
    const struct talk *talk;
    char line[LINE_BYTES + 1];
    size_t size;
    int64_t second;  /* when the one that counts began */
    int64_t written; /* in that second */
    int64_t dropped; /* since the last that was written */
};

static void put_line(struct lines *lines)
{
    const struct talk *talk = lines->talk;
    int64_t now = cor_now();
    if (now - lines->second >= COR_SECOND) {
        lines->second = now;
        lines->written = 0;
    }
    if (++lines->written > LINES_PER_SECOND) {
        lines->dropped++;
    } else {
        lines->line[lines->size] = '\0';
        const log_field fields[] = {{"service", talk->session->service->def->name, 0},
                                    {"conn", NULL, (int64_t)talk->child.conn},
                                    {"line", lines->line, 0},
                                    {"suppressed", NULL, lines->dropped}};
        log_event(LEVEL_INFO, "stderr", fields, lines->dropped > 0 ? 4 : 3);
        lines->dropped = 0;
    }
    lines->size = 0;
}

static void put_bytes(struct lines *lines, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            put_line(lines);
        } else if (lines->size < LINE_BYTES) {
            lines->line[lines->size++] = bytes[i] == '\0' ? ' ' : (char)bytes[i];
        }
    }
}

void talk_err(void *arg)
{
    struct talk *talk = arg;
    struct lines lines = {.talk = talk};
    cor_buffer data;
    while (cor_read_buffer(talk->err, &data) > 0) {
        put_bytes(&lines, data.data, data.size);
        cor_buffer_free(&data);
        if (lines.dropped > 0 && cor_sleep(SLOW_NS) < 0) {
            break;
        }
    }
    if (lines.size > 0) {
        put_line(&lines);
    }
    if (lines.dropped > 0) {
        LOG(LEVEL_WARN, "stderr_suppressed", {"service", talk->session->service->def->name, 0},
            {"conn", NULL, (int64_t)talk->child.conn}, {"suppressed", NULL, lines.dropped});
    }
    cor_close(talk->err);
}
