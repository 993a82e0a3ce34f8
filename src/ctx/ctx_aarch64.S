/* SPDX-License-Identifier: MIT */
/*
 * Context switch for AArch64 (AAPCS64, section 6.1): a called function must preserve x19..x28, x29 (frame pointer),
 * the low halves of v8..v15, and sp; x30 holds the return address.
 *
 * A suspended stack, growing down:
 *
 *      sp+96 .. sp+159   d8..d15
 *      sp+80             x29, x30 (return address; cori_ctx_start for a new context)
 *      sp+64             x27, x28
 *      sp+48             x25, x26
 *      sp+32             x23, x24
 *      sp+16             x21, x22
 *      sp+0              x19 (entry function of a new context), x20 (its argument)
 */
    .text
    .globl  cori_ctx_swap
    .hidden cori_ctx_swap
    .type   cori_ctx_swap, %function
    .p2align 4
cori_ctx_swap:                      /* x0: where to save sp; x1: the sp to load */
    .cfi_startproc
    hint    #34                     /* bti c */
    sub     sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp     x19, x20, [sp, #0]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mov     x9, sp
    str     x9, [x0]
    mov     sp, x1                  /* the frame below has the same shape, so the CFI stays true */
    ldp     x19, x20, [sp, #0]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    .cfi_restore x29
    .cfi_restore x30
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #160
    .cfi_adjust_cfa_offset -160
    ret
    .cfi_endproc
    .size   cori_ctx_swap, . - cori_ctx_swap

    .globl  cori_ctx_start
    .hidden cori_ctx_start
    .type   cori_ctx_start, %function
    .p2align 4
cori_ctx_start:
    .cfi_startproc
    .cfi_undefined x30              /* unwinders stop here: there is no caller */
    hint    #36                     /* bti j */
    mov     x0, x20
    mov     x29, xzr                /* ends frame-pointer walks */
    blr     x19
    brk     #1                      /* the entry function must not return */
    .cfi_endproc
    .size   cori_ctx_start, . - cori_ctx_start

    .section .note.GNU-stack, "", %progbits
