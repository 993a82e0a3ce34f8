/* SPDX-License-Identifier: MIT */
/*
 * --sandbox: the process gives up what it does not need, so that whoever takes it over by a bug has little of the host.
 * In two steps, because Landlock restricts the thread that asks and those that it starts later (ADR 0026):
 *
 *   sandbox_files   before any thread is made. Landlock: only the files that the options name (files.c), TCP ports to
 *                   listen on and none to connect to, signals to nobody else. It holds for io_uring's requests too.
 *   sandbox_calls   when all sockets are open and privileges are dropped. seccomp, for all threads: the system calls
 *                   of a server at work (calls.c). No new process or program, no socket but those that it has.
 *
 * A denied call is an error like others, it ends nobody, and denied.c counts and logs it. What the kernel or the build
 * does not have is said in one event; with `strict` it ends the start instead.
 */
#ifndef CORACLE_CMD_SERVE_SANDBOX_SANDBOX_H
#define CORACLE_CMD_SERVE_SANDBOX_SANDBOX_H

#include "serve/service.h"

enum { SANDBOX_OFF, SANDBOX_ON, SANDBOX_STRICT };

/* The first step; on one thread. Returns an exit code, after one line on stderr. */
int sandbox_files(struct serve *serve);

/* The second step, and tells in the log what is in force. Main task. Returns an exit code, after one line on stderr. */
int sandbox_calls(struct serve *serve);

#endif
