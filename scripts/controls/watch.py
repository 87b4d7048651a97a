#!/usr/bin/env python3
"""A control in Python: prints what a VM's state is and becomes, and resets it when its guest has crashed.

    python3 scripts/controls/watch.py ENDPOINT [SOCKET]

It needs the standard library alone, and speaks the protocol of src/event/PROTOCOL.md by itself: copy it and
change what `watch` does. Exit status: 0 after Ctrl-C, 1 refused or failed, 2 usage, 4 no daemon is there.
"""

import os
import socket
import struct
import sys

# Kinds, states and operations, from src/event/PROTOCOL.md.
ERROR, ACT_ACK, VM_LIFECYCLE, LEASE_GRANTED = 3, 48, 49, 50
CMD_VM, CMD_ACQUIRE, CMD_RELEASE, ROSTER = 70, 73, 74, 80
HELLO, WELCOME, REFUSED, OVERRUN, CMD_BARRIER = 96, 97, 98, 99, 112
STATES = ["running", "paused", "shutdown", "reset", "powerdown", "crashed", "unknown", "suspended"]
CRASHED, PANIC = 5, 4
QUERY, CONT, RESET = 0, 1, 3
POWER = 1  # a lease class
NOBODY = 0xFFFFFFFF

MAGIC = 0x31475356
HEADER = struct.Struct("<IHBBBBHIIIIIQQ")  # 48 bytes; then 48 bytes inline, then the body
RAW, CBOR = 1, 2


class Refused(Exception):
    """What the daemon did not do, in words."""


def to_cbor(value):
    """Unsigned integers, text and maps: what a HELLO holds."""

    def head(major, number):
        if number < 24:
            return bytes([major << 5 | number])
        for size, info, form in ((1, 24, ">B"), (2, 25, ">H"), (4, 26, ">I"), (8, 27, ">Q")):
            if number < 1 << 8 * size:
                return bytes([major << 5 | info]) + struct.pack(form, number)
        raise ValueError(number)

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(5, len(value)) + b"".join(to_cbor(key) + to_cbor(item) for key, item in value.items())


def from_cbor(data, at=0):
    """Unsigned integers, text and maps: what a WELCOME or a REFUSED holds. The value, and where it ends."""
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        size = 1 << number - 24
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return number, at
    if major == 3:
        return data[at : at + number].decode(), at + number
    if major != 5:
        raise ValueError(f"CBOR of major type {major}")
    result = {}
    for _ in range(number):
        key, at = from_cbor(data, at)
        result[key], at = from_cbor(data, at)
    return result, at


class Event:
    """A frame that the daemon sent."""

    def __init__(self, packet):
        fields = HEADER.unpack_from(packet)
        magic, self.kind, self.source, _dir, self.prio, _form, _fds, self.endpoint = fields[:8]
        self.seq, self.corr, length, _reserved, self.ns, _token = fields[8:]
        if magic != MAGIC or len(packet) != 96 + length:
            raise Refused("the daemon sent what is not a frame")
        self.inline, self.body = packet[48:96], packet[96:]

    def words(self, count):
        return struct.unpack_from(f"<{count}I", self.inline)


class Control:
    """A place on the bus."""

    def __init__(self, path, name):
        self.endpoints = {}  # name -> number
        self.waiting = []  # events that came while an answer was awaited
        self.corr = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        hello = {"proto": 1, "name": name, "kinds": CMD_BARRIER + 1}
        self.send(HELLO, body=to_cbor(hello), form=CBOR)
        welcome = self.receive()
        if welcome.kind != WELCOME:
            raise Refused(f"not let in: {from_cbor(welcome.body)[0].get('reason', welcome.kind)}")
        # What the daemon keeps for late comers, the roster first, comes before the answer to this.
        self.ask(CMD_BARRIER, NOBODY)

    def send(self, kind, endpoint=0, inline=b"", body=b"", form=0, token=0):
        self.corr += 1
        header = (MAGIC, kind, 0, 1, 1, form, 0, endpoint, 0, self.corr, len(body), 0, 0, token)
        self.socket.send(HEADER.pack(*header) + inline.ljust(48, b"\0") + body)
        return self.corr

    def receive(self):
        packet = self.socket.recv(96 + 65536)
        if packet == b"":
            raise Refused("the daemon has gone")
        event = Event(packet)
        if event.kind == ROSTER:
            name = event.inline[16:48].split(b"\0")[0].decode()
            self.endpoints[name] = event.endpoint
        if event.kind == OVERRUN:
            print("some events were dropped: this control was too slow", file=sys.stderr)
        return event

    def events(self):
        """What comes, in order, for ever."""
        while True:
            yield self.waiting.pop(0) if self.waiting else self.receive()

    def ask(self, kind, endpoint, *words, token=0):
        """Sends a command; its one answer. What comes meanwhile is kept for `events`."""
        corr = self.send(kind, endpoint, struct.pack(f"<{len(words)}I", *words), token=token)
        while True:
            event = self.receive()
            if event.corr == corr:
                if event.kind == ACT_ACK and event.words(1) != (1,):
                    raise Refused(f"command {kind} was refused with code {event.words(2)[1]}")
                return event
            self.waiting.append(event)


def reset(control, endpoint):
    """Resets a VM under a power lease of its own, and lets it run."""
    granted = control.ask(CMD_ACQUIRE, endpoint, POWER, 0, 0)
    if granted.kind != LEASE_GRANTED:
        raise Refused("somebody else has the power lease")
    (token,) = struct.unpack_from("<Q", granted.inline, 8)
    try:
        control.ask(CMD_VM, endpoint, RESET, token=token)
        control.ask(CMD_VM, endpoint, CONT)
    finally:
        control.ask(CMD_RELEASE, endpoint, POWER, 0)


def watch(control, name):
    if name not in control.endpoints:
        raise Refused(f"there is no endpoint {name!a}; there are: {', '.join(map(ascii, control.endpoints))}")
    endpoint = control.endpoints[name]
    (state,) = control.ask(CMD_VM, endpoint, QUERY).words(1)
    print(f"{name} is {STATES[state]}", flush=True)
    for event in control.events():
        if event.kind != VM_LIFECYCLE or event.endpoint != endpoint or event.corr != 0:
            continue
        state, detail = event.words(2)
        print(f"{name}: {STATES[state] if state < len(STATES) else state}", flush=True)
        if state == CRASHED or detail == PANIC:
            try:
                reset(control, endpoint)
            except Refused as why:
                print(f"{name} crashed, and was not reset: {why}", file=sys.stderr)


def default_socket():
    named = os.environ.get("VMSIG_SOCKET")
    if named:
        return named
    folder = "/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/run")
    return f"{folder}/vmsig/control.sock"


def main(args):
    if not 1 <= len(args) <= 2:
        print("usage: watch.py ENDPOINT [SOCKET]", file=sys.stderr)
        return 2
    path = args[1] if len(args) == 2 else default_socket()
    try:
        watch(Control(path, "watch.py"), args[0])
    except (FileNotFoundError, ConnectionRefusedError):
        print(f"watch: unreachable: nobody listens at {path}", file=sys.stderr)
        return 4
    except (Refused, OSError) as why:
        print(f"watch: refused: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
