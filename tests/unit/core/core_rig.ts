/**
 * A core on a loop that the test turns, with fake adapters and in-process controls that note all they get.
 * @module
 */
import type { EndpointSlot } from "../../../src/core/endpoint_slot.ts";
import type { Source } from "../../../src/event/source.ts";
import { assert, assertEquals } from "@std/assert";
import { InprocControl } from "../../../src/controls/inproc/inproc_control.ts";
import { CLOSING_ORDER } from "../../../src/adapters/seams.ts";
import { Log, SILENT } from "../../../src/base/log.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { readU64 } from "../../../src/base/layout.ts";
import { fullGrant, type Grant } from "../../../src/access/grant.ts";
import { SUBSCRIBE_ALL, type Subscription } from "../../../src/access/subscription.ts";
import type { ControlHandle } from "../../../src/core/control_port.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { Core } from "../../../src/core/core.ts";
import { KIND, type Kind, kindName } from "../../../src/event/kind.ts";
import { BODY, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { ManualLoop } from "../../fixtures/manual_loop.ts";
import { FakeAdapter } from "./fake_adapter.ts";

/** One event as a control got it. */
export interface Seen {
  readonly kind: string;
  readonly source: number;
  readonly prio: number;
  readonly endpoint: number;
  readonly corr: number;
  readonly words: readonly number[];
  readonly fds: readonly number[];
  readonly body: Uint8Array;
}

/** A control that notes what it gets. */
export class TestControl {
  readonly seen: Seen[] = [];
  readonly control: InprocControl;
  readonly handle: ControlHandle;
  closed: string | undefined;
  /** Called with each event, after it was noted. */
  onEvent: (event: TransferEvent) => void = () => {};

  constructor(core: Core, grant: Grant, subscription: Subscription, name: string) {
    this.control = new InprocControl(name, subscription, {
      onEvent: (event) => {
        this.seen.push(seen(event));
        this.onEvent(event);
      },
      onClose: (reason) => (this.closed = reason),
    });
    this.handle = core.addControl(this.control, grant);
  }

  /** The events of these kinds, in order. */
  of(...kinds: string[]): Seen[] {
    return this.seen.filter((event) => kinds.includes(event.kind));
  }

  /** The names of what it got, in order. */
  get kinds(): string[] {
    return this.seen.map((event) => event.kind);
  }

  /** Sends a command whose first words are these; its corr. */
  send(
    kind: number,
    endpoint: number,
    words: readonly number[] = [],
    token = 0,
    body?: Uint8Array,
  ): number {
    return this.control.send(kind as Kind, endpoint as EndpointId, (event) => {
      words.forEach((word, i) => (event.words[i] = word));
      event.token = token;
      if (body !== undefined) event.setBody(BODY.RAW, body);
    });
  }

  /** The answers to a corr: an ACT_ACK as its code, anything else as its kind's name. */
  answers(corr: number): (number | string)[] {
    return this.seen.filter((event) => event.corr === corr && event.kind !== "ERROR").map((event) =>
      event.kind === "ACT_ACK" ? event.words[1] as number : event.kind
    );
  }

  /** The one answer to a corr. */
  answer(corr: number): number | string {
    const answers = this.answers(corr);
    assertEquals(answers.length, 1, `command ${corr} is answered once, not by ${JSON.stringify(answers)}`);
    return answers[0] as number | string;
  }

  /** The token of the newest LEASE_GRANTED. */
  get token(): number {
    const granted = this.of("LEASE_GRANTED").at(-1);
    assert(granted !== undefined);
    return tokenOf(granted);
  }

  /** Publishes an event. */
  publish(kind: number, endpoint: number, fill: (event: TransferEvent) => void = () => {}): void {
    const event = this.handle.event(kind as Kind);
    event.endpoint = endpoint as EndpointId;
    fill(event);
    this.handle.publish(event);
  }
}

/** The token of a LEASE_GRANTED. */
export function tokenOf(granted: Seen): number {
  const view = new DataView(new Uint32Array(granted.words).buffer);
  return readU64(view, 8);
}

/** A core with its loop. */
export class CoreRig {
  readonly loop = new ManualLoop();
  readonly lines: string[] = [];
  readonly core: Core;
  readonly adapters = new Map<number, FakeAdapter[]>();

  /** @param log whether to keep the log's lines */
  constructor(log = false) {
    const sink = log ? new Log("test", "info", (line) => this.lines.push(line)) : SILENT;
    this.core = new Core({
      loop: this.loop,
      log: sink,
      closingOrder: CLOSING_ORDER,
      onSeam: (slot) => this.onSeam(slot),
    });
  }

  /** A seam came or went. */
  onSeam(_slot: EndpointSlot): void {}

  /** Attaches an endpoint with a fake adapter for each source. */
  attach(id: number, ...sources: Source[]): FakeAdapter[] {
    const adapters = sources.map((source) => new FakeAdapter(source));
    this.adapters.set(id, adapters);
    this.core.attach({ id: id as EndpointId, name: `vm${id}`, vmid: id, adapters });
    this.loop.settle();
    return adapters;
  }

  /** Starts to detach an endpoint; the result says whether it is done. */
  detach(id: number): { done: number } {
    const outcome = { done: 0 };
    this.core.detach(id as EndpointId, "detached", () => outcome.done++);
    return outcome;
  }

  /** Adds a control, with every right but AUDIT unless a test says otherwise. */
  join(part: Partial<Grant> = {}, subscription: Subscription = SUBSCRIBE_ALL): TestControl {
    const grant = { ...fullGrant(1000), caps: ALL_CAPS & ~CAP.AUDIT, ...part };
    return new TestControl(this.core, grant, subscription, "test");
  }

  /** Turns until nothing moves. */
  settle(): void {
    this.loop.settle();
  }

  /** Takes everything down, and asserts that nothing is left. */
  end(): void {
    for (const slot of this.core.endpoints()) {
      if (!slot.leaving) this.core.detach(slot.id, "shutting-down", () => {});
    }
    this.settle();
    for (const slot of this.core.fanOut.controls.values()) this.core.leave(slot, "end");
    this.settle();
    assertEquals(this.core.endpoints().length, 0);
    assertEquals(this.core.fanOut.controls.size, 0);
    assertEquals(this.core.bus.ledger.count, 0, "no command is left without an answer");
    this.core.dispose();
  }
}

/** CMD_ACQUIRE of a class. */
export function acquire(control: TestControl, endpoint: number, cls: number, ttlMs = 0): number {
  return control.send(KIND.CMD_ACQUIRE, endpoint, [cls, 0, ttlMs]);
}

function seen(event: TransferEvent): Seen {
  const { source, prio, endpoint, corr, words, fds } = event;
  return {
    kind: kindName(event.kind),
    source,
    prio,
    endpoint,
    corr,
    words: [...words],
    fds: [...fds],
    body: event.bodyView().slice(),
  };
}
