# SPDX-License-Identifier: MIT
"""The bad snippets that style.py --self-test feeds to its rules."""

# One bad snippet per rule: (rule, path, body). Where it makes sense a good twin with rule None must pass.
# REUSE-IgnoreStart: these are texts to be checked, not licences.
HEAD = "/* SPDX-License-Identifier: MIT */\n/* A snippet. */\n"
DOC = "/*\n * Does it.\n * Returns: 0. Parks: never. Threads: any thread.\n */\n"


def body(statement):
    return HEAD + "static void f(void)\n{\n    " + statement + "\n}\n"


DEFAULTS = "/* SPDX-License-Identifier: MIT */\n/*\n * A snippet.\n *\n * Unless a call says otherwise: %s\n */\n"
SHORT_DOC = "/*\n * Does it.\n * Returns: 0.\n */\nCOR_API int cor_a(void);\n"

SNIPPETS = [
    ("spdx", "src/base/a.c", "/* A snippet. */\n"),
    ("spdx", "tools/a.sh", "#!/bin/sh\necho\n"),
    ("purpose", "src/base/a.c", "/* SPDX-License-Identifier: MIT */\nint a;\n"),
    ("file-size", "src/base/a.c", HEAD + "int a;\n" * 600),
    ("line-length", "src/base/a.c", HEAD + "int " + "a" * 120 + ";\n"),
    ("trailing-blank", "src/base/a.c", HEAD + "int a; \n"),
    ("mark", "src/base/a.c", HEAD + "/* TO" + "DO: later */\n"),
    ("function-size", "src/base/a.c", HEAD + "static void f(void)\n{\n" + "    a();\n" * 68 + "}\n"),
    (None, "src/base/a.c", HEAD + "static void f(void)\n{\n" + "    a();\n" * 67 + "}\n"),
    ("function-size", "src/base/a.c", HEAD + "static int f(int a,\n      int b) {\n" + "    a();\n" * 68 + "}\n"),
    ("function-size", "src/base/a.c", HEAD + "static struct s *f(int a) {\n" + "    a();\n" * 69 + "}\n"),
    (None, "src/base/a.c", HEAD + "struct s {\n" + "    int (*a)(int);\n" * 99 + "};\n"),
    (None, "src/base/a.c", HEAD + "static const int a[] = {\n" + "    f(1),\n" * 99 + "};\n"),
    ("braces", "src/base/a.c", body("if (a(b))\n        c();")),
    ("braces", "src/base/a.c", body("if (a) {\n    } else\n        c();")),
    ("braces", "src/base/a.c", body("while (a)\n        ;")),
    (None, "src/base/a.c", body("do {\n        a();\n    } while (b);\n    if (a) {\n    } else if (b) {\n    }")),
    ("unsafe-string", "cmd/coracle/a.c", body("strcpy(a, b);")),
    (None, "src/base/a.c", body('a("strcpy(a, b)"); /* strcpy(a, b) */')),
    ("alloca", "src/base/a.c", body("alloca(4);")),
    ("jump", "src/base/a.c", body("longjmp(a, 1);")),
    ("thread-sleep", "src/net/dial.c", body("usleep(1);")),
    (None, "src/net/dial.c", body("cor_sleep(1);")),
    ("resolver", "tests/unit/net/test_a.c", body("getaddrinfo(a, b, c, d);")),
    ("stdio", "src/sched/sleep.c", body('fprintf(stderr, "a");')),
    (None, "src/sched/sleep.c", body('snprintf(a, 1, "a");')),
    ("clock", "src/sched/sleep.c", body("clock_gettime(0, &a);")),
    (None, "src/base/clock.c", body("clock_gettime(0, &a);")),
    ("random", "src/sync/a.c", body("getrandom(a, 1, 0);")),
    ("raw-call", "src/net/dial.c", body("recv(fd, a, 1, 0);")),
    (None, "src/net/dial.c", body("conn->ops->read(conn, a); cori_sys_read(fd); a.close(b);")),
    ("raw-poll", "src/sched/sleep.c", body("epoll_wait(a, b, c, d);")),
    (None, "src/poll/poll_epoll.c", body("epoll_wait(a, b, c, d);")),
    ("raw-syscall", "src/net/dial.c", body("syscall(1);")),
    ("raw-memory", "src/net/dial.c", body("mmap(a, b, c, d, e, f);")),
    ("raw-allocation", "src/net/dial.c", body("char *a = malloc(1);")),
    (None, "src/sim/event.c", body("char *a = malloc(1);")),
    ("fork", "cmd/coracle/a.c", body("fork();")),
    ("exit", "src/sched/sleep.c", body("exit(1);")),
    ("errno", "src/net/dial.c", body("errno = 4;")),
    (None, "src/net/dial.c", HEAD + "#include <errno.h>\n"),
    ("inline-asm", "src/base/a.h", body('__asm__ volatile("pause");')),
    ("test-sleep", "tests/unit/base/test_a.c", body("usleep(5);")),
    ("test-sleep", "tests/e2e/test_a.py", "# SPDX-License-Identifier: MIT\ntime.sleep(1)\n"),
    (None, "tests/e2e/test_a.py", "# SPDX-License-Identifier: MIT\ntime.sleep(1)  # pacing: a slow reader\n"),
    ("docstring", "include/coracle/a.h", HEAD + "\nCOR_API int cor_a(void);\n"),
    ("docstring", "include/coracle/a.h", HEAD + SHORT_DOC),
    (None, "include/coracle/a.h", DEFAULTS % "Threads: tasks only. Parks: never." + SHORT_DOC),
    ("docstring", "include/coracle/a.h", DEFAULTS % "Threads: tasks only." + SHORT_DOC),
    ("docstring", "include/coracle/a.h", DEFAULTS % "Threads: tasks only. Parks: never. Returns: 0."
     + SHORT_DOC.replace(" * Returns: 0.\n", "")),
    ("docstring", "include/coracle/a.h", DEFAULTS % "Threads: tasks only. Parks: never."
     + "COR_API int cor_a(void);\n"),
    ("docstring", "include/coracle/a.h", HEAD + DEFAULTS[36:] % "Threads: all. Parks: no." + SHORT_DOC),
    ("docstring", "include/coracle/a.h", HEAD + "\n" + DOC.replace("Parks: never.", "") + "COR_API int cor_a(void);\n"),
    ("docstring", "include/coracle/a.h", HEAD + "\n" + DOC.replace("Returns: 0.", "") + "COR_API int cor_a(void);\n"),
    (None, "include/coracle/a.h", HEAD + "\n" + DOC.replace("Returns: 0.", "") + "COR_API void cor_a(void);\n"),
    (None, "include/coracle/a.h", HEAD + "\n" + DOC + "COR_API COR_CHECK int cor_a(void);\n"),
    ("docstring", "include/coracle/a.h", HEAD + "\n" + DOC.replace("0.", "0.\n *" * 20) + "COR_API int cor_a(void);\n"),
    ("include", "include/coracle/a.h", HEAD + "#include <sys/socket.h>\n"),
    ("include", "include/coracle/a.h", HEAD + '#include "a.h"\n'),
    ("name", "include/coracle/a.h", HEAD + "#define A 1\n"),
    ("include", "src/net/dial.c", HEAD + '#include "a.h"\n'),
    ("floor", "src/base/a.c", HEAD + '#include "sched/task.h"\n'),
    ("floor", "src/poll/a.c", HEAD + '#include "ctx/ctx.h"\n'),
    ("floor", "src/attic/a.c", HEAD),
    ("floor", "src/net/dial.c", HEAD + '#include "attic/a.h"\n'),
    (None, "src/net/dial.c", HEAD + '#include "net/fd.h"\n#include "base/list.h"\n#include <coracle/net.h>\n'),
    ("floor", "src/sched/task.h", HEAD + '#include "sched/park.h"\n'),
    ("floor", "src/sched/wake.c", HEAD + '#include "sched/wake.h"\n#include "sched/placement.h"\n'),
    ("floor", "src/sched/attic.c", HEAD),
    (None, "src/sched/park.c", HEAD + '#include "sched/park.h"\n#include "sched/switch.h"\n'),
    ("sched-private", "src/net/dial.c", HEAD + '#include "sched/state.h"\n'),
    ("sched-private", "src/io/a.c", body("f(cori_self_worker->now, cori_rt.solo);")),
    (None, "src/sched/wake.c", body("f(cori_self_worker->now, task->worker->now);")),
    ("floor", "cmd/coracle/serve/a.c", HEAD + '#include "sched/task.h"\n'),
    (None, "cmd/coracle/serve/a.c", HEAD + '#include "serve/room.h"\n#include "log.h"\n#include <coracle.h>\n'),
    ("include", "cmd/coracle/a.c", HEAD + "#include <sys/socket.h>\n"),
    ("floor", "examples/a.c", HEAD + '#include "help.h"\n'),
]
# REUSE-IgnoreEnd
