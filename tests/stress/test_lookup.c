/* SPDX-License-Identifier: MIT */
/*
 * Lookups against cancels and deadlines: tasks on all workers ask a server that answers some names and is silent about
 * others, while their groups are cancelled and resolv.conf changes all the time. Each lookup ends with what it may end
 * with. In the end the next lookup works and no descriptor is left. COR_STRESS_ROUNDS is how often that is played (4).
 */
/* test: no-valgrind */
#include "net/nameserver.h"

#include "net/hosts.h"

enum { GROUPS = 8, ASKING = 12, LOOKUPS = 6, NAMES = 16, ROUNDS = 4 };

typedef struct asker {
    cor_group *group;
    uint32_t luck;
    int answered; /* atomic */
} asker;

static uint32_t draw(uint32_t *luck, uint32_t limit)
{
    *luck = *luck * 1664525 + 1013904223;
    return (*luck >> 8) % limit;
}

/* One of two families is enough where the answer about the other was lost as often as it is asked for (N282). */
static void expect_result(int rc, int found, asker *own)
{
    T_REQUIRE(rc == found || (found == 2 && rc == 1) || rc == COR_ECANCELED || rc == COR_ETIMEOUT ||
                  rc == COR_ENO_SUCH_HOST,
              "a lookup gave %d (%s)", rc, taskcase_text(rc));
    (void)add(&own->answered, rc == found);
}

static void ask_often(void *arg)
{
    asker *own = arg;
    for (int i = 0; i < LOOKUPS; i++) {
        char name[32], out[MOST][COR_ADDR_TEXT];
        cor_records *records = NULL;
        static const char *const kinds[] = {"both", "mute", "both", "none"};
        (void)snprintf(name, sizeof(name), "%s.n%u.test", kinds[draw(&own->luck, 4)], draw(&own->luck, NAMES));
        int64_t deadline = draw(&own->luck, 3) == 0 ? 0 : cor_after(draw(&own->luck, 3000) * COR_MICROSECOND);
        deadline = name[0] == 'm' && deadline == 0 ? cor_after(COR_MILLISECOND) : deadline;
        if (draw(&own->luck, 4) == 0) {
            /* what the server says then is no text */
            expect_result(cor_lookup_txt(&records, name, deadline, NULL), COR_EBAD_ANSWER, own);
            cor_records_free(records);
        } else {
            expect_result(cor_lookup_host(out, MOST, name, deadline, NULL), 2, own);
        }
    }
}

/* The same server with other options: the next lookups begin anew. */
static void change_file(const server *own, int number)
{
    char text[128], path[80];
    int size =
        snprintf(text, sizeof(text), "nameserver %s\noptions timeout:1 attempts:%d\n", own->address, number % 9 + 1);
    (void)snprintf(path, sizeof(path), "%s.new", own->file);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    T_EQ(write(file, text, (size_t)size), size);
    T_EQ(close(file), 0);
    T_EQ(rename(path, own->file), 0);
}

static int play(const server *own, uint32_t luck)
{
    static cor_group groups[GROUPS];
    static asker askers[GROUPS][ASKING];
    int answered = 0;
    for (int i = 0; i < GROUPS; i++) {
        groups[i] = (cor_group){0};
        for (int k = 0; k < ASKING; k++) {
            askers[i][k] = (asker){.group = &groups[i], .luck = luck + (uint32_t)(i * ASKING + k) * 7919};
            go_on(k, &groups[i], ask_often, &askers[i][k]);
        }
    }
    for (int i = 0; i < GROUPS; i++) {
        change_file(own, i);
        T_CODE(cor_sleep(draw(&luck, 2000) * COR_MICROSECOND), 0);
        if (i % 4 != 0) {
            cor_group_cancel(&groups[i]);
        }
    }
    for (int i = 0; i < GROUPS; i++) {
        wait_for(&groups[i]);
        for (int k = 0; k < ASKING; k++) {
            answered += get(&askers[i][k].answered);
        }
    }
    return answered;
}

/* N283, N294, N297 */
TASK_TEST(lookups_against_cancels)
{
    const char *often = getenv("COR_STRESS_ROUNDS");
    int rounds = often != NULL ? atoi(often) : ROUNDS, answered = 0;
    char out[MOST][COR_ADDR_TEXT];
    server own = {0};
    cor_group tasks = {0};
    begin(&own, &tasks, "options timeout:1 attempts:5");
    cori_files_check_ns = COR_MILLISECOND;
    for (int i = 0; i < rounds; i++) {
        answered += play(&own, (uint32_t)i * 104729 + 1);
        T_ASSERT(cor_lookup_host(out, MOST, "both.test", cor_after(SOON), NULL) > 0);
    }
    T_ASSERT(answered > 0);
    end(&own, &tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lookups_against_cancels)};
    return COR_HAVE_CARES ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
