// The displays of an endpoint as perception sees them: what is asked of the display adapter and what is
// published, from demand to picture, when a source is lost, and when the guest's producer comes and goes.
import type { EndpointId } from "../../../../src/base/ids.ts";
import "../../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { encode } from "cborg";
import { monotonicClock } from "../../../../ffi/clock.ts";
import { OPEN, reopen } from "../../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../../ffi/stream.ts";
import { NEVER, SECOND } from "../../../../src/base/clock.ts";
import { CODE, type Code } from "../../../../src/base/codes.ts";
import { EndpointDisplay } from "../../../../src/controls/perception/display/endpoint_display.ts";
import { TextReader } from "../../../../src/controls/perception/display/text_reader.ts";
import type { Answer, DisplayCommand, EventSink } from "../../../../src/controls/perception/event_sink.ts";
import { FramePublisher } from "../../../../src/controls/perception/frame_publisher.ts";
import { FRAME_DEMAND, FRAME_INFO } from "../../../../src/event/body_layout.ts";
import { DEMAND_PICTURE, DEMAND_STOPPED, DISPLAY_OP } from "../../../../src/event/body_number.ts";
import { KIND, type Kind, kindName } from "../../../../src/event/kind.ts";
import { EventPool } from "../../../../src/event/transfer_event.ts";

const OPS = Object.entries(DISPLAY_OP);
const NOTHING = new Uint8Array(0);

class Scene implements EventSink, Disposable {
  /** What was asked, in words, and not taken yet. */
  readonly asked: string[] = [];
  readonly published: string[] = [];
  /** What is answered to a dump; a picture of this colour when it is 0. */
  dumpCode = 0;
  colour = 1;
  facts: unknown = { display: "screendump", heads: [{ device: "" }], vnc: false, dbus: false, pid: 1 };
  readonly display: EndpointDisplay;
  readonly #pool = new EventPool();
  #serial = 0;
  #file: OwnedFd | undefined;
  #aheadNs = 0;

  constructor() {
    this.display = new EndpointDisplay({
      endpoint: 3 as EndpointId,
      publisher: new FramePublisher(3 as EndpointId, this),
      sink: this,
      pid: 4711,
      texts: new TextReader(() => undefined),
    });
  }

  ask(endpoint: number, command: DisplayCommand, then: (answer: Answer) => void): void {
    assertEquals(endpoint, 3);
    const name = OPS.find(([, op]) => op === command.op)?.[0] ?? "?";
    const more = name === "SOURCE"
      ? ` ${command.source}`
      : name === "SERVED"
      ? ` ${command.serial} ${command.code ?? 0}`
      : "";
    this.asked.push(name + more);
    if (command.op === DISPLAY_OP.HEADS) then({ code: 0, words: "", body: encode(this.facts), fds: [] });
    if (command.op !== DISPLAY_OP.DUMP) return;
    if (command.fd !== undefined) this.#file = reopen(command.fd, OPEN.WRITE_ONLY);
    const picture = new Uint8Array(11 + 48);
    picture.set(new TextEncoder().encode("P6\n4 4\n255\n"));
    picture.fill(this.colour, 11);
    if (this.dumpCode === 0) pwriteFrom((this.#file as OwnedFd).fd, picture, 0, picture.length, 0);
    then({ code: this.dumpCode as Code, words: this.dumpCode === 0 ? "" : "no", body: NOTHING, fds: [] });
  }

  publish(kind: Kind, _endpoint: number, inline: Uint8Array): void {
    const view = new DataView(inline.buffer, inline.byteOffset);
    const { at } = FRAME_INFO;
    this.published.push(
      kind === KIND.FRAME_INFO
        ? `frame ${view.getUint32(at.frameId, true)} flags ${view.getUint16(at.flags, true)} source ${
          view.getUint16(at.source, true)
        }`
        : kindName(kind),
    );
  }

  publishText(): void {
    this.published.push("SCREEN_TEXT");
  }

  watch(): never {
    throw new Error("no descriptor is waited for here");
  }

  say(): void {}

  demand(perSecond: number, flags = 0): void {
    const event = this.#pool.acquire();
    const { at } = FRAME_DEMAND;
    if ((flags & DEMAND_PICTURE) !== 0) this.#serial++;
    event.words[at.perSecond / 4] = perSecond;
    event.words[at.onceSerial / 4] = this.#serial;
    event.words[at.flags / 4] = flags;
    this.display.onDemand(event, monotonicClock.nowNs() + this.#aheadNs);
    event.release();
    this.run();
  }

  /** Steps until nothing is due. */
  run(nowNs = monotonicClock.nowNs() + this.#aheadNs): void {
    for (let n = 0; n < 50; n++) this.display.step(nowNs);
  }

  /** Does something as at a later time. */
  later(ns: number, act: () => void): void {
    this.#aheadNs = ns;
    act();
    this.#aheadNs = 0;
  }

  /** What was asked and published since the last look. */
  news(): [string[], string[]] {
    return [this.asked.splice(0), this.published.splice(0)];
  }

  [Symbol.dispose](): void {
    this.display[Symbol.dispose]();
    this.#file?.close();
  }
}

Deno.test("endpoint display: one request, one picture; unchanged it is served without an event; then nothing is due", () => {
  const before = openFdCount();
  {
    using scene = new Scene();
    assertEquals([scene.display.nextNs, scene.news()], [NEVER, [[], []]]);
    scene.demand(0, DEMAND_PICTURE);
    assertEquals(scene.news(), [
      ["HEADS", "SOURCE 2", "DUMP", "SERVED 1 0"],
      ["FRAME_RING", "frame 1 flags 0 source 2"],
    ]);
    scene.demand(0, DEMAND_PICTURE);
    assertEquals(scene.news(), [["DUMP", "SERVED 2 0"], []]);
    scene.colour = 2;
    scene.demand(0, DEMAND_PICTURE);
    assertEquals(scene.news(), [["DUMP", "SERVED 3 0"], ["frame 2 flags 0 source 2"]]);
    scene.demand(0);
    assertEquals([scene.display.nextNs, scene.news()], [NEVER, [[], []]]);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("endpoint display: watched it is due by its rate, and not while the VM stands still, whose last picture is marked", () => {
  using scene = new Scene();
  scene.demand(50);
  const [asked] = scene.news();
  assertEquals(asked, ["HEADS", "SOURCE 2", "DUMP"]);
  assert(scene.display.nextNs < monotonicClock.nowNs() + SECOND / 50);
  scene.colour = 3;
  scene.demand(50, DEMAND_STOPPED);
  const [, told] = scene.news();
  assertEquals(told, ["frame 1 flags 1 source 2", "frame 2 flags 1 source 2"]);
  assertEquals(scene.display.nextNs, NEVER);
  scene.demand(50);
  assertEquals(scene.news()[1][0], "frame 2 flags 0 source 2");
});

Deno.test("endpoint display: who is the first to watch a VM that stands still gets its last picture", () => {
  using scene = new Scene();
  scene.demand(50, DEMAND_STOPPED);
  const [asked, told] = scene.news();
  assertEquals(asked, ["HEADS", "SOURCE 2", "DUMP"]);
  assertEquals(told.at(-1), "frame 1 flags 1 source 2");
  assertEquals(scene.display.nextNs, NEVER);
});

Deno.test("endpoint display: a lost source is told, all is looked at anew, and who waits is answered when nothing is left", () => {
  using scene = new Scene();
  scene.demand(10);
  scene.news();
  scene.dumpCode = CODE["seam-down"];
  scene.run(monotonicClock.nowNs() + SECOND);
  // The one source that the config allows was just lost: it rests.
  assertEquals(scene.news(), [["DUMP", "SOURCE 0", "HEADS", "SOURCE 0"], []]);
  scene.demand(10, DEMAND_PICTURE);
  assertEquals(scene.news()[0], [`SERVED 1 ${CODE["seam-down"]}`]);
  assert(scene.display.nextNs > monotonicClock.nowNs());
  scene.dumpCode = 0;
  scene.run(monotonicClock.nowNs() + 2 * SECOND);
  const [asked, told] = scene.news();
  assertEquals(asked.slice(0, 3), ["HEADS", "SOURCE 2", "DUMP"]);
  assertEquals(told, [], "the ring is the one that was told, and the picture the same");
});

Deno.test("endpoint display: the guest's producer takes head 0 over, serves who waits, and gives it back", () => {
  using scene = new Scene();
  scene.demand(0, DEMAND_PICTURE);
  scene.news();
  scene.display.onProducer(true, 0);
  scene.demand(0, DEMAND_PICTURE);
  assertEquals(scene.news(), [["SOURCE 1"], []]);
  scene.display.onProducer(true, 7);
  assertEquals(scene.news(), [["SERVED 2 0"], []]);
  scene.display.onProducer(false, 0);
  scene.demand(0, DEMAND_PICTURE);
  const [asked, told] = scene.news();
  assertEquals(asked, ["SOURCE 0", "SOURCE 2", "DUMP", "SERVED 3 0"]);
  assertEquals(told, ["FRAME_RING", "frame 2 flags 0 source 2"]);
});

Deno.test("endpoint display: a config that allows only a producer, and an answer that is none", () => {
  using scene = new Scene();
  scene.facts = { display: "vgpu", heads: [{ device: "" }] };
  scene.demand(0, DEMAND_PICTURE);
  assertEquals(scene.news()[0], ["HEADS", "SOURCE 0", `SERVED 1 ${CODE["not-supported"]}`]);
  using other = new Scene();
  other.facts = ["nothing"];
  other.demand(0, DEMAND_PICTURE);
  assertEquals(other.news()[0], ["HEADS", "SOURCE 0", `SERVED 1 ${CODE["protocol-error"]}`]);
});

Deno.test("endpoint display: a head that QEMU does not have is refused by name; another device is looked at anew", () => {
  using scene = new Scene();
  scene.demand(10);
  assertEquals(scene.news()[0], ["HEADS", "SOURCE 2", "DUMP"]);
  // Its device was removed: nothing runs on, whatever it read from.
  scene.facts = { display: "screendump", heads: [{ device: "", removed: true }, { device: "b" }] };
  scene.demand(0, 1 << 16);
  assertEquals([scene.display.nextNs, scene.news()], [NEVER, [[], []]]);
  scene.demand(0, 1 << 16 | DEMAND_PICTURE);
  assertEquals(scene.news()[0], ["HEADS", "SOURCE 0", `SERVED 1 ${CODE["bad-argument"]}`]);
  // A new one has its number.
  scene.facts = { display: "screendump", heads: [{ device: "c" }, { device: "b" }] };
  scene.demand(0, 2 << 16 | DEMAND_PICTURE);
  assertEquals(scene.news(), [
    ["HEADS", "SOURCE 2", "DUMP", "SERVED 2 0"],
    ["FRAME_RING", "frame 2 flags 0 source 2"],
  ]);
  scene.facts = { display: "screendump", heads: [] };
  scene.demand(0, 3 << 16 | DEMAND_PICTURE);
  assertEquals(scene.news()[0], ["HEADS", "SOURCE 0", `SERVED 3 ${CODE["not-supported"]}`]);
});

Deno.test("endpoint display: who asks for single pictures only is refused while all sources rest, and not for ever", () => {
  using scene = new Scene();
  scene.dumpCode = CODE.refused;
  scene.demand(0, DEMAND_PICTURE);
  assertEquals(scene.news()[0].at(-1), `SERVED 1 ${CODE.refused}`);
  scene.dumpCode = 0;
  scene.demand(0, DEMAND_PICTURE);
  assertEquals(scene.news()[0], [`SERVED 2 ${CODE.refused}`]);
  scene.later(40 * SECOND, () => scene.demand(0, DEMAND_PICTURE));
  assertEquals(scene.news()[0], ["HEADS", "SOURCE 2", "DUMP", "SERVED 3 0"]);
});
