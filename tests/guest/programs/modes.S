# A boot sector that sets screen modes as it is told, for tests of displays. On COM3 it reads two bytes, a VBE
# mode's number, low byte first (0xff00 | BIOS mode for the old ones, text is 0xff03; 0xfe00 for the graphics
# mode that is set), sets the mode, paints
# the first 64 KiB of video memory (text: one screen) with another pattern each time, and answers with a dot.
# tests/guest/mode_disk.ts assembles it.
    .code16
    .globl _start
_start:
    xor     %ax, %ax
    mov     %ax, %ds
    mov     %ax, %ss
    mov     $0x7c00, %sp
    cld
next:
    call    get
    mov     %al, %bl
    call    get
    mov     %al, %bh
    cmp     $0xff, %bh
    je      old
    cmp     $0xfe, %bh
    je      graphics
    mov     $0x4f02, %ax
    int     $0x10
graphics:
    mov     $0xa000, %ax
    mov     $0x8000, %cx
    jmp     paint
old:
    xor     %bh, %bh
    mov     %bx, %ax
    int     $0x10
    mov     $0xb800, %ax
    mov     $2000, %cx
paint:
    mov     %ax, %es
    xor     %di, %di
    mov     seed, %ax
1:  stosw
    add     $0x0125, %ax
    loop    1b
    addw    $0x0351, seed
    mov     $0x3e8, %dx
    mov     $'.', %al
    out     %al, %dx
    jmp     next
# A byte from COM3: its line status says when one is there.
get:
    mov     $0x3ed, %dx
1:  pause
    in      %dx, %al
    test    $1, %al
    jz      1b
    mov     $0x3e8, %dx
    in      %dx, %al
    ret
seed:
    .word   0x4121
    .org    510
    .word   0xaa55
