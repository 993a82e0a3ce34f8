/* SPDX-License-Identifier: MIT */
/* Other nodes, in an array: there are few. */
#include "serve/room/nodes.h"

/* The place of one that is heard for the first time. */
static struct node *add_node(struct nodes *all)
{
    if (all->count < NODES_MAX) {
        return &all->each[all->count++];
    }
    struct node *silent = all->each;
    for (size_t i = 1; i < all->count; i++) {
        silent = all->each[i].heard < silent->heard ? &all->each[i] : silent;
    }
    return silent;
}

static struct node *find(struct nodes *all, uint64_t id)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->each[i].id == id) {
            return &all->each[i];
        }
    }
    return NULL;
}

struct nodes_news nodes_hear(struct nodes *all, const struct frame *frame, int64_t now)
{
    struct nodes_news news = {0};
    struct node *node = find(all, frame->node);
    if (node == NULL) {
        node = add_node(all);
        *node = (struct node){.id = frame->node, .next = frame->first};
    }
    uint64_t end = frame->first + frame->count;
    node->members = frame->members;
    node->heard = now;
    if (frame->first >= node->next) {
        news.lost = frame->first - node->next;
    } else {
        uint64_t known = node->next - frame->first;
        news.known = known < frame->count ? (uint32_t)known : frame->count;
    }
    node->next = end > node->next ? end : node->next;
    return news;
}

size_t nodes_count(const struct nodes *all, int64_t now, uint64_t *members)
{
    size_t count = 0;
    *members = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (now - all->each[i].heard < NODES_SILENT_NS) {
            count++;
            *members += all->each[i].members;
        }
    }
    return count;
}

size_t nodes_since(const struct nodes *all, int64_t then)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += all->each[i].heard >= then;
    }
    return count;
}

size_t nodes_lately(const struct nodes *all)
{
    int64_t last = 0;
    for (size_t i = 0; i < all->count; i++) {
        last = all->each[i].heard > last ? all->each[i].heard : last;
    }
    return nodes_since(all, last - NODES_SILENT_NS);
}
