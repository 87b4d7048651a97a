import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Fault } from "../../../../src/base/fault.ts";
import { MAX_GDB_PACKET } from "../../../../src/base/limits.ts";
import { GdbServer } from "../../../../src/client/gdb/gdb_server.ts";
import {
  bytesOf,
  type GdbInput,
  packetOf,
  PacketReader,
  textOfBody,
} from "../../../../src/client/gdb/packets.ts";
import { uidIn } from "../../../../src/client/gdb/peer_uid.ts";
import { RegisterLayout, valuesOfPtRegs, valuesOfVcpu } from "../../../../src/client/gdb/x86_registers.ts";
import { VCPU_REGISTERS, VCPU_STATE_BYTES } from "../../../../src/event/kinds/vcpu_kinds.ts";
import { MemoryTransport } from "../../../fixtures/rfb_viewer.ts";
import { BASE, FakeTarget } from "./fake_target.ts";

const text = (bytes: Uint8Array) => textOfBody(bytes);
const hex = (said: string) =>
  [...new TextEncoder().encode(said)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const told = (body: string) =>
  new TextDecoder().decode(Uint8Array.from(body.match(/../g) ?? [], (d) => parseInt(d, 16)));

/** One GDB over a fake target, without acknowledgements. */
class FakeGdb {
  readonly target = new FakeTarget();
  readonly notes: string[] = [];
  readonly transport = new MemoryTransport();
  readonly server = new GdbServer(this.target, { onNote: (note) => this.notes.push(note) });
  readonly input = this.server.accept(this.transport, "gdb 1");
  readonly #reader = new PacketReader();

  /** Lets what was said take effect, and reads the bodies that came back. */
  async heard(): Promise<string[]> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    return [...this.#reader.push(this.transport.take())].flatMap((input) =>
      input.what === "packet" ? [text(input.body)] : []
    );
  }

  async ask(body: string | Uint8Array): Promise<string> {
    this.input.receive(packetOf(body));
    const bodies = await this.heard();
    assertEquals(bodies.length, 1, bodies.join(" | "));
    return bodies[0] as string;
  }
}

Deno.test("gdb packets: what is packed is read again, in pieces of any size, with interrupts between", () => {
  const body = Uint8Array.from({ length: 256 }, (_, i) => i);
  const stream = new Uint8Array([...packetOf(body), 3, 0x2b, 0x2d, ...packetOf("g")]);
  for (const size of [1, 7, stream.length]) {
    const reader = new PacketReader();
    const inputs: GdbInput[] = [];
    for (let at = 0; at < stream.length; at += size) {
      inputs.push(...reader.push(stream.subarray(at, at + size)));
    }
    assertEquals(inputs.map(({ what }) => what), ["packet", "interrupt", "ack", "nak", "packet"]);
    assertEquals(inputs[0], { what: "packet", body });
  }
});

Deno.test("gdb packets: a wrong checksum is told, a packet that is too long ends it", () => {
  assertEquals([...new PacketReader().push(bytesOf("$g#66$g#zz$g#67"))].map(({ what }) => what), [
    "damaged",
    "damaged",
    "packet",
  ]);
  const reader = new PacketReader();
  assertEquals([...reader.push(packetOf("a".repeat(MAX_GDB_PACKET)))].length, 1);
  const fault = assertThrows(() => [...reader.push(bytesOf(`$${"a".repeat(MAX_GDB_PACKET + 1)}`))], Fault);
  assertEquals(fault.code, "too-large");
});

Deno.test("gdb registers: as QEMU and pt_regs have them, and what nobody tells is unavailable", () => {
  const layout = new RegisterLayout(true);
  const words = new BigUint64Array(VCPU_REGISTERS.length).map((_, i) => BigInt(i + 1));
  const values = valuesOfVcpu(new Uint8Array(words.buffer));
  assertEquals(words.byteLength, VCPU_STATE_BYTES);
  assertEquals(layout.one(values, 0), "0100000000000000");
  // rsp is the eighth of both; eflags has 32 bits; st0 is told by nobody.
  assertEquals(layout.one(values, 7), "0800000000000000");
  assertEquals(layout.one(values, 17), "12000000");
  assertEquals(layout.one(values, 24), "xx".repeat(10));
  assertEquals(layout.one(values, 999), undefined);
  assertEquals(layout.all(values).length, layout.registers.reduce((sum, { bits }) => sum + bits / 4, 0));
  assertEquals(layout.all(new Map()).replaceAll("x", ""), "");
  const saved = new Uint8Array(new BigUint64Array(21).map((_, i) => BigInt(i)).buffer);
  const process = valuesOfPtRegs(saved, 0x7fn, 0n);
  assertEquals([process.get("r15"), process.get("rip"), process.get("rsp"), process.get("fs_base")], [
    0n,
    16n,
    19n,
    0x7fn,
  ]);
  assertMatch(layout.description, /<reg name="cr3" bitsize="64"/);
  assert(!new RegisterLayout(false).description.includes("cr3"));
});

Deno.test("gdb session: threads, registers, memory and target.xml", async () => {
  const gdb = new FakeGdb();
  assertMatch(await gdb.ask("qSupported:multiprocess+"), /^PacketSize=[0-9a-f]+;QStartNoAckMode\+/);
  assertEquals(await gdb.ask("QStartNoAckMode"), "OK");
  assertEquals(await gdb.ask("?"), "T05thread:1;");
  assertEquals([await gdb.ask("qfThreadInfo"), await gdb.ask("qsThreadInfo")], ["m1,2", "l"]);
  assertEquals([await gdb.ask("Hg2"), await gdb.ask("p0"), await gdb.ask("Hg9")], [
    "OK",
    "0200000000000000",
    "E01",
  ]);
  assertEquals((await gdb.ask("g")).slice(0, 16), "0200000000000000");
  assertEquals([await gdb.ask("m1001,4"), await gdb.ask("m10fe,8"), await gdb.ask("m0,1")], [
    "01020304",
    "feff",
    "E14",
  ]);
  assertEquals([await gdb.ask("mffffffffffffffff,8"), await gdb.ask("m,"), await gdb.ask("m1,fffffffff")], [
    "E14",
    "E01",
    "E01",
  ]);
  const first = await gdb.ask("qXfer:features:read:target.xml:0,20");
  const rest = await gdb.ask("qXfer:features:read:target.xml:20,ffff");
  assertEquals(
    first.slice(1) + rest.slice(1),
    gdb.target.layout.description.slice(0, first.length + rest.length - 2),
  );
  assertMatch(await gdb.ask("qXfer:threads:read::0,fff"), /name="CPU 1 &lt;&amp;&quot;"/);
  assertEquals([await gdb.ask("T2"), await gdb.ask("T3"), await gdb.ask("vMustReplyEmpty")], [
    "OK",
    "E01",
    "",
  ]);
  assertEquals(await gdb.ask("qOffsets"), "Text=20000000;Data=20000000;Bss=20000000");
  gdb.target.count = 1000;
  const list = [await gdb.ask("qfThreadInfo"), await gdb.ask("qsThreadInfo"), await gdb.ask("qsThreadInfo")];
  assertEquals(list.map((one) => one.split(",").length), [400, 400, 200]);
});

Deno.test("gdb session: writing, stopping and continuing, and their refusals", async () => {
  const gdb = new FakeGdb();
  const { target } = gdb;
  assertEquals([await gdb.ask("M1000,2:aabb"), await gdb.ask("M1000,3:aabb"), await gdb.ask("X1002,0:")], [
    "OK",
    "E01",
    "OK",
  ]);
  assertEquals(await gdb.ask(new Uint8Array([...bytesOf("X1002,2:"), 0x7d, 0x24])), "OK");
  assertEquals([...target.memory.subarray(0, 4)], [0xaa, 0xbb, 0x7d, 0x24]);
  assertMatch(await gdb.ask(`M${(BASE + 255).toString(16)},2:0000`), /^E\.Cannot write there/);
  assertMatch(told(await gdb.ask(`qRcmd,${hex("stop")}`)), /is stopped/);
  assertEquals(target.running, false);
  gdb.input.receive(packetOf("vCont;c"));
  assertEquals([await gdb.heard(), target.running], [[], true]);
  gdb.input.receive(new Uint8Array([3]));
  assertEquals([await gdb.heard(), target.running], [["T02thread:1;"], false]);
  gdb.input.receive(packetOf("c"));
  await gdb.heard();
  gdb.server.onStop();
  assertEquals(await gdb.heard(), ["T05thread:1;"]);
  target.isRefused = true;
  assertMatch(told(await gdb.ask(`qRcmd,${hex("stop")}`)), /another control owns the lease/);
  assertMatch(await gdb.ask("M1000,1:00"), /^E\.Cannot write: another/);
  for (const body of ["G00", "P0=00", "Z0,1000,1", "vCont;c"]) assertMatch(await gdb.ask(body), /^E\.Cannot/);
  target.isRefused = false;
  gdb.input.receive(packetOf("c"));
  await gdb.heard();
  target.isRefused = true;
  gdb.input.receive(new Uint8Array([3]));
  const [said = "", reply] = await gdb.heard();
  assertMatch(told(said.slice(1)), /keeps running/);
  assertEquals(reply, "T02thread:1;");
});

Deno.test("gdb server: one at a time; whoever goes, or asks too much, leaves the VM as it was", async () => {
  for (const how of ["D", "k", "vKill;1", "gone", "flood", "long"]) {
    const gdb = new FakeGdb();
    await gdb.ask(`qRcmd,${hex("stop")}`);
    assert(gdb.server.isFull && !gdb.target.running);
    if (how === "gone") gdb.input.gone();
    else if (how === "flood") { for (let i = 0; i < 100; i++) gdb.input.receive(packetOf("g")); }
    else if (how === "long") gdb.input.receive(bytesOf(`$${"a".repeat(2 * MAX_GDB_PACKET)}`));
    else gdb.input.receive(packetOf(how));
    await gdb.heard();
    await gdb.server[Symbol.asyncDispose]();
    assertEquals([gdb.target.log.at(-1), gdb.target.running, gdb.server.isFull], ["leave", true, false], how);
  }
});

Deno.test("gdb server: a peer's user is the one of its socket that is established", () => {
  const table =
    `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:04D2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:04D2 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     7        0 2 1
   2: 0100007F:9C40 0100007F:04D2 01 00000000:00000000 00:00000000 00000000  1000        0 3 1
   3: 0100007F:9C41 0100007F:04D2 06 00000000:00000000 00:00000000 00000000     0        0 0 3
`;
  const own = { hostname: "127.0.0.1", port: 1234 };
  assertEquals(uidIn(table, own, { hostname: "127.0.0.1", port: 40_000 }), 1000);
  assertEquals(uidIn(table, own, { hostname: "127.0.0.1", port: 40_001 }), undefined);
  assertEquals(uidIn(table, own, { hostname: "192.0.2.1", port: 40_000 }), undefined);
});
