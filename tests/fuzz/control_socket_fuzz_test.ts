/**
 * The control socket as a peer reaches it: packets of any bytes, with and without descriptors, to a core on a
 * real socket. What is not a frame ends that peer alone.
 */
import { assert } from "@std/assert";
import { createMemfd } from "../../ffi/memfd.ts";
import { closeFd, type OwnedFd } from "../../ffi/owned_fd.ts";
import { checkFrame } from "../../src/protocol/frame.ts";
import { KIND, KIND_CLASS, KIND_MAX } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { rawFrame, rawHello } from "../unit/controls/raw_frame.ts";
import { type RawClient, SocketRig } from "../unit/controls/socket_rig.ts";
import { FakeAdapter } from "../unit/core/fake_adapter.ts";
import { type Bytes, fuzz } from "./harness.ts";
import { cborBytes } from "./structured.ts";

const HEADER_BYTES = 96;
const TOKEN_AT = 40;
const kinds = Array.from({ length: KIND_MAX }, (_, kind) => kind).filter((kind) => KIND_CLASS[kind] !== 0);

/**
 * The daemon's side, an attacker that comes again when it was thrown out, and somebody who must not notice.
 */
class Scene {
  readonly rig = new SocketRig();
  readonly #bystander: RawClient;
  readonly #file: OwnedFd = createMemfd("fuzz-frame", 4096);
  readonly #adapters: FakeAdapter[] = [];
  #attacker: RawClient | undefined;
  #packets = 0;

  constructor() {
    for (const source of [SOURCE.VMHOST, SOURCE.INPUT, SOURCE.MEMCTX]) {
      this.#adapters.push(new FakeAdapter(source));
    }
    this.rig.core.attach({ id: 0 as never, name: "vm0", vmid: 0, adapters: this.#adapters });
    this.rig.turn();
    this.#bystander = this.rig.join({ name: "bystander" });
  }

  /** Sends one packet; what became of the sender. */
  send(packet: Bytes, random: SeededRandom): string {
    const { rig } = this;
    const attacker = this.#attacker ??= rig.join({ name: "attacker" });
    const fds = random.oneIn(8) ? new Array(1 + random.below(2)).fill(this.#file.fd) : [];
    if (packet.length >= HEADER_BYTES && !random.oneIn(4)) packet[10] = fds.length;
    const defect = checkFrame(new DataView(packet.buffer), 0, packet.length, fds.length);
    attacker.frames.length = 0;
    attacker.sendBytes(packet, fds);
    rig.clock.advance(1e6);
    rig.turn(3);
    attacker.read();
    this.#tidy();
    if (!attacker.ended) {
      assert(defect === "", `a packet with "${defect}" was taken`);
      return attacker.frames.length > 0 ? "answered" : "taken";
    }
    const told = attacker.of(KIND.ERROR).length;
    attacker.close();
    rig.turn(2);
    this.#attacker = undefined;
    assert(told === 1, `${told} errors before the end`);
    return defect === "" ? "a frame that is not for a control" : "no frame";
  }

  #tidy(): void {
    for (const client of [this.#attacker, this.#bystander]) {
      for (const fd of client?.fds.splice(0) ?? []) closeFd(fd);
    }
    this.rig.lines.length = 0;
    for (const adapter of this.#adapters) {
      adapter.commands.length = 0;
      adapter.steps.length = 0;
    }
    if (++this.#packets % 8 !== 0) return;
    this.#bystander.read();
    this.#bystander.frames.length = 0;
    assert(!this.#bystander.ended, "nobody else notices");
  }

  end(): void {
    this.#tidy();
    this.rig.end();
    this.#file.close();
  }
}

let scene: Scene | undefined;

fuzz({
  name: "packets on the control socket",
  corpus: () => [
    ...kinds.filter((kind) => KIND_CLASS[kind] !== 3).map((kind) =>
      rawFrame({
        kind,
        source: 1 + kind % 6,
        dir: KIND_CLASS[kind] === 2 ? 1 : 0,
        corr: kind,
        words: [1, 30, 1],
      })
    ),
    rawFrame({ kind: KIND.CMD_VM, source: SOURCE.VMHOST, words: [1], corr: 1 }),
    rawFrame({
      kind: KIND.CMD_INPUT,
      source: SOURCE.INPUT,
      words: [3, 30, 1],
      corr: 2,
      body: new Uint8Array(48),
    }),
    rawFrame({ kind: KIND.AUDIT, dir: 0, format: 2, body: cborBytes({ ns: 1 }) }),
    rawHello({ name: "again" }),
  ],
  largest: HEADER_BYTES + 65_536 + 8,
  words: [[0x56, 0x53, 0x47, 0x31], ...kinds.map((kind) => [kind, 0])],
  repair: (input) => {
    if (input.length < HEADER_BYTES) return;
    const view = new DataView(input.buffer);
    view.setUint32(0, 0x31475356, true);
    view.setUint32(24, input.length - HEADER_BYTES, true);
    view.setUint32(28, 0, true);
    view.setUint32(12, input[12] as number, true);
    input[7] = KIND_CLASS[view.getUint16(4, true)] === 2 ? 1 : 0;
    input[8] = (input[8] as number) & 3;
    if (input.length > HEADER_BYTES) input[9] = 1 + ((input[9] as number) & 1);
    view.setUint32(TOKEN_AT, 0, true);
  },
  // Most are the end of a connection; the codec itself has its 100,000 in frame_fuzz_test.ts.
  share: 100,
  decode: (input, random) => {
    scene ??= new Scene();
    return scene.send(input, random);
  },
  mustMeet: ["answered", "no frame", "a frame that is not for a control"],
  after: () => {
    scene?.end();
    scene = undefined;
  },
});
