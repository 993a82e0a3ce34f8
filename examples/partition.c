/* SPDX-License-Identifier: MIT */
/*
 * A test of broadcast_server.c, as it is, on a bad network: Bob is cut off for five seconds while Ann talks. She must
 * not notice, and he must hear all of it in the end.       ./example_partition [SEEDS [FIRST]]
 */
#include <coracle.h>
int server_main(int argc, char **argv); /* its main, which nobody calls */
#define main server_main
#include "broadcast_server.c"
#undef main
#include <stdlib.h>
#include <unistd.h>

static void run_server(void *address)
{
    serve(address);
}
static void dial(void *conn)
{
    (void)!cor_dial(conn, "tcp", "10.0.0.1:1253", NULL);
}

/* Whether the next line has `wanted` in it and comes in time. */
static bool hears(cor_conn *conn, int64_t patience, const char *wanted)
{
    char line[256] = "";
    cor_set_read_deadline(conn, cor_after(patience));
    for (size_t i = 0; i < sizeof line - 1 && cor_read(conn, &line[i], 1) == 1 && line[i] != '\n'; i++) {}
    return strstr(line, wanted) != NULL;
}

static int check(void *ends)
{
    cor_conn **ann = ends, **bob = ann + 1;
    int server = cor_sim_host("server", "10.0.0.1"), far = cor_sim_host("far", "10.0.0.2");
    bool fine = cor_sim_go(server, run_server, "10.0.0.1:1253") == 0 && cor_sleep(COR_SECOND) == 0 &&
                cor_sim_go(0, dial, ann) == 0 && cor_sim_go(far, dial, bob) == 0 && cor_sleep(COR_SECOND) == 0;
    for (int i = 0; i < 10 && fine; i++) {
        cor_sim_cut(server, far, i >= 2 && i < 7);
        fine = cor_printf(*ann, "{\"message\":\"%c\"}", 'a' + i) > 0 && hears(*ann, COR_SECOND, "已经收到信息");
        fine = cor_sleep(COR_SECOND) == 0 && fine;
    }
    for (int i = 0; i < 10 && fine; i++) {
        fine = hears(*bob, COR_SECOND, (char[]){(char)('a' + i), '\0'});
    }
    return cor_close(*ann) < 0 || cor_close(*bob) < 0 || cor_sleep(5 * COR_SECOND) < 0 || !fine; /* both are gone */
}

int main(int argc, char **argv)
{
    long seeds = argc > 1 ? atol(argv[1]) : 100, seed = argc > 2 ? atol(argv[2]) : 1;
    int report = dup(1), fine = freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
    for (; seeds > 0 && fine; seeds--) {
        cor_conn *ends[2] = {NULL, NULL};
        fine = cor_sim_run((uint64_t)seed++, NULL, check, ends, NULL) == 0;
    }
    dprintf(report, fine ? "seed %ld was the last: nothing is lost\n" : "seed %ld failed\n", seed - 1);
    return !fine;
}
