/* SPDX-License-Identifier: MIT */
/*
 * Names of rooms: 1 to ROOM_NAME_MAX bytes, of ASCII letters, digits, "-", "_" and ".", the last not in front, and of
 * any characters beyond ASCII that can be shown as they are (escape.h). So a name is one word in a path, in the log and
 * on the command line. Upper and lower case differ. The room without a name is "".
 */
#ifndef CORACLE_CMD_SERVE_ROOM_NAME_H
#define CORACLE_CMD_SERVE_ROOM_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { ROOM_NAME_MAX = 64, ROOM_NAME_SIZE = ROOM_NAME_MAX + 1 };

bool room_name_is_good(const char *name, size_t size);

/* Reads one that is written as in a URL, with %XX. False: it is none. */
bool room_name_decode(const char *text, size_t size, char to[ROOM_NAME_SIZE]);

/*
 * Gives the subject of that room on a bus: the subject of all, and unless the name is "" the name after a dot, with
 * "%2E" for each dot in it. The caller frees it. NULL: memory ran out.
 */
char *room_name_subject(const char *subject, const char *name);

#endif
