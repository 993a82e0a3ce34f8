/* SPDX-License-Identifier: MIT */
/*
 * One ring per worker, from it to the writer's thread; one more, with a lock, for all threads that are no workers.
 *
 * Who touches what. `head` and the bytes before it are the putting side's, `tail` is the writer's, each on a cache line
 * of its own; the putting side looks at `tail` only when the ring seems half full. `state` and `broken` are read with
 * every record and written once per pause. To put a record costs a copy and one ordered store; there is no lock, and
 * no system call but for a worker's first record and for one that wakes the writer. The writer may lose its CPU at any
 * moment: nobody waits for it.
 *
 * When the writer looks. A futex call per record would cost more than all the rest, so while records come it is not
 * woken at all: it writes what there is, naps for NAP_NS, and looks again. If a nap brought nothing it goes to sleep,
 * and the next record wakes it, with one post. A record is therefore written at once after a silence, and at most a nap
 * late in traffic; and an idle program uses no CPU. A nap ends early when a ring is half full, and for a flush. To
 * sleep once and write once, with cold caches, costs 35 us: 0.4 % of a CPU in traffic, however much there is.
 *
 * No wake-up is lost: the putting side stores `head` and then reads `state`, the writer stores `state` and then reads
 * every `head`, all sequentially consistent; one of them sees the other. It is the same with `asked` and `ending`. A
 * post too many makes the writer look once for nothing. A close sets `ending` and then asks; a thread that sees the
 * first may go before the second, and therefore answers all that will ever be asked.
 *
 * A record never straddles: one that does in the ring is put together in `scratch` before it is formatted. Its room is
 * given back when its text is in `text`, so that a descriptor that blocks holds up to a whole ring of records, and a
 * buffer of text. A crash loses what is in both: what was put in the last 10 ms.
 */
#include "line_writer.h"

#include "hold_signals.h"

#include <coracle.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Lines are at most 10 ms late; the rest is for the kernel, to wake the writer, and for the writer, to write them. */
#define NAP_NS (INT64_C(8) * 1000000)
/* So much text is written at once, and so much memory of the buffer for it is kept. */
#define CHUNK_BYTES ((size_t)64 * 1024)
/* While lines come, losses are told of this often. */
#define TELL_NS (INT64_C(100) * 1000000)
#define CACHE_LINE 64
/* The ring of threads that are no workers is the first one; cor_run has at most 256 workers. */
enum { RINGS = 1 + 256 };

enum { AWAKE, NAPPING, ASLEEP };

/* What is before each record; as long as the alignment of records. */
typedef struct head {
    line_format *format;
    uint64_t size;
} head;

typedef struct ring {
    _Atomic uint64_t head;                     /* bytes ever put; the putting side's, as the next two */
    uint64_t tail_seen;                        /* tail, some time ago */
    _Atomic uint64_t dropped;                  /* records without room, ever */
    alignas(CACHE_LINE) _Atomic uint64_t tail; /* bytes ever taken; the writer's */
    alignas(CACHE_LINE) char bytes[];
} ring;

struct line_writer {
    alignas(CACHE_LINE) _Atomic int state;
    atomic_bool broken; /* nobody reads the descriptor any more */
    atomic_bool ending;
    _Atomic size_t rings_used; /* rings from here on are NULL */
    size_t capacity;           /* bytes of each ring, a power of two */
    _Atomic(ring *) rings[RINGS];
    pthread_mutex_t lock;   /* for the first ring's putting side, and for flushes */
    pthread_cond_t written; /* answered has changed */
    _Atomic uint64_t asked; /* flushes, ever; written under lock */
    uint64_t answered;      /* flushes that have what they waited for; written under lock, by the thread */
    sem_t wake;
    pthread_t thread;
    /* From here on the thread's. */
    alignas(CACHE_LINE) char *text; /* text_bytes of room */
    char *scratch;                  /* capacity bytes: a record that the end of its ring has cut */
    size_t used;                    /* bytes in text */
    _Atomic uint64_t lost;          /* lines that the descriptor did not take, ever */
    uint64_t reported;              /* lines lost or dropped, told to on_drop */
    struct timespec told;           /* when that was */
    bool failed;                    /* the last write */
    void (*on_drop)(uint64_t count);
    _Atomic(int64_t (*)(bool ending)) between; /* NULL: nothing is to be called; written once, by anybody */
    _Atomic int next_fd;                       /* what to write to from the next round on; -1: `fd` still */
    bool owns_fd;
    int fd;
};

/* Room for a chunk, and for the text of the record that makes it one. */
static size_t text_bytes(const line_writer *writer)
{
    return CHUNK_BYTES + LINE_WRITER_TEXT_MAX(writer->capacity);
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* The time `timeout_ns` from now. */
static struct timespec time_after(int64_t timeout_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = now.tv_nsec + timeout_ns % 1000000000;
    now.tv_sec += timeout_ns / 1000000000 + ns / 1000000000;
    now.tv_nsec = ns % 1000000000;
    return now;
}

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

uint64_t line_writer_dropped(line_writer *writer)
{
    uint64_t dropped = atomic_load(&writer->lost);
    for (size_t i = 0; i < atomic_load(&writer->rings_used); i++) {
        ring *one = atomic_load(&writer->rings[i]);
        dropped += one == NULL ? 0 : atomic_load_explicit(&one->dropped, memory_order_relaxed);
    }
    return dropped;
}

/* Writes the text there is. */
static void write_text(line_writer *writer)
{
    int error;
    size_t size = writer->used;
    size_t lost = write_all(writer->fd, writer->text, size, &error);
    atomic_fetch_add(&writer->lost, count_lines(writer->text + size - lost, lost));
    if (size > 2 * CHUNK_BYTES) {
        madvise(writer->text, text_bytes(writer), MADV_DONTNEED);
    }
    writer->used = 0;
    writer->failed = error != 0;
    /* A full disk may have room again; a reader that has gone does not come back. */
    atomic_store(&writer->broken, error == EPIPE || error == EBADF);
}

/* Copies to the ring, from the byte number `to` on. */
static void copy_in(const line_writer *writer, ring *into, uint64_t to, const void *bytes, size_t size)
{
    size_t at = to & (writer->capacity - 1);
    size_t first = size <= writer->capacity - at ? size : writer->capacity - at;
    memcpy(into->bytes + at, bytes, first);
    memcpy(into->bytes, (const char *)bytes + first, size - first);
}

/* The record of which the head is the byte number `from`, in one piece. */
static const void *record_at(const line_writer *writer, const ring *of, uint64_t from, size_t size)
{
    size_t at = (from + sizeof(head)) & (writer->capacity - 1);
    size_t first = writer->capacity - at;
    if (size <= first) {
        return of->bytes + at;
    }
    memcpy(writer->scratch, of->bytes + at, first);
    memcpy(writer->scratch + first, of->bytes, size - first);
    return writer->scratch;
}

static uint64_t room_of(size_t size)
{
    return (sizeof(head) + size + sizeof(head) - 1) & ~(sizeof(head) - 1);
}

/* Takes all that was in a ring at the beginning, and no more: the other rings have their turn. */
static bool empty_ring(line_writer *writer, ring *from)
{
    uint64_t tail = atomic_load_explicit(&from->tail, memory_order_relaxed), end = atomic_load(&from->head);
    bool found = tail != end;
    while (tail != end) {
        const head *next = (const head *)(from->bytes + (tail & (writer->capacity - 1)));
        const void *record = record_at(writer, from, tail, next->size);
        char *to = writer->text + writer->used;
        writer->used += (size_t)(next->format(to, record, next->size) - to);
        tail += room_of(next->size);
        if (writer->used >= CHUNK_BYTES || tail == end) {
            atomic_store_explicit(&from->tail, tail, memory_order_release);
        }
        if (writer->used >= CHUNK_BYTES) {
            write_text(writer);
        }
    }
    return found;
}

static bool anything_waits(line_writer *writer)
{
    for (size_t i = 0; i < atomic_load(&writer->rings_used); i++) {
        ring *one = atomic_load(&writer->rings[i]);
        if (one != NULL && atomic_load(&one->head) != atomic_load_explicit(&one->tail, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Takes the descriptor that is to be written to from now on, if there is another one. */
static void take_next_fd(line_writer *writer)
{
    int next = atomic_exchange(&writer->next_fd, -1);
    if (next >= 0) {
        if (writer->owns_fd) {
            close(writer->fd);
        }
        writer->fd = next;
        writer->owns_fd = true;
        atomic_store(&writer->broken, false);
    }
}

/* Writes all that was there at the beginning; tells whether that was anything. */
static bool write_round(line_writer *writer)
{
    bool found = false;
    take_next_fd(writer);
    for (size_t i = 0; i < atomic_load(&writer->rings_used); i++) {
        ring *one = atomic_load(&writer->rings[i]);
        found = (one != NULL && empty_ring(writer, one)) || found;
    }
    if (writer->used > 0) {
        write_text(writer);
    }
    return found;
}

/* Tells of lines that were lost if the descriptor takes lines again; not for each chunk of a flood. */
static bool tell_of_losses(line_writer *writer, bool in_flood)
{
    uint64_t news = line_writer_dropped(writer) - writer->reported;
    if (news == 0 || writer->failed || writer->on_drop == NULL) {
        return false;
    }
    struct timespec now = time_after(0);
    if (in_flood && (now.tv_sec - writer->told.tv_sec) * 1000000000 + now.tv_nsec - writer->told.tv_nsec < TELL_NS) {
        return false;
    }
    writer->told = now;
    writer->reported += news;
    writer->on_drop(news);
    return true;
}

/* Naps if there was something just now, else sleeps until there is, or for `most_ns` if that is not 0. */
static void rest(line_writer *writer, bool found, int64_t most_ns)
{
    atomic_store(&writer->state, found ? NAPPING : ASLEEP);
    bool wanted = atomic_load(&writer->asked) != writer->answered || atomic_load(&writer->ending) ||
                  atomic_load(&writer->next_fd) >= 0;
    if (!wanted && (found || (most_ns > 0 && !anything_waits(writer)))) {
        struct timespec until = time_after(found ? NAP_NS : most_ns);
        sem_clockwait(&writer->wake, CLOCK_MONOTONIC, &until);
    } else if (!wanted && !anything_waits(writer)) {
        sem_wait(&writer->wake);
    }
    atomic_store(&writer->state, AWAKE);
}

/* Ends the writer's sleep, or also a nap. */
static void rouse(line_writer *writer, bool from_nap)
{
    int state = atomic_load(&writer->state);
    if ((state == ASLEEP || (state == NAPPING && from_nap)) &&
        atomic_compare_exchange_strong(&writer->state, &state, AWAKE)) {
        sem_post(&writer->wake);
    }
}

static void *write_lines(void *arg)
{
    line_writer *writer = arg;
    for (;;) {
        uint64_t asked = atomic_load(&writer->asked);
        bool ending = atomic_load(&writer->ending);
        bool found = write_round(writer);
        found = tell_of_losses(writer, found) || found; /* which may be another line for this thread */
        int64_t (*between)(bool) = atomic_load(&writer->between);
        int64_t again = between != NULL ? between(ending) : 0;
        found = again < 0 || found;
        bool done = ending && !found;
        if (done) { /* a close may be about to ask, and must not wait for a thread that has gone */
            asked = UINT64_MAX;
        }
        if (asked != writer->answered &&
            (done || !ending)) { /* at the end nobody waits for a thread that still writes */
            pthread_mutex_lock(&writer->lock);
            writer->answered = asked;
            pthread_cond_broadcast(&writer->written);
            pthread_mutex_unlock(&writer->lock);
        }
        if (done) {
            return NULL;
        }
        rest(writer, found, again);
    }
}

/* Starts the thread with all signals blocked: they are for the workers. */
static int start_writer(line_writer *writer)
{
    sigset_t before;
    hold_signals(&before);
    int error = pthread_create(&writer->thread, NULL, write_lines, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Gives back all memory; the thread has ended or never began. */
static void destroy(line_writer *writer)
{
    for (size_t i = 0; i < writer->rings_used; i++) {
        ring *one = writer->rings[i];
        if (one != NULL) {
            munmap(one, sizeof(*one) + writer->capacity);
        }
    }
    if (writer->text != NULL) {
        munmap(writer->text, text_bytes(writer));
    }
    if (writer->scratch != NULL) {
        munmap(writer->scratch, writer->capacity);
    }
    take_next_fd(writer);
    if (writer->owns_fd) {
        close(writer->fd);
    }
    sem_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->written);
    free(writer);
}

/* A ring, made when it is first asked for, by the side that puts; NULL if there is no memory for it. */
static ring *ring_number(line_writer *writer, size_t number)
{
    ring *mine = atomic_load_explicit(&writer->rings[number], memory_order_relaxed);
    if (mine == NULL && (mine = map(sizeof(*mine) + writer->capacity)) != NULL) {
        atomic_store(&writer->rings[number], mine);
        size_t used = atomic_load(&writer->rings_used);
        while (used <= number && !atomic_compare_exchange_weak(&writer->rings_used, &used, number + 1)) {}
    }
    return mine;
}

line_writer *line_writer_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count))
{
    line_writer *writer = aligned_alloc(CACHE_LINE, sizeof(*writer));
    if (writer == NULL) {
        return NULL;
    }
    memset(writer, 0, sizeof(*writer));
    writer->capacity = capacity_bytes;
    writer->fd = fd;
    writer->on_drop = on_drop;
    atomic_store(&writer->next_fd, -1);
    sem_init(&writer->wake, 0, 0);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->written, &monotonic);
    pthread_condattr_destroy(&monotonic);
    writer->text = map(text_bytes(writer));
    writer->scratch = map(writer->capacity);
    if (writer->text == NULL || writer->scratch == NULL || ring_number(writer, 0) == NULL ||
        start_writer(writer) != 0) {
        destroy(writer);
        return NULL;
    }
    return writer;
}

/* Puts a record into the caller's ring if it has room. */
static bool put(line_writer *writer, ring *to, line_format *format, const struct iovec *pieces, size_t count)
{
    uint64_t size = 0, from = atomic_load_explicit(&to->head, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].iov_len;
    }
    uint64_t end = from + room_of(size);
    if (end - to->tail_seen > writer->capacity / 2) {
        to->tail_seen = atomic_load_explicit(&to->tail, memory_order_acquire);
    }
    if (end - to->tail_seen > writer->capacity || atomic_load_explicit(&writer->broken, memory_order_relaxed)) {
        uint64_t dropped = atomic_load_explicit(&to->dropped, memory_order_relaxed);
        atomic_store_explicit(&to->dropped, dropped + 1, memory_order_relaxed);
        return false;
    }
    size_t at = from & (writer->capacity - 1);
    *(head *)(to->bytes + at) = (head){format, size};
    char *next = to->bytes + at + sizeof(head);
    bool whole = at + sizeof(head) + size <= writer->capacity;
    from += sizeof(head);
    for (size_t i = 0; i < count; i++) {
        if (whole) {
            next = mempcpy(next, pieces[i].iov_base, pieces[i].iov_len);
        } else {
            copy_in(writer, to, from, pieces[i].iov_base, pieces[i].iov_len);
            from += pieces[i].iov_len;
        }
    }
    atomic_store(&to->head, end);
    rouse(writer, end - to->tail_seen > writer->capacity / 2);
    return true;
}

bool line_writer_put(line_writer *writer, line_format *format, const struct iovec *pieces, size_t count)
{
    size_t number = (size_t)(cor_worker_id() + 1);
    if (number > 0 && number < RINGS) {
        ring *mine = ring_number(writer, number);
        if (mine != NULL) {
            return put(writer, mine, format, pieces, count);
        }
    }
    pthread_mutex_lock(&writer->lock);
    bool done = put(writer, ring_number(writer, 0), format, pieces, count);
    pthread_mutex_unlock(&writer->lock);
    return done;
}

void line_writer_between(line_writer *writer, int64_t (*between)(bool ending))
{
    atomic_store(&writer->between, between);
}

void line_writer_change_fd(line_writer *writer, int fd)
{
    int skipped = atomic_exchange(&writer->next_fd, fd);
    if (skipped >= 0) {
        close(skipped);
    }
    rouse(writer, true);
}

bool line_writer_flush(line_writer *writer, int64_t timeout_ns)
{
    struct timespec until = time_after(timeout_ns);
    int late = 0;
    pthread_mutex_lock(&writer->lock);
    uint64_t ticket = atomic_fetch_add(&writer->asked, 1) + 1;
    rouse(writer, true);
    while (writer->answered < ticket && late == 0) {
        late = pthread_cond_timedwait(&writer->written, &writer->lock, &until);
    }
    bool done = writer->answered >= ticket;
    pthread_mutex_unlock(&writer->lock);
    return done;
}

bool line_writer_close(line_writer *writer, int64_t timeout_ns)
{
    if (writer == NULL) {
        return true;
    }
    atomic_store(&writer->ending, true);
    if (!line_writer_flush(writer, timeout_ns)) {
        pthread_detach(writer->thread);
        return false;
    }
    pthread_join(writer->thread, NULL);
    destroy(writer);
    return true;
}
