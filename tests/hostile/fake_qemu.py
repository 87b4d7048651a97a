"""A process that calls itself QEMU and is none: it speaks enough QMP to be attached, maps RAM of its own as QEMU does, and swaps the descriptor of it for something else while it is looked at.

fake_qemu.py SOCKET BACKEND SWAP, then words of a QEMU's command line, which are read by vmsig alone.
  BACKEND  memfd, or a path: a file that is made there and kept
  SWAP     none; fifo:PATH; device:PATH; opath:PATH (any file that can be named); read:PATH; lease (on the file at BACKEND)
Commands on standard input, a line each; every one is answered by a line: "flip" (swap back and forth from now on), "rest" (RAM is back in its place), "asks N" (tell of
changed memory until the memory map was asked for N times more), "quit".
"""
import ctypes
import fcntl
import json
import mmap
import os
import random
import select
import signal
import socket
import sys
import threading
import time

SIZE = 16 << 20
FLAT_VIEW = (
    "FlatView #0\n AS \"memory\", root: system\n Root memory region: system\n"
    "  0000000000000000-%016x (prio 0, ram): ram0\n\n" % (SIZE - 1)
)
FLIP_S = 0.0004


def make_ram(backend):
    if backend == "memfd":
        fd = ctypes.CDLL(None).memfd_create(b"memory-backend-memfd", 3)
        os.ftruncate(fd, SIZE)
        fcntl.fcntl(fd, 1033, 1 | 2 | 4)
    else:
        fd = os.open(backend, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, SIZE)
    return fd


def make_swap(swap):
    kind, _, path = swap.partition(":")
    if kind == "fifo":
        os.mkfifo(path, 0o600)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    elif kind == "opath":
        fd = os.open(path, os.O_PATH)
    elif kind == "device":
        fd = os.open(path, os.O_RDWR)
    elif kind == "read":
        fd = os.open(path, os.O_RDONLY)
    else:
        return -1
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 50)


class Fake:
    def __init__(self, path, backend, swap):
        made = make_ram(backend)
        self.memory = mmap.mmap(made, SIZE, mmap.MAP_SHARED)
        # Two descriptors of the same: one is swapped, the other puts it back.
        self.keep = fcntl.fcntl(made, fcntl.F_DUPFD, 60)
        self.ram = made
        if swap == "lease":
            # Told that somebody wants the file, it does nothing: whoever opens it may wait for 45 s.
            signal.signal(signal.SIGIO, lambda *_: None)
            # A lease is refused while somebody else has the file open, and our mapping's duplicate is the
            # same opening.
            fcntl.fcntl(made, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        self.swap = make_swap(swap)
        self.flipping = False
        self.asked = 0
        self.peers = {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.flip, daemon=True).start()

    def flip(self):
        while True:
            if self.flipping and self.swap >= 0:
                os.dup2(self.swap, self.ram)
                time.sleep(FLIP_S * random.random())
                os.dup2(self.keep, self.ram)
                time.sleep(FLIP_S * random.random())
            else:
                time.sleep(0.01)

    def accept(self):
        peer, _ = self.listener.accept()
        self.peers[peer] = b""
        version = {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}
        self.send(peer, {"QMP": version})

    def send(self, peer, message):
        try:
            peer.sendall(json.dumps(message).encode() + b"\r\n")
        except OSError:
            self.peers.pop(peer, None)
            peer.close()

    def serve(self, peer):
        try:
            got = peer.recv(65536)
        except OSError:
            got = b""
        if not got:
            self.peers.pop(peer, None)
            peer.close()
            return
        lines = (self.peers[peer] + got).split(b"\n")
        self.peers[peer] = lines.pop()
        for line in lines:
            if line.strip():
                self.answer(peer, json.loads(line))

    def answer(self, peer, asked):
        value = {}
        if asked["execute"] == "query-status":
            value = {"status": "running", "running": True, "singlestep": False}
        elif asked["execute"] == "human-monitor-command":
            value = ""
            if asked["arguments"]["command-line"] == "info mtree -f":
                self.asked += 1
                value = FLAT_VIEW
        reply = {"return": value}
        if "id" in asked:
            reply["id"] = asked["id"]
        self.send(peer, reply)

    def turn(self):
        ready, _, _ = select.select([self.listener, sys.stdin, *self.peers], [], [], 0.005)
        for each in ready:
            if each is self.listener:
                self.accept()
            elif each is not sys.stdin and each in self.peers:
                self.serve(each)
        return sys.stdin in ready

    def asks(self, count):
        goal = self.asked + count
        event = {"event": "DEVICE_DELETED", "data": {}, "timestamp": {"seconds": 0, "microseconds": 0}}
        told = -1
        while self.asked < goal:
            # One at a time: the next change is told when the last one was asked about.
            if told != self.asked:
                told = self.asked
                for peer in list(self.peers):
                    self.send(peer, event)
            self.turn()

    def run(self):
        print("ready", flush=True)
        while True:
            if not self.turn():
                continue
            words = sys.stdin.readline().split()
            if not words or words[0] == "quit":
                return
            if words[0] == "flip":
                self.flipping = True
            elif words[0] == "rest":
                self.flipping = False
                time.sleep(0.05)
                os.dup2(self.keep, self.ram)
            elif words[0] == "asks":
                self.asks(int(words[1]))
            print("done", flush=True)


# As a service is: a core may be dumped, and whoever has the user's rights may look.
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
Fake(*sys.argv[1:4]).run()
