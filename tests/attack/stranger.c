/* SPDX-License-Identifier: MIT */
/*
 * A stranger in a process, as if a bug had let one in. Preloaded, it waits for SIGRTMIN+3 and then tries, on whichever
 * thread that comes to, what strangers do; one line on stderr says what became of it, 0 or -errno for each:
 *
 *      stranger shadow=-13 write=-13 socket=-1 ...
 *
 * It has a socket and a ring (built with -DRING -luring) from before the program began: the way past a filter of system
 * calls. STRANGER_PORT is a port of the loopback that somebody listens on, STRANGER_FILE a file that is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef RING
#include <liburing.h>

static struct io_uring ring;
static int ring_code = -ENOSYS;
#endif

enum { LINE_BYTES = 400 };

static int sockets[2];
static struct sockaddr_in there = {.sin_family = AF_INET};
static const char *file = "/";

static int code_of(long result)
{
    return result < 0 ? -errno : 0;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int code = code_of(fd);
    if (fd >= 0) {
        close(fd);
    }
    return code;
}

static int try_fork(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        _exit(0);
    }
    return code_of(pid);
}

static int try_code(void)
{
    void *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return made == MAP_FAILED ? -errno : 0;
}

#ifdef RING
/* What the ring was asked for, or why it could not be entered. */
static int submit(void)
{
    struct io_uring_cqe *done;
    int code = ring_code == 0 ? io_uring_submit_and_wait(&ring, 1) : ring_code;
    if (code >= 0 && (code = io_uring_wait_cqe(&ring, &done)) == 0) {
        code = done->res < 0 ? done->res : 0;
        io_uring_cqe_seen(&ring, done);
    }
    return code;
}

static int ring_open(const char *path)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (entry != NULL) {
        io_uring_prep_openat(entry, AT_FDCWD, path, O_RDONLY, 0);
    }
    return submit();
}

static int ring_connect(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (entry != NULL) {
        io_uring_prep_connect(entry, sockets[1], (struct sockaddr *)&there, sizeof(there));
    }
    return submit();
}

static int make_ring(void)
{
    struct io_uring_params parameters = {0};
    return code_of(syscall(SYS_io_uring_setup, 4, &parameters));
}
#else
static int ring_open(const char *path)
{
    return *path == '\0';
}

static int ring_connect(void)
{
    return 1;
}

static int make_ring(void)
{
    return 1;
}
#endif

/* Adds " what=code" to the line. */
static void tell(char *line, const char *what, int code)
{
    size_t used = strlen(line);
    snprintf(line + used, LINE_BYTES - used, " %s=%d", what, code);
}

static void say(char *line)
{
    size_t used = strlen(line);
    line[used] = '\n';
    (void)!write(STDERR_FILENO, line, used + 1);
}

static void on_signal(int number)
{
    char line[LINE_BYTES + 1] = "stranger", last[LINE_BYTES + 1] = "stranger";
    (void)number;
    tell(line, "shadow", try_open("/etc/shadow", O_RDONLY));
    tell(line, "write", try_open(file, O_WRONLY | O_CREAT));
    tell(line, "unlink", code_of(unlink(file)));
    tell(line, "socket", code_of(socket(AF_INET, SOCK_STREAM, 0)));
    tell(line, "connect", code_of(connect(sockets[0], (struct sockaddr *)&there, sizeof(there))));
    tell(line, "fork", try_fork());
    tell(line, "code", try_code());
    tell(line, "ptrace", code_of(ptrace(PTRACE_SEIZE, getppid(), 0, 0)));
    tell(line, "kill", code_of(kill(getppid(), 0)));
    tell(line, "new_ring", make_ring());
    tell(line, "ring_shadow", ring_open("/etc/shadow"));
    tell(line, "ring_connect", ring_connect());
    say(line);
    char *const argv[] = {(char[]){"/bin/true"}, NULL};
    execve(argv[0], argv, NULL);
    tell(last, "exec", -errno);
    say(last);
}

__attribute__((constructor)) static void move_in(void)
{
    const char *port = getenv("STRANGER_PORT"), *name = getenv("STRANGER_FILE");
    if (port == NULL || name == NULL) {
        return; /* a program that was started on the way */
    }
    file = name;
    there.sin_port = htons((uint16_t)atoi(port));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockets[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
#ifdef RING
    ring_code = io_uring_queue_init(4, &ring, 0);
#endif
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGRTMIN + 3, &action, NULL);
}
