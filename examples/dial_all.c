/* SPDX-License-Identifier: MIT */
/*
 * Dials many addresses at once: reads them from its input, one a line, and prints which answer and which do not, 32 at
 * a time. An error of its own, Ctrl-C or the end of a minute ends all of it.
 *     printf '127.0.0.1:9999\nlocalhost:22\n' | ./example_dial_all
 */
#include <coracle.h>
#include <signal.h>
#include <stdio.h>

enum { WORKERS = 32 };

struct answer {
    char address[COR_ADDR_TEXT];
    int code;
    cor_error error; /* if the code is negative */
};

static cor_chan *addresses; /* of char[COR_ADDR_TEXT]: what is still to be dialed */
static cor_chan *answers;   /* of struct answer */
static cor_group group;     /* the reader and the workers */

static int read_addresses(void *input)
{
    cor_lines lines = cor_lines_of(input, COR_ADDR_TEXT - 1);
    char *line, address[COR_ADDR_TEXT];
    int code;

    while ((code = cor_lines_next(&lines, &line, NULL)) == 1) {
        snprintf(address, sizeof address, "%s", cor_trim(line, " \t\r"));
        code = cor_chan_send(addresses, address, 0);
        if (code < 0) {
            break;
        }
    }
    cor_chan_close(addresses); /* the workers take what is left, and then see the end */
    cor_lines_free(&lines);
    return code;
}

static int dial_some(void *unused)
{
    struct answer answer;
    cor_conn *conn;
    int code;
    (void)unused;

    while ((code = cor_chan_recv(addresses, answer.address, 0)) == 1) {
        answer.code = cor_dial_until(&conn, "tcp", answer.address, cor_after(5 * COR_SECOND), &answer.error);
        if (answer.code == 0) {
            cor_close(conn);
        }
        code = cor_chan_send(answers, &answer, 0);
        if (code < 0) {
            break;
        }
    }
    return code;
}

static void close_answers(void *unused)
{
    (void)unused;
    cor_group_wait(&group, 0);
    cor_chan_close(answers);
}

static void cancel_at_signal(void *unused)
{
    (void)unused;
    if (cor_signal_wait(0) > 0) {
        cor_group_cancel(&group);
    }
}

static int start(void)
{
    cor_conn *input;
    int code = cor_signal_catch(SIGINT);
    code = code < 0 ? code : cor_open_fd(&input, 0);
    cor_group_set_deadline(&group, cor_after(COR_MINUTE));
    code = code < 0 ? code : cor_group_go_err(&group, read_addresses, input);
    for (int i = 0; i < WORKERS && code == 0; i++) {
        code = cor_group_go_err(&group, dial_some, NULL);
    }
    code = code < 0 ? code : cor_go(close_answers, NULL);
    return code < 0 ? code : cor_go(cancel_at_signal, NULL);
}

/* Prints answers as they come, and each second how many there are. Returns how many dials have failed. */
static int print_answers(cor_timer *second)
{
    struct answer answer;
    char text[COR_ERROR_TEXT];
    int count = 0, failed = 0;

    for (;;) {
        cor_case cases[] = {
            {COR_RECV, answers, &answer, 0},
            {COR_RECV, cor_timer_chan(second), NULL, 0},
        };
        int which = cor_select(cases, 2, 0);
        if (which == 1) {
            fprintf(stderr, "%d answers\n", count);
        } else if (which < 0 || cases[0].result == 0) {
            return failed; /* closed: all tasks of the group have ended */
        } else {
            count++;
            failed += answer.code < 0;
            printf("%s\n", answer.code < 0 ? cor_error_text(&answer.error, text, sizeof text) : answer.address);
        }
    }
}

static int dial_all(void *unused)
{
    cor_timer *second = cor_ticker_new(COR_SECOND);
    (void)unused;

    addresses = cor_chan_new(COR_ADDR_TEXT, WORKERS);
    answers = cor_chan_new(sizeof(struct answer), 0);
    int code = second && addresses && answers ? start() : -ENOMEM;
    if (code < 0) {
        fprintf(stderr, "cannot start: %s\n", cor_strerror(code));
        return 1;
    }
    int failed = print_answers(second);
    code = cor_group_wait(&group, 0); /* the first error of a task, or 0 */
    if (code < 0) {
        fprintf(stderr, "ended early: %s\n", cor_strerror(code));
    }
    cor_timer_free(second);
    cor_chan_free(addresses);
    cor_chan_free(answers);
    return code < 0 || failed > 0;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cor_run(dial_all, NULL, NULL);
}
