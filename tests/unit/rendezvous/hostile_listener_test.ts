import { assertEquals, assertRejects } from "@std/assert";
import { encode } from "cborg";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { addSeals, createMemfd, SEAL } from "../../../ffi/memfd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { Poller } from "../../../ffi/poller.ts";
import { TimerFd } from "../../../ffi/timer_fd.ts";
import { acceptUnix, connectUnix, listenUnix, pipe, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { Channel } from "../../../src/v2v/channel.ts";
import { MappedRegion } from "../../../src/rendezvous/mapped_region.ts";
import { socketFolder, socketPathOf } from "../../../src/rendezvous/prefix.ts";
import { connectProcessAsync } from "../../../src/rendezvous/process_connector.ts";
import { ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import { RegionHeader } from "../../../src/v2v/region_header.ts";
import { HEADER, regionBytes } from "../../../src/v2v/region_layout.ts";
import { until } from "../../fixtures/daemon_process.ts";
import { HANG_MS, runtimeDir } from "./channel_fixture.ts";

/** What a listener does wrong. */
interface Mischief {
  readonly name: string;
  /** The code that the connector must see. */
  readonly code: string;
  readonly sizeBytes?: number;
  readonly unsealed?: boolean;
  /** Words of the head, byte offset to value, written after it was laid out. */
  readonly words?: Readonly<Record<number, number>>;
  readonly packet?: Uint8Array;
  readonly map?: Record<string, unknown>;
  readonly fdCount?: number;
  /** What it hands over in the place of a doorbell. */
  readonly asBell?: "pipe" | "epoll" | "timer" | "memory";
  readonly silent?: "hangs-up" | "says-nothing";
}

const MAP = { proto: 1, generation: 5, prodOrder: 1, consOrder: 1 };
const MISCHIEF: readonly Mischief[] = [
  { name: "a region cut short", code: "protocol-error", sizeBytes: regionBytes(1, 1) - 4096 },
  { name: "a region that could shrink", code: "protocol-error", unsealed: true },
  { name: "no magic", code: "protocol-error", words: { [HEADER.at.magicLow]: 0 } },
  { name: "another magic", code: "protocol-error", words: { [HEADER.at.magicHigh]: 0x32474e49 } },
  { name: "version 2", code: "protocol-error", words: { [HEADER.at.version]: 2 } },
  { name: "order 9 in the region", code: "protocol-error", words: { [HEADER.at.prodOrder]: 9 } },
  { name: "order 9 in the invitation", code: "protocol-error", map: { ...MAP, consOrder: 9 } },
  { name: "an order near 2^32", code: "protocol-error", words: { [HEADER.at.consOrder]: -1 } },
  { name: "orders that disagree", code: "protocol-error", words: { [HEADER.at.consOrder]: 0 } },
  { name: "a stale generation", code: "refused", words: { [HEADER.at.generation]: 6 } },
  { name: "a listener that is gone", code: "refused", words: { [HEADER.at.listenerState]: 0x127 } },
  { name: "a state that is none", code: "refused", words: { [HEADER.at.listenerState]: 77 } },
  { name: "protocol 2", code: "protocol-error", map: { ...MAP, proto: 2 } },
  { name: "a generation of text", code: "protocol-error", map: { ...MAP, generation: "5" } },
  { name: "no orders", code: "protocol-error", map: { proto: 1, generation: 5 } },
  { name: "no CBOR", code: "protocol-error", packet: Uint8Array.of(0xff, 0xff) },
  { name: "an array", code: "protocol-error", packet: Uint8Array.of(0x80) },
  { name: "too few descriptors", code: "protocol-error", fdCount: 4 },
  { name: "no descriptors", code: "protocol-error", fdCount: 0 },
  { name: "a pipe as a doorbell", code: "protocol-error", asBell: "pipe" },
  { name: "an epoll instance as a doorbell", code: "protocol-error", asBell: "epoll" },
  { name: "a timer as a doorbell", code: "protocol-error", asBell: "timer" },
  { name: "memory as a doorbell", code: "protocol-error", asBell: "memory" },
  { name: "a refusal", code: "busy", map: { proto: 1, code: 18, reason: "go away" } },
  { name: "a refusal with a code that is none", code: "refused", map: { proto: 1, code: 4711 } },
  { name: "hanging up", code: "refused", silent: "hangs-up" },
  { name: "silence", code: "timed-out", silent: "says-nothing" },
];

async function play(mischief: Mischief): Promise<string> {
  using dir = runtimeDir();
  Deno.mkdirSync(socketFolder(dir.path));
  using listener = listenUnix(socketPathOf(dir.path, "bad"), SOCKET.SEQPACKET);
  // Only who says nothing is waited for to the end: of all others the answer counts, however late it comes.
  const timeoutMs = mischief.silent === "says-nothing" ? 200 : HANG_MS;
  const connecting = assertRejects(() => connectProcessAsync(dir.path, "bad", { timeoutMs }), Fault);
  using socket = acceptUnix(listener.fd);
  if (socket === undefined) throw new Error("nobody knocked");
  if (mischief.silent === "says-nothing") return (await connecting).code;
  if (mischief.silent === "hangs-up") {
    socket.close();
    return (await connecting).code;
  }
  const sizeBytes = regionBytes(1, 1);
  using file = createMemfd("bad", sizeBytes, { sealable: true });
  {
    using region = new MappedRegion(file.fd, sizeBytes);
    new RegionHeader(region).initialise({ generation: 5, prodOrder: 1, consOrder: 1 });
    const words = new Int32Array(region.buffer, 0, 64);
    for (const [at, value] of Object.entries(mischief.words ?? {})) words[Number(at) >> 2] = value;
  }
  using short = createMemfd("short", mischief.sizeBytes ?? sizeBytes, { sealable: true });
  if (mischief.unsealed !== true) {
    for (const each of [file, short]) addSeals(each.fd, SEAL.SHRINK);
  }
  const [readEnd, writeEnd] = pipe();
  using _read = readEnd;
  using write = writeEnd;
  const bells = [EventFd.create(), EventFd.create(), EventFd.create(), EventFd.create()];
  const fds = [mischief.sizeBytes === undefined ? file.fd : short.fd, ...bells.map((bell) => bell.fd)];
  using epoll = new Poller(1);
  using timer = TimerFd.create();
  const instead = { pipe: write.fd, epoll: epoll.fd, timer: timer.fd, memory: file.fd };
  if (mischief.asBell !== undefined) fds[2] = instead[mischief.asBell];
  const packet = mischief.packet ?? new Uint8Array(encode(mischief.map ?? MAP));
  sendOne(
    socket.fd,
    packet as Uint8Array<ArrayBuffer>,
    0,
    packet.length,
    fds.slice(0, mischief.fdCount ?? 5),
  );
  const { code } = await connecting;
  for (const bell of bells) bell[Symbol.dispose]();
  return code;
}

for (const mischief of MISCHIEF) {
  Deno.test(`a listener with ${mischief.name} is refused with a name, and nothing leaks`, async () => {
    const before = openFdCount();
    assertEquals(await play(mischief), mischief.code);
    assertEquals(openFdCount(), before);
  });
}

Deno.test("the same listener without mischief is connected to", async () => {
  await assertRejects(() => play({ name: "nothing", code: "" }), Error, "Expected function to reject");
});

Deno.test("who is invited and leaves, or never takes its place, keeps nobody else out", async () => {
  using dir = runtimeDir();
  using listener = new ProcessListener(dir.path, "open");
  const accepting = listener.acceptAsync(HANG_MS);
  {
    using shy = connectUnix(socketPathOf(dir.path, "open"), SOCKET.SEQPACKET);
    using invitation = new ReceiveBatch(1, 4096, 8);
    await until("it is invited", () => invitation.receive(shy.fd) === 1);
    assertEquals(shy.closed, false);
  }
  let right: Channel | undefined;
  await until("its place is free", async () => {
    right = await connectProcessAsync(dir.path, "open", { timeoutMs: HANG_MS }).catch((error) => {
      // The listener has not heard yet that the shy one has gone.
      if (error instanceof Fault && error.code === "busy") return undefined;
      throw error;
    });
    return right !== undefined;
  });
  const left = await accepting;
  assertEquals(left.generation, 2, "a region that somebody was invited to is never used again");
  right?.[Symbol.dispose]();
  left[Symbol.dispose]();
});
