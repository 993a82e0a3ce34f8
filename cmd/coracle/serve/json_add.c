/* SPDX-License-Identifier: MIT */
/*
 * json-c's parser does not look whether a value has found its place in an object. Where the object's table cannot grow,
 * the parser forgets the value, and the object its copy of the key, which it has just made. The linker has the parser
 * call the function here instead (--wrap), which frees both.
 */
#include "serve/json_memory.h"

#if COR_HAVE_JSON

#include <json-c/json.h>

int __real_json_object_object_add(struct json_object *to, const char *key, struct json_object *value);
int __wrap_json_object_object_add(struct json_object *to, const char *key, struct json_object *value);

int __wrap_json_object_object_add(struct json_object *to, const char *key, struct json_object *value)
{
    (void)json_memory_last_copy();
    int code = __real_json_object_object_add(to, key, value);
    if (code < 0) {
        json_memory_free(json_memory_last_copy());
        json_object_put(value);
    }
    return code;
}

#endif
