/* SPDX-License-Identifier: MIT */
/* The dynamic loader's side of libmicrohttpd. */
#include "serve/admin/mhd.h"

#if COR_HAVE_ADMIN

#include "serve/loader.h"

#include <stddef.h>

/* The name of the interface that the header describes; another one may have other functions. */
#define LIBRARY "libmicrohttpd.so.12"

struct mhd_calls mhd;

const char *mhd_load(void)
{
    static const loader_call calls[] = {
#define MHD_NAME(name) {"MHD_" #name, offsetof(struct mhd_calls, name)},
        MHD_EACH_CALL(MHD_NAME)
#undef MHD_NAME
    };
    return loader_load(LIBRARY, calls, sizeof(calls) / sizeof(calls[0]), &mhd);
}

#endif
