/* SPDX-License-Identifier: MIT */
/* Stacks: sizes, guards (both kinds), reuse, giving pages back, limits, threads. */
/* test: workers=1 */
#include "support/child.h"
#include "support/faults.h"
#include "support/taskcase.h"

#include "base/limits.h"
#include "ctx/stack.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { KIB = 1024, MANY = 1000 };

static int clean(void **state)
{
    (void)state;
    faults_clear();
    cori_stack_release_all();
    cori_stack_force_mprotect = false;
    return cori_stack_count() == 0 ? 0 : -1;
}

static size_t size_of(const cori_stack *stack)
{
    return (size_t)(stack->top - stack->low);
}

static void sizes_round_up_to_powers_of_two(void **state)
{
    (void)state;
    static const struct {
        size_t asked, given;
    } cases[] = {{0, 16 * KIB},        {1, 16 * KIB},       {16 * KIB, 16 * KIB},     {16 * KIB + 1, 32 * KIB},
                 {64 * KIB, 64 * KIB}, {100000, 128 * KIB}, {1024 * KIB, 1024 * KIB}, {8192 * KIB, 8192 * KIB}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cori_stack stack;
        assert_int_equal(cori_stack_take(&stack, cases[i].asked), 0);
        assert_int_equal(size_of(&stack), cases[i].given);
        assert_int_equal((uintptr_t)stack.top % 4096, 0);
        memset(stack.low, 0xa5, size_of(&stack));
        cori_stack_retire(&stack, 1, 0);
    }
    cori_stack none;
    assert_int_equal(cori_stack_take(&none, 8192 * KIB + 1), -EINVAL);
    assert_int_equal(cori_stack_take(&none, SIZE_MAX / 2), -EINVAL);
    assert_int_equal(cori_stack_count(), 0);
}

typedef struct touch {
    bool mprotect_guard;
    ptrdiff_t offset; /* from the lowest usable byte */
} touch;

static int touch_stack(void *arg)
{
    const touch *what = arg;
    cori_stack stack;
    (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer has its own */
    cori_stack_force_mprotect = what->mprotect_guard;
    if (cori_stack_take(&stack, 64 * KIB) < 0) {
        return 1;
    }
    *(volatile char *)(stack.low + what->offset) = 1;
    return 0;
}

static void guard_faults_below_and_not_above(void **state)
{
    (void)state;
    static child_result result;
    for (int kind = 0; kind < 2; kind++) {
        touch inside = {kind == 1, 0}, below = {kind == 1, -1}, far_below = {kind == 1, -CORI_STACK_GUARD_BYTES};
        assert_true(child_run(touch_stack, &inside, &result));
        assert_int_equal(result.exit_status, 0);
        assert_true(child_run(touch_stack, &below, &result));
        assert_int_equal(result.signal_number, SIGSEGV);
        assert_true(child_run(touch_stack, &far_below, &result));
        assert_int_equal(result.signal_number, SIGSEGV);
    }
}

/* A slot that was given back and taken again still has its guard. */
static int touch_reused(void *arg)
{
    cori_stack stack;
    (void)signal(SIGSEGV, SIG_DFL);
    cori_stack_force_mprotect = arg != NULL;
    for (int i = 0; i < 3; i++) {
        if (cori_stack_take(&stack, 64 * KIB) < 0) {
            return 1;
        }
        stack.low[0] = 1;
        cori_stack_retire(&stack, 1, 0);
    }
    if (cori_stack_take(&stack, 64 * KIB) < 0) {
        return 1;
    }
    stack.low[0] = 1;
    *(volatile char *)(stack.low - 1) = 1;
    return 0;
}

static void guard_survives_reuse(void **state)
{
    static child_result result;
    for (int kind = 0; kind < 2; kind++) {
        assert_true(child_run(touch_reused, kind == 0 ? NULL : state, &result));
        assert_int_equal(result.signal_number, SIGSEGV);
    }
}

static void guard_addresses_are_recognised(void **state)
{
    (void)state;
    cori_stack stacks[3];
    const char *low = NULL, *top = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cori_stack_take(&stacks[i], 64 * KIB), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(cori_stack_guard_hit(stacks[i].low - 1, &low, &top));
        assert_ptr_equal(low, stacks[i].low);
        assert_ptr_equal(top, stacks[i].top);
        assert_true(cori_stack_guard_hit(stacks[i].low - CORI_STACK_GUARD_BYTES, &low, &top));
        assert_ptr_equal(low, stacks[i].low);
        assert_false(cori_stack_guard_hit(stacks[i].low, &low, &top));
        assert_false(cori_stack_guard_hit(stacks[i].top - 1, &low, &top));
    }
    assert_false(cori_stack_guard_hit(&low, &low, &top));
    assert_false(cori_stack_guard_hit(NULL, &low, &top));
}

static size_t resident_pages(const cori_stack *stack)
{
    unsigned char pages[16];
    assert_int_equal(mincore(stack->low, 16 * 4096, pages), 0);
    size_t count = 0;
    for (int i = 0; i < 16; i++) {
        count += pages[i] & 1;
    }
    return count;
}

/* Untouched pages cost nothing, those of a retired stack are given back after a while and read as zero. */
static void pages_are_given_back(void **state)
{
    (void)state;
    cori_stack stack;
    assert_int_equal(cori_stack_take(&stack, 64 * KIB), 0);
    assert_int_equal(resident_pages(&stack), 0);
    stack.top[-1] = 1;
    assert_int_equal(resident_pages(&stack), 1); /* no huge page came with it */
    memset(stack.low, 0xff, size_of(&stack));
    assert_int_equal(resident_pages(&stack), 16);
    cori_stack_retire(&stack, 1, 1000);
    assert_int_equal(cori_stack_clean(1000), CORI_STACK_DIRTY_NS);
    assert_int_equal(cori_stack_clean(999 + CORI_STACK_DIRTY_NS), 1);
    assert_int_equal(resident_pages(&stack), 16);
    assert_int_equal(cori_stack_clean(1000 + CORI_STACK_DIRTY_NS), 0);
    assert_int_equal(resident_pages(&stack), 0);
    assert_int_equal(cori_stack_clean(INT64_MAX), -1);
    cori_stack again;
    assert_int_equal(cori_stack_take(&again, 64 * KIB), 0);
    assert_ptr_equal(again.low, stack.low);
    for (size_t i = 0; i < size_of(&again); i++) {
        assert_int_equal(again.low[i], 0);
    }
}

static void take_all(cori_stack *stacks, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(cori_stack_take(&stacks[i], 64 * KIB), 0);
        memcpy(stacks[i].top - sizeof(i), &i, sizeof(i));
    }
}

/* More than a slab's: what was used before is taken before what was not, and is not cleaned any more. */
static void used_stacks_are_taken_first(void **state)
{
    (void)state;
    enum { CROWD = 200 };
    cori_stack stacks[CROWD], *kept = &stacks[CROWD - 1];
    take_all(stacks, CROWD);
    cori_stack_retire(stacks, CROWD - 1, 0);
    for (int i = 0; i < CROWD - 1; i++) {
        assert_int_equal(cori_stack_take(&stacks[i], 64 * KIB), 0);
        assert_int_equal(resident_pages(&stacks[i]), 1);
    }
    for (int64_t wait_ns = 0; wait_ns >= 0; wait_ns = cori_stack_clean(CORI_STACK_DIRTY_NS)) {
        assert_int_equal(wait_ns, 0);
    }
    for (int i = 0; i < CROWD - 1; i++) {
        assert_int_equal(resident_pages(&stacks[i]), 1);
    }
    /* One slab of several becomes clean: it is the last one. */
    cori_stack_retire(stacks, CROWD - 1, CORI_STACK_DIRTY_NS);
    assert_int_equal(cori_stack_clean(2 * CORI_STACK_DIRTY_NS), 0);
    cori_stack_retire(kept, 1, CORI_STACK_DIRTY_NS);
    for (int i = 0; i < CROWD / 2; i++) {
        assert_int_equal(cori_stack_take(&stacks[i], 64 * KIB), 0);
        assert_int_equal(resident_pages(&stacks[i]), 1);
    }
}

/* Every third one is in use: those between are given back, these are not touched. */
static void cleaning_spares_what_is_taken(void **state)
{
    enum { CROWD = 150 };
    for (int kind = 0; kind < 2; kind++) {
        cori_stack stacks[CROWD];
        cori_stack_force_mprotect = kind == 1;
        take_all(stacks, CROWD);
        for (int i = 0; i < CROWD; i++) {
            if (i % 3 != 0) {
                cori_stack_retire(&stacks[i], 1, 0);
            }
        }
        assert_int_equal(cori_stack_count(), CROWD / 3);
        while (cori_stack_clean(CORI_STACK_DIRTY_NS) == 0) {}
        for (int i = 0; i < CROWD; i++) {
            assert_int_equal(resident_pages(&stacks[i]), i % 3 == 0);
            assert_true(i % 3 != 0 || memcmp(stacks[i].top - sizeof(i), &i, sizeof(i)) == 0);
        }
        assert_int_equal(clean(state), 0);
    }
}

/* A whole slab is given back by one call over all its guards. */
static int touch_guard_of_cleaned(void *arg)
{
    cori_stack stacks[64];
    (void)signal(SIGSEGV, SIG_DFL);
    cori_stack_force_mprotect = arg != NULL;
    take_all(stacks, 64);
    cori_stack_retire(stacks, 64, 0);
    while (cori_stack_clean(CORI_STACK_DIRTY_NS) == 0) {}
    if (resident_pages(&stacks[20]) != 0) {
        return 1;
    }
    *(volatile char *)(stacks[20].low - 1) = 1;
    return 0;
}

static void guards_survive_cleaning(void **state)
{
    static child_result result;
    for (int kind = 0; kind < 2; kind++) {
        assert_true(child_run(touch_guard_of_cleaned, kind == 0 ? NULL : state, &result));
        assert_int_equal(result.signal_number, SIGSEGV);
    }
}

static void many_stacks_are_disjoint(void **state)
{
    (void)state;
    cori_stack *stacks = calloc(MANY, sizeof(*stacks));
    assert_non_null(stacks);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(cori_stack_take(&stacks[i], i % 3 == 0 ? 16 * KIB : 64 * KIB), 0);
        memcpy(stacks[i].low, &i, sizeof(i));
        memcpy(stacks[i].top - sizeof(i), &i, sizeof(i));
    }
    assert_int_equal(cori_stack_count(), MANY);
    for (int i = 0; i < MANY; i++) {
        assert_memory_equal(stacks[i].low, &i, sizeof(i));
        assert_memory_equal(stacks[i].top - sizeof(i), &i, sizeof(i));
        cori_stack_retire(&stacks[i], 1, 0);
    }
    assert_int_equal(cori_stack_count(), 0);
    free(stacks);
}

static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    int lines = 0;
    for (int byte = fgetc(maps); byte != EOF; byte = fgetc(maps)) {
        lines += byte == '\n';
    }
    (void)fclose(maps);
    return lines;
}

static int mappings_for(int count)
{
    int before = count_mappings();
    for (int i = 0; i < count; i++) {
        cori_stack stack;
        assert_int_equal(cori_stack_take(&stack, 64 * KIB), 0);
    }
    return count_mappings() - before;
}

static bool kernel_has_guards(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    bool has = madvise(page, 4096, 102) == 0;
    assert_int_equal(munmap(page, 4096), 0);
    return has;
}

static void guards_need_no_mappings_on_new_kernels(void **state)
{
    (void)state;
    if (!kernel_has_guards() || taskcase_is_slow()) {
        print_message("skipped: the kernel has no MADV_GUARD_INSTALL, or a tool maps memory of its own\n");
        skip();
    }
    assert_true(mappings_for(MANY) < MANY / 20);
    cori_stack_release_all();
    cori_stack_force_mprotect = true;
    assert_true(mappings_for(MANY) >= MANY);
}

/* The old kernel's limit on mappings is an error code, not a crash; what was taken before stays usable. */
static void mapping_limit_gives_enomem(void **state)
{
    (void)state;
    if (taskcase_is_slow()) {
        print_message("skipped: a tool maps memory of its own\n");
        skip();
    }
    enum { LIMIT = 70000 };
    cori_stack_force_mprotect = true;
    cori_stack first, stack;
    assert_int_equal(cori_stack_take(&first, 16 * KIB), 0);
    int taken = 1, rc = 0;
    while (taken < LIMIT && (rc = cori_stack_take(&stack, 16 * KIB)) == 0) {
        taken++;
    }
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(cori_stack_count(), taken);
    assert_int_equal(cori_stack_take(&stack, 16 * KIB), -ENOMEM);
    memset(first.low, 1, size_of(&first));
    cori_stack_retire(&first, 1, 0);
    assert_int_equal(cori_stack_take(&stack, 16 * KIB), 0);
}

static void failing_map_gives_enomem(void **state)
{
    (void)state;
    cori_stack stack;
    faults_set(CORI_SYS_MMAP, 1, -ENOMEM);
    assert_int_equal(cori_stack_take(&stack, 64 * KIB), -ENOMEM);
    assert_true(faults_hit());
    assert_int_equal(cori_stack_count(), 0);
    assert_int_equal(cori_stack_take(&stack, 64 * KIB), 0);
    assert_int_equal(cori_stack_count(), 1);
}

/* Without overcommit charge: far more stacks than memory can be taken as long as none is used. */
static int take_within_little_memory(void *arg)
{
    (void)arg;
    for (int i = 0; i < 64; i++) {
        cori_stack stack;
        if (cori_stack_take(&stack, 8192 * KIB) < 0) {
            return 1;
        }
    }
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss < 256 * KIB ? 0 : 2;
}

static void untouched_stacks_are_free(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(take_within_little_memory, NULL, &result));
    assert_int_equal(result.exit_status, 0);
}

enum { THREADS = 4, THREAD_ROUNDS = 2000, HELD = 8 };

static void *take_and_retire(void *arg)
{
    long number = (long)(intptr_t)arg;
    cori_stack held[HELD];
    for (int round = 0; round < THREAD_ROUNDS; round++) {
        int slot = round % HELD;
        if (round >= HELD) {
            long seen;
            memcpy(&seen, held[slot].low, sizeof(seen));
            if (seen != number) {
                return arg;
            }
            cori_stack_retire(&held[slot], 1, round);
            (void)cori_stack_clean(round + (round % 2) * CORI_STACK_DIRTY_NS);
        }
        if (cori_stack_take(&held[slot], 16 * KIB) < 0) {
            return arg;
        }
        memcpy(held[slot].low, &number, sizeof(number));
    }
    for (int slot = 0; slot < HELD; slot++) {
        cori_stack_retire(&held[slot], 1, 0);
    }
    return NULL;
}

static void threads_share_the_pool(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_retire, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(cori_stack_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(sizes_round_up_to_powers_of_two, clean),
        cmocka_unit_test_teardown(guard_faults_below_and_not_above, clean),
        cmocka_unit_test_teardown(guard_survives_reuse, clean),
        cmocka_unit_test_teardown(guard_addresses_are_recognised, clean),
        cmocka_unit_test_teardown(pages_are_given_back, clean),
        cmocka_unit_test_teardown(used_stacks_are_taken_first, clean),
        cmocka_unit_test_teardown(cleaning_spares_what_is_taken, clean),
        cmocka_unit_test_teardown(guards_survive_cleaning, clean),
        cmocka_unit_test_teardown(many_stacks_are_disjoint, clean),
        cmocka_unit_test_teardown(guards_need_no_mappings_on_new_kernels, clean),
        cmocka_unit_test_teardown(mapping_limit_gives_enomem, clean),
        cmocka_unit_test_teardown(failing_map_gives_enomem, clean),
        cmocka_unit_test_teardown(untouched_stacks_are_free, clean),
        cmocka_unit_test_teardown(threads_share_the_pool, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
