# A boot sector that does to the VGA what it is told over COM3, one command after another, each answered by "k":
#   r INDEX VALUE16        writes a dispi register
#   f SEED32 BANKS8        fills so many banks of 64 KiB with xorshift32 from that seed (0 = 256 banks)
#   g SEED32 BANKS8        the same, but each pixel of 32 bits is black or grey, by its topmost bit
#   i AX BX CX DX          interrupt 0x10 of the firmware
#   p LENGTH16 BYTES       prints them as the firmware's teletype does
#   w BANK8 OFFSET16 BYTE  writes one byte of a bank
#   o PORT16 BYTE          writes a byte to a port
# It sleeps until the port's interrupt comes: a test that waits costs nothing.
.code16
.set COM, 0x3e8
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    movw $on_irq, (0x0c * 4)
    movw %ax, (0x0c * 4 + 2)
    movw $(COM + 3), %dx
    movb $3, %al
    outb %al, %dx               # 8 bits
    movw $(COM + 2), %dx
    movb $1, %al
    outb %al, %dx               # FIFO
    movw $(COM + 4), %dx
    movb $0x0b, %al
    outb %al, %dx
    movw $(COM + 1), %dx
    movb $1, %al
    outb %al, %dx               # interrupt when a byte comes
    inb $0x21, %al
    andb $0xef, %al
    outb %al, $0x21
    sti
done:
    movw $COM, %dx
    movb $'k', %al
    outb %al, %dx
next:
    call get
    cmpb $'r', %al
    je register
    xorb %bh, %bh
    cmpb $'f', %al
    je fill
    cmpb $'g', %al
    je grey
    cmpb $'i', %al
    je video
    cmpb $'p', %al
    je print
    cmpb $'w', %al
    je write
    cmpb $'o', %al
    je port
    jmp next

on_irq:
    pushw %ax
    movb $0x20, %al
    outb %al, $0x20
    popw %ax
    iret

# A byte into al; dx is lost.
get:
    movw $(COM + 5), %dx
1:  cli
    inb %dx, %al
    testb $1, %al
    jnz 2f
    sti
    hlt
    jmp 1b
2:  sti
    movw $COM, %dx
    inb %dx, %al
    ret

# Two bytes into ax.
get16:
    call get
    movb %al, %cl
    call get
    movb %al, %ah
    movb %cl, %al
    ret

# Dispi register bl = ax.
set:
    pushw %ax
    movw $0x1ce, %dx
    xorw %ax, %ax
    movb %bl, %al
    outw %ax, %dx
    popw %ax
    incw %dx
    outw %ax, %dx
    ret

register:
    call get
    movb %al, %bl
    call get16
    call set
    jmp done

grey:
    incb %bh
fill:
    call get16
    movw %ax, %si
    call get16
    shll $16, %eax
    movw %si, %ax
    movl %eax, %esi
    call get
    movzbw %al, %bp
    decw %bp
    andw $0xff, %bp
    xorw %di, %di               # the bank
4:  movw %di, %ax
    movb $5, %bl
    call set
    pushw %di
    movw $0xa000, %ax
    movw %ax, %es
    xorw %di, %di
    movw $16384, %cx
    movl %esi, %eax
5:  movl %eax, %edx
    shll $13, %edx
    xorl %edx, %eax
    movl %eax, %edx
    shrl $17, %edx
    xorl %edx, %eax
    movl %eax, %edx
    shll $5, %edx
    xorl %edx, %eax
    testb %bh, %bh
    jz 7f
    movl %eax, %edx
    sarl $31, %eax
    andl $0xaaaaaa, %eax
    stosl
    movl %edx, %eax
    jmp 8f
7:  stosl
8:  loop 5b
    movl %eax, %esi
    popw %di
    incw %di
    decw %bp
    jns 4b
    jmp done

video:
    call get16
    pushw %ax
    call get16
    pushw %ax
    call get16
    pushw %ax
    call get16
    movw %ax, %dx
    popw %cx
    popw %bx
    popw %ax
    int $0x10
    jmp done

print:
    call get16
    movw %ax, %si
6:  testw %si, %si
    jz done
    call get
    movb $0x0e, %ah
    movw $7, %bx
    pushw %si
    int $0x10
    popw %si
    decw %si
    jmp 6b

write:
    call get
    xorb %ah, %ah
    movb $5, %bl
    call set
    call get16
    movw %ax, %di
    movw $0xa000, %ax
    movw %ax, %es
    call get
    movb %al, %es:(%di)
    jmp done

port:
    call get16
    movw %ax, %si
    call get
    movw %si, %dx
    outb %al, %dx
    jmp done

.org 510
.word 0xaa55
