/* SPDX-License-Identifier: MIT */
/*
 * The other nodes of a room: what has been heard of each, and how many members it says it has. A node that is silent
 * for NODES_SILENT_NS counts no more, but is remembered: after a network has been in two parts, what was missed is
 * counted. One that has been silent longest is forgotten for one more than NODES_MAX.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_NODES_H
#define CORACLE_CMD_SERVE_ROOM_NODES_H

#include "serve/room/frame.h"

#include <coracle.h>

#define NODES_SILENT_NS (5 * COR_SECOND)
enum { NODES_MAX = 256 };

struct node {
    uint64_t id, next; /* the number of its next line */
    uint32_t members;
    int64_t heard; /* cor_now() */
};

/* All-zero: none. */
struct nodes {
    struct node each[NODES_MAX];
    size_t count;
};

/* What is known after a frame. */
struct nodes_news {
    uint32_t known; /* so many of its first lines have been heard before, or it came too late */
    uint64_t lost;  /* so many lines before it have not come */
};

/* Notes a frame that has come. */
struct nodes_news nodes_hear(struct nodes *all, const struct frame *frame, int64_t now);

/* Counts those heard of not longer than NODES_SILENT_NS before the one that was heard last. */
size_t nodes_lately(const struct nodes *all);

/* Counts those heard of since then. */
size_t nodes_since(const struct nodes *all, int64_t then);

/* Counts those that are not silent, and their members. Returns the nodes. */
size_t nodes_count(const struct nodes *all, int64_t now, uint64_t *members);

#endif
