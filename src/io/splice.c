/* SPDX-License-Identifier: MIT */
/*
 * Steps of a copy that the kernel makes: by splice from socket to socket, through a duct, and by sendfile from a file.
 *
 * A step holds the lock of one end at a time, as a read followed by a write does. So other readers and writers take
 * turns with a copy, an echo may copy a connection to itself, and closing either end finds nobody who waits for the
 * other with it held. Only sendfile needs both: it is tried once the source is known to be a file, which is entered
 * within each try, and left before the wait.
 *
 * What has been spliced into the duct is not the source's any more. If the target then fails it is lost, as what a copy
 * has in its buffer is. If the target turns out to be unfit for splice, it is written from a buffer.
 *
 * Over io_uring a TCP connection's bytes are received ahead, into the poller's buffers, where splice does not see them.
 * The first step has that stopped, and until it is, the caller copies by buffers what had come. It is looked at again
 * after each wait: another copy from the same source may have ended meanwhile and had the poller go on.
 */
#include "io/splice.h"

#include "base/limits.h"
#include "base/sys.h"
#include "io/buffer.h"
#include "io/duct.h"
#include "net/fd.h"

/* A splice in either direction. */
typedef struct portion {
    const cori_duct *duct;
    size_t size;
} portion;

static ssize_t try_in(cori_slot *slot, void *arg)
{
    const portion *part = arg;
    return cori_sys_splice_in(slot->pollfd.fd, part->duct->in, part->size);
}

static ssize_t try_out(cori_slot *slot, void *arg)
{
    const portion *part = arg;
    return cori_sys_splice_out(part->duct->out, slot->pollfd.fd, part->size);
}

/* True for what tells that a call is not to be had for these descriptors. */
static bool is_unfit(ssize_t code)
{
    return code == -EINVAL || code == -EOPNOTSUPP || code == -ENOSYS;
}

/*
 * Fills a duct, inside a call that holds the read lock: the count, 0 at the end, -EAGAIN if it is not to be had now, or
 * an error. *duct if > 0.
 */
static ssize_t fill(cori_slot *slot, size_t size, cori_duct **duct)
{
    ssize_t count;
    do { /* a sign without data: wait again, without a duct */
        int rc = slot->ops->wait_readable(slot, NULL);
        rc = rc == 0 ? cori_fd_pause_ahead(slot) : rc;
        if (rc < 0) {
            return rc;
        }
        *duct = cori_duct_take();
        if (*duct == NULL) {
            return -EAGAIN;
        }
        count = cori_fd_take(slot, try_in, &(portion){.duct = *duct, .size = size}, 0);
        if (count <= 0) {
            cori_duct_give(*duct);
        }
    } while (count == -EAGAIN);
    return count;
}

/* Writes what is in the duct from a buffer. */
static int empty_by_buffer(cori_slot *slot, const cori_duct *duct, size_t size, size_t *moved)
{
    char *buffer = cori_buffer_take();
    int rc = buffer != NULL ? 0 : -ENOMEM;
    while (rc == 0 && size > 0) {
        size_t written = 0;
        ssize_t count = cori_sys_read(duct->out, buffer, size < CORI_BUFFER_BYTES ? size : CORI_BUFFER_BYTES);
        rc = count > 0 ? slot->ops->write(slot, buffer, (size_t)count, &written) : count < 0 ? (int)count : -EIO;
        size -= count > 0 ? (size_t)count : 0;
        *moved += written;
    }
    if (buffer != NULL) {
        cori_buffer_give(buffer);
    }
    return rc;
}

/* Empties the duct, inside a call that holds the write lock. */
static int empty(cori_slot *slot, const cori_duct *duct, size_t size, size_t *moved)
{
    size_t before = *moved;
    ssize_t count = cori_fd_splices(slot) ? 1 : -EINVAL;
    while (count > 0 && *moved - before < size) {
        count = cori_fd_put(slot, try_out, &(portion){.duct = duct, .size = size - (*moved - before)});
        *moved += count > 0 ? (size_t)count : 0;
    }
    if (is_unfit(count)) {
        return empty_by_buffer(slot, duct, size - (*moved - before), moved);
    }
    return count > 0 ? 0 : count < 0 ? (int)count : -EIO;
}

static int empty_into(cor_conn *target, cori_duct *duct, size_t size, size_t *moved)
{
    cori_slot *slot;
    int rc = cori_slot_enter(target, CORI_KIND_CONN, CORI_LOCK_WRITE, &slot);
    if (rc == 0) {
        rc = empty(slot, duct, size, moved);
        cori_slot_leave(slot, CORI_LOCK_WRITE);
    }
    if (rc == 0) {
        cori_duct_give(duct);
    } else {
        cori_duct_drop(duct);
    }
    return rc;
}

int cori_splice_step(cori_step *step)
{
    cori_duct *duct = NULL;
    cori_slot *slot;
    int rc = cori_slot_enter(step->source, CORI_KIND_CONN, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    size_t size = step->max < CORI_DUCT_BYTES ? step->max : CORI_DUCT_BYTES;
    ssize_t count = cori_fd_splices(slot) ? fill(slot, size, &duct) : -EINVAL;
    cori_slot_leave(slot, CORI_LOCK_READ);
    if (count <= 0) {
        return count == -EAGAIN ? CORI_STEP_LATER : is_unfit(count) ? CORI_STEP_UNFIT : (int)count;
    }
    rc = empty_into(step->target, duct, (size_t)count, &step->moved);
    step->by_target = rc < 0;
    return rc < 0 ? rc : CORI_STEP_DONE;
}

void cori_splice_end(cor_conn *source)
{
    cori_slot *slot;
    if (cori_slot_enter(source, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
        cori_fd_resume_ahead(slot);
        cori_slot_leave(slot, CORI_SHARED);
    }
}

/* A try of sendfile. */
typedef struct file_try {
    cori_step *step;
    bool by_source; /* out: it is the file that failed */
} file_try;

/* Enters the file for as long as the call takes. */
static ssize_t try_file(cori_slot *slot, void *arg)
{
    file_try *trial = arg;
    cori_slot *file;
    size_t size = trial->step->max < CORI_SENDFILE_BYTES ? trial->step->max : CORI_SENDFILE_BYTES;
    int rc = cori_slot_enter(trial->step->source, CORI_KIND_CONN, CORI_LOCK_READ, &file);
    if (rc < 0) {
        trial->by_source = true;
        return rc;
    }
    rc = cori_fd_check(file, CORI_READ);
    trial->by_source = rc < 0;
    ssize_t count = rc < 0 ? rc : cori_sys_sendfile(slot->pollfd.fd, file->pollfd.fd, size);
    cori_slot_leave(file, CORI_LOCK_READ);
    return count;
}

/* What speaks against a write to the target; -EINVAL: it is none for sendfile. */
static int check_target(cor_conn *target)
{
    cori_slot *slot;
    int rc = cori_slot_enter(target, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc == 0) {
        rc = cori_fd_splices(slot) ? cori_fd_check(slot, CORI_WRITE) : -EINVAL;
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

/* 0 for a regular file; -EINVAL: it is none. */
static int check_file(cor_conn *source)
{
    cori_slot *slot;
    int rc = cori_slot_enter(source, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc == 0) {
        rc = cori_fd_never_waits(slot) ? 0 : -EINVAL;
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

/*
 * A file's reader gives its lock back soon. Another stream's may hold it for ever, and this step would hold up all
 * writers meanwhile: what the source is has to be known first.
 */
int cori_sendfile_step(cori_step *step)
{
    file_try trial = {.step = step};
    cori_slot *slot;
    int rc = check_target(step->target);
    step->by_target = rc < 0 && rc != -EINVAL;
    rc = rc < 0 ? rc : check_file(step->source);
    if (rc < 0) {
        return rc == -EINVAL ? CORI_STEP_UNFIT : rc;
    }
    rc = cori_slot_enter(step->target, CORI_KIND_CONN, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        step->by_target = true;
        return rc;
    }
    ssize_t count = cori_fd_put(slot, try_file, &trial);
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    step->moved += count > 0 ? (size_t)count : 0;
    step->by_target = count < 0 && !trial.by_source && !is_unfit(count);
    return count > 0 ? CORI_STEP_DONE : is_unfit(count) ? CORI_STEP_UNFIT : (int)count;
}
