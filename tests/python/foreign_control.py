"""A foreign control, written from src/event/PROTOCOL.md alone: the promises of that page as named points.

    python3 tests/python/foreign_control.py SOCKET WEAK_UID STRONG_UID STRANGER_UID

Run as root against a daemon of root's with two endpoints: 1, a VM that runs and has shared RAM, and 2, one whose monitor is not
there. The rules admit root (arb_prio 10, everything), WEAK_UID (5, endpoint 1, only OBSERVE, INPUT and ROSTER) and STRONG_UID (20,
everything, endpoint 1), and not STRANGER_UID. A line a point; exit status 1 when one does not hold. No point depends on how fast
the machine is: whatever is waited for has a limit that only a hang reaches.
"""

import array
import fcntl
import mmap
import os
import select
import socket
import struct
import sys

MAGIC = 0x31475356
HEADER = struct.Struct("<IHBBBBHIIIIIQQ")
LIMIT_S = 60
VM, AWAY, NOBODY, NONE = 1, 2, 40, 0xFFFFFFFF
ERROR, ACT_ACK, VM_LIFECYCLE = 3, 48, 49
GRANTED, DENIED, RELEASED, REVOKED, STATUS, HELD = 50, 51, 52, 53, 54, 55
CMD_INPUT, CMD_LIFECYCLE, CMD_VM, CMD_ACQUIRE, CMD_RELEASE, CMD_STATUS, CMD_QUERY_INPUT = 64, 65, 70, 73, 74, 75, 76
MEMCTX, CMD_MEMWRITE, ROSTER, HELLO, WELCOME, REFUSED, BARRIER = 77, 79, 80, 96, 97, 98, 112
BULK, NORMAL, HIGH, URGENT = range(4)
CORE, VMHOST, SRC_MEMCTX = 4, 5, 6
QUERY, CONT, STOP, RESET = range(4)
INPUT, POWER, MEMWRITE = range(3)
ABS, KEY = 0, 3
KEY_A = 30
KEPT_ORDER = {ROSTER: 1, MEMCTX: 2, 83: 3, 82: 4, 115: 5}

held = failed = 0


def point(name, holds, seen=None):
    global held, failed
    if holds:
        held += 1
    else:
        failed += 1
    print(f"{'holds' if holds else 'FAILS'}: {name}" + ("" if holds else f" (seen: {seen})"), flush=True)


def cbor(value):
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for info, form, bits in ((24, ">B", 8), (25, ">H", 16), (26, ">I", 32), (27, ">Q", 64)):
            if n < 1 << bits:
                return bytes([major << 5 | info]) + struct.pack(form, n)

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def uncbor(data, at=0):
    major, n = data[at] >> 5, data[at] & 31
    at += 1
    if n >= 24:
        size = 1 << n - 24
        n, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major == 0:
        return n, at
    if major == 3:
        return data[at : at + n].decode(), at + n
    result = {}
    for _ in range(n):
        key, at = uncbor(data, at)
        result[key], at = uncbor(data, at)
    return result, at


def record(kind, code, value):
    return struct.pack("<Iii4xd", kind, code, value, 0.0)


class Event:
    def __init__(self, packet, fds):
        fields = HEADER.unpack_from(packet)
        magic, self.kind, self.source, self.dir, self.prio, self.format, self.count, self.endpoint = fields[:8]
        self.seq, self.corr, length, reserved, self.ts, token = fields[8:]
        self.inline, self.body, self.fds = packet[48:96], packet[96:], fds
        self.is_sound = magic == MAGIC and len(packet) == 96 + length and reserved == 0 and token == 0 and self.dir == 0

    def u32(self, offset=0):
        return struct.unpack_from("<I", self.inline, offset)[0]

    def u64(self, offset):
        return struct.unpack_from("<Q", self.inline, offset)[0]

    @property
    def code(self):
        return self.u32(4) if self.kind == ACT_ACK else None

    def __repr__(self):
        return f"kind {self.kind} endpoint {self.endpoint} corr {self.corr} prio {self.prio} {self.inline[:16].hex()}"


class Control:
    """A connection. What it was given is kept in `seen`, in order."""

    def __init__(self, uid=0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(LIMIT_S)
        os.seteuid(uid)  # the kernel notes who connects
        try:
            self.socket.connect(PATH)
        finally:
            os.seteuid(0)
        self.corr, self.seen, self.welcome = 0, [], None

    def hello(self, body=None, **keys):
        self.put(HELLO, body=cbor({"proto": 1, "name": "foreign", "kinds": 113, **keys}) if body is None else body, form=2, corr=0)
        first = self.receive()
        if first is not None and first.kind == WELCOME:
            self.welcome = uncbor(first.body)[0]
        return first

    def put(self, kind, endpoint=0, inline=b"", body=b"", form=0, token=0, corr=None, magic=MAGIC, length=None, reserved=0, fds=()):
        if corr is None:
            self.corr += 1
            corr = self.corr
        length = len(body) if length is None else length
        head = HEADER.pack(magic, kind, 0, 1, NORMAL, form, len(fds), endpoint, 0, corr, length, reserved, 0, token)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([head + inline.ljust(48, b"\0") + body], rights)
        return corr

    def words(self, kind, endpoint, *words, **more):
        return self.put(kind, endpoint, struct.pack(f"<{len(words)}I", *words), **more)

    def receive(self):
        """The next event; None when the daemon has closed."""
        try:
            packet, rights, _flags, _from = self.socket.recvmsg(96 + 65536, socket.CMSG_SPACE(8 * 4))
        except ConnectionError:
            return None
        if packet == b"":
            return None
        fds = array.array("i")
        for level, kind, data in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) // 4 * 4])
        event = Event(packet, list(fds))
        self.seen.append(event)
        return event

    def until(self, wanted):
        while True:
            event = self.receive()
            if event is None:
                raise SystemExit("FAILS: the daemon closed the connection of a control that was waiting")
            if wanted(event):
                return event

    def answer(self, corr):
        return self.until(lambda event: event.corr == corr)

    def ask(self, kind, endpoint, *words, **more):
        return self.answer(self.words(kind, endpoint, *words, **more))

    def press(self, down, token=0, code=KEY_A, kind=KEY, body=b""):
        return self.answer(self.put(CMD_INPUT, VM, record(kind, code, down), body, 1 if body else 0, token))

    def barrier(self):
        return self.answer(self.put(BARRIER, NONE))

    def ending(self):
        """All that comes until the daemon closes."""
        events = []
        while (event := self.receive()) is not None:
            events.append(event)
        return events

    def leave(self):
        self.socket.close()


def opening():
    old = Control()
    old.put(HELLO, body=cbor({"proto": 1, "name": "old", "sub": {}}), form=2, corr=0)
    first = old.receive()
    grant = uncbor(first.body)[0]
    point("HELLO is answered by WELCOME", first.kind == WELCOME, first)
    names = {"proto", "control", "principal", "endpoints", "sources", "caps", "arb_prio"}
    point("a WELCOME has the seven keys, and kinds only for who said its own", set(grant) == names, grant)
    point("the principal is the peer's uid, by the kernel", grant["principal"] == 0, grant)
    point("arb_prio is the rule's", grant["arb_prio"] == 10, grant)
    old.ask(CMD_STATUS, VM, INPUT)
    point("who does not say its kinds gets none from 112 on", all(event.kind < 112 for event in old.seen), old.seen)
    old.put(BARRIER, NONE)
    old.leave()
    new = Control()
    new.hello(sub={"sources": 0x1FF, "prio_min": 0, "endpoints": 0}, colour="blue")
    point("other keys of a HELLO are ignored", new.welcome is not None, new.seen)
    point("who says its kinds is told the daemon's", new.welcome.get("kinds", 0) > BARRIER, new.welcome)
    other = Control()
    refused = other.hello(cbor({"proto": 2, "name": "later", "sub": {}}))
    point("another version of the protocol is REFUSED", refused.kind == REFUSED, refused)
    words = uncbor(refused.body)[0]
    point("a REFUSED has a code and a reason", words.get("code", 0) > 0 and len(words.get("reason", "")) > 0, words)
    point("after a REFUSED the daemon closes", other.ending() == [])
    twice = Control()
    answer = twice.hello(b"\xa2" + (cbor("proto") + cbor(1)) * 2)
    point("a HELLO with a key twice does not get in", answer is None or answer.kind in (REFUSED, ERROR), answer)
    point("and its connection ends", twice.ending() == [])
    stranger = Control(STRANGER)
    ready, _, _ = select.select([stranger.socket], [], [], LIMIT_S)
    refused = stranger.receive()
    point("a uid that no rule admits is REFUSED before it says a word", ready and refused.kind == REFUSED, refused)
    point("with code 17, not-admitted", uncbor(refused.body)[0]["code"] == 17, refused.body)
    point("and closed", stranger.ending() == [])
    new.leave()


def subscription():
    control = Control()
    control.hello()
    barrier = control.barrier()
    point("a barrier is answered by one ACT_ACK that is ok", (barrier.kind, barrier.u32(), barrier.u32(8)) == (ACT_ACK, 1, BARRIER), barrier)
    point("whose priority is BULK, behind all that waits", barrier.prio == BULK, barrier)
    events = [event for event in control.seen if event.kind != WELCOME]
    point("every frame is sound: magic, length, direction up, reserved and token 0", all(event.is_sound for event in control.seen))
    point("sequence numbers have no gap", all(b.seq == a.seq + 1 for a, b in zip(events, events[1:])), [event.seq for event in events])
    kept = [KEPT_ORDER[event.kind] for event in events if event.kind in KEPT_ORDER]
    point("kept events come in the order of the page, the roster first", kept == sorted(kept) and kept[:1] == [1], kept)
    roster = {event.endpoint: event for event in events if event.kind == ROSTER}
    point("behind the barrier the roster is whole", set(roster) == {VM, AWAY}, roster)
    names = {number: event.inline[16:].rstrip(b"\0").decode() for number, event in roster.items()}
    point("names are UTF-8, padded with NUL", names == {VM: "vm", AWAY: "away"}, names)
    while roster[VM].u32(4) >> SRC_MEMCTX & 1 == 0 or roster[VM].u32(4) >> 2 & 1 == 0:
        roster[VM] = control.until(lambda event: event.kind == ROSTER and event.endpoint == VM)
    point("a VM that is there is up (2), with a bit for each seam", roster[VM].u32() == 2 and roster[VM].u32(4) >> VMHOST & 1, roster[VM])
    point("one whose monitor is not there is not up", roster[AWAY].u32() != 2, roster[AWAY])
    found = [event for event in control.seen if event.kind == MEMCTX]
    memory(found[0] if found else control.until(lambda event: event.kind == MEMCTX))
    control.leave()

    def admitted(uid=0, **sub):
        one = Control(uid)
        one.hello(sub=sub)
        one.barrier()
        one.leave()
        return [event for event in one.seen if event.kind not in (WELCOME, ACT_ACK)], one.welcome

    events, welcome = admitted(sources=1 << CORE)
    point("a subscription to one source gets that source's events alone", {event.source for event in events} == {CORE}, events)
    point("and its WELCOME says so", welcome["sources"] == 1 << CORE, welcome)
    events, welcome = admitted(endpoints=1 << AWAY)
    point("a subscription to one endpoint gets that endpoint's events alone", {event.endpoint for event in events} - {NONE} == {AWAY}, events)
    events, _ = admitted(prio_min=URGENT)
    point("prio_min keeps what is below it away", all(event.prio == URGENT for event in events), events)
    events, welcome = admitted(WEAK)
    point("a grant's endpoints are all that its control sees", {event.endpoint for event in events} == {VM}, events)
    point("a kind whose capability it lacks does not come", all(event.kind != MEMCTX for event in events), events)
    point("capabilities are those of its rule: OBSERVE, INPUT, ROSTER", welcome["caps"] == 0x203, welcome)


def memory(event):
    segments = [struct.unpack_from("<QQQII", event.body, at) for at in range(0, len(event.body), 32)]
    point("MEMCTX has nseg segments of 32 bytes", len(event.body) == 32 * event.u32(28) > 0, event)
    point("and nfd descriptors, as its header counts them", event.u32(44) == len(event.fds) == event.count > 0, event)
    point("each segment names one of them, its reserved field is 0", all(s[3] < len(event.fds) and s[4] == 0 for s in segments), segments)
    point("the segments together are the RAM", sum(s[2] for s in segments) == event.u64(8), segments)
    point("the descriptors are read-only", all(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY for fd in event.fds))
    try:
        mmap.mmap(event.fds[0], 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
        refused = False
    except PermissionError:
        refused = True
    point("and cannot be mapped for writing", refused)
    _gpa, offset, size, index, _ = segments[0]
    with mmap.mmap(event.fds[index], min(size, 1 << 20), mmap.MAP_SHARED, mmap.PROT_READ, offset=offset) as ram:
        point("what they map is the VM's RAM: its firmware has left something there", ram[:].strip(b"\0") != b"")
    for fd in event.fds:
        os.close(fd)


def admission(control):
    weak = Control(WEAK)
    weak.hello()
    point("without the capability: code 1", weak.ask(CMD_VM, VM, STOP).code == 1)
    point("an endpoint outside the grant: code 2", weak.ask(CMD_INPUT, AWAY, KEY, KEY_A, 1).code == 2)
    point("the capability is asked first, the endpoint second", weak.ask(CMD_VM, AWAY, STOP).code == 1)
    weak.leave()
    point("an operation that does not exist: code 7", control.ask(CMD_VM, VM, 99).code == 7)
    point("the operation is asked before the endpoint's being there", control.ask(CMD_VM, NOBODY, 99).code == 7)
    point("an endpoint that is not attached: code 5", control.ask(CMD_VM, NOBODY, STOP).code == 5)
    point("no lease where one is needed: code 3", control.ask(CMD_INPUT, VM, KEY, KEY_A, 1).code == 3)
    point("power without a power lease: code 3", control.ask(CMD_VM, VM, RESET).code == 3)
    point("memory writes without a memwrite lease: code 3", control.ask(CMD_MEMWRITE, VM, 0, 0, 8, 1).code == 3)
    point("a seam that is not up: code 6", control.ask(CMD_VM, AWAY, STOP).code == 6)
    point("a body that the kind does not have: code 7", control.ask(CMD_VM, VM, STOP, body=b"x", form=1).code == 7)
    point("a barrier with a body: code 7", control.ask(BARRIER, NONE, body=b"x", form=1).code == 7)
    start = len(control.seen)
    control.words(CMD_VM, NOBODY, STOP, corr=0)
    control.barrier()
    point("a refusal is told without a corr, too", [e.code for e in control.seen[start:-1] if e.kind == ACT_ACK] == [5], control.seen[start:])
    start = len(control.seen)
    control.words(CMD_VM, VM, CONT, corr=0)
    control.ask(CMD_VM, VM, CONT)
    acks = [event.corr for event in control.seen[start:] if event.kind == ACT_ACK and event.u32() == 1]
    point("what is done without a corr is not acknowledged", acks == [control.corr], control.seen[start:])
    start = len(control.seen)
    control.words(CMD_STATUS, VM, INPUT, corr=0)
    control.barrier()
    told = [event.corr for event in control.seen[start:] if event.kind == STATUS]
    point("a reply of its own comes without a corr, too", told == [0], control.seen[start:])
    start = len(control.seen)
    sent = [control.words(CMD_STATUS, VM, INPUT) for _ in range(30)]
    control.barrier()
    got = [event.corr for event in control.seen[start:] if event.kind == STATUS]
    point("every command has one answer, in order within a priority, all of them before the barrier's", got == sent, (sent, got))


def vm(control):
    state = control.ask(CMD_VM, VM, QUERY)
    point("a query is answered by a VM_LIFECYCLE: running, HIGH", (state.kind, state.u32(), state.prio) == (VM_LIFECYCLE, 0, HIGH), state)
    start = len(control.seen)
    corr = control.words(CMD_VM, VM, STOP)
    paused = control.until(lambda event: event.kind == VM_LIFECYCLE and event.corr == 0 and event.u32() == 1)
    point("a stopped VM is told: paused, URGENT", paused.prio == URGENT and paused.source == VMHOST, paused)
    done = [event for event in control.seen[start:] if event.corr == corr] or [control.answer(corr)]
    point("a stop is acknowledged, with when it was done", (done[0].u32(), done[0].u32(8)) == (1, CMD_VM) and done[0].u64(16) > 0, done)
    control.ask(CMD_VM, VM, CONT)
    start = len(control.seen)
    corr = control.words(CMD_LIFECYCLE, VM, 2)
    awake = control.answer(corr)
    point("a wakeup of a VM that runs: refused (code 10)", awake.code == 10, awake)
    words = [event for event in control.seen[start:-1] if event.kind == ERROR]
    point("the VM's words stand right before the refusal, and name it", words and all((e.u32(4), e.corr) == (corr, 0) for e in words), words)
    lease = control.ask(CMD_ACQUIRE, VM, POWER, 0, 0)
    corr = control.words(CMD_VM, VM, RESET, token=lease.u64(8))
    reset = control.until(lambda event: event.kind == VM_LIFECYCLE and event.corr == 0 and event.u32() == 3)
    point("under a power lease a VM is reset, and that is told", lease.kind == GRANTED and reset.endpoint == VM, (lease, reset))
    if not any(event.corr == corr for event in control.seen):
        control.answer(corr)
    control.ask(CMD_RELEASE, VM, POWER)


def leases(owner):
    granted = owner.ask(CMD_ACQUIRE, VM, INPUT, 0, 0)
    token = granted.u64(8)
    point("a free class is granted, with a token", (granted.kind, granted.prio) == (GRANTED, HIGH) and token > 0, granted)
    point("under it a key is pressed", owner.press(1, token).u32() == 1)
    down = owner.ask(CMD_QUERY_INPUT, VM)
    entry = struct.unpack_from("<HH", down.inline, 8)
    point("INPUT_HELD tells which key is down", (down.kind, down.u32(), entry) == (HELD, 1, (KEY, KEY_A)), down)
    point("an axis beyond 0x7FFF: code 7", owner.press(0x8000, token, 0, ABS).code == 7)
    stroke = record(KEY, KEY_A + 1, 1) + record(KEY, KEY_A + 1, 0)
    point("several records are one frame", owner.press(1, token, body=stroke).u32() == 1)
    many = owner.press(1, token, body=stroke * 128)
    point("more than 256 records are refused as a whole", many.kind == ACT_ACK and many.u32() == 0, many)
    point("one bad record, and nothing of its frame is sent", owner.press(1, token, KEY_A + 2, body=record(ABS, 0, -1)).code == 7
          and owner.ask(CMD_QUERY_INPUT, VM).u32() == 1)
    status = owner.ask(CMD_STATUS, VM, INPUT)
    point("LEASE_STATUS tells that it is taken, and by whom", (status.kind, status.u32(4), status.u32(8)) == (STATUS, 1, 0), status)
    equal, weak, strong = Control(), Control(WEAK), Control(STRONG)
    for control in (equal, weak, strong):
        control.hello()
    denied = equal.ask(CMD_ACQUIRE, VM, INPUT, 0, 0)
    point("an equal contender is denied: held", (denied.kind, denied.u32(4)) == (DENIED, 0), denied)
    denied = weak.ask(CMD_ACQUIRE, VM, INPUT, 0, 0)
    point("a lower one is denied: lower-prio", (denied.kind, denied.u32(4)) == (DENIED, 4), denied)
    denied = weak.ask(CMD_ACQUIRE, VM, POWER, 0, 0)
    point("a class without its capability is denied", denied.kind == DENIED and denied.u32(4) == 1 or denied.code == 1, denied)
    stolen = equal.press(1, token)
    point("another control's token opens nothing", stolen.code in (3, 4), stolen)
    won = strong.ask(CMD_ACQUIRE, VM, INPUT, 0, 0)
    revoked = owner.until(lambda event: event.kind == REVOKED)
    point("a strictly higher arb_prio pre-empts", won.kind == GRANTED, won)
    point("the former owner is told: preempted, URGENT", (revoked.u32(4), revoked.prio) == (0, URGENT), revoked)
    point("tokens grow", won.u64(8) > token, won)
    point("a late command under the former token never lands: code 4", owner.press(1, token).code == 4)
    point("and one under whatever lease it holds now, for it holds none: code 3", owner.press(1).code == 3)
    point("what the former owner held down is released by then", strong.ask(CMD_QUERY_INPUT, VM).u32() == 0)
    released = strong.ask(CMD_RELEASE, VM, INPUT)
    point("a release is answered by LEASE_RELEASED", released.kind == RELEASED, released)
    point("and the class is free", owner.ask(CMD_STATUS, VM, INPUT).u32(4) == 0)
    short = equal.ask(CMD_ACQUIRE, VM, INPUT, 0, 200)
    revoked = equal.until(lambda event: event.kind == REVOKED)
    point("a lease that is not kept alive is revoked: not-kept-alive", (short.kind, revoked.u32(4)) == (GRANTED, 3), revoked)
    equal.ask(CMD_ACQUIRE, VM, INPUT, 0, 0)
    equal.leave()
    while (left := owner.ask(CMD_STATUS, VM, INPUT)).u32(4) == 1:
        pass
    point("an owner that leaves frees its lease", left.kind == STATUS, left)
    weak.leave()
    strong.leave()


def breaches(witness):
    def breach(name, **frame):
        one = Control()
        one.hello(sub={"sources": 1 << CORE})
        one.put(**{"kind": CMD_STATUS, "endpoint": VM, **frame})
        errors = [event for event in one.ending() if event.kind == ERROR]
        told = [(event.u32(), event.endpoint, event.corr) for event in errors]
        point(f"{name}: one ERROR, code 13, of the connection; then it closes", told == [(13, NONE, 0)], told)

    breach("a bad magic", magic=MAGIC + 1)
    breach("a length that is not the packet's", length=8)
    breach("an unknown kind", kind=999)
    breach("a retired kind", kind=16)
    breach("a reserved field that is not 0", reserved=1)
    breach("descriptors on a kind that has none", fds=(0,))
    silent = Control()
    point("a peer that says nothing is closed", all(event.kind in (ERROR, REFUSED) for event in silent.ending()))
    start = len(witness.seen)
    point("nobody else notices", witness.barrier().u32() == 1 and all(e.kind != ERROR for e in witness.seen[start:]), witness.seen[start:])


def main():
    opening()
    subscription()
    control = Control()
    control.hello()
    admission(control)
    vm(control)
    leases(control)
    breaches(control)
    control.leave()
    print(f"{held} points hold, {failed} fail")
    sys.exit(failed > 0)


PATH = sys.argv[1]
WEAK, STRONG, STRANGER = (int(word) for word in sys.argv[2:5])
main()
