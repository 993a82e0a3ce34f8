/* SPDX-License-Identifier: MIT */
/*
 * Text for dumps and crash reports; async-signal-safe but for dladdr, whose lock no code here holds while
 * interrupted.
 */
#include "sched/text.h"

#include "base/sys.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

void cori_text_add(cori_text *text, const char *piece)
{
    size_t room = sizeof(text->line) - 1 - text->used;
    size_t length = strlen(piece);
    length = length < room ? length : room;
    memcpy(text->line + text->used, piece, length);
    text->used += length;
}

static void add_in_base(cori_text *text, uint64_t number, unsigned base)
{
    char digits[24];
    size_t place = sizeof(digits) - 1;
    digits[place] = '\0';
    do {
        digits[--place] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    cori_text_add(text, digits + place);
}

void cori_text_number(cori_text *text, uint64_t number)
{
    add_in_base(text, number, 10);
}

void cori_text_hex(cori_text *text, uint64_t number)
{
    cori_text_add(text, "0x");
    add_in_base(text, number, 16);
}

void cori_text_symbol(cori_text *text, const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        cori_text_hex(text, (uint64_t)(uintptr_t)address);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    if (info.dli_sname != NULL) {
        cori_text_add(text, info.dli_sname);
        cori_text_add(text, "+");
        cori_text_hex(text, (uint64_t)((const char *)address - (const char *)info.dli_saddr));
        cori_text_add(text, " ");
    }
    cori_text_add(text, "(");
    cori_text_add(text, slash != NULL ? slash + 1 : info.dli_fname);
    cori_text_add(text, "+");
    cori_text_hex(text, (uint64_t)((const char *)address - (const char *)info.dli_fbase));
    cori_text_add(text, ")");
}

void cori_text_end(cori_text *text)
{
    int before = cori_errno_keep(); /* it may be a signal handler that writes this */
    text->line[text->used++] = '\n';
    ssize_t ignored = write(text->fd, text->line, text->used);
    (void)ignored;
    cori_errno_restore(before);
    text->used = 0;
}
