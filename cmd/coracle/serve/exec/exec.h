/* SPDX-License-Identifier: MIT */
/* The service exec: a process per connection. */
#ifndef CORACLE_CMD_SERVE_EXEC_EXEC_H
#define CORACLE_CMD_SERVE_EXEC_EXEC_H

struct serve;

/*
 * Takes what stands after `--` as the program: its path is looked for once, as a shell does. Returns an exit code,
 * after one line on stderr if it is none.
 */
int exec_set_program(struct serve *serve, int count, char **words);

/* Gives back what exec_set_program has made. */
void exec_clear(struct serve *serve);

/* Kills all processes: the server ends at once. */
void exec_kill_all(void);

#endif
