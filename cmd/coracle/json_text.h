/* SPDX-License-Identifier: MIT */
/* Writes texts as JSON strings. Reading JSON is json-c's; writing one string needs no library. */
#ifndef CORACLE_CMD_JSON_TEXT_H
#define CORACLE_CMD_JSON_TEXT_H

#include <stddef.h>

/* Bytes that json_quote may need for `size` bytes of text, quotes included. */
#define JSON_QUOTE_MAX(size) (6 * (size) + 2)

/*
 * Writes `text` in double quotes exactly as Go's json.Marshal does: < > & and the two line separators escaped, invalid
 * UTF-8 replaced by \ufffd. `to` has room for JSON_QUOTE_MAX(size). Returns the end of what was written; no NUL.
 */
char *json_quote(char *to, const char *text, size_t size);

#endif
