/* SPDX-License-Identifier: MIT */
/*
 * Two buffers: lines are put into `filling`; the thread swaps it with the empty one and writes it in one go, unlocked.
 * Invariant: `writing` belongs to the thread alone while `busy`. The lock is held for copying only, never over a write.
 */
#include "lineq.h"

#include "safe.h"

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

struct lineq {
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
static void write_batch(lineq *queue)
{
    char *batch = queue->filling;
    size_t size = queue->used;
    queue->filling = queue->writing;
    queue->writing = batch;
    queue->used = 0;
    queue->busy = true;
    pthread_mutex_unlock(&queue->lock);

    int error;
    size_t lost = write_all(queue->fd, batch, size, &error);
    uint64_t lost_lines = count_lines(batch + size - lost, lost);
    if (size > KEEP_BYTES) {
        madvise(batch, queue->capacity, MADV_DONTNEED);
    }

    pthread_mutex_lock(&queue->lock);
    queue->busy = false;
    queue->dropped += lost_lines;
    /* A full disk may have room again; a reader that has gone does not come back. */
    queue->broken = error == EPIPE || error == EBADF;
    uint64_t news = error == 0 ? queue->dropped - queue->reported : 0;
    queue->reported += news;
    if (news > 0 && queue->on_drop != NULL) {
        pthread_mutex_unlock(&queue->lock);
        queue->on_drop(news);
        pthread_mutex_lock(&queue->lock);
    }
}

static void *writer(void *arg)
{
    lineq *queue = arg;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        if (queue->used > 0) {
            write_batch(queue);
            continue;
        }
        pthread_cond_broadcast(&queue->emptied);
        if (queue->ending) {
            break;
        }
        pthread_cond_wait(&queue->filled, &queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* Starts the thread with all signals blocked: they are for the workers. */
static int start_writer(lineq *queue)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&queue->thread, NULL, writer, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

lineq *lineq_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count))
{
    lineq *queue = calloc(1, sizeof(*queue));
    if (queue == NULL) {
        return NULL;
    }
    void *memory = mmap(NULL, 2 * capacity_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(queue);
        return NULL;
    }
    queue->filling = memory;
    queue->writing = queue->filling + capacity_bytes;
    queue->capacity = capacity_bytes;
    queue->fd = fd;
    queue->on_drop = on_drop;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->emptied, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (start_writer(queue) != 0) {
        munmap(memory, 2 * capacity_bytes);
        free(queue);
        return NULL;
    }
    return queue;
}

static size_t part_size(const line_part *part)
{
    return part->foreign ? safe_size(part->bytes, part->size, 0) : part->size;
}

bool lineq_put(lineq *queue, const line_part *parts, size_t count)
{
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        total += part_size(&parts[i]);
    }
    pthread_mutex_lock(&queue->lock);
    bool fits = !queue->broken && total <= queue->capacity - queue->used;
    if (fits) {
        char *to = queue->filling + queue->used;
        for (size_t i = 0; i < count; i++) {
            if (parts[i].foreign) {
                to = safe_copy(to, parts[i].bytes, parts[i].size, 0);
            } else {
                to = mempcpy(to, parts[i].bytes, parts[i].size);
            }
        }
        *to = '\n';
        if (queue->used == 0) {
            pthread_cond_signal(&queue->filled);
        }
        queue->used += total;
    } else {
        queue->dropped++;
    }
    pthread_mutex_unlock(&queue->lock);
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

/* As lineq_flush, with the lock held. */
static bool wait_emptied(lineq *queue, int64_t timeout_ns)
{
    struct timespec until = time_after(timeout_ns);
    while (queue->used > 0 || queue->busy) {
        if (pthread_cond_timedwait(&queue->emptied, &queue->lock, &until) != 0) {
            return false;
        }
    }
    return true;
}

bool lineq_flush(lineq *queue, int64_t timeout_ns)
{
    pthread_mutex_lock(&queue->lock);
    bool done = wait_emptied(queue, timeout_ns);
    pthread_mutex_unlock(&queue->lock);
    return done;
}

uint64_t lineq_dropped(lineq *queue)
{
    pthread_mutex_lock(&queue->lock);
    uint64_t dropped = queue->dropped;
    pthread_mutex_unlock(&queue->lock);
    return dropped;
}

void lineq_close(lineq *queue, int64_t timeout_ns)
{
    if (queue == NULL) {
        return;
    }
    pthread_mutex_lock(&queue->lock);
    queue->ending = true;
    pthread_cond_signal(&queue->filled);
    bool done = wait_emptied(queue, timeout_ns);
    pthread_mutex_unlock(&queue->lock);
    if (!done) {
        pthread_detach(queue->thread);
        return;
    }
    pthread_join(queue->thread, NULL);
    char *memory = queue->filling < queue->writing ? queue->filling : queue->writing;
    munmap(memory, 2 * queue->capacity);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->filled);
    pthread_cond_destroy(&queue->emptied);
    free(queue);
}
