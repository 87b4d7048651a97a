/**
 * Another user's connections to an ivshmem channel use up the daemon's descriptors: the daemon lives, the bus
 * answers, and the channels work again when the descriptors are back. The limit is set on the running daemon,
 * so that it is known how many are left.
 */
import { assert, assertEquals } from "@std/assert";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { settled, untilNoMore } from "../fixtures/holdings.ts";
import { asUser, HostileProgram, leaveRoom, OTHER_UID } from "../fixtures/hostile_program.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const DENO = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", "--config", `${ROOT}deno.json`];
const CHANNEL = (name: string): string =>
  `[[channel]]\nname = "${name}"\norder = 1\nusers = ["${OTHER_UID}"]\n`;

/** Connects as often as it can, to each path in turn, and holds what it has until its standard input ends. */
const HOLDER = `
import socket, sys
held = []
for path in sys.argv[2:] * int(sys.argv[1]):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(path)
        held.append(sock)
    except BlockingIOError:
        pass
print("holds", len(held), flush=True)
sys.stdin.read()
`;

function holder(times: number, paths: readonly string[]): HostileProgram {
  return new HostileProgram([...asUser(OTHER_UID), "/usr/bin/python3", "-c", HOLDER, `${times}`, ...paths]);
}

/** Two honest ends meet over a channel, and bytes arrive. */
async function works(daemon: DaemonProcess, channel: string): Promise<void> {
  const path = `${daemon.folder}/v2v/${channel}.ivshmem`;
  const ends = [channel, "--stream", "--ivshmem", path, "--socket", daemon.socket, "--wait", "180000"];
  await using listener = new HostileProgram([...DENO, `${ROOT}main.ts`, "v2v", "listen", ...ends]);
  await using connector = new HostileProgram([...DENO, `${ROOT}main.ts`, "v2v", "connect", ...ends]);
  await connector.tell("from end to end");
  try {
    await listener.says(/from end to end/);
  } catch (error) {
    throw new Error(
      `${error}\nthe connector: ${connector.errors}\nthe daemon: ${daemon.logText.slice(-2000)}`,
    );
  }
}

Deno.test("connections of another user use up the descriptors: the daemon lives, and the channels work afterwards", async () => {
  await using daemon = await DaemonProcess.start({ config: CHANNEL("a") + CHANNEL("b"), stubs: 1 });
  Deno.chmodSync(daemon.folder, 0o755);
  await using client = await daemon.connect("inside");
  const paths = ["a", "b"].map((name) => `${daemon.folder}/v2v/${name}.ivshmem`);
  const before = await settled(() => daemon.fds());
  await leaveRoom(daemon.pid, 27); // five clients, and a descriptor or two for the next
  {
    await using hostile = holder(12, paths);
    await hostile.says(/holds/);
    await daemon.says(/a client was refused: .*EMFILE/);
    assertEquals((await client.leaseStatus("stub0", "power")).busy, false, "the bus answers");
    // The last descriptor goes as well: now nothing can be accepted.
    await leaveRoom(daemon.pid, 0);
    await using more = holder(2, paths);
    await more.says(/holds/);
    await daemon.says(/cannot accept: .*LimitNOFILE/);
    assertEquals((await client.leaseStatus("stub0", "power")).busy, false, "the bus answers");
  }
  await untilNoMore("descriptors that it kept", before, () => daemon.fds());
  await leaveRoom(daemon.pid, 27);
  await works(daemon, "a");
  await works(daemon, "b");
  const told = daemon.logText.match(/cannot accept/g)?.length ?? 0;
  assert(told <= 4, `told when a shortage begins, not at every knock: ${told} times`);
  assertEquals((await daemon.stop()).code, 0, daemon.logText);
});

Deno.test("a channel that there is no room for is told, does not end the daemon, and is served when there is", async () => {
  await using daemon = await DaemonProcess.start({ config: CHANNEL("a"), stubs: 1 });
  Deno.chmodSync(daemon.folder, 0o755);
  const path = `${daemon.folder}/v2v/a.ivshmem`;
  await using hostile = holder(6, [path]);
  await hostile.says(/holds 6/);
  await daemon.says(/clients.*count=6/);
  await leaveRoom(daemon.pid, 1); // enough to read the config, too few to listen
  await daemon.reload(
    `[discovery]\nprobe = false\n${CHANNEL("a")}${CHANNEL("b")}`,
    /cannot serve the channel b: .*EMFILE/,
  );
  await hostile.endBy("SIGTERM");
  await daemon.says(/serving.*channel=b/);
  assertEquals(daemon.logText.match(/cannot serve/g)?.length, 1, "told once");
  await leaveRoom(daemon.pid, 27);
  await works(daemon, "b");
  assertEquals((await daemon.stop()).code, 0, daemon.logText);
});

Deno.test("one user's connections keep no other user out of a channel, and are not told one by one", async () => {
  await using daemon = await DaemonProcess.start({ config: CHANNEL("a") });
  Deno.chmodSync(daemon.folder, 0o755);
  const path = `${daemon.folder}/v2v/a.ivshmem`;
  {
    await using hostile = holder(40, [path]);
    await hostile.says(/holds/);
    await daemon.says(/clients.*count=8/);
    for (let i = 0; i < 20; i++) {
      await using more = holder(1, [path]);
      await more.says(/holds/);
    }
    await works(daemon, "a");
  }
  assert((daemon.logText.match(/a client was refused/g) ?? []).length <= 3, daemon.logText);
  assertEquals((await daemon.stop()).code, 0, daemon.logText);
});

/**
 * Sends TCP sockets that linger for an hour, with bytes that nobody reads: whoever drops the last reference
 * to one waits. Its own it drops at once behind the send; where it is too late and waits itself, that is on a
 * thread, and another try from another processor may be in time.
 */
const LINGERER = `
import array, os, socket, struct, sys, threading
kept = []
def attempt(path, processor):
    os.sched_setaffinity(0, [processor])
    listener = socket.create_server(("127.0.0.1", 0))
    lingering = socket.create_connection(listener.getsockname())
    kept.extend([listener, listener.accept()])
    lingering.setblocking(False)
    try:
        while True:
            lingering.send(bytes(65536))
    except BlockingIOError:
        pass
    lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    fd = lingering.detach()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    kept.append(sock)
    try:
        sock.sendmsg([b"12345678"], rights)
    except OSError:
        pass # it was turned away already
    os.close(fd)
processors = sorted(os.sched_getaffinity(0))
for i in range(6):
    for path in sys.argv[1:]:
        thread = threading.Thread(target=attempt, args=[path, processors[i % len(processors)]], daemon=True)
        thread.start()
        thread.join(0.2)
print("sent", flush=True)
sys.stdin.read()
os._exit(0)
`;

Deno.test("a client that sends a descriptor whose close waits holds nobody up", async () => {
  await using daemon = await DaemonProcess.start({
    config: CHANNEL("a") + '[[channel]]\nname = "b"\n',
    stubs: 1,
  });
  Deno.chmodSync(daemon.folder, 0o755);
  const paths = ["a", "b"].map((name) => `${daemon.folder}/v2v/${name}.ivshmem`);
  // b knows no other user: one that is refused does the same harm
  for (const path of paths) Deno.chmodSync(path, 0o666);
  await using client = await daemon.connect("inside");
  await using hostile = new HostileProgram([
    ...asUser(OTHER_UID),
    "/usr/bin/python3",
    "-c",
    LINGERER,
    ...paths,
  ]);
  await hostile.says(/sent/);
  await daemon.says(/a client is gone.*why="?it /);
  await daemon.says(/a client was refused: its user is not admitted/);
  assertEquals((await client.leaseStatus("stub0", "power")).busy, false, "the bus answers");
  await works(daemon, "a");
  assertEquals((await daemon.stop()).code, 0, daemon.logText);
});
