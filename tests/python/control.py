"""A small control in Python, written from src/event/PROTOCOL.md alone: joins the bus, follows an endpoint, steers it, types a key, and says goodbye.

    python3 tests/python/control.py SOCKET ENDPOINT-NAME

Prints one line a step; exit status 1 with the reason when anything is not as the contract says.
"""

import socket
import struct
import sys

MAGIC = 0x31475356
HEADER = struct.Struct("<IHBBBBHIIIIIQQ")  # 48 bytes, then 48 inline, then the body
assert HEADER.size == 48

ACT_ACK, VM_LIFECYCLE, LEASE_GRANTED, LEASE_RELEASED, INPUT_HELD = 48, 49, 50, 52, 55
CMD_INPUT, CMD_LIFECYCLE, CMD_VM, CMD_ACQUIRE, CMD_RELEASE, CMD_QUERY_INPUT = 64, 65, 70, 73, 74, 76
ROSTER, HELLO, WELCOME = 80, 96, 97
CMD_BARRIER, NO_ENDPOINT = 112, 0xFFFFFFFF
KINDS = 113  # one past the largest kind that this control knows
CONT, STOP = 1, 2
WAKEUP = 2
KEY_A, KEY = 30, 3


def cbor(value):
    """Enough of RFC 8949 for a HELLO."""

    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for size, (info, form) in {1: (24, ">B"), 2: (25, ">H"), 4: (26, ">I"), 8: (27, ">Q")}.items():
            if n < 1 << 8 * size:
                return bytes([major << 5 | info]) + struct.pack(form, n)
        raise ValueError(n)

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def uncbor(data, at=0):
    """Enough of RFC 8949 for a WELCOME: unsigned integers, text, maps."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info >= 24:
        size = 1 << info - 24
        info = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return info, at
    if major == 3:
        return data[at : at + info].decode(), at + info
    if major != 5:
        raise ValueError(f"CBOR major type {major}")
    result = {}
    for _ in range(info):
        key, at = uncbor(data, at)
        result[key], at = uncbor(data, at)
    return result, at


class Event:
    def __init__(self, packet):
        (magic, self.kind, self.source, self.dir, self.prio, self.format, self.fds, self.endpoint, self.seq, self.corr, length, reserved,
         self.ts, token) = HEADER.unpack_from(packet)
        if magic != MAGIC or len(packet) != 96 + length or reserved != 0 or token != 0:
            raise SystemExit(f"not a frame of the contract: {packet[:48].hex()}")
        self.inline, self.body = packet[48:96], packet[96:]

    def words(self, count):
        return struct.unpack_from(f"<{count}I", self.inline)


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(5)
        self.socket.connect(path)
        self.corr = 0
        self.seq = 0
        self.endpoints = {}

    def send(self, kind, endpoint=0, inline=b"", body=b"", form=0, token=0):
        self.corr += 1
        prio = 2 if kind == CMD_INPUT else 1
        header = HEADER.pack(MAGIC, kind, 0, 1, prio, form, 0, endpoint, 0, self.corr, len(body), 0, 0, token)
        self.socket.send(header + inline.ljust(48, b"\0") + body)
        return self.corr

    def receive(self):
        event = Event(self.socket.recv(96 + 65536))
        if event.kind not in (HELLO, WELCOME):
            if event.seq != self.seq + 1:
                raise SystemExit(f"a gap: {self.seq} then {event.seq}")
            self.seq = event.seq
        if event.kind == ROSTER:
            state, _seams, _pid, _vmid = event.words(4)
            name = event.inline[16:48].split(b"\0")[0].decode()
            self.endpoints[name] = (event.endpoint, state)
        return event

    def until(self, wanted):
        while True:
            event = self.receive()
            if wanted(event):
                return event

    def answer(self, corr):
        return self.until(lambda event: event.corr == corr)

    def barrier(self):
        """Returns when all that the daemon had for this control until now has been read."""
        answer = self.answer(self.send(CMD_BARRIER, NO_ENDPOINT))
        if answer.kind != ACT_ACK or answer.words(3) != (1, 0, CMD_BARRIER) or answer.prio != 0:
            raise SystemExit(f"barrier: kind {answer.kind} priority {answer.prio} {answer.words(4)}")

    def expect_ok(self, corr, what):
        answer = self.answer(corr)
        ok, code, kind, _detail = answer.words(4)
        if answer.kind != ACT_ACK or ok != 1:
            raise SystemExit(f"{what}: kind {answer.kind} ok {ok} code {code} of command {kind}")
        print(f"{what}: done")


def main():
    path, name = sys.argv[1:3]
    control = Control(path)
    control.send(HELLO, body=cbor({"proto": 1, "name": "python", "sub": {"sources": 0x7F, "prio_min": 0, "endpoints": 0}, "kinds": KINDS}), form=2)
    control.corr = 0
    welcome = control.receive()
    if welcome.kind != WELCOME:
        raise SystemExit(f"no WELCOME but kind {welcome.kind}: {welcome.body!r}")
    grant, _ = uncbor(welcome.body)
    print(f"welcome: control {grant['control']} principal {grant['principal']} caps {grant['caps']:#x}")
    if grant.get("kinds", 0) > CMD_BARRIER:
        # The roster comes first, and the barrier behind it: who is not there by now does not exist.
        control.barrier()
        if name not in control.endpoints:
            raise SystemExit(f"no endpoint {name}; there are: {', '.join(control.endpoints)}")
        print("barrier: the roster is whole")
    while name not in control.endpoints:  # an older daemon marks no end of its roster
        control.receive()
    endpoint, state = control.endpoints[name]
    print(f"roster: {name} is endpoint {endpoint}, state {state}")

    corr = control.send(CMD_VM, endpoint, struct.pack("<I", STOP))
    control.until(lambda event: event.kind == VM_LIFECYCLE and event.endpoint == endpoint and event.words(1) == (1,))
    control.expect_ok(corr, "stop")
    control.expect_ok(control.send(CMD_VM, endpoint, struct.pack("<I", CONT)), "cont")

    awake = control.answer(control.send(CMD_LIFECYCLE, endpoint, struct.pack("<I", WAKEUP)))
    if awake.kind != ACT_ACK or awake.words(2) != (0, 10):
        raise SystemExit(f"wakeup of a running VM: kind {awake.kind} {awake.words(4)}")
    print("wakeup of a running VM: refused, and that is its one answer")

    refused = control.answer(control.send(CMD_INPUT, endpoint, struct.pack("<Iii", KEY, KEY_A, 1)))
    if refused.words(2) != (0, 3):
        raise SystemExit(f"input without a lease: {refused.words(4)}")
    print("input without a lease: refused with no-lease")
    granted = control.answer(control.send(CMD_ACQUIRE, endpoint, struct.pack("<III", 0, 0, 0)))
    if granted.kind != LEASE_GRANTED:
        raise SystemExit(f"no lease: kind {granted.kind}")
    (token,) = struct.unpack_from("<Q", granted.inline, 8)
    press = struct.pack("<Iii4xd", KEY, KEY_A, 1, 0.0)
    release = struct.pack("<Iii4xd", KEY, KEY_A, 0, 0.0)
    control.expect_ok(control.send(CMD_INPUT, endpoint, press, token=token), "press")
    held = control.answer(control.send(CMD_QUERY_INPUT, endpoint))
    if held.kind != INPUT_HELD or held.words(2) != (1, 0) or struct.unpack_from("<HH", held.inline, 8) != (KEY, KEY_A):
        raise SystemExit(f"held: kind {held.kind} {held.inline.hex()}")
    print("held: the key")
    control.expect_ok(control.send(CMD_INPUT, endpoint, release, body=press + release, form=1), "release and a whole stroke in one frame")
    released = control.answer(control.send(CMD_RELEASE, endpoint, struct.pack("<II", 0, 0)))
    if released.kind != LEASE_RELEASED:
        raise SystemExit(f"not released: kind {released.kind}")
    stale = control.answer(control.send(CMD_INPUT, endpoint, press, token=token))
    if stale.words(2) != (0, 4):
        raise SystemExit(f"a former lease's token: {stale.words(4)}")
    print("a former lease's token: refused with stale-lease")


main()
