"""
A v2v connector that means harm: it takes its place in the region, takes O_NONBLOCK off the doorbells that it shares with
the other end, and fills them, so that a plain write() of the other end would sleep for ever. Then it behaves so that the
other end wants to ring at every turn: it consumes all that comes, asks to be rung for the next message, and sends some.

    v2v_spoiler.py process SOCKET fill|race|idle
    v2v_spoiler.py ivshmem SOCKET fill|race|idle
    v2v_spoiler.py grab PID FD        races for one doorbell of a process of the same user

fill: filled once, and kept full. race: filled and emptied without pause, so that a look before a write is worth nothing, and
left full once the other end sleeps.
idle: it only holds its place. It prints "joined", "spoilt", and "state N" whenever the other end's state word changes, and
ends when its standard input does. Written from the contract alone.
"""

import array
import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct
import sys
import threading
import time

FULL = 2**64 - 2
LISTENER_STATE, CONNECTOR_STATE = 0x18, 0x1C
CONNECTOR_GENERATION, CONNECTOR_ID = 0x24, 0x2C
CONNECTOR_BEAT = 0x38
THEIRS, MINE = 0x1000, 0x1040
PROD, PROD_EVENT, CONS, CONS_EVENT = 0, 4, 8, 12
RINGS = 0x2000
LISTENING, CONNECTED = 0x124, 0x125


class Region:
    def __init__(self, fd):
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self.words = memoryview(self.memory).cast("I")

    def get(self, at):
        return self.words[at // 4]

    def put(self, at, value):
        self.words[at // 4] = value & 0xFFFFFFFF


def say(text):
    print(text, flush=True)


def receive_fds(sock, size, most):
    fds = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(most * 4))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) // 4 * 4])
    return data, list(fds)


def join_process(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(path)
    _, fds = receive_fds(sock, 1024, 5)
    return sock, Region(fds[0]), fds[1:], 0


def join_ivshmem(path):
    """The server's greeting; the listener rings our bells."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    bells, region, own = {}, None, None
    for step in range(1 << 16):
        data, fds = receive_fds(sock, 8, 1)
        if len(data) != 8:
            sys.exit("the server hung up")
        (number,) = struct.unpack("<q", data)
        if step == 0:
            continue
        if step == 1:
            own = number
        elif number == -1:
            region = Region(fds[0])
        elif fds:
            bells.setdefault(number, []).append(fds[0])
        if own is not None and len(bells.get(own, [])) == 4:
            break
    while region.get(LISTENER_STATE) != LISTENING:
        time.sleep(0.001)
    return sock, region, bells[own], own


def keep_full(bells):
    """Adds what is missing; another holder may have read them."""
    for bell in bells:
        _, writable, _ = select.select([], [bell], [], 0)
        if writable:
            fcntl.fcntl(bell, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)
            for shift in range(63, -1, -1):
                try:
                    while True:
                        os.eventfd_write(bell, 1 << shift)
                except BlockingIOError:
                    pass
            fcntl.fcntl(bell, fcntl.F_SETFL, os.O_RDWR)


def race(bell, is_caught):
    """A full counter, then room for a moment, again and again; while the other end sleeps it stays full."""
    while True:
        fcntl.fcntl(bell, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)
        try:
            os.eventfd_read(bell)
        except BlockingIOError:
            pass
        for _ in range(30):
            pass
        try:
            os.eventfd_write(bell, FULL)
        except BlockingIOError:
            pass
        fcntl.fcntl(bell, fcntl.F_SETFL, os.O_RDWR)
        while is_caught():
            time.sleep(0.0005)


def sleeps(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2].startswith("S")


caught = []


def writes(pid):
    """Whether it is stuck in write(), the system call number 1."""
    with open(f"/proc/{pid}/syscall") as call:
        is_stuck = call.read().startswith("1 ")
    if is_stuck and not caught:
        caught.append(pid)
        say("caught")
    return is_stuck


def grab(pid, fd):
    """pidfd_getfd: the same open file, as SCM_RIGHTS would give it."""
    own = ctypes.CDLL(None).syscall(438, os.pidfd_open(pid), fd, 0)
    say("spoilt")
    threading.Thread(target=race, args=[own, lambda: writes(pid)], daemon=True).start()
    sys.stdin.read()
    os._exit(0)


def main():
    kind, path, what = sys.argv[1:4]
    if kind == "grab":
        grab(int(path), int(what))
    sock, region, bells, own = (join_process if kind == "process" else join_ivshmem)(path)
    order = region.get(0x10)
    ring_bytes = 4096 << region.get(0x14)
    outgoing = RINGS + (4096 << order)
    region.put(MINE + PROD_EVENT, 1)
    region.put(CONNECTOR_ID, own)
    region.put(CONNECTOR_GENERATION, region.get(0x0C))
    region.put(CONNECTOR_STATE, CONNECTED)
    say("joined")
    if what == "fill":
        keep_full(bells)
    if what == "race":
        pid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        for bell in bells:
            threading.Thread(target=race, args=[bell, lambda: sleeps(pid)], daemon=True).start()
    say("spoilt")
    state, sent, beat = None, 0, 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        if what == "fill":
            keep_full(bells)
        beat += 1
        region.put(CONNECTOR_BEAT, beat)
        if what != "idle":
            # All is consumed, and the next message is to ring; so is the room of the one that we send.
            produced = region.get(THEIRS + PROD)
            region.put(MINE + CONS, produced)
            region.put(MINE + PROD_EVENT, produced + 1)
            consumed = region.get(THEIRS + CONS)
            if (sent - consumed) & 0xFFFFFFFF == 0:
                at = outgoing + (sent & (ring_bytes - 1))
                region.put(at, 1)
                region.put(at + 4, 16)
                sent = (sent + 16) & 0xFFFFFFFF
                region.put(MINE + CONS_EVENT, sent)
                region.put(MINE + PROD, sent)
        if region.get(LISTENER_STATE) != state:
            state = region.get(LISTENER_STATE)
            say(f"state {state:#x}")
    os._exit(0)


main()
