/**
 * A peer that spoils the doorbells which it shares with us: it takes O_NONBLOCK off them and fills them, so
 * that whoever rings by a plain write() sleeps for ever and hears no SIGTERM. The channel ends as crashed,
 * with one error, and nothing else ends.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { asUser, HostileProgram, OTHER_UID } from "../fixtures/hostile_program.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const DENO = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", "--config", `${ROOT}deno.json`];
const SPOILT = /ended: protocol-error: Cannot trust the other end of the channel: it has filled its doorbell/;

function spoiler(kind: string, socket: string, what: string): HostileProgram {
  // By its text: the other user may not look into the folder of the sources.
  const program = Deno.readTextFileSync(`${ROOT}tests/python/v2v_spoiler.py`);
  return new HostileProgram([...asUser(OTHER_UID), "/usr/bin/python3", "-c", program, kind, socket, what]);
}

/** A folder that every user can look into. */
function openFolder(): Disposable & { readonly path: string } {
  const path = Deno.makeTempDirSync({ prefix: "vmsig-hostile-v2v-" });
  Deno.chmodSync(path, 0o755);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

function victim(dir: string): HostileProgram {
  return new HostileProgram([...DENO, `${ROOT}tests/hostile/v2v_victim.ts`, dir, `${OTHER_UID}`]);
}

/** A listener, and a peer that has spoilt the doorbells between the two in the way named. */
async function spoilt(how: string): Promise<AsyncDisposable & Record<"listener" | "peer", HostileProgram>> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(openFolder());
  const listener = made.use(victim(dir.path));
  await listener.says(/listening/);
  const peer = made.use(spoiler("process", `${dir.path}/v2v/spoilt.sock`, how));
  await peer.says(/spoilt/);
  await listener.says(/connected/);
  const owned = made.move();
  return { listener, peer, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

Deno.test("a peer that fills the doorbells between processes: crashed, one error, and SIGTERM is obeyed", async () => {
  await using scene = await spoilt("fill");
  const { listener, peer } = scene;
  await listener.tell("go\n");
  await listener.says(/ended/);
  assertMatch(listener.text, SPOILT);
  await peer.says(/state 0x128/);
  assertEquals(await listener.endBy("SIGTERM"), 0);
  assertEquals(listener.text.match(/ended/g)?.length, 1, "one error");
  assertEquals(listener.errors, "");
});

Deno.test("a peer that fills and empties the doorbells without pause hangs nobody", async () => {
  await using scene = await spoilt("race");
  const { listener } = scene;
  await listener.tell("go\n");
  await listener.says(/ended/);
  assertMatch(listener.text, SPOILT);
  assertEquals(await listener.endBy("SIGTERM"), 0);
});

Deno.test("SIGTERM is obeyed while a peer spoils the doorbells and nothing is sent", async () => {
  await using scene = await spoilt("race");
  const { listener } = scene;
  assertEquals(await listener.endBy("SIGTERM"), 0);
  assertMatch(listener.text, /terminated/);
});

Deno.test("where the kernel cannot ring for us, a ring that a peer caught in its write() comes back all the same", async () => {
  await using ringer = new HostileProgram([...DENO, `${ROOT}tests/hostile/bell_ringer.ts`]);
  await ringer.says(/bell \d+\n/);
  const bell = /bell (\d+)/.exec(ringer.text)?.[1] ?? "";
  const program = Deno.readTextFileSync(`${ROOT}tests/python/v2v_spoiler.py`);
  await using peer = new HostileProgram(["/usr/bin/python3", "-c", program, "grab", `${ringer.pid}`, bell]);
  await peer.says(/spoilt/);
  await ringer.tell("go\n");
  await peer.says(/caught/);
  await ringer.tell("enough\n");
  assertEquals(await ringer.ends(), 0, ringer.errors);
  assertMatch(ringer.text, /enough/);
});

Deno.test("over ivshmem: the command ends with one error, the daemon and the channel go on", async () => {
  await using daemon = await DaemonProcess.start({
    config: `[[channel]]\nname = "both"\norder = 2\nusers = ["${OTHER_UID}"]\n`,
  });
  Deno.chmodSync(daemon.folder, 0o755);
  const socket = `${daemon.folder}/v2v/both.ivshmem`;
  const command = [...DENO, `${ROOT}main.ts`, "v2v"];
  const ends = ["both", "--stream", "--ivshmem", socket, "--socket", daemon.socket, "--wait", "180000"];
  {
    await using listener = new HostileProgram([...command, "listen", ...ends]);
    await daemon.says(/clients.*count=1/);
    await using peer = spoiler("ivshmem", socket, "fill");
    await peer.says(/spoilt/);
    // the listener has taken it for a connector, and may have found it out by now
    await peer.says(/state 0x12[58]/);
    await listener.tell("some bytes to send");
    assertEquals(await listener.ends(), 1);
    assertMatch(listener.errors, /^vmsig: protocol-error: .*filled its doorbell/);
    assertEquals(listener.errors.trim().split("\n").length, 1, "one error");
  }
  await daemon.says(/a client is gone.*it left[^]*a client is gone.*it left/);
  // The same channel, between honest ends.
  await using listener = new HostileProgram([...command, "listen", ...ends]);
  await using connector = new HostileProgram([...command, "connect", ...ends]);
  await connector.tell("all is well");
  try {
    await listener.says(/all is well/);
  } catch (error) {
    const said = `${connector.text}${connector.errors} (it ended with ${connector.code})`;
    throw new Error(`${error}\nthe connector: ${said}\nthe daemon: ${daemon.logText.slice(-1500)}`);
  }
  await connector.tell(", and goes on");
  await listener.says(/and goes on/);
  await connector.endBy("SIGTERM");
  const { code } = await daemon.stop();
  assertEquals(code, 0, daemon.logText);
  assert(!/error/.test(daemon.logText), daemon.logText);
});
