/* SPDX-License-Identifier: MIT */
/* Walking frame pointers. */
#include "sched/frames.h"

/* Where a suspended context saved its return address and frame pointer: see ctx_<cpu>.S. */
#if defined(__x86_64__)
enum { SAVED_FRAME = 5, SAVED_RETURN = 6 };
#define CONTEXT_PC(context) ((uintptr_t)(context)->uc_mcontext.gregs[REG_RIP])
#define CONTEXT_SP(context) ((uintptr_t)(context)->uc_mcontext.gregs[REG_RSP])
#define CONTEXT_FRAME(context) ((uintptr_t)(context)->uc_mcontext.gregs[REG_RBP])
#else
enum { SAVED_FRAME = 10, SAVED_RETURN = 11 };
#define CONTEXT_PC(context) ((uintptr_t)(context)->uc_mcontext.pc)
#define CONTEXT_SP(context) ((uintptr_t)(context)->uc_mcontext.sp)
#define CONTEXT_FRAME(context) ((uintptr_t)(context)->uc_mcontext.regs[29])
#endif
#define READS_STACKS __attribute__((no_sanitize("address", "thread")))

/* How far to look for a frame, words. */
enum { SEARCH_WORDS = 1024 };

/* Tells whether a frame may lie there. */
static bool on_stack(const cori_task *task, uintptr_t frame)
{
    return frame >= (uintptr_t)task->stack.low && frame <= (uintptr_t)task - 16 && frame % sizeof(void *) == 0;
}

/* Tells whether what lies there looks like a frame: a caller's further up, or none, and a return address. */
READS_STACKS static bool is_frame(const cori_task *task, uintptr_t frame)
{
    const uintptr_t *words = (const uintptr_t *)frame;
    return on_stack(task, frame) && (words[0] == 0 || (words[0] > frame && on_stack(task, words[0]))) &&
           (words[1] < (uintptr_t)task->stack.low || words[1] > (uintptr_t)task);
}

/*
 * The next frame from `sp` on. Code without frame pointers, such as the C library's, may use the register for something
 * else; then it has saved its caller's on the stack. 0: not found.
 */
READS_STACKS static uintptr_t search(const cori_task *task, uintptr_t sp)
{
    for (int i = 0; i < SEARCH_WORDS && on_stack(task, sp); i++, sp += sizeof(void *)) {
        uintptr_t word = *(const uintptr_t *)sp;
        if (word > sp && is_frame(task, word) && *(const uintptr_t *)word != 0) {
            return word;
        }
    }
    return 0;
}

READS_STACKS static int walk(const cori_task *task, uintptr_t pc, uintptr_t sp, uintptr_t frame, const void **frames,
                             int most)
{
    int count = 0;
    while (count < most && pc != 0) {
        frames[count++] = (const void *)pc;
        frame = frame == 0 || is_frame(task, frame) ? frame : search(task, sp);
        if (frame == 0) {
            break;
        }
        const uintptr_t *words = (const uintptr_t *)frame;
        sp = frame + 2 * sizeof(void *);
        frame = words[0];
        pc = words[1];
    }
    return count;
}

READS_STACKS int cori_frames_parked(const cori_task *task, const void **frames, int most)
{
    const uintptr_t *saved = task->ctx.sp;
    return walk(task, saved[SAVED_RETURN], (uintptr_t)saved, saved[SAVED_FRAME], frames, most);
}

int cori_frames_running(const cori_task *task, const ucontext_t *running, const void **frames, int most)
{
    return walk(task, CONTEXT_PC(running), CONTEXT_SP(running), CONTEXT_FRAME(running), frames, most);
}

READS_STACKS int cori_frames_here(const cori_task *self, const void *frame, const void **frames, int most)
{
    const uintptr_t *words = frame;
    return walk(self, words[1], (uintptr_t)frame + 2 * sizeof(void *), words[0], frames, most);
}
