/* SPDX-License-Identifier: MIT */
/* What a dump says of a task that waits: Go's words for each kind of wait. N320. */
#include "unit/sync/waiting.h"

#include <sys/mman.h>
#include <unistd.h>

static cor_chan *chan;
static cor_mutex mutex, cond_mutex;
static cor_rwmutex lock;
static cor_cond cond;
static cor_waitgroup group;
static cor_waitgroup tasks;

static void send_one(void)
{
    T_CODE(cor_chan_send(chan, NULL, 0), COR_ECANCELED);
}

static void receive_one(void)
{
    cor_chan *empty = cor_chan_new(0, 0);
    T_CODE(cor_chan_recv(empty, NULL, 0), COR_ECANCELED);
    cor_chan_free(empty);
}

static void send_nil(void)
{
    T_CODE(cor_chan_send(NULL, NULL, 0), COR_ECANCELED);
}

static void receive_nil(void)
{
    T_CODE(cor_chan_recv(NULL, NULL, 0), COR_ECANCELED);
}

static void select_one(void)
{
    cor_case one = {COR_SEND, chan, NULL, 0};
    T_CODE(cor_select(&one, 1, 0), COR_ECANCELED);
}

static void select_none(void)
{
    T_CODE(cor_select(NULL, 0, 0), COR_ECANCELED);
}

static void lock_mutex(void)
{
    cor_mutex_lock(&mutex);
    cor_mutex_unlock(&mutex);
}

static void lock_reading(void)
{
    cor_rwmutex_rlock(&lock);
    cor_rwmutex_runlock(&lock);
}

static void lock_writing(void)
{
    cor_rwmutex_lock(&lock);
    cor_rwmutex_unlock(&lock);
}

static void wait_cond(void)
{
    cor_mutex_lock(&cond_mutex);
    T_CODE(cor_cond_wait(&cond, &cond_mutex, 0), COR_ECANCELED);
    cor_mutex_unlock(&cond_mutex);
}

static void wait_group(void)
{
    T_CODE(cor_waitgroup_wait(&group, 0), COR_ECANCELED);
}

typedef struct wait_kind {
    void (*fn)(void);
    const char *text;
} wait_kind;

static const wait_kind kinds[] = {
    {send_one, "[chan send,"},
    {receive_one, "[chan receive,"},
    {send_nil, "[chan send (nil chan),"},
    {receive_nil, "[chan receive (nil chan),"},
    {select_one, "[select,"},
    {select_none, "[select (no cases),"},
    {lock_mutex, "[sync.Mutex.Lock,"},
    {lock_reading, "[sync.RWMutex.RLock,"},
    {lock_writing, "[sync.RWMutex.Lock,"},
    {wait_cond, "[sync.Cond.Wait,"},
    {wait_group, "[sync.WaitGroup.Wait,"},
};

static void run_kind(void *arg)
{
    ((const wait_kind *)arg)->fn();
    cor_waitgroup_done(&tasks);
}

static bool dump_has(const char *text)
{
    static char dump[65536];
    int fd = memfd_create("dump", MFD_CLOEXEC);
    T_OK(fd);
    T_OK(cor_dump(fd));
    ssize_t size = pread(fd, dump, sizeof(dump) - 1, 0);
    T_OK(size);
    dump[size] = '\0';
    (void)close(fd);
    return strstr(dump, text) != NULL;
}

/* N306, N315 */
TASK_TEST(a_dump_names_the_wait)
{
    cor_group cancelled = {0};
    chan = cor_chan_new(0, 0);
    cor_waitgroup_add(&group, 1);
    cor_mutex_lock(&mutex);
    cor_rwmutex_lock(&lock);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_group_go(&cancelled, run_kind, (void *)(uintptr_t)&kinds[i]));
        T_EVENTUALLY(dump_has(kinds[i].text), SOON);
    }
    cor_group_cancel(&cancelled);
    cor_mutex_unlock(&mutex);
    cor_rwmutex_unlock(&lock);
    T_OK(cor_group_wait(&cancelled, 0));
    T_OK(cor_waitgroup_wait(&tasks, 0));
    cor_waitgroup_done(&group);
    cor_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_dump_names_the_wait)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
