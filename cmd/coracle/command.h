/* SPDX-License-Identifier: MIT */
/* The commands of the program. Each gets its own argv (argv[0] is the command's name) and returns an exit code. */
#ifndef CORACLE_CMD_COMMAND_H
#define CORACLE_CMD_COMMAND_H

#include <stdio.h>

int serve_command(int argc, char **argv);
void serve_help(FILE *to);

int dial_command(int argc, char **argv);
void dial_help(FILE *to);

int bench_command(int argc, char **argv);
void bench_help(FILE *to);

int resolve_command(int argc, char **argv);
void resolve_help(FILE *to);

int status_command(int argc, char **argv);
void status_help(FILE *to);

#endif
