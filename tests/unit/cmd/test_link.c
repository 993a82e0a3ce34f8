/* SPDX-License-Identifier: MIT */
/* The links of rooms to other nodes: all is heard once and in order, or counted, whatever the bus does. */
/* sources: cmd/coracle/serve/room/link.c cmd/coracle/serve/room/uplink.c cmd/coracle/serve/room/frame.c */
/* sources: cmd/coracle/serve/room/nodes.c cmd/coracle/serve/room/msglog.c cmd/coracle/serve/room/member.c */
/* sources: cmd/coracle/serve/room/name.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1,2 timeout=300 */
#include "linkcase.h"

static void talk_task(void *arg)
{
    int of = (int)(intptr_t)arg;
    for (int i = 0; i < LINES; i++) {
        say_number(of, i);
        if (i % 7 == 0) {
            cor_yield();
        }
    }
}

static void all_talk(void)
{
    cor_group group = {0};
    for (int i = 0; i < NODES; i++) {
        T_OK(cor_group_go(&group, talk_task, (void *)(intptr_t)i));
    }
    T_OK(cor_group_wait(&group, 0));
}

/* Node `i` has heard all that was said. */
static void wait_for_lines(int i)
{
    for (int of = 0; of < NODES; of++) {
        T_EVENTUALLY(heard(i, of) == LINES, SOON);
    }
}

/* Each node has heard, or counts as missed, what the others have said. */
static void wait_for_counts(void)
{
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).received + counts(i).missed == (NODES - 1) * LINES, SOON);
    }
}

TASK_TEST_WITH(all_hear_all_once, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    all_talk();
    for (int i = 0; i < NODES; i++) {
        wait_for_lines(i);
        T_EVENTUALLY(counts(i).sent == LINES, SOON);
        T_EVENTUALLY(counts(i).received == (NODES - 1) * LINES, SOON); /* counted when it has been heard */
        T_EQ(counts(i).missed + counts(i).repeated + counts(i).lost_backlog + counts(i).bad_frames, 0);
        T_EQ(counts(i).members, 1 + 2 + 3);
    }
    T_ASSERT(net.published < NODES * LINES); /* what came meanwhile went together */
    end_net();
}

TASK_TEST_WITH(nothing_twice, &with_threads)
{
    net.doubles = true;
    start_net(TEXT);
    wait_for_all();
    all_talk();
    for (int i = 0; i < NODES; i++) {
        wait_for_lines(i);
        T_EVENTUALLY(counts(i).repeated == (NODES - 1) * LINES, SOON);
        T_EVENTUALLY(counts(i).received == (NODES - 1) * LINES, SOON);
    }
    end_net();
}

TASK_TEST_WITH(what_is_lost_is_counted, &with_threads)
{
    net.loses = 3;
    start_net(TEXT);
    wait_for_all();
    all_talk();
    wait_for_counts(); /* the last ones, too: by the next sign of life */
    for (int i = 0; i < NODES; i++) {
        T_EQ(heard(i, 0) + heard(i, 1) + heard(i, 2), (int)counts(i).received + LINES);
    }
    T_ASSERT(net.lost > 0);
    T_EQ(counts(0).missed + counts(1).missed + counts(2).missed, (NODES - 1) * net.lost);
    end_net();
}

/* The bus has taken it and says that it has not: it is sent again, and heard once. */
TASK_TEST_WITH(an_uncertain_end, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    net.breaks = 4;
    all_talk();
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).connected && counts(i).sent == LINES, SOON);
    }
    T_EQ(net.breaks, 0);
    T_ASSERT(counts(0).repeated + counts(1).repeated + counts(2).repeated > 0);
    wait_for_counts();
    for (int i = 0; i < NODES; i++) {
        (void)(heard(i, 0) + heard(i, 1) + heard(i, 2)); /* in order */
    }
    end_net();
}

/* While it is away the room goes on, and keeps what it may. */
TASK_TEST_WITH(away_for_too_long, &with_threads)
{
    const size_t keep = 8 * 1024;
    int said = 0;
    net.away = true;
    start_net(keep);
    for (said = 0; said < LINES * 4; said++) {
        say_number(0, said);
        T_EQ(heard(0, 0), said + 1);
        T_ASSERT(nodes[0].room.log.end - atomic_load(&nodes[0].listener.place) <= keep);
    }
    T_ASSERT(!counts(0).connected);
    T_EQ(counts(0).sent, 0);
    net.away = false;
    T_EVENTUALLY(counts(0).sent > 0 && counts(0).sent + counts(0).lost_backlog == (uint64_t)said, SOON);
    T_ASSERT(counts(0).lost_backlog > 0);
    T_ASSERT(counts(0).sent * (sizeof("n0 1599") + 16) <= keep + 2 * 4096); /* and the block that it stood in */
    wait_for_all();
    end_net();
}

/* Nobody has anything to say: by the next sign of life. */
TASK_TEST_WITH(a_loss_is_noticed, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    uint64_t before = counts(1).connects;
    lose(1);
    T_EVENTUALLY(counts(1).connects == before + 1 && counts(1).connected, SOON);
    all_talk();
    T_EVENTUALLY(heard(1, 0) == LINES && heard(0, 1) == LINES, SOON);
    T_EQ(counts(1).connects, before + 1);
    end_net();
}

/* All lose the bus and come back one after the other: what each has kept, the others hear. */
TASK_TEST_WITH(what_was_said_meanwhile, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    net.away = true;
    for (int i = 0; i < NODES; i++) {
        lose(i);
    }
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(!counts(i).connected, SOON);
    }
    all_talk();
    net.away = false;
    wait_for_counts();
    for (int i = 0; i < NODES; i++) {
        T_EQ(counts(i).missed, 0);
    }
    end_net();
}

TASK_TEST_WITH(frames_have_a_longest, &with_threads)
{
    static char line[4096];
    start_net(TEXT);
    wait_for_all();
    net.max_size = 1000;
    memset(line, 'x', 2000);
    memcpy(line, "n0 0 ", 5);
    line[2000] = '\n';
    say(&nodes[0], line);
    for (int i = 1; i < LINES; i++) {
        say_number(0, i);
    }
    T_EVENTUALLY(counts(0).sent == LINES - 1, SOON);
    T_EQ(counts(0).lost_too_long, 1);
    T_EVENTUALLY(heard(1, 0) == LINES - 1, SOON);
    T_EQ(counts(1).missed, 1);
    end_net();
}

/* What was said before the end leaves before the end. */
TASK_TEST_WITH(the_last_words, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    talk_task(0);
    link_stop(nodes[0].room.link);
    T_EVENTUALLY(heard(1, 0) == LINES && heard(2, 0) == LINES, SOON);
    end_net();
}

/* What the log has given up while the bus took nothing the others miss; what others have said is no part of it. */
TASK_TEST_WITH(the_backlog_is_in_the_numbers, &with_threads)
{
    start_net(8 * 1024);
    wait_for_all();
    set_stuck(net.all[0]);
    say_number(0, 0);
    T_EVENTUALLY(net.waiting, SOON);
    for (int i = 1; i < LINES * 2; i++) {
        say_number(0, i);
        say_number(1, i);
        (void)heard(0, 1); /* in order */
    }
    T_EVENTUALLY(counts(0).received + counts(0).missed == LINES * 2 - 1, SOON);
    set_stuck(NULL);
    T_EVENTUALLY(counts(0).sent + counts(0).lost_backlog == LINES * 2, SOON);
    T_ASSERT(counts(0).lost_backlog > 0 && counts(0).sent > 1);
    T_EVENTUALLY(counts(1).received + counts(1).missed == LINES * 2, SOON);
    T_EQ(counts(1).missed, counts(0).lost_backlog);
    end_net();
}

TASK_TEST_WITH(what_finds_no_room_is_missed, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    no_room = true;
    talk_task(0);
    T_EVENTUALLY(counts(1).missed == LINES && counts(2).missed == LINES, SOON);
    T_EQ(counts(1).received + (uint64_t)heard(1, 0), 0);
    no_room = false;
    say_number(0, LINES);
    T_EVENTUALLY(heard(1, 0) == 1 && heard(2, 0) == 1, SOON);
    T_EQ(counts(1).missed, LINES);
    end_net();
}

/* Who comes back waits for the others, but not for ever for one that does not. */
TASK_TEST_WITH(one_that_stays_away, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    net.all[2]->away = true;
    lose(2);
    lose(0);
    T_EVENTUALLY(counts(0).connects == 2, SOON);
    talk_task(0);
    T_EVENTUALLY(heard(1, 0) == LINES, SOON);
    T_EQ(counts(1).missed, 0);
    end_net();
}

static void live(int life)
{
    struct place *node = &nodes[2];
    for (int i = 0; i < LINES / LIVES; i++) {
        say_number(2, life * LINES + i);
    }
    link_stop(node->room.link);
    uplink_stop(node->up);
    node->up = uplink_start(&fake_ops, &options, TEXT);
    T_ASSERT(node->up != NULL);
    T_OK(link_start(&node->room, node->up));
    T_EVENTUALLY(counts(2).connected && counts(2).nodes == NODES, SOON);
}

/* While two talk a third one leaves and comes back as another: all that it has said is heard, and of the two all. */
TASK_TEST_WITH(nodes_come_and_go, &with_threads)
{
    cor_group group = {0};
    start_net(TEXT);
    wait_for_all();
    for (int life = 0; life < LIVES; life++) {
        T_OK(cor_group_go(&group, talk_task, (void *)(intptr_t)0));
        live(life);
        T_OK(cor_group_wait(&group, 0));
        T_EVENTUALLY(heard(1, 0) == LINES, SOON);
        T_EVENTUALLY(heard(0, 2) == LINES / LIVES, SOON);
        T_EVENTUALLY(heard(1, 2) == LINES / LIVES, SOON);
        nodes[0].size = nodes[1].size = 0;
    }
    T_EQ(counts(0).missed + counts(1).missed + counts(0).repeated + counts(1).repeated, 0);
    end_net();
}

TASK_TEST_WITH(strangers_are_refused, &with_threads)
{
    static const char strange[] = "hello\n", *const harmful = "coracle1 00000000000000ff 0 1 0\n\x1b[2J\n";
    start_net(TEXT);
    wait_for_all();
    give(net.all[0], options.subject, strange, strlen(strange), 1);
    give(net.all[0], options.subject, harmful, strlen(harmful), 1);
    T_EVENTUALLY(counts(0).bad_frames == 2, SOON);
    T_EQ(counts(0).received, 0);
    end_net();
}

/* --- several rooms over one connection */

static void talk_in_all(void *arg)
{
    int of = (int)(intptr_t)arg;
    for (int i = 0; i < LINES; i++) {
        for (int r = 0; r < MORE && more[of][r].room.link != NULL; r++) {
            say_in(&more[of][r], of, i);
        }
        cor_yield();
    }
}

TASK_TEST_WITH(rooms_share_a_connection, &with_threads)
{
    cor_group group = {0};
    start_net(TEXT);
    wait_for_all();
    make_more(MORE);
    T_EQ(net.count, NODES);
    T_EQ(topics_of(0), 1 + MORE);
    for (int i = 0; i < NODES; i++) {
        T_OK(cor_group_go(&group, talk_in_all, (void *)(intptr_t)i));
    }
    T_OK(cor_group_wait(&group, 0));
    for (int r = 0; r < MORE; r++) {
        for (int i = 0; i < NODES * NODES; i++) {
            T_EVENTUALLY(heard_in(&more[i / NODES][r], i % NODES) == LINES, SOON);
        }
    }
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).sent == MORE * LINES, SOON);
        T_EVENTUALLY(counts(i).received == (NODES - 1) * MORE * LINES, SOON);
        T_EQ(counts(i).missed + counts(i).repeated + counts(i).lost_backlog + counts(i).slow_frames, 0);
        T_EQ(counts(i).connects, 1);
        T_EQ(nodes[i].size, 0); /* the room without a name */
    }
    leave_more(MORE);
    T_EQ(topics_of(0), 1);
    end_net();
}

/* What they have said last before they go is heard, while another room talks. */
TASK_TEST_WITH(rooms_come_and_go, &with_threads)
{
    cor_group group = {0};
    start_net(TEXT);
    wait_for_all();
    make_more(MORE);
    T_OK(cor_group_go(&group, talk_task, (void *)(intptr_t)0));
    for (int life = 0; life < LIVES; life++) {
        for (int r = 0; r < MORE; r++) {
            struct place *room = &more[1][r];
            for (int i = 0; i < LINES / LIVES; i++) {
                say_in(room, 1, life * LINES + i);
            }
            leave(room);
            *room = (struct place){0};
            T_EVENTUALLY(heard_in(&more[0][r], 1) == (life + 1) * (LINES / LIVES), SOON);
            (void)make_room_of(1, r);
            T_EVENTUALLY(topics_of(1) == 1 + MORE, SOON);
            say_in(&more[0][r], 0, life);
            T_EVENTUALLY(heard_in(room, 0) == 1, SOON);
        }
    }
    T_OK(cor_group_wait(&group, 0));
    T_EVENTUALLY(heard(1, 0) == LINES && heard(2, 0) == LINES, SOON);
    for (int i = 0; i < NODES; i++) {
        T_EQ(counts(i).missed + counts(i).repeated, 0);
        T_EQ(topics_of(i), 1 + MORE);
    }
    leave_more(MORE);
    end_net();
}

/* All rooms lose the connection together and have another one together; one of them ends while it is away. */
TASK_TEST_WITH(all_rooms_are_away_at_once, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    make_more(MORE);
    net.away = true;
    for (int i = 0; i < NODES; i++) {
        lose(i);
    }
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(!counts(i).connected, SOON);
        T_EVENTUALLY(topics_of(i) == 0, SOON);
        leave(&more[i][MORE - 1]);
        more[i][MORE - 1] = (struct place){0};
    }
    for (int i = 0; i < NODES; i++) {
        talk_in_all((void *)(intptr_t)i);
    }
    net.away = false;
    for (int r = 0; r < MORE - 1; r++) {
        for (int i = 0; i < NODES * NODES; i++) {
            T_EVENTUALLY(heard_in(&more[i / NODES][r], i % NODES) == LINES, SOON);
        }
    }
    for (int i = 0; i < NODES; i++) {
        T_EQ(counts(i).connects, 2);
        T_EQ(counts(i).missed + counts(i).lost_backlog, 0);
        T_EQ(topics_of(i), MORE);
    }
    leave_more(MORE - 1);
    end_net();
}

/* A node says that it is joined when it hears all of its rooms, and that it is alone when it hears none. */
TASK_TEST_WITH(what_is_said_of_the_connection_is_so, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    make_more(MORE);
    joined_with = alone_with = -1;
    net.all[0]->away = true;
    lose(0);
    T_EVENTUALLY(alone_with >= 0, SOON);
    T_EQ(alone_with, 0);
    net.all[0]->away = false;
    T_EVENTUALLY(joined_with >= 0, SOON);
    T_EQ(joined_with, 1 + MORE);
    leave_more(MORE);
    end_net();
}

/* A room whose members take nothing keeps no other from hearing, nor the connection from being made anew. */
TASK_TEST_WITH(a_slow_room_delays_no_other, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    make_more(1);
    held = &more[1][0].room;
    say_in(&more[0][0], 0, 0);
    T_EVENTUALLY(waits, SOON);
    talk_task(0);
    T_EVENTUALLY(heard(1, 0) == LINES, SOON);
    uint64_t before = counts(1).connects;
    lose(1);
    T_EVENTUALLY(counts(1).connects == before + 1 && counts(1).connected, SOON);
    T_EVENTUALLY(topics_of(1) == 2, SOON);
    say_in(&more[0][0], 0, 1);
    say_number(0, LINES);
    T_EVENTUALLY(heard(1, 0) == LINES + 1, SOON);
    held = NULL;
    T_EVENTUALLY(heard_in(&more[1][0], 0) == 2, SOON);
    say_in(&more[1][0], 1, 0);
    T_EVENTUALLY(heard_in(&more[0][0], 1) == 1, SOON);
    leave_more(1);
    end_net();
}

/* What waits for a slow room has a bound, and leaves some for the others. */
TASK_TEST_WITH(an_inbox_has_a_bound, &with_threads)
{
    enum { FRAMES = 40, SIZE = 1024 * 1024 };
    start_net(TEXT);
    wait_for_all();
    make_more(1);
    char *text = malloc(FRAME_HEAD_MAX + SIZE);
    held = &more[1][0].room;
    for (int i = 0; i < FRAMES; i++) {
        const struct frame frame = {.node = 0xff, .first = (uint64_t)i, .count = 1, .members = 1};
        size_t head = frame_head(&frame, text);
        memset(text + head, 'x', SIZE);
        memcpy(text + head, "n9 ", 3);
        text[head + SIZE - 1] = '\n';
        give(net.all[1], more[1][0].room.link->subject, text, head + SIZE, 1);
    }
    uint64_t dropped = counts(1).slow_frames;
    T_ASSERT(dropped >= FRAMES - 17 && dropped < FRAMES - 10); /* half of 32 MiB, one is being heard */
    talk_task(0);
    T_EVENTUALLY(heard(1, 0) == LINES, SOON);
    T_EQ(counts(1).missed, 0);
    no_room = true; /* of no use: the log would keep it */
    held = NULL;
    T_EVENTUALLY(waiting_at(1) == 0, SOON);
    T_EVENTUALLY(counts(1).missed >= FRAMES - dropped, SOON); /* more, if one was dropped before the first was taken */
    no_room = false;
    free(text);
    leave_more(1);
    end_net();
}

/* While the bus is away two rooms flood and one says little: it loses nothing, and the two share what there is. */
TASK_TEST_WITH(the_backlog_is_shared, &with_threads)
{
    enum { KEEP = 64 * 1024, FLOOD = 8000, FEW = 50, BLOCK = 4096 };
    start_net(KEEP);
    wait_for_all();
    make_more(3);
    net.away = true;
    lose(0);
    T_EVENTUALLY(!counts(0).connected, SOON);
    for (int i = 0; i < FLOOD; i++) {
        say_in(&more[0][0], 0, i);
        if (i >= FLOOD / 2) {
            say_in(&more[0][1], 0, i);
        }
        if (i % (FLOOD / FEW) == 0) {
            say_in(&more[0][2], 0, i);
        }
        cor_yield();
    }
    /* a third of two KEEP each, but for a few blocks; less while they are on their way there */
    T_EVENTUALLY(held_for(&more[0][0]) + held_for(&more[0][1]) < 2 * KEEP * 2 / 3 + 4 * BLOCK, SOON);
    T_ASSERT(held_for(&more[0][0]) > KEEP / 4 && held_for(&more[0][1]) > KEEP / 4);
    net.away = false;
    T_EVENTUALLY(counts(0).sent + counts(0).lost_backlog == FLOOD + FLOOD / 2 + FEW, SOON);
    for (int i = 1; i < NODES; i++) {
        T_EVENTUALLY(counts(i).missed == counts(0).lost_backlog, SOON);
        T_EVENTUALLY(heard_in(&more[i][2], 0) == FEW, SOON);
    }
    leave_more(3);
    end_net();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_hear_all_once),
        cmocka_unit_test(nothing_twice),
        cmocka_unit_test(what_is_lost_is_counted),
        cmocka_unit_test(an_uncertain_end),
        cmocka_unit_test(away_for_too_long),
        cmocka_unit_test(a_loss_is_noticed),
        cmocka_unit_test(what_was_said_meanwhile),
        cmocka_unit_test(frames_have_a_longest),
        cmocka_unit_test(the_last_words),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(the_backlog_is_in_the_numbers),
        cmocka_unit_test(what_finds_no_room_is_missed),
        cmocka_unit_test(one_that_stays_away),
        cmocka_unit_test(nodes_come_and_go),
        cmocka_unit_test(rooms_share_a_connection),
        cmocka_unit_test(rooms_come_and_go),
        cmocka_unit_test(all_rooms_are_away_at_once),
        cmocka_unit_test(what_is_said_of_the_connection_is_so),
        cmocka_unit_test(a_slow_room_delays_no_other),
        cmocka_unit_test(an_inbox_has_a_bound),
        cmocka_unit_test(the_backlog_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
