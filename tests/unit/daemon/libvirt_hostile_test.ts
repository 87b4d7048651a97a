/**
 * A libvirtd that lies: it lets the daemon in as the real one does, and then sends what is not its protocol.
 * Each is told with what to look at, the connection is made again, and the other endpoints go on.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { PACKET, packetBytes, PROGRAM, STATUS } from "../../../src/hosts/libvirt/rpc_packet.ts";
import { XdrWriter } from "../../../src/hosts/libvirt/xdr.ts";
import { DaemonProcess, until, vmsig } from "../../fixtures/daemon_process.ts";

const LIST_ALL_DOMAINS = 273;
const GET_LIB_VERSION = 157;
const AUTH_LIST = 66;
const MONITOR_COMMAND = 1;
const ACCESS_DENIED = 88;

/** A call as it came. */
interface Call {
  readonly program: number;
  readonly procedure: number;
  readonly serial: number;
}

/** What a libvirtd sends in place of its list of domains, which is asked for once or more. */
type Lie = (call: Call) => Uint8Array<ArrayBuffer>;

const word = (value: number) => new XdrWriter().u32(value).bytes();

function answer(call: Call, body: Uint8Array, type: number = PACKET.REPLY): Uint8Array<ArrayBuffer> {
  return packetBytes({ ...call, type, status: STATUS.OK }, body);
}

/** A libvirtd up to its list of domains, in whose place it sends what it is to send at the time. */
class LyingLibvirtd implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;
  readonly #listener: Deno.UnixListener;
  /** What it sends. */
  lie: Lie;
  readonly #conns = new Set<Deno.Conn>();
  readonly #serving: Promise<unknown>[] = [];

  constructor(folder: string, lie: Lie) {
    this.#folder = folder;
    this.path = `${folder}/libvirt-sock`;
    this.lie = lie;
    this.#listener = Deno.listen({ transport: "unix", path: this.path }) as Deno.UnixListener;
    this.#serving.push(this.#accept());
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      this.#serving.push(this.#serve(conn));
    }
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    try {
      for (let head = await this.#read(conn, 4); head !== undefined; head = await this.#read(conn, 4)) {
        const rest = await this.#read(conn, new DataView(head.buffer).getUint32(0) - 4);
        if (rest === undefined) break;
        const view = new DataView(rest.buffer);
        const call = { program: view.getUint32(0), procedure: view.getUint32(8), serial: view.getUint32(16) };
        await write(conn, this.#answer(call));
      }
    } catch (error) {
      // The daemon has left, as it should.
      if (
        !(error instanceof Deno.errors.BrokenPipe ||
          error instanceof Deno.errors.ConnectionReset)
      ) {
        throw error;
      }
    } finally {
      this.#conns.delete(conn);
      conn.close();
    }
  }

  #answer(call: Call): Uint8Array<ArrayBuffer> {
    if (call.program === PROGRAM.QEMU && call.procedure === MONITOR_COMMAND) {
      const denied = new XdrWriter().u32(ACCESS_DENIED).u32(0).optionalText("access denied").u32(2).bytes();
      return packetBytes({ ...call, type: PACKET.REPLY, status: STATUS.ERROR }, denied);
    }
    if (call.program !== PROGRAM.REMOTE) return answer(call, word(1));
    switch (call.procedure) {
      case LIST_ALL_DOMAINS:
        return this.lie(call);
      case GET_LIB_VERSION:
        return answer(call, new XdrWriter().u32(0).u32(9_000_000).bytes());
      case AUTH_LIST:
        return answer(call, new XdrWriter().u32(1).u32(0).bytes());
      default:
        return answer(call, new Uint8Array(0));
    }
  }

  async #read(conn: Deno.Conn, length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = await conn.read(bytes.subarray(at));
      if (n === null) return undefined;
      at += n;
    }
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await Promise.all(this.#serving);
    assertEquals(this.#conns.size, 0);
    await Deno.remove(this.#folder, { recursive: true });
  }
}

async function write(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** A packet with one of its header's words changed. */
function changed(call: Call, at: number, value: number): Uint8Array<ArrayBuffer> {
  const bytes = answer(call, new Uint8Array(64));
  new DataView(bytes.buffer).setUint32(at, value);
  return bytes;
}

const LIES: readonly (readonly [lie: Lie, told: RegExp])[] = [
  [(call) => changed(call, 0, 0), /a packet of 0 bytes/],
  [(call) => changed(call, 0, 27), /a packet of 27 bytes/],
  [(call) => changed(call, 0, 0xffff_ffff), /a packet of 4294967295 bytes/],
  [(call) => changed(call, 4, PROGRAM.QEMU), /an answer of program 0x20008087, procedure 273 to a call/],
  [(call) => changed(call, 8, 7), /a packet of version 7/],
  [(call) => changed(call, 12, 1), /procedure 1 to a call of .* procedure 273/],
  // A number of descriptors, and a list, that nobody can have.
  [
    (call) => answer(call, word(0xffff_ffff), PACKET.REPLY_WITH_FILES),
    /a packet with 4294967295 descriptors/,
  ],
  [
    (call) => answer(call, word(0xffff_ffff)),
    /does not list its domains: .*4294967295 domains; look at libvirtd/,
  ],
  [
    (call) => answer(call, new XdrWriter().u32(1).u32(0x7fff_ffff).bytes()),
    /does not list its domains: .*a text is too long; look at libvirtd/,
  ],
  [() => new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"), /a packet of 1213486160 bytes/],
  // An event that is cut, in place of the answer.
  [
    (call) => packetBytes({ ...call, procedure: 318, type: PACKET.EVENT, serial: 0, status: 0 }, word(0)),
    /an event that cannot be read: /,
  ],
];

Deno.test("a libvirtd that lies is told for each lie, and other endpoints go on", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-lying-" });
  const truth: Lie = (call) => answer(call, new XdrWriter().u32(0).u32(0).bytes());
  await using liar = new LyingLibvirtd(folder, LIES[0]?.[0] ?? truth);
  const config = `[libvirt]\nuri = "qemu:///session"\nsocket = "${liar.path}"\nusers = ["${Deno.uid()}"]\n`;
  await using daemon = await DaemonProcess.start({ config, stubs: 1 });
  await using client = await daemon.connect("watches");
  let from = 0;
  for (const [lie, told] of LIES) {
    liar.lie = lie;
    const line = new RegExp(`libvirt is away.*${told.source}.*`);
    await daemon.says(line, from);
    const [said = ""] = line.exec(daemon.logText.slice(from)) ?? [];
    assert(/is that libvirtd's socket\?|look at libvirtd, /.test(said), said);
    from = daemon.logText.length;
  }
  liar.lie = truth;
  await until("it is there again", () => daemon.logText.slice(from).includes("libvirt is there"));
  assertEquals(client.roster.list().map(({ name, state }) => [name, state]), [["stub0", "up"]]);
  const { code, text } = await vmsig(["vm", "stub0", "query", "--socket", daemon.socket]);
  assertEquals([code, /running/.test(text)], [0, true]);
});

Deno.test("a libvirtd that lets us list domains and not speak to them is told for the domain, with what to do", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-lying-" });
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
  const one: Lie = (call) =>
    answer(call, new XdrWriter().u32(1).text("web").fixed(uuid).u32(1).u32(1).bytes());
  await using liar = new LyingLibvirtd(folder, one);
  const config = `[libvirt]\nuri = "qemu:///session"\nsocket = "${liar.path}"\nusers = ["${Deno.uid()}"]
discover = false\n[[endpoint]]\nname = "web"\nqmp = "libvirt:web"\n`;
  await using daemon = await DaemonProcess.start({ config, stubs: 1 });
  await daemon.says(/libvirt refuses commands to this QEMU/);
  const line = daemon.logText.split("\n").find((each) => each.includes("refuses commands to this QEMU")) ??
    "";
  assert(
    /allow the daemon's user org\.libvirt\.api\.domain\.write by a polkit rule; libvirt says: access denied/
      .test(line),
    line,
  );
  const said = await vmsig(["vm", "web", "stop", "--socket", daemon.socket]);
  assertEquals(said.code, 1);
  assert(
    /^vmsig: seam-down: Cannot stop web: libvirt refuses commands to this QEMU: allow .* by a polkit rule/
      .test(
        said.errors,
      ),
    said.errors,
  );
  const { code } = await vmsig(["vm", "stub0", "query", "--socket", daemon.socket]);
  assertEquals(code, 0);
});
