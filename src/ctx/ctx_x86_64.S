/* SPDX-License-Identifier: MIT */
/*
 * Context switch for x86-64, System V ABI (psABI 1.0, section 3.2.1): a called function must preserve rbx, rbp and
 * r12..r15; everything else is the caller's to save, and the C compiler has done so around the call. Six registers and
 * the stack pointer are the whole state (mxcsr and the x87 control word are left alone: see ctx.h).
 *
 * A suspended stack, growing down:
 *
 *      sp+48   return address (cori_ctx_start for a new context: it begins with rsp = 16n)
 *      sp+40   rbp
 *      sp+32   rbx
 *      sp+24   r12      entry function of a new context
 *      sp+16   r13      its argument
 *      sp+8    r14
 *      sp+0    r15
 */
    .text
    .globl  cori_ctx_swap
    .hidden cori_ctx_swap
    .type   cori_ctx_swap, @function
    .p2align 4
cori_ctx_swap:                      /* rdi: where to save sp; rsi: the sp to load */
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp              /* the frame below has the same shape, so the CFI stays true */
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    ret                             /* nearly always to the one call in cori_worker_next, as the CPU predicts; a jump
                                       would leave its return stack one off and cost a miss per switch */
    .cfi_endproc
    .size   cori_ctx_swap, . - cori_ctx_swap

    .globl  cori_ctx_start
    .hidden cori_ctx_start
    .type   cori_ctx_start, @function
    .p2align 4
cori_ctx_start:
    .cfi_startproc
    .cfi_undefined rip              /* unwinders stop here: there is no caller */
    endbr64
    movq    %r13, %rdi
    xorl    %ebp, %ebp              /* ends frame-pointer walks */
    callq   *%r12
    ud2                             /* the entry function must not return */
    .cfi_endproc
    .size   cori_ctx_start, . - cori_ctx_start

    .section .note.GNU-stack, "", @progbits
