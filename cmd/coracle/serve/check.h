/* SPDX-License-Identifier: MIT */
/* Options that cannot work, found before anything is started: else they would be ignored, or fail later. */
#ifndef CORACLE_CMD_SERVE_CHECK_H
#define CORACLE_CMD_SERVE_CHECK_H

#include "serve/service.h"

/* Checks the options by themselves. Returns an exit code, after one line on stderr. */
int check_options(const serve_options *options);

/* Checks them against the services that have been chosen. Returns as check_options. */
int check_services(const struct serve *serve);

#endif
