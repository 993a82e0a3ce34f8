/* SPDX-License-Identifier: MIT */
/* The end of the log. In a process of its own: the log is for descriptors 1 and 2. */
/* sources: cmd/coracle/log.c cmd/coracle/line_writer.c cmd/coracle/log_record.c cmd/coracle/log_rate.c */
/* sources: cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

enum { LINES = 100000, SECONDS_MAX = 60, TEXT_BYTES = 65536 };

/* Makes a pipe of a descriptor. Returns the end to read. */
static int pipe_to(int fd)
{
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], fd) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        _exit(2);
    }
    close(ends[1]);
    return ends[0];
}

/* Nobody reads stdout until the log is closed; then its thread tells of lines that were lost. */
static void be_blocked_to_the_end(void)
{
    static char text[TEXT_BYTES];
    alarm(SECONDS_MAX);
    int out = pipe_to(STDOUT_FILENO), err = pipe_to(STDERR_FILENO);
    if (log_open(&(log_options){0}) != 0) {
        _exit(3);
    }
    for (int i = 0; i < LINES; i++) {
        log_say("%060d", i);
    }
    log_close();
    while (read(err, text, sizeof(text)) > 0) {}
    for (;;) {
        struct pollfd both[] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
        (void)poll(both, 2, -1);
        while (read(out, text, sizeof(text)) > 0) {}
        ssize_t size = read(err, text, sizeof(text) - 1);
        text[size > 0 ? size : 0] = '\0';
        if (strstr(text, "event=dropped stream=stdout") != NULL) {
            _exit(0);
        }
    }
}

static void test_blocked_to_the_end(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        be_blocked_to_the_end();
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
