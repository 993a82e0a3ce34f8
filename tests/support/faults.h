/* SPDX-License-Identifier: MIT */
/*
 * Faults by countdown. A test fails the 1st, 2nd, 3rd ... system call of a kind until a run passes without one:
 *
 *      bool hit = true;
 *      for (unsigned nth = 1; hit; nth++) {
 *          faults_set(CORI_SYS_ACCEPT, nth, -EMFILE);
 *          run();
 *          hit = faults_hit();
 *      }
 *
 * Allocation faults need the test file to be linked with the wrapper:
 *      link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
 * Set and clear only while no cor_run is active. Counting is safe from any thread.
 */
#ifndef TEST_SUPPORT_FAULTS_H
#define TEST_SUPPORT_FAULTS_H

#include "base/sys.h"

#include <stdbool.h>

/* Any kind of call. */
#define FAULTS_ANY (-1)

/* Lets the `nth` call (from 1) of this kind give `code` (-errno); the others happen. */
void faults_set(int call, unsigned nth, int code);
/* As faults_set, but `count` calls in a row fail, from the nth on. */
void faults_set_run(int call, unsigned nth, unsigned count, int code);
/* Tells whether a call has failed since faults_set. */
bool faults_hit(void);
/* Counts the calls of the kind since faults_set. */
unsigned faults_seen(void);
void faults_clear(void);

/* Lets the `nth` allocation (from 1) from now on fail; 0: none. Works in binaries linked with the wrapper. */
void faults_alloc_set(unsigned nth);
bool faults_alloc_hit(void);

#endif
