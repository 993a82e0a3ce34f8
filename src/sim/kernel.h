/* SPDX-License-Identifier: MIT */
/* The system calls of simulated sockets: the table that stands in for the kernel's. */
#ifndef CORI_SIM_KERNEL_H
#define CORI_SIM_KERNEL_H

#include "base/sys_other.h"

extern const cori_sys_other_ops cori_sim_kernel;

#endif
