/* SPDX-License-Identifier: MIT */
/* The dynamic loader's side of libraries that are loaded on request. */
#include "serve/loader.h"

#include <dlfcn.h>
#include <string.h>

const char *loader_load(const char *library, const loader_call *calls, size_t count, void *table)
{
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL) {
        return dlerror();
    }
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(loaded, calls[i].name);
        if (found == NULL) {
            return dlerror();
        }
        memcpy((char *)table + calls[i].offset, &found, sizeof(found));
    }
    return NULL;
}
