/* SPDX-License-Identifier: MIT */
/* The connection that links share: what waits for it, and what does not. */
/* sources: cmd/coracle/serve/room/link.c cmd/coracle/serve/room/uplink.c cmd/coracle/serve/room/frame.c */
/* sources: cmd/coracle/serve/room/nodes.c cmd/coracle/serve/room/msglog.c cmd/coracle/serve/room/member.c */
/* sources: cmd/coracle/serve/room/name.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1,2 */
#include "linkcase.h"

/* A publish that waits delays nobody on this node, and no frame that comes: not in that room, not in others. */
TASK_TEST_WITH(a_publish_that_waits, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    make_more(2);
    set_stuck(net.all[0]);
    say_in(&more[0][0], 0, 0);
    T_EVENTUALLY(net.waiting, SOON);
    for (int i = 1; i < LINES; i++) {
        for (int r = 0; r < 2; r++) {
            say_in(&more[0][r], 0, i);
            T_EQ(heard_in(&more[0][r], 0), i + 1 - r);
        }
    }
    for (int r = 0; r < 2; r++) {
        say_in(&more[1][r], 1, 0);
        T_EVENTUALLY(heard_in(&more[0][r], 1) == 1, SOON);
    }
    T_EQ(counts(0).sent, 0);
    set_stuck(NULL);
    T_EVENTUALLY(counts(0).sent == 2 * LINES - 1, SOON);
    T_EQ(counts(0).lost_backlog, 0);
    leave_more(2);
    end_net();
}

static void leave_in_a_task(void *arg)
{
    leave(arg);
}

/* While connecting does not come to an end rooms end, and what they keep has its bound. */
TASK_TEST_WITH(connecting_has_no_end, &with_threads)
{
    enum { KEEP = 64 * 1024, FLOOD = 8000, BLOCK = 4096 };
    cor_group leaving = {0};
    start_net(KEEP);
    wait_for_all();
    make_more(3);
    set_dialling(net.all[0]);
    lose(0);
    T_EVENTUALLY(net.waiting, SOON);
    for (int i = 0; i < FLOOD; i++) {
        say_in(&more[0][0], 0, i);
        say_in(&more[0][1], 0, i);
        cor_yield();
    }
    T_EVENTUALLY(held_for(&more[0][0]) + held_for(&more[0][1]) < 2 * KEEP * 2 / 3 + 4 * BLOCK, SOON);
    T_OK(cor_group_go(&leaving, leave_in_a_task, &more[0][2]));
    T_CODE(cor_group_wait(&leaving, cor_after(SOON)), 0);
    T_ASSERT(!counts(0).connected);
    set_dialling(NULL);
    T_EVENTUALLY(counts(0).sent + counts(0).lost_backlog == 2 * FLOOD, SOON);
    T_EQ(topics_of(0), 3);
    T_EQ(counts(0).connects, 2);
    for (int i = 1; i < NODES; i++) {
        leave(&more[i][2]);
    }
    leave_more(2);
    end_net();
}

/* All can end meanwhile; a connection that comes too late is ended. */
TASK_TEST_WITH(an_end_while_connecting, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    struct uplink *up = nodes[2].up;
    set_dialling(net.all[2]);
    lose(2);
    T_EVENTUALLY(net.waiting, SOON);
    link_stop(nodes[2].room.link);
    uplink_stop(up);
    set_dialling(NULL);
    T_CODE(cor_group_wait(&up->tasks, cor_after(SOON)), 0);
    T_ASSERT(!net.all[2]->connected);
    free(up); /* it was left alone */
    nodes[2].up = uplink_start(&fake_ops, &options, TEXT);
    T_OK(link_start(&nodes[2].room, nodes[2].up));
    T_EVENTUALLY(counts(2).connected && counts(2).nodes == NODES, SOON);
    end_net();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_that_waits),
        cmocka_unit_test(connecting_has_no_end),
        cmocka_unit_test(an_end_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
