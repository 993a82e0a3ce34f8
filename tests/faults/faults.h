/* SPDX-License-Identifier: MIT */
/*
 * Faults of a whole program. `coracle_faults` is the program with this linked to it: it counts every wrapped system
 * call, every completion that a ring hands over and every allocation of the process, and makes those fail that
 *
 *      COR_FAULT='accept:EMFILE@3+7,recv:short=1,alloc:fail@20'
 *
 * names. A rule is CALL:WHAT[@FIRST[+STEP]]: WHAT is an error by name, `fail` (the call's usual one), or short=N (a
 * stream moves N bytes at most); it befalls the FIRST call, counted from 1, and every STEP-th one after that. Without
 * "@" it befalls all of them. One rule per call; `any` is every system call, each with its usual error. COR_FAULT=help
 * lists the calls with the errors that suit them, and how a page is laid out.
 *
 * COR_FAULT_PAGE names a file that is mapped: the counts are there while the program runs, and whoever drives it sets
 * the rules there, between two dialogues. nth.py does. COR_FAULT_RING=N makes rings of N entries, at most 64, with 2N
 * completions and N buffers.
 */
#ifndef CORACLE_TESTS_FAULTS_FAULTS_H
#define CORACLE_TESTS_FAULTS_FAULTS_H

#include "base/sys.h"

/* One rule, and what has been counted: all words are atomic. */
typedef struct fault_rule {
    uint32_t seen;        /* calls since the rule was set */
    uint32_t hits;        /* those that it befell */
    uint32_t first, step; /* first 0: none; step 0: the first one only */
    uint32_t code;        /* errno; 0: the usual one */
    uint32_t limit;       /* not 0: short, and no error */
} fault_rule;

enum {
    FAULT_ANY = CORI_SYS_CLOSE,
    FAULT_RULES = CORI_SYS_CLOSE + 1
}; /* closing cannot fail: its place is that of all */

/* Counts a call; the -errno that it has to fail with, or 0. */
int fault_due(int call);

#endif
