"""A process that calls itself QEMU and cannot be looked at: as soon as it was asked for its memory map, its address space is locked. One of its threads reads a page through /proc/self/mem that a
FUSE file system of its own does not deliver, another one wants to map something and waits behind that; whoever reads its command line waits behind both, in the kernel.

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


def until_in(thread, call):
    """Waits until a thread of ours waits in a system call."""
    words = [b""]
    while words[0] != call:
        time.sleep(0.001)
        # Without buffers: soon nothing here may need more memory.
        state = os.open(f"/proc/self/task/{thread}/syscall", os.O_RDONLY)
        words = os.read(state, 512).split() or [b""]
        os.close(state)


class Waiter:
    """A thread that does something when it is told to, and then waits in that system call."""

    def __init__(self, work):
        self.told = threading.Event()
        self.made = threading.Event()
        self.work = work
        threading.Thread(target=self.run, daemon=True).start()
        self.made.wait()

    def run(self):
        self.tid = threading.get_native_id()
        self.made.set()
        self.told.wait()
        self.work()

    def go(self, call):
        self.told.set()
        until_in(self.tid, call)


class Slow:
    def __init__(self, folder, path):
        slow = os.open(f"{folder}/page", os.O_RDONLY)
        self.page = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE, slow, 0)
        self.memory = os.open("/proc/self/mem", os.O_RDONLY)
        self.locked = False
        # Made before: to make a thread is to map its stack.
        self.reader = Waiter(self.read)
        self.writer = Waiter(self.write)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)

    def read(self):
        try:
            os.pread(self.memory, 1, self.page)
        except OSError:
            pass

    def write(self):
        libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

    def lock(self):
        self.locked = True
        self.reader.go(b"17")
        self.writer.go(b"9")

    def run(self):
        print("ready", flush=True)
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
        reply = {"return": value}
        if "id" in asked:
            reply["id"] = asked["id"]
        reply = json.dumps(reply).encode() + b"\r\n"
        if value == FLAT_VIEW and not self.locked:
            self.lock()
        peer.sendall(reply)


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
    os.setresgid(OWNER, OWNER, OWNER)
    os.setresuid(OWNER, OWNER, OWNER)
    libc.prctl(4, 1, 0, 0, 0)
    Slow(folder, path).run()


main()
