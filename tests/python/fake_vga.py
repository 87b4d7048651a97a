"""A process with a card's video memory and its registers, as QEMU has them: what the vram source reads is
tested on it where no QEMU does it (a memfd, memory that goes away, registers that are there twice).

Says "ADDRESS" of the video memory; then a line a command, each answered by "ok":
  state COPIES WIDTH HEIGHT BITS ENABLE [Y]   registers in the heap, so many times, with that y offset
  poke OFFSET BYTE                        a byte of video memory
  forget                                  the registers in the heap are overwritten
  unmap                                   video memory is not there any more
"""

import ctypes
import mmap
import os
import struct
import sys

kind, size = sys.argv[1], int(sys.argv[2])
if kind == "memfd":
    fd = os.memfd_create("0000:00:01.0/vga.vram", 0)
    os.ftruncate(fd, size)
    memory = mmap.mmap(fd, size, mmap.MAP_SHARED)
else:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
view = (ctypes.c_char * size).from_buffer(memory)
address = ctypes.addressof(view)
print("0x%x" % address, flush=True)

libc = ctypes.CDLL(None, use_errno=True)
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.malloc.restype = ctypes.c_void_p
DISTANCE = 2578
BLOCK = DISTANCE + 40
blocks = []


def state(copies, width, height, bits, enable, y_offset=0):
    while len(blocks) < copies:
        blocks.append(libc.malloc(BLOCK))
    words = [0xB0C5, width, height, bits, enable, 0, width, 0, 0, y_offset]
    behind = DISTANCE + 20 + (DISTANCE + 20) % 4
    # Piece by piece: a buffer of all of it would be one more copy in the heap.
    for place in blocks:
        ctypes.memset(place, 0, BLOCK)
        ctypes.memmove(place, struct.pack("<Q", address), 8)
        ctypes.memmove(place + DISTANCE - 2, struct.pack("<11H", 4, *words), 22)
        ctypes.memmove(place + behind, struct.pack("<II", y_offset * width * bits // 32, width * bits // 8), 8)


for line in sys.stdin:
    words = line.split()
    if words[0] == "state":
        state(*map(int, words[1:]))
    elif words[0] == "poke":
        view[int(words[1])] = int(words[2])
    elif words[0] == "forget":
        for place in blocks:
            ctypes.memset(place, 0, BLOCK)
    elif words[0] == "unmap":
        libc.munmap(address, size)
    print("ok", flush=True)
os._exit(0)
