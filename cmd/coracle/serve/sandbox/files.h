/* SPDX-License-Identifier: MIT */
/* What a server of these options needs of files and ports. */
#ifndef CORACLE_CMD_SERVE_SANDBOX_FILES_H
#define CORACLE_CMD_SERVE_SANDBOX_FILES_H

#include "serve/sandbox/landlock.h"
#include "serve/service.h"

/*
 * Allows all of it. Opens serve->sandbox.self. Returns an exit code, after one line on stderr.
 */
int files_allow(struct serve *serve, const struct landlock *set);

/* Whether unix sockets of others without a file have to be reached: the manager's, or those of clients. */
bool files_need_abstract(const struct serve *serve);

#endif
