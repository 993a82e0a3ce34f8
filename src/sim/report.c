/* SPDX-License-Identifier: MIT */
/* The descriptor of report.h. */
#include "sim/report.h"

#include "base/sys.h"

#include <stdarg.h>
#include <stdio.h>

static int report_fd = -1;

void cori_sim_report_begin(int fd)
{
    report_fd = fd;
}

int cori_sim_report_fd(void)
{
    return report_fd;
}

void cori_sim_print(const char *format, ...)
{
    char text[500];
    va_list values;
    if (report_fd < 0) {
        return;
    }
    va_start(values, format);
    int length = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (length > 0) {
        size_t size = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
        ssize_t ignored = cori_sys_write(report_fd, text, size);
        (void)ignored;
    }
}
