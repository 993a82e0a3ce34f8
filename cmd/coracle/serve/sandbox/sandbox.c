/* SPDX-License-Identifier: MIT */
/* The two steps, and what is said of them. */
#include "serve/sandbox/sandbox.h"

#include "exits.h"
#include "serve/sandbox/calls.h"
#include "serve/sandbox/denied.h"
#include "serve/sandbox/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MISSING_BYTES = 96 };

/* What is not in force, with commas; "" if that is nothing. Returns `text`. */
static const char *missing(const struct sandbox *sandbox, bool calls, char *text)
{
    const char *files = landlock_missing(sandbox->landlock);
    snprintf(text, MISSING_BYTES, "%s%s%s", files, *files != '\0' && !calls ? ", " : "", calls ? "" : "system calls");
    return text;
}

/* With `strict` it is all or nothing. Returns an exit code, after one line on stderr. */
static int judge(const struct serve *serve, bool calls, const char *because)
{
    char text[MISSING_BYTES];
    if (serve->options.sandbox != SANDBOX_STRICT || *missing(&serve->sandbox, calls, text) == '\0') {
        return EXIT_OK;
    }
    fprintf(stderr, "coracle serve: --sandbox=strict: cannot restrict %s (Landlock version %d%s%s)\n", text,
            serve->sandbox.landlock, *because != '\0' ? "; " : "", because);
    return EXIT_BAD_CONFIG;
}

/* What cannot be in a sandbox. A program is held in it as the server is, and would not get far. */
static int refuse_programs(const struct serve *serve)
{
    if (serve->bus != NULL) {
        fprintf(stderr, "coracle serve: --sandbox and --bus cannot be used together: a bus opens files and sockets\n");
        return EXIT_BAD_CONFIG;
    }
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].def->needs_program) {
            fprintf(stderr,
                    "coracle serve: --sandbox: %s starts programs, which would be in it too; run it in a server of its "
                    "own\n",
                    serve->services[i].def->name);
            return EXIT_BAD_CONFIG;
        }
    }
    return EXIT_OK;
}

int sandbox_files(struct serve *serve)
{
    struct sandbox *sandbox = &serve->sandbox;
    if (serve->options.sandbox == SANDBOX_OFF) {
        return EXIT_OK;
    }
    int code = refuse_programs(serve);
    sandbox->landlock = landlock_version();
    code = code == EXIT_OK ? judge(serve, calls_known(), calls_known() ? "" : "built without libseccomp") : code;
    if (code != EXIT_OK || sandbox->landlock == 0) {
        return code;
    }
    tzset(); /* which reads /etc/localtime */
    struct landlock set = {.version = sandbox->landlock};
    int error = landlock_begin(&set, !files_need_abstract(serve));
    if (error == 0 && (code = files_allow(serve, &set)) != EXIT_OK) {
        close(set.fd);
        return code;
    }
    error = error == 0 ? landlock_enforce(&set) : error;
    if (error < 0) {
        fprintf(stderr, "coracle serve: --sandbox: landlock: %s\n", cor_strerror(error));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

int sandbox_calls(struct serve *serve)
{
    struct sandbox *sandbox = &serve->sandbox;
    char text[MISSING_BYTES];
    if (serve->options.sandbox == SANDBOX_OFF) {
        return EXIT_OK;
    }
    int error = calls_known() ? denied_begin(serve) : -ENOSYS;
    if (error == 0) {
        error = calls_filter(strncmp(cor_poller_info(), "io_uring", 8) == 0, getenv("NOTIFY_SOCKET") != NULL);
    }
    sandbox->calls = error == 0;
    int code = judge(serve, sandbox->calls, cor_strerror(error));
    if (code == EXIT_OK && *missing(sandbox, sandbox->calls, text) == '\0') {
        LOG(LEVEL_INFO, "sandboxed", {"landlock", NULL, sandbox->landlock}, {"seccomp", "on", 0});
    } else if (code == EXIT_OK) {
        LOG(LEVEL_WARN, "sandbox_partial", {"landlock", NULL, sandbox->landlock},
            {"seccomp", sandbox->calls ? "on" : "off", 0}, {"open", text, 0},
            {"error",
             error == 0      ? ""
             : calls_known() ? cor_strerror(error)
                             : "built without libseccomp",
             0});
    }
    return code;
}
