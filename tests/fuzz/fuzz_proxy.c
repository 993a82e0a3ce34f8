/* SPDX-License-Identifier: MIT */
/*
 * PROXY headers. In pieces as they are asked for: it asks for no more than its memory and ends, at a whole header it
 * asks for nothing, and one byte less is no whole header.
 *
 * Input: what a proxy sends.
 */
/* sources: cmd/coracle/serve/proxy_header.c */
#include "input.h"
#include "serve/proxy_header.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header of = {0};
    int more;
    while ((more = proxy_header_look(&of)) > 0) {
        CHECK((size_t)more <= sizeof(of.bytes) - of.size);
        CHECK(of.from.ip.family == 0 && of.skip == 0);
        if ((size_t)more > size - of.size) {
            return 0; /* it would wait */
        }
        memcpy(of.bytes + of.size, data + of.size, (size_t)more);
        of.size += (size_t)more;
    }
    if (more == 0) {
        struct proxy_header less = of;
        CHECK(proxy_header_look(&of) == 0);
        CHECK(of.from.ip.family == 0 || of.from.ip.family == AF_INET || of.from.ip.family == AF_INET6);
        CHECK(of.skip <= UINT16_MAX);
        less.size--;
        CHECK(proxy_header_look(&less) > 0);
    }
    return 0;
}
