/**
 * Who has the other end of a channel, by the kernel's word: a real socket, real terminals, and one of another
 * container's that has the same path.
 */
import "../../ffi/loaded_shim.ts";
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import {
  type ChannelHolder,
  findHolder,
  type HeldPlace,
  holderWords,
} from "../../../../src/adapters/channel/channel_holder.ts";
import type { ChannelPlace } from "../../../../src/adapters/channel/channel_listing.ts";
import { ProcHost } from "../../../../src/roster/proc_host.ts";
import { ManualClock, MS } from "../../../../src/base/clock.ts";
import { ManualLoop } from "../../../fixtures/manual_loop.ts";

/** Time passes with each look at the clock. */
class PassingClock extends ManualClock {
  override nowNs(): number {
    this.advance(MS);
    return super.nowNs();
  }
}

class PassingLoop extends ManualLoop {
  override readonly clock = new PassingClock();
}

/** A process that has something open until it is disposed of. */
class Other implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** What it said when it was ready. */
  readonly said: string;

  private constructor(child: Deno.ChildProcess, said: string) {
    this.#child = child;
    this.said = said;
  }

  static async start(program: string, ...args: string[]): Promise<Other> {
    const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
    let said = "";
    const decoder = new TextDecoder();
    for await (const bytes of child.stdout.values({ preventCancel: true })) {
      said += decoder.decode(bytes);
      if (said.endsWith("\n")) break;
    }
    return new Other(child, said.trim());
  }

  get pid(): number {
    return this.#child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.stdout.cancel();
    await this.#child.status;
  }
}

const CLIENT = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
print("ready", flush=True); sys.stdin.read()`;
/** The same with room for many more files than it has open, as a daemon of vmsig's has. */
const ROOMY = `import os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
os.dup2(s.fileno(), 4000); s.detach()
print("ready", flush=True); sys.stdin.read()`;
const TERMINAL = `import os, pty, sys
held = []
while True:
    held.append(pty.openpty())
    name = os.ttyname(held[-1][1])
    if len(sys.argv) < 2 or name == sys.argv[1]: break
print(name, flush=True); sys.stdin.read()`;
/** The same among terminals of its own: others have the same paths. */
const ELSEWHERE = `mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
exec python3 -c "$0" "$1"`;

function look(place: HeldPlace, qemu: number): ChannelHolder | undefined {
  const told: (ChannelHolder | undefined)[] = [];
  findHolder(new ManualLoop(), place, qemu, (holder) => told.push(holder));
  assertEquals(told.length, 1);
  return told[0];
}

Deno.test("holder: the client of a socket is named, and nobody where there is none", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-holder-" });
  try {
    const path = `${folder}/com1`;
    const place: ChannelPlace = { kind: "unix", path, isFree: false };
    using listener = Deno.listen({ transport: "unix", path });
    assertEquals(look(place, Deno.pid), undefined);
    await using other = await Other.start("python3", "-c", CLIENT, path);
    using _accepted = await listener.accept();
    const holder = look(place, Deno.pid);
    assertEquals(holder?.pid, other.pid);
    assertMatch(
      holderWords(holder as ChannelHolder, "the console"),
      /: process \d+ \(python3\); disconnect it there first$/,
    );
    assertEquals(look({ ...place, path: `${folder}/com2` }, Deno.pid), undefined, "of another path");
    assertEquals(look(place, other.pid), undefined, "it is not that process that serves it");
    const called: HeldPlace = { kind: "called", path };
    assertEquals(
      look(called, other.pid)?.pid,
      Deno.pid,
      "that process has connected, and this one serves it",
    );
    assertEquals([look(called, Deno.pid), look(called, 0)], [undefined, undefined]);
    assertEquals(look(place, 0), undefined, "whose it is not known");
    // A piece a turn, and the same in the end.
    const loop = new PassingLoop();
    const told: (ChannelHolder | undefined)[] = [];
    findHolder(loop, place, Deno.pid, (each) => told.push(each));
    let turns = 0;
    for (; told.length === 0; turns++) loop.turn();
    assertEquals(told[0]?.pid, other.pid);
    assertGreater(turns, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("holder: a client with room for thousands of descriptors is named", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-holder-" });
  try {
    const path = `${folder}/com1`;
    using listener = Deno.listen({ transport: "unix", path });
    await using other = await Other.start("python3", "-c", ROOMY, path);
    using _accepted = await listener.accept();
    assertEquals(look({ kind: "unix", path, isFree: false }, Deno.pid)?.pid, other.pid);
    const sockets = await new ProcHost().sockets(other.pid);
    assertEquals(sockets?.size, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("holder: who has a terminal open is named, and not who made it", async () => {
  await using other = await Other.start("python3", "-c", TERMINAL);
  const place: ChannelPlace = { kind: "pty", path: other.said };
  assertEquals(look(place, 0)?.pid, other.pid);
  assertEquals(look(place, other.pid), undefined, "the VM itself");
  assertEquals(look({ kind: "other", why: "" }, 0), undefined);
});

Deno.test({
  name: "holder: a terminal of the same path in another container is another one",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using ours = await Other.start("python3", "-c", TERMINAL);
    const path = ours.said;
    await using other = await Other.start("unshare", "-m", "sh", "-c", ELSEWHERE, TERMINAL, path);
    assertEquals(other.said, path);
    const place: ChannelPlace = { kind: "pty", path };
    assertEquals(look(place, ours.pid), undefined, "nobody has ours");
    assertEquals(look(place, other.pid)?.pid, ours.pid);
  },
});

Deno.test("holder: words for this daemon's own, and for a manager of VMs", () => {
  assertEquals(
    holderWords({ pid: Deno.pid, name: "vmsig" }, "the console"),
    "another endpoint of this daemon has the console of the VM",
  );
  const words = holderWords({ pid: 4_194_304, name: "libvirtd" }, "the console");
  assertEquals(
    words,
    "another client has the console: process 4194304 (libvirtd, for virsh or virt-manager); disconnect it there first",
  );
  assertGreater(120, words.length);
});
