// SPDX-License-Identifier: MIT
// C++: a task that parks while it handles an exception still handles its own afterwards, and only its own.
#include <coracle.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

static int wrong;

// Parks while it unwinds: an exception is under way then, and not only caught.
struct parks_when_unwound {
    ~parks_when_unwound()
    {
        wrong += std::uncaught_exceptions() != 1;
        cor_yield();
        wrong += std::uncaught_exceptions() != 1;
    }
};

static void rethrow(const std::string &own)
{
    try {
        throw;
    } catch (const std::exception &caught) {
        wrong += caught.what() != own;
    }
}

static void task(void *arg)
{
    std::string own = std::to_string((std::intptr_t)arg);
    wrong += std::uncaught_exceptions() != 0 || std::current_exception() != nullptr;
    for (int i = 0; i < 50; i++) {
        try {
            parks_when_unwound guard;
            throw std::runtime_error(own);
        } catch (const std::exception &) {
            wrong += i % 2 == 0 ? (cor_yield(), 0) : cor_sleep(((std::intptr_t)arg + i) % 7 * 10000) != 0;
            rethrow(own);
        }
    }
}

static int body(void *)
{
    cor_group group = {};
    for (std::intptr_t i = 1; i <= 8; i++) {
        if (cor_group_go(&group, task, (void *)i) < 0) {
            return 1;
        }
    }
    return cor_group_wait(&group, 0);
}

int main()
{
    for (int workers = 1; workers <= 2; workers++) {
        cor_options options = {};
        options.workers = workers;
        int rc = cor_run(body, nullptr, &options);
        if (rc != 0 || wrong != 0) {
            std::printf("%d workers: %d, %d wrong\n", workers, rc, wrong);
            return 1;
        }
    }
    return 0;
}
