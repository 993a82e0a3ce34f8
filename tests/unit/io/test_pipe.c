/* SPDX-License-Identifier: MIT */
/*
 * How much a read from a pipe copies under the pipe's spin lock, and what may happen between two pieces. The source is
 * compiled into this file with a look at each lock, unlock and copy.
 */
/* test: workers=1 */
#include "support/taskcase.h"

#include "base/lock.h"
#include "net/slot.h"

#include <coracle/io.h>
#include <coracle/net.h>
#include <string.h>

enum { PIECES = 5, BYTES = PIECES * CORI_PIPE_PIECE_BYTES + 100 };

static size_t copied, most_copied; /* while the lock is held */
static void (*between)(void);      /* runs once, after the first piece */

static void given_back(void)
{
    void (*run)(void) = copied != 0 ? between : NULL;
    most_copied = copied > most_copied ? copied : most_copied;
    copied = 0;
    if (run != NULL) {
        between = NULL;
        run();
    }
}

/* A macro does not name itself again: what it calls is the function. */
#define cori_spin_unlock(word) (cori_spin_unlock(word), given_back())
#undef memcpy
#define memcpy(to, from, size) (copied += (size), memcpy(to, from, size))
#include "io/pipe.c"

static char sent[BYTES], received[BYTES];
static cor_conn *writer, *reader;
static int write_result;
static size_t written;

static void write_all_of_it(void *arg)
{
    (void)arg;
    write_result = cor_write_counted(writer, sent, BYTES, &written);
}

/* Fills `sent` and starts the task that writes it. */
static void start(cor_group *group)
{
    for (size_t i = 0; i < BYTES; i++) {
        sent[i] = (char)(i * 31 + i / 251);
    }
    memset(received, 0, BYTES);
    most_copied = copied = 0;
    T_CODE(cor_pipe(&writer, &reader), 0);
    T_CODE(cor_group_go(group, write_all_of_it, NULL), 0);
    T_CODE(cor_wait_readable(reader), 0);
}

static void finish(cor_group *group)
{
    T_CODE(cor_group_wait(group, 0), 0);
    T_CODE(cor_close(writer), 0);
    T_CODE(cor_close(reader), 0);
}

/* The reader sees nothing of the pieces. */
TASK_TEST(a_large_read_is_one)
{
    cor_group group = {0};
    start(&group);
    T_EQ(cor_read(reader, received, BYTES), BYTES);
    T_EQ(most_copied, CORI_PIPE_PIECE_BYTES);
    T_EQ(memcmp(sent, received, BYTES), 0);
    finish(&group);
    T_CODE(write_result, 0);
    T_EQ(written, BYTES);
}

static void write_three(void *unused)
{
    (void)unused;
    T_EQ(cor_write(writer, "new", 3), 3);
}

static cor_group second;

/* And another writes. */
static void let_the_writer_give_up(void)
{
    T_CODE(cor_set_write_deadline(writer, 1), 0);
    while (write_result == 1) {
        cor_yield();
    }
    T_CODE(cor_set_write_deadline(writer, 0), 0);
    T_CODE(cor_group_go(&second, write_three, NULL), 0);
    cor_yield();
}

/* A read takes of one write. */

TASK_TEST(a_writer_that_gives_up_in_between)
{
    cor_group group = {0};
    write_result = 1;
    start(&group);
    between = let_the_writer_give_up;
    T_EQ(cor_read(reader, received, BYTES), CORI_PIPE_PIECE_BYTES);
    T_CODE(write_result, COR_ETIMEOUT);
    T_EQ(written, CORI_PIPE_PIECE_BYTES);
    T_EQ(memcmp(sent, received, CORI_PIPE_PIECE_BYTES), 0);
    T_EQ(cor_read(reader, received, BYTES), 3);
    T_EQ(memcmp(received, "new", 3), 0);
    T_CODE(cor_group_wait(&second, 0), 0);
    finish(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_read_is_one),
        cmocka_unit_test(a_writer_that_gives_up_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
