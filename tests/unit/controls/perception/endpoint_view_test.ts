// The view of an endpoint: what it says on the bus as regions appear, change, stand still, restart and
// vanish. The guest's RAM is a memfd of ours, its system a stand-in, the clock the test's.
import type { EndpointId } from "../../../../src/base/ids.ts";
import "../../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { createMemfd, getSeals, OPEN, reopen, SEAL } from "../../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../../ffi/stream.ts";
import { MS, NEVER, SECOND } from "../../../../src/base/clock.ts";
import { EndpointView } from "../../../../src/controls/perception/endpoint_view.ts";
import type {
  DescriptorWatch,
  DisplayCommand,
  EventSink,
} from "../../../../src/controls/perception/event_sink.ts";
import { CURSOR, FRAME_INFO, VGPU_STATUS } from "../../../../src/event/body_layout.ts";
import { KIND, type Kind, kindName } from "../../../../src/event/kind.ts";
import type { Process } from "../../../../src/guest/process.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";
import { RegionBytes } from "../../../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../../../fixtures/vgpu_guest.ts";

const GVA = 0x7f00_0000_0000;
const RAM_BYTES = 2 << 20;

/** One memseg from address 0 and offset 0. */
function memseg(bytes: number, fdIndex: number): Uint8Array {
  const body = new Uint8Array(32);
  const view = new DataView(body.buffer);
  view.setBigUint64(16, BigInt(bytes), true);
  view.setUint32(24, fdIndex, true);
  return body;
}

/** A guest whose RAM others can map, a view of it, and everything that the view said. */
class Rig implements Disposable, EventSink {
  /** Whether its system is found when it is looked for. */
  hasSystem = true;
  /** When its system was looked for, ms since the start. */
  readonly searches: number[] = [];
  readonly guest = new TestGuest(RAM_BYTES);
  readonly bytes = new RegionBytes({ producerPid: 5 });
  readonly process: Process;
  readonly view: EndpointView;
  readonly said: string[] = [];
  readonly words: string[] = [];
  nowNs = SECOND;
  beat = 1;
  pages: number[] = [];
  readonly #file: OwnedFd = createMemfd("guest-ram", RAM_BYTES);

  constructor(ring = true) {
    this.process = this.guest.addProcess(5);
    this.pages = this.guest.place(this.process.root, GVA, this.bytes.bytes);
    this.view = new EndpointView(3 as EndpointId, this, {
      ring,
      pid: 99,
      find: (memory) => {
        this.searches.push((this.nowNs - SECOND) / MS);
        if (!this.hasSystem) return { found: false, reason: "unknown-os", detail: "" };
        return { found: true, os: this.guest.os(memory) };
      },
    });
  }

  context(): void {
    this.flush();
    this.view.onContext(0x1000, memseg(RAM_BYTES, 0), [reopen(this.#file.fd, OPEN.READ_ONLY)]);
  }

  /** Brings what the test wrote to where the view reads. */
  flush(): void {
    this.pages.forEach((gpa, i) =>
      this.guest.ram.putBytes(gpa, this.bytes.bytes.subarray(i * 4096, (i + 1) * 4096))
    );
    const { buffer } = this.guest.ram.segments[0]!.mapped!;
    assertEquals(pwriteFrom(this.#file.fd, new Uint8Array(buffer), 0, RAM_BYTES, 0), RAM_BYTES);
  }

  /** Lets time go by, beating or not; what the view said meanwhile. */
  run(ms: number, beating = true): string[] {
    const from = this.said.length;
    for (const endNs = this.nowNs + ms * MS; this.nowNs < endNs; this.nowNs += 10 * MS) {
      if (beating) this.bytes.u64(0x040, ++this.beat);
      this.flush();
      for (let n = 0; n < 100 && this.view.nextNs <= this.nowNs; n++) this.view.step(this.nowNs);
    }
    return this.said.slice(from);
  }

  publish(kind: Kind, endpoint: number, inline: Uint8Array, fd: number): void {
    assertEquals(endpoint, 3);
    const view = new DataView(inline.slice().buffer);
    const u32 = (at: number) => view.getUint32(at, true);
    if (kind === KIND.VGPU_STATUS) {
      const { at } = VGPU_STATUS;
      this.said.push(
        `status ${u32(at.state)} epoch ${u32(at.runEpoch)} is ${u32(at.status)} pid ${u32(at.producerPid)}`,
      );
    } else if (kind === KIND.CURSOR_STATE) {
      this.said.push(`cursor ${view.getInt32(CURSOR.at.x, true)},${view.getInt32(CURSOR.at.y, true)}`);
    } else if (kind === KIND.FRAME_INFO) {
      this.said.push(`frame ${u32(FRAME_INFO.at.frameId)} epoch ${u32(FRAME_INFO.at.runEpoch)}`);
    } else {
      assert((getSeals(fd) & SEAL.FUTURE_WRITE) !== 0, "the ring is sealed");
      this.said.push(kindName(kind));
    }
  }

  ask(_endpoint: number, _command: DisplayCommand): void {}

  watch(): DescriptorWatch {
    throw new Error("there is no descriptor here");
  }

  publishText(): void {}

  say(_endpoint: number, text: string): void {
    this.words.push(text);
  }

  [Symbol.dispose](): void {
    this.view[Symbol.dispose]();
    this.guest.memory[Symbol.dispose]();
    this.#file.close();
  }
}

Deno.test("candidate, alive, cursor, frames; nothing twice", () => {
  using rig = new Rig();
  assertEquals(rig.view.nextNs, NEVER, "without a context there is nothing to look at");
  rig.context();
  assertEquals(rig.run(300), ["status 1 epoch 0 is 0 pid 0", "status 2 epoch 0 is 0 pid 5"]);
  rig.bytes.u32(0x04c, 2);
  assertEquals(rig.run(100), ["status 2 epoch 0 is 2 pid 5"]);
  rig.bytes.view.setInt32(0x088, -9, true);
  rig.bytes.u32(0x080, 2);
  assertEquals(rig.run(100), ["cursor -9,0"]);
  rig.bytes.frame(0, { frameId: 1 });
  assertEquals(rig.run(100), ["FRAME_RING", "frame 1 epoch 0"]);
  assertEquals(rig.run(500), []);
  rig.bytes.frame(1, { frameId: 8 });
  assertEquals(rig.run(100), ["frame 8 epoch 0"]);
});

Deno.test("a system that is not found is looked for more and more seldom, and at once in a new context", () => {
  using rig = new Rig();
  rig.hasSystem = false;
  rig.context();
  rig.run(100_000);
  assertEquals(rig.searches, [0, 2000, 6000, 14_000, 30_000, 60_000, 90_000]);
  rig.context();
  rig.run(3000);
  assertEquals(rig.searches.slice(7), [100_000, 102_000]);
});

Deno.test("a view without a producer looks when the others do", () => {
  using rig = new Rig();
  rig.guest.processes.length = 0;
  rig.nowNs += 123 * MS;
  rig.context();
  rig.run(100);
  for (let i = 0; i < 10; i++) {
    assertEquals(rig.view.nextNs % (500 * MS), 0, `${rig.view.nextNs}`);
    rig.run(700);
  }
});

Deno.test("without a ring frames are told all the same", () => {
  using rig = new Rig(false);
  rig.bytes.frame(0, { frameId: 1 });
  rig.context();
  assertEquals(rig.run(300).at(-1), "frame 1 epoch 0");
  assertEquals(rig.run(300), []);
});

Deno.test("a session break: the new epoch is told, and its frames count from 1 again", () => {
  using rig = new Rig();
  rig.bytes.frame(0, { frameId: 50 });
  rig.context();
  rig.run(300);
  rig.bytes.u32(0x048, 2);
  rig.bytes.frame(1, { frameId: 1 });
  assertEquals(rig.run(100), ["FRAME_RING", "status 2 epoch 2 is 0 pid 5", "frame 1 epoch 2"]);
});

Deno.test("a heartbeat that stands still is lost, and alive again when it goes on", () => {
  using rig = new Rig();
  rig.context();
  rig.run(300);
  assertEquals(rig.run(900, false), []);
  assertEquals(rig.run(400, false), ["status 0 epoch 0 is 0 pid 5"]);
  assertEquals(rig.run(3000, false), []);
  assertEquals(rig.run(300), ["status 2 epoch 0 is 0 pid 5"]);
});

Deno.test("a region that vanishes is lost at once, and a new producer's is found", () => {
  using rig = new Rig();
  rig.context();
  rig.run(300);
  rig.guest.unmap(rig.process.root, GVA);
  assertEquals(rig.run(200), ["status 0 epoch 0 is 0 pid 0"]);
  const next = rig.guest.addProcess(6);
  rig.pages.forEach((gpa, i) => rig.guest.map(next.root, GVA + i * 4096, gpa));
  assertEquals(rig.run(11_000).slice(-1), ["status 2 epoch 0 is 0 pid 5"]);
});

Deno.test("invalidated: lost, blind; the next context: found again. No descriptor is left", () => {
  const before = openFdCount();
  {
    using rig = new Rig();
    rig.bytes.frame(0);
    for (let epoch = 0; epoch < 3; epoch++) {
      rig.context();
      assertEquals(rig.run(300).includes("status 2 epoch 0 is 0 pid 5"), true);
      rig.view.onInvalidated();
      assertEquals(rig.said.at(-1), "status 0 epoch 0 is 0 pid 0");
      assertEquals(rig.run(200), []);
    }
    rig.context();
    rig.run(300);
    rig.guest.running = false;
    assertEquals(rig.run(1200).slice(-1), ["status 0 epoch 0 is 0 pid 0"]);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a context that does not hold together is told in words, and its descriptors are closed", () => {
  const before = openFdCount();
  {
    using rig = new Rig();
    using file = createMemfd("short", 4096);
    for (const [bytes, fdIndex] of [[8192, 0], [4096, 1], [100, 0], [2 ** 60, 0]] as const) {
      rig.view.onContext(0, memseg(bytes, fdIndex), [file.dup()]);
      assertEquals(rig.view.nextNs, NEVER);
    }
    rig.view.onContext(0, new Uint8Array(0), []);
    rig.view.onContext(0, new Uint8Array(31), [file.dup()]);
    assertEquals(rig.words.length, 6);
    assertEquals(rig.said, []);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("whatever the guest writes, the view goes on and says only what its kinds can say", () => {
  withSeed((random) => {
    using rig = new Rig();
    rig.context();
    rig.run(300);
    const fields = [
      0x040,
      0x048,
      0x04c,
      0x080,
      0x0c0,
      0x100,
      0x140,
      0x144,
      0x148,
      0x14c,
      0x150,
      0x158,
      0x028,
      0x024,
      0x000,
    ];
    for (let round = 0; round < 150; round++) {
      const saved = rig.bytes.bytes.slice(0, 0x1000);
      for (let n = 1 + random.below(4); n > 0; n--) {
        const nasty = random.oneIn(2) ? random.u32() : [0, 1, 0xffffffff, 0x80000000][random.below(4)]!;
        rig.bytes.u32(fields[random.below(fields.length)]!, nasty);
      }
      rig.run(50, random.oneIn(2));
      if (random.oneIn(3)) rig.bytes.bytes.set(saved);
    }
    assertEquals(rig.words, []);
  });
});
