/* SPDX-License-Identifier: MIT */
/* The way out after a fatal error: one line with write(2), which needs no locks and no stack, then abort. */
#include "base/fatal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void cori_fatal(const char *text)
{
    static const char prefix[] = "fatal error: ";
    ssize_t ignored = write(STDERR_FILENO, prefix, sizeof(prefix) - 1);
    ignored = write(STDERR_FILENO, text, strlen(text));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    abort();
}
