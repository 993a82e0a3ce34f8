/* SPDX-License-Identifier: MIT */
/* The dynamic loader's side of libmicrohttpd. */
#include "serve/admin/mhd.h"

#if COR_HAVE_ADMIN

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The name of the interface that the header describes; another one may have other functions. */
#define LIBRARY "libmicrohttpd.so.12"

struct mhd_calls mhd;

const char *mhd_load(void)
{
    static const struct {
        const char *name;
        size_t offset;
    } calls[] = {
#define MHD_NAME(name) {"MHD_" #name, offsetof(struct mhd_calls, name)},
        MHD_EACH_CALL(MHD_NAME)
#undef MHD_NAME
    };
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return dlerror();
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        void *found = dlsym(library, calls[i].name);
        if (found == NULL) {
            return dlerror();
        }
        memcpy((char *)&mhd + calls[i].offset, &found, sizeof(found));
    }
    return NULL;
}

#endif
