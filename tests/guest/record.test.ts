/**
 * A recording that is whole: the screen of a real VM that changes, and the RAM of another, recorded through
 * the real daemon, played after both are gone, and shown by the commands as they were.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { connect } from "../../src/client/connect.ts";
import { planReplay } from "../../src/daemon/replay_plan.ts";
import { paintPicture } from "../../src/event/recorded_picture.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { VgaGuest } from "./vga_guest.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const RAM_MIB = 512;

/** Starts a command that runs until it is told to end. */
function spawn(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Ends it as Ctrl-C does, and gives what it said. */
async function end(child: Deno.ChildProcess): Promise<{ code: number; text: string; errors: string }> {
  child.kill("SIGINT");
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout), errors: decoder.decode(stderr) };
}

/** The picture that a recording ends with, and of how many bytes each was kept. */
function lastPicture(path: string): { bytes: Uint8Array; changed: number[] } {
  let bytes = new Uint8Array(0);
  const changed: number[] = [];
  for (const { event } of planReplay(Deno.readFileSync(path), path).steps) {
    const { picture } = event;
    if (picture === undefined) continue;
    if (picture.whole) bytes = new Uint8Array(picture.bytes);
    assert(paintPicture(bytes, picture));
    let area = 0;
    for (let i = 0; i < picture.rects.length; i += 4) area += picture.rects[i + 2]! * picture.rects[i + 3]!;
    changed.push(area / picture.bytes);
  }
  return { bytes, changed };
}

async function processes(at: readonly string[]): Promise<string> {
  const { code, text, errors } = await vmsig(["mem", "linux", "ps", "--json", ...at]);
  assertEquals(code, 0, errors);
  return text;
}

Deno.test("record --frames --memory: the replay's picture and process list are the VMs' own", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/r.cbor`;
  try {
    let wanted: Uint8Array;
    let list: string;
    {
      await using screen = await VgaGuest.start({ qmpSockets: 2 });
      await using linux = await startSavedGuest({ ramMiB: RAM_MIB, programs: ["procs"] });
      await using daemon = await DaemonProcess.start({
        config: `[[endpoint]]
name = "screen"
qmp = "${screen.vm.qmpPath}"
memory = "none"
input = "none"
[[endpoint]]
name = "linux"
qmp = "${linux.qmpPath}"
input = "none"
display = "none"
`,
      });
      const at = ["--socket", daemon.socket];
      await using client = await daemon.connect("test");
      await until(
        "the memory's context",
        () => vmsig(["mem", "linux", "ps", ...at]).then(({ code }) => code === 0),
      );
      const refused = await vmsig(["vm", "linux", "suspend", ...at]);
      assertEquals([refused.code, refused.text], [1, ""]);
      assertMatch(refused.errors, /^vmsig: not-supported: Cannot suspend linux: .*systemctl suspend/);
      // One moment of it, to be compared.
      await client.vm("linux", "stop");
      list = await processes(at);
      await screen.setMode({ width: 640, height: 480, bits: 32 });
      await screen.fill(1, 0);
      const recorder = spawn(["record", "-o", path, "--frames", "--memory", "--rate", "60", "--json", ...at]);
      await until("the first picture", async () => {
        const frame = await client.frame("screen");
        try {
          return frame.width === 640 && equal(lastPicture(path).bytes, frame.bytes);
        } catch {
          // Not begun yet, or an item is being written.
          return false;
        }
      }, 180_000);
      // A few pixels change: a few bytes are kept.
      for (let i = 0; i < 8; i++) await screen.poke(4 * (640 * 100 + 50 + i), 0x80 + i);
      const frame = await client.frame("screen");
      await until("the changed picture", () => equal(lastPicture(path).bytes, frame.bytes), 180_000);
      wanted = frame.picture().rgba;
      await until("the copy", () => {
        try {
          return (Deno.statSync(`${path}.linux.ram`).mode! & 0o777) === 0o400;
        } catch {
          return false;
        }
      }, 180_000);
      await until(
        "its event",
        () => planReplay(Deno.readFileSync(path), path).steps.some(({ event }) => event.memory),
      );
      const { code, text, errors } = await end(recorder);
      assertEquals([code, errors], [130, ""]);
      const told = JSON.parse(text);
      assertGreater(told.pictures, 1);
      const [copy] = told.memory;
      assertEquals([copy.file, copy.bytes], [`${path}.linux.ram`, RAM_MIB * 2 ** 20]);
      const { size, blocks } = Deno.statSync(copy.file);
      assertEquals(size, copy.bytes);
      assert(copy.writtenBytes < copy.bytes && blocks! * 512 < copy.bytes, "zeros are holes");
    }
    assert(lastPicture(path).changed.at(-1)! < 0.05, "only what changed was kept");

    const socket = `${folder}/replay.sock`;
    const player = spawn(["replay", path, "--speed", "0", "--stay", "--socket", socket, "--json"]);
    try {
      // Its socket is there before anybody listens.
      let joined: Client | undefined;
      await until("the replay", async () => {
        joined = await connect({ socket, name: "test" }).catch(() => undefined);
        return joined !== undefined;
      });
      const at = ["--socket", socket];
      {
        await using client = joined as Client;
        await until(
          "the last picture",
          async () => equal((await client.frame("screen")).picture().rgba, wanted),
        );
        const shot = await vmsig(["screen", "screen", "-o", `${folder}/shot.png`, ...at]);
        assertEquals(shot.code, 0, shot.errors);
        assert(equal(decodePng(await Deno.readFile(`${folder}/shot.png`)).rgba, wanted), "pixel for pixel");
        assertEquals(await processes(at), list);
        const none = await vmsig(["screen", "screen", "--head", "3", ...at]);
        assertEquals(none.code, 1);
        assertMatch(none.errors, /no pictures of it/);
      }
    } finally {
      const { code, errors } = await end(player);
      assertEquals([code, errors], [130, ""]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("record --memory: the system of a later boot is copied, too, and stands in the recording", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/r.cbor`;
  try {
    await using linux = await startSavedGuest({ ramMiB: RAM_MIB });
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "linux"\nqmp = "${linux.qmpPath}"\ninput = "none"\ndisplay = "none"\n`,
    });
    const recorder = spawn(["record", "-o", path, "--memory", "--json", "--socket", daemon.socket]);
    const copies = () => {
      try {
        return planReplay(Deno.readFileSync(path), path).steps.flatMap(({ event }) => event.memory ?? []);
      } catch {
        // Not begun yet, or an item is being written.
        return [];
      }
    };
    await until("the first copy", () => copies().length >= 1, 180_000);
    await linux.agent.power("reboot");
    await linux.agent.ready(2);
    await until("the second copy", () => copies().length >= 2, 180_000);
    const { code, text } = await end(recorder);
    assertEquals(code, 130);
    const files = JSON.parse(text).memory.map(({ file }: { readonly file: string }) => file);
    assertEquals(files, [`${path}.linux.ram`, `${path}.linux.ram.2`]);
    assertEquals(copies().map(({ file }) => `${folder}/${file}`), files);
    for (const file of files) assertEquals(Deno.statSync(file).size, RAM_MIB * 2 ** 20);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
