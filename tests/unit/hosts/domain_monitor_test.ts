/** A domain's monitor below a link, with a libvirt that answers by hand: what is told in which turn. */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import type { MonitorLine } from "../../../src/hosts/libvirt/domain_line.ts";
import { DomainMonitor, type DomainMonitorHost } from "../../../src/hosts/libvirt/domain_monitor.ts";
import type { CallHandler, Domain } from "../../../src/hosts/libvirt/libvirt_calls.ts";
import { QmpLink } from "../../../src/qemu/monitor/qmp_link.ts";
import { UNKNOWN_PEER } from "../../../src/qemu/monitor/qmp_transport.ts";

const WEB: Domain = { name: "web", uuid: "00".repeat(16), id: 1 };
const ENCODER = new TextEncoder();
const VERSION = '{"return":{"qemu":{"major":7,"minor":2,"micro":22}},"id":"libvirt-1"}';
const RUNNING = '{"return":{"status":"running","running":true},"id":"libvirt-2"}';
const DONE = '{"return":{},"id":"libvirt-3"}';
const ANSWER = { timeoutNs: 60e9 };

/** A domain on a loop, its monitor, and a link over it. */
class Rig implements Disposable {
  readonly loop = new Loop({ clock: monotonicClock, log: SILENT });
  /** Commands that libvirt has, and how they are answered. */
  readonly calls: {
    readonly command: string;
    readonly file: boolean;
    readonly answer: CallHandler<Uint8Array>;
  }[] = [];
  readonly losses: string[] = [];
  /** What libvirt's refusals, and the ends of the way to it, were told with. */
  readonly refusals: string[] = [];
  readonly events: string[] = [];
  readonly link: QmpLink;
  monitor: DomainMonitor | undefined;
  ups = 0;
  onEvent = (): void => {};

  constructor() {
    const line: MonitorLine = {
      domain: WEB,
      ask: (command, done) => {
        const decoder = new TextDecoder();
        const answer: CallHandler<Uint8Array> = (result) =>
          done(result.ok ? { ok: true, value: decoder.decode(result.value) } : result);
        this.calls.push({ command, file: false, answer });
      },
      monitor: (command, answer, file) => {
        this.calls.push({ command: new TextDecoder().decode(command), file: file !== undefined, answer });
        file?.close();
      },
    };
    const host: DomainMonitorHost = {
      onEnd: () => {},
      onRefused: (_, { why }) => this.refusals.push(why),
      mayOwn: false,
      onOwn: () => {},
      onNoOwn: () => {},
    };
    this.link = new QmpLink({
      path: {
        name: "libvirt:web",
        passesDescriptors: true,
        canReconnect: false,
        connect: () => ({
          outcome: "carried",
          peer: UNKNOWN_PEER,
          open: (listener) => this.monitor = new DomainMonitor(this.loop, line, host, listener),
        }),
        finish: (socket) => ({ outcome: "connected", socket }),
        peerOf: () => UNKNOWN_PEER,
      },
      loop: this.loop,
      heartbeat: false,
    });
    this.link.use({
      onLinkUp: () => this.ups++,
      onLinkDown: (loss) => this.losses.push(loss.text),
      onQmpEvent: (event) => {
        this.events.push(event.name);
        this.onEvent();
      },
    });
    this.turn();
  }

  turn(): void {
    this.loop.turn(0);
  }

  /** libvirt answers the call that it has had the longest. */
  answer(text: string): void {
    const call = this.calls.shift();
    assert(call !== undefined, "libvirt has a call");
    call.answer({ ok: true, value: ENCODER.encode(text) });
  }

  /** An event of the domain's QEMU. */
  tell(name: string): void {
    this.monitor?.tell({ kind: "qemu", domain: WEB, name, seconds: 1, micros: 2, details: undefined });
  }

  comeUp(): void {
    this.answer(VERSION);
    // The agreement on capabilities is not libvirt's.
    this.turn();
    this.answer(RUNNING);
    assertEquals(this.ups, 1);
  }

  [Symbol.dispose](): void {
    this.monitor?.close();
    this.loop[Symbol.dispose]();
  }
}

Deno.test("libvirt's monitor: a command goes, and its answer comes, without a turn in between", () => {
  using rig = new Rig();
  rig.comeUp();
  const outcomes: string[] = [];
  const note = ({ outcome }: { readonly outcome: string }) => outcomes.push(outcome);
  rig.link.execute("stop", undefined, note, ANSWER);
  rig.link.execute("cont", undefined, note, ANSWER);
  assertEquals(rig.calls.map(({ command }) => command), ['{"execute":"stop"}']);
  rig.answer(DONE);
  assertEquals(outcomes, ["done"]);
  assertEquals(rig.calls.map(({ command }) => command), ['{"execute":"cont"}']);
  rig.answer('{"id":"libvirt-4","error":{"class":"GenericError","desc":"no"}}');
  assertEquals(outcomes, ["done", "error"]);
  rig.tell("RESET");
  assertEquals(rig.events, ["RESET"]);
});

Deno.test("libvirt's monitor: what QEMU tells before the greeting is not told, and the link comes up", () => {
  using rig = new Rig();
  rig.tell("RESUME");
  rig.comeUp();
  assertEquals([rig.losses, rig.events], [[], []]);
});

Deno.test("libvirt's monitor: the end of the way is told once, behind what was known before", () => {
  using rig = new Rig();
  rig.comeUp();
  const outcomes: string[] = [];
  for (const command of ["stop", "cont"]) {
    rig.link.execute(command, undefined, ({ outcome }) => outcomes.push(outcome), ANSWER);
  }
  rig.answer(DONE);
  rig.calls.shift()?.answer({ ok: false, why: "it has ended", isClosed: true, isDenied: false });
  assertEquals([outcomes, rig.losses.length], [["done"], 0], "not while it is answered");
  assertEquals(rig.refusals, ["it has ended"], "the host can say why when the link asks");
  rig.turn();
  assertEquals([outcomes, rig.losses.length, rig.ups], [["done", "closed"], 1, 1]);
  rig.turn();
  assertEquals(rig.losses.length, 1);
});

Deno.test("libvirt's monitor: what a user of the link throws ends the link, and not the way to libvirt", () => {
  using rig = new Rig();
  rig.comeUp();
  rig.onEvent = () => {
    throw new TypeError("a user's mistake");
  };
  rig.tell("RESET");
  assertEquals(rig.losses, [], "libvirt's connection goes on with what it has read");
  rig.turn();
  assertEquals([rig.losses.length, rig.loop.faults.total], [1, 1]);
});

Deno.test("libvirt's monitor: a descriptor goes with its own command; those that never go are closed", () => {
  const before = openFdCount();
  const file = createMemfd("monitor", 0);
  {
    using rig = new Rig();
    rig.comeUp();
    const withFile = { ...ANSWER, fds: [file.fd] };
    rig.link.execute("query-name", undefined, () => {}, ANSWER);
    for (const name of ["a", "b"]) rig.link.execute("getfd", { fdname: name }, () => {}, withFile);
    assertEquals(rig.calls.map((call) => call.file), [false]);
    rig.answer(DONE);
    assertEquals(rig.calls.map((call) => call.file), [true]);
  }
  file.close();
  assertEquals(openFdCount(), before);
});
