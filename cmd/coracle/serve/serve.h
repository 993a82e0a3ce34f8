/* SPDX-License-Identifier: MIT */
/* One run of `coracle serve`, from listening to the last closed session. */
#ifndef CORACLE_CMD_SERVE_SERVE_H
#define CORACLE_CMD_SERVE_SERVE_H

#include "options.h"
#include "serve/service.h"

extern const option_table serve_table; /* fills a serve_options */

/* The first task: `arg` is a struct serve with options and services filled in. Returns an exit code. */
int serve_main(void *arg);

#endif
