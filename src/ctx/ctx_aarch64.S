/* SPDX-License-Identifier: MIT */
/*
 * Context switch for AArch64 (AAPCS64, section 6.1): a called function must preserve x19..x28, x29 (frame pointer),
 * the low halves of v8..v15, and sp; x30 holds the return address.
 *
 * A suspended stack, growing down:
 *
 *      sp+96 .. sp+159   d8..d15
 *      sp+80             x29, x30 (return address)
 *      sp+64             x27, x28
 *      sp+48             x25, x26
 *      sp+32             x23, x24
 *      sp+16             x21, x22
 *      sp+0              x19, x20
 */
    .macro  save_registers
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
    .endm

    .macro  load_registers
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
    .endm

    .text
    .globl  cori_ctx_swap
    .hidden cori_ctx_swap
    .type   cori_ctx_swap, %function
    .p2align 4
cori_ctx_swap:                      /* x0: where to save sp; x1: the sp to load */
    .cfi_startproc
    hint    #34                     /* bti c */
    save_registers
    mov     sp, x1                  /* the frame below has the same shape, so the CFI stays true */
    load_registers
    ret
    .cfi_endproc
    .size   cori_ctx_swap, . - cori_ctx_swap

    .globl  cori_ctx_begin
    .hidden cori_ctx_begin
    .type   cori_ctx_begin, %function
    .p2align 4
cori_ctx_begin:                     /* x0: where to save sp; x1: top of the new stack; x2: entry; x3: its argument */
    .cfi_startproc
    hint    #34                     /* bti c */
    save_registers
    mov     sp, x1
    mov     x0, x3
    mov     x29, xzr                /* ends frame-pointer walks */
    adr     x30, bottom             /* entry's return address */
    mov     x16, x2
    br      x16                     /* through x16: allowed to meet a `bti c` */
    .cfi_endproc
    .size   cori_ctx_begin, . - cori_ctx_begin

    .globl  cori_ctx_leave
    .hidden cori_ctx_leave
    .type   cori_ctx_leave, %function
    .p2align 4
cori_ctx_leave:                     /* x0: the sp to load */
    .cfi_startproc
    .cfi_def_cfa_offset 160
    hint    #34                     /* bti c */
    mov     sp, x0
    load_registers
    ret
    .cfi_endproc
    .size   cori_ctx_leave, . - cori_ctx_leave

    .type   below_bottom, %function
below_bottom:
    .cfi_startproc
    .cfi_undefined x30              /* unwinders stop here: there is no caller */
    nop                             /* they look up the address before the one they find */
bottom:
    brk     #1                      /* an entry function must not return */
    .cfi_endproc
    .size   below_bottom, . - below_bottom

    .section .note.GNU-stack, "", %progbits
