/* SPDX-License-Identifier: MIT */
/*
 * Segments: what is under way or waits to be read. Each line that a room says is a segment for each member, made, read
 * and freed within a millisecond of virtual time. Small ones are therefore kept when they are freed, and the one freed
 * last, whose lines are still in the cache, is given out first. Those of a sanitizer's build come from malloc each, for
 * its sake: it sees who uses one that is freed.
 */
#include "base/fatal.h"
#include "base/platform.h"
#include "sim/socket.h"

#include <stdlib.h>
#include <string.h>

enum { POOLED_BYTES = 208 }; /* at most, of one that is kept: with its head four cache lines */

static cori_sim_segment *kept;

static cori_sim_segment *with_room(enum cori_sim_kind kind, size_t room)
{
    bool pooled = !CORI_ASAN && room <= POOLED_BYTES;
    cori_sim_segment *made = pooled ? kept : NULL;
    if (made != NULL) {
        kept = made->next;
        cori_prefetch_write(kept); /* for the next one */
    } else {
        made = malloc(sizeof(*made) + (pooled ? POOLED_BYTES : room));
    }
    if (made == NULL) {
        cori_fatal("simulation: no memory");
    }
    *made = (cori_sim_segment){.kind = kind, .pooled = pooled};
    return made;
}

static void copy_in(cori_sim_segment *segment, const struct msghdr *message, size_t from, size_t size)
{
    for (size_t i = 0; size > 0; i++) {
        size_t length = message->msg_iov[i].iov_len;
        if (from >= length) {
            from -= length;
            continue;
        }
        size_t part = length - from < size ? length - from : size;
        memcpy(segment->bytes + segment->size, (const char *)message->msg_iov[i].iov_base + from, part);
        from = 0;
        segment->size += part;
        size -= part;
    }
}

cori_sim_segment *cori_sim_segment_new(enum cori_sim_kind kind, const struct msghdr *message, size_t from, size_t size)
{
    cori_sim_segment *made = with_room(kind, size);
    copy_in(made, message, from, size);
    return made;
}

cori_sim_segment *cori_sim_segment_datagram(const struct msghdr *message, size_t size)
{
    size_t align = _Alignof(cori_sim_address), head = offsetof(cori_sim_segment, bytes) + size,
           pad = (align - head % align) % align;
    cori_sim_segment *made = with_room(CORI_SIM_DATA, size + pad + sizeof(cori_sim_address));
    copy_in(made, message, 0, size);
    made->from = (cori_sim_address *)(void *)(made->bytes + size + pad);
    return made;
}

void cori_sim_segment_free(cori_sim_segment *segment)
{
    if (segment->pooled) {
        segment->next = kept;
        kept = segment;
    } else {
        free(segment);
    }
}

void cori_sim_segments_end(void)
{
    cori_sim_segment *segment;
    while ((segment = kept) != NULL) {
        kept = segment->next;
        free(segment);
    }
}
