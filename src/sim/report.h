/* SPDX-License-Identifier: MIT */
/* Where the reports of a simulated run go: a descriptor of the real kernel. */
#ifndef CORI_SIM_REPORT_H
#define CORI_SIM_REPORT_H

/* Begins a run; `fd` < 0: what is printed goes nowhere. */
void cori_sim_report_begin(int fd);
int cori_sim_report_fd(void);
/* Prints, as printf does; at most 500 bytes, in one piece. */
__attribute__((format(printf, 1, 2))) void cori_sim_print(const char *format, ...);

#endif
