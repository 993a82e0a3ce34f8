/* SPDX-License-Identifier: MIT */
/*
 * Two buffers: lines are put into `filling`; the thread swaps it with the empty one and writes it in one go, unlocked.
 * Invariant: `writing` belongs to the thread alone while `busy`. The lock is held for copying only, never over a write.
 */
#include "line_writer.h"

#include "escape.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Above this a buffer's pages go back to the kernel once it is written: bursts are rare, memory is not kept for them.
 */
#define KEEP_BYTES ((size_t)64 * 1024)

struct line_writer {
    pthread_mutex_t lock;
    pthread_cond_t filled;  /* something to write, or ending */
    pthread_cond_t emptied; /* everything is written */
    char *filling;          /* under lock */
    char *writing;          /* the thread's */
    size_t used;            /* bytes in filling */
    size_t capacity;        /* bytes each buffer can take */
    uint64_t dropped;       /* lines lost, ever */
    uint64_t reported;      /* of those, told to on_drop */
    bool busy;              /* the thread is writing */
    bool broken;            /* nobody reads the descriptor any more */
    bool ending;
    int fd;
    void (*on_drop)(uint64_t count);
    pthread_t thread;
};

static uint64_t count_lines(const char *text, size_t size)
{
    uint64_t lines = 0;
    const char *end = text + size;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        lines++;
        text++;
    }
    return lines;
}

/* Writes everything; returns the bytes that were not taken, and sets *error if that is the end of the descriptor. */
static size_t write_all(int fd, const char *text, size_t size, int *error)
{
    *error = 0;
    while (size > 0) {
        ssize_t count = write(fd, text, size);
        if (count >= 0) {
            text += count;
            size -= (size_t)count;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            *error = errno;
            break;
        }
    }
    return size;
}

/* Takes what is queued and writes it; called and returns with the lock held. */
static void write_batch(line_writer *writer)
{
    char *batch = writer->filling;
    size_t size = writer->used;
    writer->filling = writer->writing;
    writer->writing = batch;
    writer->used = 0;
    writer->busy = true;
    pthread_mutex_unlock(&writer->lock);

    int error;
    size_t lost = write_all(writer->fd, batch, size, &error);
    uint64_t lost_lines = count_lines(batch + size - lost, lost);
    if (size > KEEP_BYTES) {
        madvise(batch, writer->capacity, MADV_DONTNEED);
    }

    pthread_mutex_lock(&writer->lock);
    writer->busy = false;
    writer->dropped += lost_lines;
    /* A full disk may have room again; a reader that has gone does not come back. */
    writer->broken = error == EPIPE || error == EBADF;
    uint64_t news = error == 0 ? writer->dropped - writer->reported : 0;
    writer->reported += news;
    if (news > 0 && writer->on_drop != NULL) {
        pthread_mutex_unlock(&writer->lock);
        writer->on_drop(news);
        pthread_mutex_lock(&writer->lock);
    }
}

static void *write_lines(void *arg)
{
    line_writer *writer = arg;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        if (writer->used > 0) {
            write_batch(writer);
            continue;
        }
        pthread_cond_broadcast(&writer->emptied);
        if (writer->ending) {
            break;
        }
        pthread_cond_wait(&writer->filled, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* Starts the thread with all signals blocked: they are for the workers. */
static int start_writer(line_writer *writer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&writer->thread, NULL, write_lines, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

line_writer *line_writer_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count))
{
    line_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return NULL;
    }
    void *memory = mmap(NULL, 2 * capacity_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(writer);
        return NULL;
    }
    writer->filling = memory;
    writer->writing = writer->filling + capacity_bytes;
    writer->capacity = capacity_bytes;
    writer->fd = fd;
    writer->on_drop = on_drop;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->filled, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->emptied, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (start_writer(writer) != 0) {
        munmap(memory, 2 * capacity_bytes);
        free(writer);
        return NULL;
    }
    return writer;
}

static size_t part_size(const line_part *part)
{
    return part->foreign ? escape_size(part->bytes, part->size, 0) : part->size;
}

bool line_writer_put(line_writer *writer, const line_part *parts, size_t count)
{
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        total += part_size(&parts[i]);
    }
    pthread_mutex_lock(&writer->lock);
    bool fits = !writer->broken && total <= writer->capacity - writer->used;
    if (fits) {
        char *to = writer->filling + writer->used;
        for (size_t i = 0; i < count; i++) {
            if (parts[i].foreign) {
                to = escape_copy(to, parts[i].bytes, parts[i].size, 0);
            } else {
                to = mempcpy(to, parts[i].bytes, parts[i].size);
            }
        }
        *to = '\n';
        if (writer->used == 0) {
            pthread_cond_signal(&writer->filled);
        }
        writer->used += total;
    } else {
        writer->dropped++;
    }
    pthread_mutex_unlock(&writer->lock);
    return fits;
}

/* The time `timeout_ns` from now, as pthread_cond_timedwait wants it. */
static struct timespec time_after(int64_t timeout_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = now.tv_nsec + timeout_ns % 1000000000;
    now.tv_sec += timeout_ns / 1000000000 + ns / 1000000000;
    now.tv_nsec = ns % 1000000000;
    return now;
}

/* As line_writer_flush, with the lock held. */
static bool wait_emptied(line_writer *writer, int64_t timeout_ns)
{
    struct timespec until = time_after(timeout_ns);
    while (writer->used > 0 || writer->busy) {
        if (pthread_cond_timedwait(&writer->emptied, &writer->lock, &until) != 0) {
            return false;
        }
    }
    return true;
}

bool line_writer_flush(line_writer *writer, int64_t timeout_ns)
{
    pthread_mutex_lock(&writer->lock);
    bool done = wait_emptied(writer, timeout_ns);
    pthread_mutex_unlock(&writer->lock);
    return done;
}

uint64_t line_writer_dropped(line_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t dropped = writer->dropped;
    pthread_mutex_unlock(&writer->lock);
    return dropped;
}

void line_writer_close(line_writer *writer, int64_t timeout_ns)
{
    if (writer == NULL) {
        return;
    }
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    pthread_cond_signal(&writer->filled);
    bool done = wait_emptied(writer, timeout_ns);
    pthread_mutex_unlock(&writer->lock);
    if (!done) {
        pthread_detach(writer->thread);
        return;
    }
    pthread_join(writer->thread, NULL);
    char *memory = writer->filling < writer->writing ? writer->filling : writer->writing;
    munmap(memory, 2 * writer->capacity);
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->filled);
    pthread_cond_destroy(&writer->emptied);
    free(writer);
}
