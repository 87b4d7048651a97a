"""A process that calls itself QEMU and cannot be looked at: as soon as it was asked for its memory map, its address space is locked. One of its threads reads a page through /proc/self/mem that a
FUSE file system of its own does not deliver, another one wants to map something and waits behind that; whoever reads its command line waits behind both, in the kernel.

QMP is spoken on its socket by a process beside it: who is locked gets no more memory, and might keep itself waiting before it has answered.

slow_process.py FOLDER SOCKET, started by root in a mount name space of its own. A line on standard input, or its end, lets everybody go on.
"""
import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time

PAGE = 4096
OWNER = 4242
LOOKUP, GETATTR, OPEN, READ, FLUSH, RELEASE, INIT = 1, 3, 14, 15, 25, 18, 26
FLAT_VIEW = "FlatView #0\n AS \"memory\", root: system\n  %016x-%016x (prio 0, ram): ram0\n" % (0, (16 << 20) - 1)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def attributes(inode):
    mode = 0o040755 if inode == 1 else 0o100600
    return struct.pack("<6Q10I", inode, PAGE, 1, 0, 0, 0, 0, 0, 0, mode, 1, OWNER, OWNER, 0, PAGE, 0)


def serve(fuse):
    """Answers all but reads. Ends with the process's standard input, and with it the file system."""

    def reply(unique, body=b"", error=0):
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def end():
        sys.stdin.readline()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    while True:
        try:
            got = os.read(fuse, 1 << 20)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack("<IIQQ", got[:24])
        if opcode == INIT:
            reply(unique, struct.pack("<IIIIHHIIHH", 7, 31, 0, 0, 4, 4, 65536, 1, 0, 0) + bytes(32))
        elif opcode == LOOKUP:
            reply(unique, struct.pack("<QQQQII", 2, 0, 1 << 30, 1 << 30, 0, 0) + attributes(2))
        elif opcode == GETATTR:
            reply(unique, struct.pack("<QII", 1 << 30, 0, 0) + attributes(node))
        elif opcode == OPEN:
            reply(unique, struct.pack("<QII", 1, 0, 0))
        elif opcode in (FLUSH, RELEASE):
            reply(unique)
        elif opcode != READ:
            reply(unique, error=-38)


def until_in(pid, thread, calls):
    """Waits until a thread of a process waits in one of some system calls."""
    words = [b""]
    while words[0] not in calls:
        time.sleep(0.001)
        with open(f"/proc/{pid}/task/{thread}/syscall", "rb") as state:
            words = state.read().split() or [b""]


class Waiter:
    """A thread that does something when it is told to, and then waits in a system call. It is told by another process."""

    def __init__(self, work, calls):
        self.work = work
        self.calls = calls
        self.told, self.tell = os.pipe()
        self.named, self.name = os.pipe()

    def run(self):
        os.write(self.name, struct.pack("<I", threading.get_native_id()))
        os.read(self.told, 1)
        self.work()

    def go(self, pid):
        (thread,) = struct.unpack("<I", os.read(self.named, 4))
        os.write(self.tell, b"x")
        until_in(pid, thread, self.calls)


class Locked:
    """The address space that is locked: by a reader, and a writer behind it."""

    def __init__(self, folder):
        self.page = os.path.join(folder, "page")
        self.reader = Waiter(self.read, (b"17",))
        # mmap's number, or brk's, when Python wants memory of its own first.
        self.writer = Waiter(self.write, (b"9", b"12"))

    def start(self):
        slow = os.open(self.page, os.O_RDONLY)
        self.mapped = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE, slow, 0)
        self.memory = os.open("/proc/self/mem", os.O_RDONLY)
        for waiter in (self.reader, self.writer):
            threading.Thread(target=waiter.run, daemon=True).start()

    def read(self):
        try:
            os.pread(self.memory, 1, self.mapped)
        except OSError:
            pass

    def write(self):
        libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)


class Monitor:
    """Speaks QMP for a process, and has it locked when it is asked for the memory map."""

    def __init__(self, listener, pid, locked):
        self.listener = listener
        self.pid = pid
        self.locked = locked
        self.is_locked = False

    def run(self):
        version = {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}
        while True:
            peer, _ = self.listener.accept()
            try:
                peer.sendall(json.dumps({"QMP": version}).encode() + b"\r\n")
                for line in peer.makefile("r"):
                    self.answer(peer, json.loads(line))
            except OSError:
                peer.close()

    def answer(self, peer, asked):
        value = {}
        if asked["execute"] == "query-status":
            value = {"status": "running", "running": True, "singlestep": False}
        elif asked["execute"] == "human-monitor-command":
            value = FLAT_VIEW
        if value == FLAT_VIEW and not self.is_locked:
            self.is_locked = True
            self.locked.reader.go(self.pid)
            self.locked.writer.go(self.pid)
        reply = {"return": value}
        if "id" in asked:
            reply["id"] = asked["id"]
        peer.sendall(json.dumps(reply).encode() + b"\r\n")


def main():
    folder, path = sys.argv[1:3]
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id={OWNER},group_id={OWNER}".encode()
    if libc.mount(b"slow", folder.encode(), b"fuse", 0, options) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    if os.fork() == 0:
        serve(fuse)
        os._exit(0)
    os.close(fuse)
    locked = Locked(folder)
    listener = socket.socket(socket.AF_UNIX)
    ready, make_ready = os.pipe()
    pid = os.getpid()
    if os.fork() == 0:
        os.close(make_ready)
        os.read(ready, 1)
        threading.Thread(target=Monitor(listener, pid, locked).run, daemon=True).start()
        # It ends with the process that it speaks for. PR_SET_PDEATHSIG would not do: that process is of
        # another user, who may not signal root's.
        os.read(ready, 1)
        os._exit(0)
    os.setresgid(OWNER, OWNER, OWNER)
    os.setresuid(OWNER, OWNER, OWNER)
    libc.prctl(4, 1, 0, 0, 0)
    # Whoever connects is told by the kernel that this process listens.
    listener.bind(path)
    listener.listen(8)
    locked.start()
    os.write(make_ready, b"x")
    print("ready", flush=True)
    signal.pause()


main()
