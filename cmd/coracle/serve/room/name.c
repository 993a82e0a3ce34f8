/* SPDX-License-Identifier: MIT */
/* From paths to names, and from names to subjects. */
#include "serve/room/name.h"

#include "escape.h"

#include <stdlib.h>
#include <string.h>

static bool is_ascii_of_names(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

bool room_name_is_good(const char *name, size_t size)
{
    if (size == 0 || size > ROOM_NAME_MAX || *name == '.') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x80 && !is_ascii_of_names(name[i])) {
            return false;
        }
    }
    return escape_size(name, size, 0) == size;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool room_name_decode(const char *text, size_t size, char to[ROOM_NAME_SIZE])
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = size - i > 2 ? hex_value(text[i + 1]) : -1, low = high >= 0 ? hex_value(text[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            c = (char)(16 * high + low);
            i += 2;
        }
        if (length == ROOM_NAME_MAX) {
            return false;
        }
        to[length++] = c;
    }
    to[length] = '\0';
    return room_name_is_good(to, length);
}

char *room_name_subject(const char *subject, const char *name)
{
    char *text = malloc(strlen(subject) + 1 + 3 * strlen(name) + 1);
    if (text == NULL) {
        return NULL;
    }
    char *end = stpcpy(text, subject);
    end = *name != '\0' ? stpcpy(end, ".") : end;
    for (; *name != '\0'; name++) {
        if (*name == '.') {
            end = stpcpy(end, "%2E");
        } else {
            *end++ = *name;
            *end = '\0';
        }
    }
    return text;
}
