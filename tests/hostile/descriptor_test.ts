/**
 * Descriptors that controls send: only a sealed memfd, only with a FRAME_RING, and nothing of them is left.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { settled, untilNoMore } from "../fixtures/holdings.ts";
import { attack, linesOf, openFolder } from "./hostile_control.ts";

const UID = 4242;
const CONFIG = `
[[admission]]
uid = ${UID}
endpoints = ["*"]
caps = ["observe", "roster", "input", "publish", "frame"]
`;

/** What a ring of two slots of a page says of itself. */
const RING = "(0x4000, 0, 2, 4096)";

Deno.test("its own socket as a FRAME_RING keeps neither a control's connection nor its lease alive", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  await using client = await daemon.connect("operator");
  const said = await attack(
    daemon,
    UID,
    `
c = Control()
c.acquire(INPUT_LEASE)
kind, words = c.ask(FRAME_RING, 0, ${RING}, direction=UP, fds=[c.socket.fileno()])
print(kind, words[0])
# And in the hurry of leaving: nobody waits for the answer.
c.send(FRAME_RING, 0, ${RING}, direction=UP, fds=[c.socket.fileno()])
`,
  );
  assertEquals(said, "3 7", "an ERROR with bad-argument");
  await until("the lease is free", async () => !(await client.leaseStatus("stub0", "input")).busy);
  await daemon.says(new RegExp(`LEASE_REVOKED .*principal=${UID} .*owner gone`));
  await until("one control is left", async () => await daemon.metric("vmsig_controls") === 1);
});

Deno.test("10,000 descriptors of every sort: each is refused or closed, none is left", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  await using client = await daemon.connect("operator");
  // Deno opens what it needs for the metrics at the first request.
  await daemon.metrics();
  const before = await settled(() => daemon.fds());
  const said = await attack(
    daemon,
    UID,
    `
import fcntl, tempfile
folder = tempfile.mkdtemp()
os.mkfifo(folder + "/fifo")
open(folder + "/file", "w").write("x" * 0x4000)
def memfd(seals, size=0x4000):
    fd = os.memfd_create("ring", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, 1033, seals)
    return fd
def listening():
    s = socket.socket(socket.AF_INET)
    s.bind(("127.0.0.1", 0))
    s.listen()
    return s
def lingering(server):
    s = socket.create_connection(server.getsockname())
    return s
server = listening()
pair = socket.socketpair()
sorts = [
    os.open(folder + "/file", os.O_RDWR), os.open(folder + "/fifo", os.O_RDWR), os.open(folder, os.O_RDONLY), os.open(folder + "/file", os.O_PATH),
    os.open("/dev/null", os.O_RDWR), os.open("/dev/zero", os.O_RDWR), os.open("/proc/self/status", os.O_RDONLY),
    pair[0].fileno(), server.fileno(), lingering(server).fileno(), *os.pipe(), memfd(0), memfd(2), memfd(2 | 4), memfd(2 | 8), memfd(2 | 4 | 8, 4096),
]
sent = refused = 0
c = Control()
while sent < 8000:
    for fd in sorts:
        kind, words = c.ask(FRAME_RING, 0, ${RING}, direction=UP, fds=[fd])
        assert kind == ERROR and words[0] == 7, (fd, kind, words)
        sent += 1
# With a kind that has none the connection ends.
for i in range(250):
    d = Control()
    d.send((CMD_VM, CURSOR_STATE, CMD_INPUT)[i % 3], 0, (CONT,), direction=(DOWN, UP, DOWN)[i % 3], fds=[sorts[i % len(sorts)]] * 8)
    sent += 8
    while True:
        kind, _, words = d.receive()
        if kind == ERROR:
            assert words[0] == 13
            refused += 1
        if kind == 0:
            break
    d.close()
kind, words = c.ask(FRAME_RING, 0, ${RING}, direction=UP, fds=[memfd(2 | 4 | 8), memfd(2 | 4 | 16)])
assert kind == ERROR and words[0] == 7, (kind, words)
os.unlink(folder + "/fifo"); os.unlink(folder + "/file"); os.rmdir(folder)
print(sent >= 10000, refused)
`,
  );
  assertEquals(said, "True 250");
  await client.vmState("stub0");
  await untilNoMore("descriptors that it kept", before, () => daemon.fds());
  assert(linesOf(daemon, /panic|uncaught/i).length === 0);
});

Deno.test("a sealed memfd is taken, and given to who watches", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  await using client = await daemon.connect("watcher");
  const coming = client.next({ kinds: ["FRAME_RING"] }, { timeoutMs: 360_000 });
  const attacking = attack(
    daemon,
    UID,
    `
import fcntl
fd = os.memfd_create("ring", os.MFD_ALLOW_SEALING)
os.ftruncate(fd, 0x4000)
fcntl.fcntl(fd, 1033, 2 | 4 | 16)
c = Control()
c.send(FRAME_RING, 0, ${RING}, direction=UP, fds=[fd])
c.ask(CMD_VM, 0, (CONT,))
`,
  );
  const ring = await coming;
  assertEquals([ring.fdCount, ring.as("FRAME_RING")?.slotCount], [1, 2]);
  await attacking;
  ring[Symbol.dispose]();
});
