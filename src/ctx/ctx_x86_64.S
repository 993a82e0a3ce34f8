/* SPDX-License-Identifier: MIT */
/*
 * Context switch for x86-64, System V ABI (psABI 1.0, section 3.2.1): a called function must preserve rbx, rbp and
 * r12..r15; everything else is the caller's to save, and the C compiler has done so around the call. Six registers and
 * the stack pointer are the whole state (mxcsr and the x87 control word are left alone: see ctx.h).
 *
 * A suspended stack, growing down:
 *
 *      sp+48   return address
 *      sp+40   rbp
 *      sp+32   rbx
 *      sp+24   r12
 *      sp+16   r13
 *      sp+8    r14
 *      sp+0    r15
 */
    .macro  save_registers
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
    .endm

    .macro  load_registers
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
    .endm

    .text
    .globl  cori_ctx_swap
    .hidden cori_ctx_swap
    .type   cori_ctx_swap, @function
    .p2align 4
cori_ctx_swap:                      /* rdi: where to save sp; rsi: the sp to load */
    .cfi_startproc
    endbr64
    save_registers
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp              /* the frame below has the same shape, so the CFI stays true */
    load_registers
    ret                             /* mostly to the same call that the other task was left by, as the CPU predicts; a
                                       jump would leave its return stack one off and cost a miss per switch */
    .cfi_endproc
    .size   cori_ctx_swap, . - cori_ctx_swap

    .globl  cori_ctx_begin
    .hidden cori_ctx_begin
    .type   cori_ctx_begin, @function
    .p2align 4
cori_ctx_begin:                     /* rdi: where to save sp; rsi: top of the new stack; rdx: entry; rcx: its arg */
    .cfi_startproc
    endbr64
    save_registers
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp
    leaq    bottom(%rip), %rax
    pushq   %rax                    /* entry's return address */
    movq    %rcx, %rdi
    xorl    %ebp, %ebp              /* ends frame-pointer walks */
    jmpq    *%rdx
    .cfi_endproc
    .size   cori_ctx_begin, . - cori_ctx_begin

    .globl  cori_ctx_leave
    .hidden cori_ctx_leave
    .type   cori_ctx_leave, @function
    .p2align 4
cori_ctx_leave:                     /* rdi: the sp to load */
    .cfi_startproc
    .cfi_def_cfa_offset 56
    endbr64
    movq    %rdi, %rsp
    load_registers
    ret
    .cfi_endproc
    .size   cori_ctx_leave, . - cori_ctx_leave

    .type   below_bottom, @function
below_bottom:
    .cfi_startproc
    .cfi_undefined rip              /* unwinders stop here: there is no caller */
    nop                             /* they look up the address before the one they find */
bottom:
    ud2                             /* an entry function must not return */
    .cfi_endproc
    .size   below_bottom, . - below_bottom

    .section .note.GNU-stack, "", @progbits
