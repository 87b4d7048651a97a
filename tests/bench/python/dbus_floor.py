"""The floor of a D-Bus viewer: a bare client of QEMU's D-Bus display, peer to peer, with the standard library
alone. It has the monitor open a connection, registers a listener at the first console, answers each call, and
prints CLOCK_MONOTONIC in ns for each picture or part of one, once all of it has come. It decodes nothing.

    dbus_floor.py MONITOR
"""
import json
import os
import select
import socket
import struct
import sys
import time

CALL, RETURN = 1, 2
NO_REPLY = 1


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def field(code, signature, value):
    """A header's field."""
    return bytes([code, 1]) + signature + b"\0" + value


def padded(data):
    return data + b"\0" * (-len(data) % 8)


def message(kind, serial, fields, body=b"", flags=0):
    head = b"".join([*map(padded, fields[:-1]), fields[-1]])
    return struct.pack("<cBBBIII", b"l", kind, flags, 1, len(body), serial, len(head)) + padded(head) + body


def path_of(value):
    return field(1, b"o", text(value))


def string_of(code, value):
    return field(code, b"s", text(value))


class Peer:
    """A connection: authentication, then messages."""

    def __init__(self, connection):
        self.connection = connection
        self.data = bytearray()
        self.serial = 0

    def authenticate(self):
        uid = str(os.getuid()).encode().hex()
        self.connection.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\nNEGOTIATE_UNIX_FD\r\n")

    def begin(self):
        while self.data.count(b"\r\n") < 2:
            self.data += self.connection.recv(4096)
        del self.data[:]
        self.connection.sendall(b"BEGIN\r\n")

    def send(self, kind, fields, body=b"", fds=(), flags=0):
        self.serial += 1
        socket.send_fds(self.connection, [message(kind, self.serial, fields, body, flags)], list(fds))

    def messages(self):
        """Those that are whole, as (kind, flags, serial, header, body's length)."""
        while len(self.data) >= 16:
            _, kind, flags, _, body, serial, fields = struct.unpack_from("<cBBBIII", self.data)
            start = 16 + fields + -fields % 8
            if len(self.data) < start + body:
                return
            head = bytes(self.data[16:start])
            del self.data[: start + body]
            yield kind, flags, serial, head, body

    def answer(self, serial, signature=b"", body=b""):
        fields = [field(5, b"u", struct.pack("<I", serial))]
        if signature:
            fields.append(field(8, b"g", bytes([len(signature)]) + signature + b"\0"))
        self.send(RETURN, fields, body, flags=NO_REPLY)


def open_display(path):
    monitor = socket.socket(socket.AF_UNIX)
    monitor.connect(path)
    lines = monitor.makefile("r")
    lines.readline()

    def command(name, arguments=None, fds=()):
        order = json.dumps({"execute": name, "arguments": arguments or {}}).encode() + b"\n"
        socket.send_fds(monitor, [order], list(fds))
        while True:
            answer = json.loads(lines.readline())
            if "error" in answer:
                raise SystemExit(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return

    command("qmp_capabilities")
    ours, theirs = socket.socketpair()
    command("getfd", {"fdname": "floor"}, [theirs.fileno()])
    command("add_client", {"protocol": "@dbus-display", "fdname": "floor"})
    theirs.close()
    return monitor, ours


def main():
    monitor, connection = open_display(sys.argv[1])
    display = Peer(connection)
    display.authenticate()
    display.begin()
    ours, theirs = socket.socketpair()
    listener = Peer(ours)
    # QEMU's main loop waits for this while it takes the listener.
    listener.authenticate()
    display.send(
        CALL,
        [
            path_of("/org/qemu/Display1/Console_0"),
            string_of(2, "org.qemu.Display1.Console"),
            string_of(3, "RegisterListener"),
            field(8, b"g", b"\x01h\0"),
            field(9, b"u", struct.pack("<I", 1)),
        ],
        struct.pack("<I", 0),
        [theirs.fileno()],
    )
    theirs.close()
    listener.begin()
    room = bytearray(1 << 20)
    while True:
        ready, _, _ = select.select([display.connection, ours], [], [])
        for peer in (display, listener):
            if peer.connection not in ready:
                continue
            count = peer.connection.recv_into(room)
            if count == 0:
                return
            peer.data += memoryview(room)[:count]
            for kind, flags, serial, head, body in peer.messages():
                if kind != CALL:
                    continue
                if not flags & NO_REPLY:
                    if b"GetAll\0" in head:
                        peer.answer(serial, b"a{sv}", struct.pack("<II", 0, 0))
                    else:
                        peer.answer(serial)
                if body > 64:
                    print(time.monotonic_ns(), flush=True)
    monitor.close()


main()
