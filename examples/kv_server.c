/* SPDX-License-Identifier: MIT */
/*
 * A key-value server that speaks RESP, the protocol of Redis: PING ECHO GET SET DEL INCR.
 *     ./example_kv_server 127.0.0.1:6380                   then:  redis-cli -p 6380 set boat coracle
 */
#include <coracle.h>
#include <ctype.h>
#include <malloc.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHARDS = 256, ARGS = 32, LINE_BYTES = 16384, COMMAND_BYTES = 1 << 20, MEMORY = 256 << 20 };
enum { GET, DEL, SET, INCR, PING, ECHO };

typedef struct slice {
    const char *at;
    size_t size;
} slice;

/* A key with its value. It never changes and its last user frees it, so that no lock is held to send it. */
typedef struct record {
    slice key, value; /* CR LF NUL follow the value */
    _Atomic int users;
    char bytes[];
} record;

/* The records whose keys have the same hash: a balanced tree, so that no choice of keys makes a search long. */
static struct shard {
    _Alignas(64) cor_mutex lock;
    void *records;
} shards[SHARDS];
static _Atomic int64_t memory;

static int compare(const void *a, const void *b)
{
    const slice *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size ? -1 : 1) : memcmp(x->at, y->at, x->size);
}

static record *new_record(slice key, slice value)
{
    record *made = memory < MEMORY ? malloc(sizeof *made + key.size + value.size + 3) : NULL;
    if (made != NULL) {
        *made = (record){{made->bytes, key.size}, {made->bytes + key.size, value.size}, 1};
        memcpy(made->bytes, key.at, key.size);
        memcpy(made->bytes + key.size, value.at, value.size);
        memcpy(made->bytes + key.size + value.size, "\r\n", 3);
        memory += (int64_t)malloc_usable_size(made);
    }
    return made;
}

static void drop(record *old)
{
    if (old != NULL && --old->users == 0) {
        memory -= (int64_t)malloc_usable_size(old);
        free(old);
    }
}

/* What INCR makes of a record; NULL if its value is no number. */
static record *next(slice key, const record *old)
{
    const char *digits = old != NULL ? old->value.at : "0\r\n";
    char text[24], *end;
    long long number = isdigit((unsigned char)*digits) || *digits == '-' ? strtoll(digits, &end, 10) : INT64_MAX;
    if (number == INT64_MAX || number == INT64_MIN || (old != NULL && end != digits + old->value.size)) {
        return NULL;
    }
    return new_record(key, (slice){text, (size_t)snprintf(text, sizeof text, "%lld", number + 1)});
}

/* Does one thing to one key. Gives its record then (DEL: until then), for the caller to drop; NULL: there is none. */
static record *operate(int what, slice key, slice value)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < key.size; i++) {
        hash = hash * 31 + (unsigned char)key.at[i];
    }
    struct shard *shard = &shards[hash % SHARDS];
    cor_mutex_lock(&shard->lock);
    record **at = tfind(&key, &shard->records, compare), *old = at != NULL ? *at : NULL;
    record *now = what == SET ? new_record(key, value) : what == INCR ? next(key, old) : old;
    if (what == DEL && old != NULL) {
        tdelete(&key, &shard->records, compare); /* its use of the record goes to the caller */
    } else if (now != NULL && (at = tsearch(now, &shard->records, compare)) != NULL) {
        *at = now;
        now->users++;
        drop(now != old ? old : NULL);
    } else {
        drop(now);
        now = NULL;
    }
    cor_mutex_unlock(&shard->lock);
    return now;
}

/* Executes a command and buffers its answer. */
static ssize_t execute(cor_writer *out, const slice *args, int count)
{
    static const char *const names[] = {"GET", "DEL", "SET", "INCR", "PING", "ECHO"};
    static const int counts[] = {2, 2, 3, 2, 1, 2};
    int what = 0;
    while (what <= ECHO && (count != counts[what] || strlen(names[what]) != args->size ||
                            strncasecmp(names[what], args->at, args->size) != 0)) {
        what++;
    }
    if (what > ECHO) {
        int shown = 0;
        while (shown < (int)args->size && (isalnum((unsigned char)args->at[shown]) || args->at[shown] == '_')) {
            shown++;
        }
        return cor_writer_printf(out, "-ERR unknown command '%.*s' with %d arguments\r\n", shown, args->at, count - 1);
    }
    record *found = what < PING ? operate(what, args[1], args[count - 1]) : NULL;
    ssize_t rc;
    if (found != NULL && (what == GET || what == INCR)) {
        rc = what == GET ? cor_writer_printf(out, "$%zu\r\n", found->value.size) : cor_writer_write(out, ":", 1);
        rc = rc < 0 ? rc : cor_writer_write(out, found->value.at, found->value.size + 2);
    } else if (what == ECHO) {
        rc = cor_writer_printf(out, "$%zu\r\n", args[1].size);
        rc = rc < 0 ? rc : cor_writer_write(out, args[1].at, args[1].size);
        rc = rc < 0 ? rc : cor_writer_write(out, "\r\n", 2);
    } else {
        static const char *const without[] = {"$-1", ":0", "-OOM no memory is left",
                                              "-ERR value is not an integer or out of range", "+PONG"};
        rc = cor_writer_printf(out, "%s\r\n", found == NULL ? without[what] : what == DEL ? ":1" : "+OK");
    }
    drop(found);
    return rc;
}

/* The number in a line such as "*3" or "$5", and *at after it; -EAGAIN: the line is not there yet, -EPROTO. */
static long long number(const char **at, const char *end, char kind, long long most)
{
    const char *line = *at, *feed = memchr(line, '\n', (size_t)(end - line)), *digit = line + 1;
    long long value = 0;
    if (feed == NULL) {
        return end - line < 32 ? -EAGAIN : -EPROTO;
    }
    while (digit < feed && isdigit((unsigned char)*digit) && value <= most) {
        value = value * 10 + *digit++ - '0';
    }
    *at = feed + 1;
    return *line == kind && digit > line + 1 && digit == feed - 1 && *digit == '\r' && value <= most ? value : -EPROTO;
}

/* The end of a run of blanks, or of what is none; `end` at the latest. */
static const char *skip(const char *at, const char *end, bool blanks)
{
    while (at < end && (*at == ' ' || *at == '\r') == blanks) {
        at++;
    }
    return at;
}

/* Finds the parts of a command: how long it is; -EAGAIN: it has not come as a whole, -EPROTO. */
static ssize_t parse(const char *bytes, size_t size, slice *args, int *count)
{
    const char *at = bytes, *end = bytes + size;
    *count = 0;
    if (*bytes == '*') {
        long long parts = number(&at, end, '*', ARGS), length = 0;
        for (; *count < parts; ++*count) {
            length = number(&at, end, '$', COMMAND_BYTES);
            if (length < 0 || end - at < length + 2) {
                return length < 0 ? length : -EAGAIN;
            }
            if (memcmp(at + length, "\r\n", 2) != 0) {
                return -EPROTO;
            }
            args[*count] = (slice){at, (size_t)length};
            at += length + 2;
        }
        return parts < 0 ? parts : at - bytes;
    }
    const char *feed = memchr(bytes, '\n', size);
    while (feed != NULL && *count < ARGS && (at = skip(at, feed, true)) < feed) {
        end = skip(at, feed, false);
        args[(*count)++] = (slice){at, (size_t)(end - at)};
        at = end;
    }
    if (feed == NULL) {
        return size < LINE_BYTES ? -EAGAIN : -EPROTO;
    }
    return skip(at, feed, true) < feed ? -EPROTO : feed + 1 - bytes;
}

static void session(cor_conn *conn, void *unused)
{
    cor_writer out = cor_writer_of(conn);
    cor_reader in = cor_reader_of(conn, COMMAND_BYTES + 1024);
    slice args[ARGS];
    char *bytes;
    int count;
    size_t need = 1;
    ssize_t rc = 0;
    (void)unused;
    in.flushes = &out; /* before it waits: answers leave together, and none is kept back */
    while (rc >= 0) {
        if (need == 1) {
            cor_set_deadline(conn, cor_after(5 * COR_MINUTE)); /* for one command, its answer included */
        }
        ssize_t have = cor_reader_peek(&in, need, &bytes);
        if (have < (ssize_t)need) {
            break; /* the end of the stream, a time-out, an error */
        }
        ssize_t size = parse(bytes, (size_t)have, args, &count);
        need = size < 0 ? (size_t)have + 1 : 1;
        if (size == -EPROTO || (size < 0 && have > COMMAND_BYTES)) {
            rc = cor_writer_printf(&out, "-ERR Protocol error: no command, or one that is too long\r\n");
            break;
        }
        if (size > 0) {
            rc = count > 0 ? execute(&out, args, count) : 0;
            cor_reader_skip(&in, (size_t)size);
        }
    }
    (void)!cor_writer_flush(&out);
    cor_writer_free(&out);
    cor_reader_free(&in);
    cor_finish(conn, cor_after(COR_SECOND));
}

static int serve(void *address)
{
    cor_listener *listener;
    char text[COR_ADDR_TEXT];
    int code = cor_listen(&listener, "tcp", address, NULL);
    if (code == 0) {
        fprintf(stderr, "listening %s\n", cor_listener_addr(listener, text, sizeof text));
        code = cor_serve_until_signal(listener, session, NULL, 5 * COR_SECOND);
    }
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", (char *)address, cor_strerror(code));
    }
    return code < 0;
}

int main(int argc, char **argv)
{
    return cor_run(serve, argc > 1 ? argv[1] : "127.0.0.1:6380", NULL);
}
