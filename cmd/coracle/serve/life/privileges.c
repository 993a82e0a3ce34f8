/* SPDX-License-Identifier: MIT */
/* Becoming another user for good. */
#include "serve/life/privileges.h"

#include "exits.h"
#include "serve/account.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { CAP_WORDS = 2, CAP_MOST = 63, GROUPS_MOST = 256 };

/* The C library has these two, but only libcap's header declares them. */
int capget(cap_user_header_t header, cap_user_data_t data);
int capset(cap_user_header_t header, const cap_user_data_t data);

static int failed(const char *what, int error)
{
    fprintf(stderr, "coracle serve: %s: %s\n", what, cor_strerror(-error));
    return EXIT_NO_PERMISSION;
}

/* Who to become; into serve->become. Returns an exit code. */
static int find_user(struct become *become, const char *user, const char *group)
{
    const struct passwd *found_user = NULL;
    become->uid = getuid();
    become->gid = getgid();
    if (user != NULL) {
        if (!account_user("--user", user, &become->uid, &found_user)) {
            return EXIT_BAD_CONFIG;
        }
        become->gid = found_user != NULL ? found_user->pw_gid : become->uid;
    }
    if (group != NULL && !account_group("--group", group, &become->gid)) {
        return EXIT_BAD_CONFIG;
    }
    int count = GROUPS_MOST;
    become->groups = calloc(GROUPS_MOST, sizeof(*become->groups));
    if (become->groups == NULL) {
        return EXIT_TRY_AGAIN;
    }
    become->groups[0] = become->gid;
    become->group_count = 1;
    if (found_user != NULL) {
        become->group_count =
            getgrouplist(found_user->pw_name, become->gid, become->groups, &count) < 0 ? GROUPS_MOST : count;
    }
    return EXIT_OK;
}

/* Only the capabilities in force stay, until the user changes. Returns 0 or an errno. */
static int shed_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[CAP_WORDS];
    for (int cap = 0; cap <= CAP_MOST; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL) { /* EINVAL: there are no more */
            return errno;
        }
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* a kernel without it has none */
    if (capget(&header, sets) != 0) {
        return errno;
    }
    for (int i = 0; i < CAP_WORDS; i++) {
        sets[i].inheritable = 0;
    }
    return capset(&header, sets) != 0 ? errno : 0;
}

int privileges_prepare(struct serve *serve)
{
    struct become *become = &serve->become;
    const serve_options *options = &serve->options;
    if (options->user == NULL && options->group == NULL) {
        return EXIT_OK;
    }
    int code = find_user(become, options->user, options->group);
    if (code != EXIT_OK) {
        return code;
    }
    become->wanted = true;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return failed("no_new_privs", errno);
    }
    if (geteuid() != 0) {
        /* A successor is that user already. */
        if (become->uid == getuid() && become->gid == getgid() && become->uid == geteuid()) {
            return EXIT_OK;
        }
        fprintf(stderr, "coracle serve: --user and --group: only root can switch; start it as root, or as that user\n");
        return EXIT_NO_PERMISSION;
    }
    int error = become->uid == 0 ? 0 : shed_capabilities();
    return error != 0 ? failed("capabilities", error) : EXIT_OK;
}

/* Whether some way back is left. */
static bool can_regain(const struct become *become)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[CAP_WORDS] = {0};
    if (become->uid == 0) {
        return false; /* root was asked for */
    }
    bool holds = capget(&header, sets) != 0;
    for (int i = 0; i < CAP_WORDS; i++) {
        holds = holds || (sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0;
    }
    return holds || setuid(0) == 0 || (become->gid != 0 && setgid(0) == 0) || getuid() != become->uid ||
           getgid() != become->gid;
}

int privileges_drop(struct serve *serve)
{
    const struct become *become = &serve->become;
    if (!become->wanted || (geteuid() != 0 && getuid() == become->uid)) {
        return EXIT_OK;
    }
    if (setgroups(become->group_count, become->groups) != 0) {
        return failed("--group", errno);
    }
    if (setresgid(become->gid, become->gid, become->gid) != 0) {
        return failed("--group", errno);
    }
    if (setresuid(become->uid, become->uid, become->uid) != 0) {
        return failed("--user", errno);
    }
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* /proc/self stays readable, and a core can be written */
    if (can_regain(become)) {
        fprintf(stderr, "coracle serve: --user: privileges could be regained\n");
        return EXIT_NO_PERMISSION;
    }
    return EXIT_OK;
}
