/* SPDX-License-Identifier: MIT */
/*
 * The page of a WebSocket entry: a chat. One document with its style and script in it; the policy allows these two, by
 * their hashes, and a connection to where it comes from, nothing else.
 */
#ifndef CORACLE_CMD_SERVE_WS_PAGE_H
#define CORACLE_CMD_SERVE_WS_PAGE_H

#include "serve/session.h"

/* Answers with the page, and ends. */
void page_write(struct session *session);

#endif
