/* SPDX-License-Identifier: MIT */
/*
 * Another C library in tasks: many tasks count a key up through hiredis, each on a connection of its own.
 *     ./example_hiredis_tasks 127.0.0.1 6380 TASKS TIMES
 * hiredis never waits here: it says what it would wait for, and cor_wait_fd parks the task until then.
 */
#include <coracle.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    const char *ip;
    int port, tasks, times;
    _Atomic int answers;
} job;

/* Asks and gives the answer, which the caller frees: 0, an error of cor_wait_fd, or -EIO: see context->errstr. */
static int ask(redisReply **answer, redisContext *context, int64_t deadline, const char *format, ...)
{
    va_list values;
    int rc, sent = 0;
    void *got = NULL;

    va_start(values, format);
    rc = redisvAppendCommand(context, format, values) == REDIS_OK ? 0 : -EIO;
    va_end(values);
    while (rc >= 0 && !sent) {
        rc = cor_wait_fd(context->fd, COR_WRITABLE, deadline); /* while it connects, too */
        if (rc > 0 && redisBufferWrite(context, &sent) != REDIS_OK) {
            rc = -EIO;
        }
    }
    while (rc >= 0 && redisGetReplyFromReader(context, &got) == REDIS_OK && got == NULL) {
        rc = cor_wait_fd(context->fd, COR_READABLE, deadline);
        if (rc > 0 && redisBufferRead(context) != REDIS_OK) {
            rc = -EIO;
        }
    }
    *answer = got;
    return rc < 0 ? rc : got == NULL ? -EIO : 0;
}

/* One task: the first error, of any of them, cancels all of the group, and their waits end. */
static int count_up(void *unused)
{
    (void)unused;
    redisContext *context = redisConnectNonBlock(job.ip, job.port); /* a name would stop the thread: use addresses */
    int rc = context == NULL ? -ENOMEM : context->err != 0 ? -EIO : 0;
    for (int i = 0; rc == 0 && i < job.times; i++) {
        redisReply *answer = NULL;
        rc = ask(&answer, context, cor_after(2 * COR_SECOND), "INCR visits");
        if (rc == 0 && answer->type == REDIS_REPLY_ERROR) {
            fprintf(stderr, "server: %s\n", answer->str);
            rc = -EPROTO;
        } else if (rc == 0) {
            job.answers++;
        }
        freeReplyObject(answer);
    }
    if (rc == -EIO) {
        fprintf(stderr, "hiredis: %s\n", context->errstr);
    }
    redisFree(context); /* NULL is accepted */
    return rc;
}

static int run(void *unused)
{
    cor_group group = {0};
    int rc = 0;
    (void)unused;
    for (int i = 0; rc == 0 && i < job.tasks; i++) {
        rc = cor_group_go_err(&group, count_up, NULL);
    }
    int failed = cor_group_wait(&group, 0);
    rc = rc < 0 ? rc : failed;
    printf("%d answers%s%s\n", job.answers, rc < 0 ? ", ended by: " : "", rc < 0 ? cor_strerror(rc) : "");
    return rc < 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s IP PORT TASKS TIMES\n", argv[0]);
        return 2;
    }
    job.ip = argv[1];
    job.port = atoi(argv[2]);
    job.tasks = atoi(argv[3]);
    job.times = atoi(argv[4]);
    return cor_run(run, NULL, NULL);
}
