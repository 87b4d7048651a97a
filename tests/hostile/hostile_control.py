"""What the hostile controls of these tests begin with: the contract's frames, in Python's own library, with nothing checked on the way out.
hostile_control.ts puts a test's own lines behind it and runs the whole as another user."""

import array
import os
import socket
import struct
import sys
import time

HEADER = struct.Struct("<IHBBBBHIIIIIQQ")
MAGIC = 0x31475356
UP, DOWN = 0, 1
ERROR, CURSOR_STATE, ACT_ACK, LEASE_GRANTED, LEASE_RELEASED, ROSTER, FRAME_RING = 3, 37, 48, 50, 52, 80, 83
CMD_INPUT, CMD_VM, CMD_ACQUIRE, CMD_RELEASE, HELLO, WELCOME, REFUSED = 64, 70, 73, 74, 96, 97, 98
CONT, STOP, RESET = 1, 2, 3
INPUT_LEASE, POWER_LEASE = 0, 1


def text(value):
    length = len(value)
    return (bytes([0x60 + length]) if length < 24 else bytes([0x78, length])) + value.encode()


def hello_body(name, speaks_for=""):
    sub = b"\xa3" + text("sources") + b"\x18\x7f" + text("prio_min") + b"\x00" + text("endpoints") + b"\x00"
    keys = text("proto") + b"\x01" + text("name") + text(name) + text("sub") + sub
    return (b"\xa4" + keys + text("as") + text(speaks_for)) if speaks_for else (b"\xa3" + keys)


def frame(kind, endpoint=0, words=(), body=b"", form=0, direction=DOWN, corr=0, fds=0):
    header = HEADER.pack(MAGIC, kind, 0, direction, 1, form, fds, endpoint, 0, corr, len(body), 0, 0, 0)
    return header + struct.pack(f"<{len(words)}I", *words).ljust(48, b"\0") + body


class Control:
    def __init__(self, name="hostile", speaks_for=""):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(300)
        self.socket.connect(sys.argv[1])
        self.corr = 0
        self.socket.send(frame(HELLO, body=hello_body(name, speaks_for), form=2))
        self.kind = self.receive()[0]

    def receive(self):
        """Kind, corr and the first words of the next frame; kind 0 at the end."""
        packet = self.socket.recv(96 + 65536)
        if packet == b"":
            return 0, 0, ()
        fields = HEADER.unpack_from(packet)
        return fields[1], fields[9], struct.unpack_from("<4I", packet, 48)

    def send(self, kind, endpoint=0, words=(), fds=(), **more):
        self.corr += 1
        packet = frame(kind, endpoint, words, corr=self.corr, fds=len(fds), **more)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], ancillary)
        return self.corr

    def ask(self, kind, endpoint=0, words=(), **more):
        """Sends, and waits for the answer: its kind and words; kind 0 when the daemon hung up."""
        corr = self.send(kind, endpoint, words, **more)
        while True:
            kind, of, words = self.receive()
            if kind == 0 or of == corr or (kind == ERROR and words[0] == 13):
                return kind, words

    def acquire(self, cls, endpoint=0):
        kind, words = self.ask(CMD_ACQUIRE, endpoint, (cls, 0, 0))
        if kind != LEASE_GRANTED:
            raise SystemExit(f"no lease: kind {kind} {words}")

    def close(self):
        self.socket.close()
