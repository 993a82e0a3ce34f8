/* SPDX-License-Identifier: MIT */
/*
 * What ends `coracle serve`: the first SIGINT or SIGTERM asks it to finish, the second ends it at once. SIGHUP asks it
 * to read its files again, SIGUSR1 to open its log again, SIGUSR2 to start a successor.
 */
#ifndef CORACLE_CMD_SIGNALS_H
#define CORACLE_CMD_SIGNALS_H

/* Begins to catch SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. Task only. Returns 0 or a negative code. */
int signals_catch(void);

/* Waits for the next one. Returns its number, or a negative code. */
int signals_wait(void);

/* Obeys SIGUSR1: opens the log's file again. */
void signals_reopen_log(void);

/*
 * From now on SIGINT or SIGTERM ends the process at once with 128 + its number; SIGUSR1 is obeyed still. `before`,
 * unless it is NULL, is called first; it has to be quick.
 */
void signals_end_at_once(void (*before)(void));

#endif
