"""Peers that a daemon must survive, one scenario a run; prints one JSON line with what it saw. Runs under setpriv as whoever the test wants.

    python3 door_peer.py SOCKET SCENARIO [ARGUMENT]
"""

import array
import json
import os
import resource
import socket
import struct
import sys
import time

HEADER = struct.Struct("<IHBBBBHIIIIIQQ")
HELLO, REFUSED, WELCOME, ERROR = 96, 98, 97, 58


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for size, info, form in ((1, 24, ">B"), (2, 25, ">H"), (4, 26, ">I"), (8, 27, ">Q")):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + struct.pack(form, n)


def text(value):
    data = value.encode()
    return head(3, len(data)) + data


def frame(body, kind=HELLO, fds=0):
    return HEADER.pack(0x31475356, kind, 0, 1, 1, 2, fds, 0, 0, 0, len(body), 0, 0, 0) + bytes(48) + body


def mapped(**parts):
    return head(5, len(parts)) + b"".join(text(key) + value for key, value in parts.items())


ONE = head(0, 1)
BODIES = {
    "good": mapped(proto=ONE, name=text("good")),
    "protoObject": mapped(proto=mapped(a=ONE), name=text("x")),
    "protoTraps": mapped(proto=mapped(toString=ONE, valueOf=ONE)),
    "protoDeep": mapped(proto=head(4, 1) * 3000 + ONE),
    "allDeep": head(4, 1) * 60000 + ONE,
    "protoList": mapped(proto=head(4, 2) + ONE + mapped()),
    "protoBytes": mapped(proto=head(2, 3) + b"abc"),
    "protoLong": mapped(proto=text("p" * 60000)),
    "nameLong": mapped(proto=ONE, name=text("n" * 60000)),
    "nameEscapes": mapped(proto=head(0, 2), name=text("x"), sub=text("\x1b]0;t\x07\u202e")),
    "protoEscapes": mapped(proto=text("\x1b[2J\u202e\n<3>fake")),
    "nameNumber": mapped(proto=ONE, name=ONE),
    "subList": mapped(proto=ONE, name=text("x"), sub=head(4, 0)),
    "maskText": mapped(proto=ONE, sub=mapped(endpoints=text("all"))),
    "maskFloat": mapped(proto=ONE, sub=mapped(sources=b"\xfb" + struct.pack(">d", 1e300))),
    "nan": mapped(proto=b"\xf9\x7e\x00"),
    "null": b"\xf6",
    "empty": b"",
    "openMap": b"\xbf",
    "endless": b"\x9b" + b"\xff" * 8,
    "hugeText": b"\x7b" + b"\xff" * 8,
    "tagged": head(6, 2) + head(2, 4) + b"\xff" * 4,
    "breakOnly": b"\xff",
    "twice": mapped(proto=ONE) * 2,
    "protoKey": mapped(**{"__proto__": mapped(), "constructor": ONE, "proto": head(0, 7)}),
    "badUtf8": mapped(proto=head(3, 3) + b"\xff\xfe\x80"),
}


def open_to(path):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect(path)  # waits while the backlog is full
    peer.settimeout(300)
    return peer


def answer(peer):
    """What the daemon says: [kind, code, text], or the end."""
    try:
        packet = peer.recv(96 + 65536)
    except ConnectionResetError:
        return ["reset"]
    if not packet:
        return ["closed"]
    kind = struct.unpack_from("<H", packet, 4)[0]
    if kind == ERROR:
        return [kind, struct.unpack_from("<I", packet, 48)[0], packet[56:96].rstrip(b"\0").decode()]
    body = packet[96:]
    code, reason = -1, ""
    if kind == REFUSED:
        at = body.index(b"dcode") + 5
        code = body[at] if body[at] < 24 else body[at + 1]
        reason = body[body.index(b"freason") + 7 :].decode("utf-8", "replace")
    return [kind, code, reason]


def say(peer, packet, fds=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        peer.sendmsg([packet], control)
    except (BrokenPipeError, ConnectionResetError):
        pass


def lingering():
    """A TCP socket whose close waits for an hour."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    sender = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(65536))
    except BlockingIOError:
        pass
    return sender, far, listener


def main():
    path, scenario = sys.argv[1:3]
    if scenario == "bodies":
        out = {}
        for name, body in BODIES.items():
            peer = open_to(path)
            say(peer, frame(body))
            out[name] = answer(peer)
            peer.close()
        print(json.dumps(out), flush=True)
    elif scenario == "hold":
        # Silent connections, held until the input ends.
        count = int(sys.argv[3])
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, max(count + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        peers = [open_to(path) for _ in range(count)]
        print(json.dumps({"held": len(peers)}), flush=True)
        sys.stdin.read()
    elif scenario == "flood":
        until = time.monotonic() + float(sys.argv[3])
        seen = {}
        count = 0
        while time.monotonic() < until:
            peer = open_to(path)
            say(peer, frame(BODIES["good"]))
            what = str(answer(peer)[:2])
            seen[what] = seen.get(what, 0) + 1
            peer.close()
            count += 1
        print(json.dumps({"count": count, "seen": seen}), flush=True)
    elif scenario == "fill":
        # Fills the backlog without waiting, and closes at once: what is closed stays in it until it is
        # accepted. Until the input ends.
        print(json.dumps("fills"), flush=True)
        import select
        count = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            for _ in range(200):
                peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                peer.setblocking(False)
                try:
                    peer.connect(path)
                    count += 1
                except BlockingIOError:
                    pass
                peer.close()
        print(json.dumps({"count": count}), flush=True)
    elif scenario == "linger":
        # Descriptors whose close waits: in unread packets, with a HELLO, and within the queue of another
        # socket that goes along. The daemon stands still (the test sees to that) between
        # the two lines of the input, so that its own reference is the last one.
        made = [lingering() for _ in range(4)]
        near, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        print(json.dumps("made"), flush=True)
        sys.stdin.readline()
        peers = []
        for (sender, _, _), packet in zip(made, (frame(BODIES["good"], fds=1), frame(BODIES["good"]), b"x", None)):
            fds = [sender.fileno()]
            if packet is None:
                near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
                packet, fds = frame(BODIES["good"], fds=1), [other.fileno()]
            peer = open_to(path)
            say(peer, packet, fds)
            peers.append(peer)
            sender.close()
        near.close()
        other.close()
        print(json.dumps("sent"), flush=True)
        sys.stdin.readline()
        print(json.dumps([answer(peer)[:2] for peer in peers]), flush=True)
        for peer in peers:
            peer.close()
    elif scenario == "join":
        peer = open_to(path)
        say(peer, frame(BODIES["good"]))
        print(json.dumps(answer(peer)), flush=True)


main()
