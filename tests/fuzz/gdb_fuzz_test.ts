/**
 * What a GDB says, from its first byte on: whatever comes, in whatever pieces, the server keeps within its
 * bounds, ends that GDB at most, and leaves the VM running.
 * @module
 */
import { assert } from "@std/assert";
import { parseRegisters } from "../../src/adapters/vmhost/vcpu_registers.ts";
import { Fault } from "../../src/base/fault.ts";
import { MAX_GDB_PACKET } from "../../src/base/limits.ts";
import { GdbServer } from "../../src/client/gdb/gdb_server.ts";
import { GdbSession } from "../../src/client/gdb/gdb_session.ts";
import { packetOf, PacketReader } from "../../src/client/gdb/packets.ts";
import { VCPU_STATE_BYTES } from "../../src/event/kinds/vcpu_kinds.ts";
import { joined } from "../fixtures/rfb_bytes.ts";
import { MemoryTransport } from "../fixtures/rfb_viewer.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { FakeTarget } from "../unit/client/gdb/fake_target.ts";
import { type Bytes, bytesOf, fuzz } from "./harness.ts";
import { mutated, type Vocabulary } from "./mutate.ts";

const WORDS = [
  ...["?", "g", "p0", "p1f", "G00", "P0=00", "m1000,40", "mffffffffffffffff,8", "M1000,2:aabb", "X1000,1:a"],
  ...["Hg0", "Hg2", "Hc-1", "T1", "c", "s", "C02", "D", "k", "Z0,1000,1", "vCont?", "vCont;c", "vCont;s:1;c"],
  ...["qSupported", "qC", "qfThreadInfo", "qsThreadInfo", "qThreadExtraInfo,1", "qOffsets", "qAttached"],
  ...["qXfer:features:read:target.xml:0,fff", "qXfer:threads:read::0,fff", "qXfer:auxv:read::0,fff"],
  ...["qRcmd,73746f70", "qRcmd,636f6e74", "qRcmd,", "QStartNoAckMode", "vKill;1", "vMustReplyEmpty"],
];

/** Packets to a session: each is answered by bodies that fit a packet. */
async function decode(input: Bytes, random: SeededRandom): Promise<string> {
  const target = new FakeTarget();
  target.isRefused = random.oneIn(4);
  let sent = 0;
  const session = new GdbSession(target, {
    send: (body) => {
      assert(packetOf(body).length <= 2 * MAX_GDB_PACKET + 4 && body.length <= MAX_GDB_PACKET);
      sent++;
      return Promise.resolve();
    },
    note: (text) => assert(text.length < 1024),
  });
  const reader = new PacketReader();
  let what = "nothing";
  for (const one of reader.push(input)) {
    if (session.isOver) return "left";
    if (one.what === "packet") await session.take(one.body);
    else if (one.what === "interrupt") await session.interrupt();
    what = one.what;
  }
  return sent > 0 ? "answered" : what;
}

/** The same bytes to a server: whatever happens, the VM runs when it has gone. */
async function serve(input: Bytes, random: SeededRandom): Promise<string> {
  const target = new FakeTarget();
  let sentAway = false;
  const server = new GdbServer(target, {
    onNote: (text) => sentAway ||= text.startsWith("gdb is sent away"),
  });
  const transport = new MemoryTransport();
  const link = server.accept(transport, "fuzz");
  for (let at = 0; at < input.length;) {
    const end = random.oneIn(3) ? input.length : Math.min(input.length, at + 1 + random.below(200));
    link.receive(input.subarray(at, end));
    at = end;
    if (random.oneIn(4)) await Promise.resolve();
  }
  link.gone();
  await server[Symbol.asyncDispose]();
  assert(!server.isFull && target.running && transport.closed === 1, "it has gone, and the VM runs");
  return sentAway ? "sent away" : "served";
}

const made = (random: SeededRandom, most: number): Uint8Array =>
  joined(
    ...Array.from({ length: 1 + random.below(most) }, () =>
      random.oneIn(8) ? [3] : packetOf(
        random.oneIn(6)
          ? WORDS[random.below(WORDS.length)] + random.u32().toString(16)
          : WORDS[random.below(WORDS.length)] as string,
      )),
  );

/** As harness.ts does it, for what answers later. */
function fuzzLater(
  name: string,
  most: number,
  one: (input: Bytes, random: SeededRandom) => Promise<string>,
  mustMeet: readonly string[],
): void {
  const count = Number(Deno.env.get("VMSIG_FUZZ_INPUTS") ?? 20_000);
  Deno.test(`${name}: ${count} inputs`, async () => {
    const { seed } = new SeededRandom();
    const corpus = WORDS.map((word) => bytesOf(packetOf(word)));
    const vocabulary: Vocabulary = {
      words: [...WORDS, "$", "#", "}", "\x03", "+", "-"].map(bytesOf),
      openers: [],
      largest: 4 * MAX_GDB_PACKET,
    };
    const met = new Map<string, number>();
    for (let n = 0; n < count; n++) {
      const random = new SeededRandom(Math.imul(n ^ 0x51ed_270b, 0x9e37_79b1) ^ seed);
      const packets = random.oneIn(2)
        ? bytesOf(made(random, most))
        : corpus[random.below(corpus.length)] as Bytes;
      const input = random.oneIn(2) ? mutated(random, packets, corpus, vocabulary) : packets.slice();
      let outcome: string;
      try {
        outcome = await one(input, random);
      } catch (error) {
        if (!(error instanceof Fault)) throw new Error(`VMSIG_SEED=${seed}, input ${n}`, { cause: error });
        outcome = `fault:${error.code}`;
      }
      met.set(outcome, (met.get(outcome) ?? 0) + 1);
    }
    console.log(
      `${name}: VMSIG_SEED=${seed}, ${[...met].map(([what, times]) => `${what} ${times}`).join(", ")}`,
    );
    for (const outcome of mustMeet) assert(met.has(outcome), `never came up: ${outcome}`);
  });
}

fuzzLater("gdb, packets of a session", 10, decode, ["answered", "left", "fault:too-large"]);
fuzzLater("gdb, what a server makes of it", 90, serve, ["served", "sent away"]);

const REGISTERS = `
RAX=0000000000000000 RBX=ffffffff82a12000 RCX=0000000000000001 RDX=0000000000000000
RSI=0000000000000000 RDI=0000000000000001 RBP=ffffffff82a03e60 RSP=ffffffff82a03e50
R8 =0000000000000001 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000
R12=0000000000000000 R13=0000000000000000 R14=ffffffff82a12000 R15=0000000000000000
RIP=ffffffff81c0a5eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 ffffffff 00c00000
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =0000 0000000000000000 ffffffff 00c00000
FS =0000 00007f0000000000 ffffffff 00c00000
GS =0000 ffff88803ec00000 ffffffff 00c00000
CR0=80050033 CR2=00007f3b2a9ff000 CR3=0000000002a10000 CR4=000006f0
EFER=0000000000000d01
`;

fuzz({
  name: "info registers, of one CPU",
  corpus: () => [REGISTERS, REGISTERS.replaceAll("\n", "\r\n")],
  largest: 32_768,
  words: ["RAX=", "EFL=", "CR3=", "EFER=", "ffffffffffffffffff", "\n", "\r", "CS ="],
  decode: (input) => {
    const values = parseRegisters(new TextDecoder().decode(input));
    assert(values === undefined || values.length === VCPU_STATE_BYTES);
    return values === undefined ? "none" : "registers";
  },
  mustMeet: ["none", "registers"],
});
