/**
 * A core with one endpoint over a real QEMU, MEMCTX first and VMHOST behind it, and in-process controls that
 * note what they are told.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import type { WriteExtent } from "../../src/access/write_extent.ts";
import { fullGrant, type Grant } from "../../src/access/grant.ts";
import { MemctxAdapter, type MemctxOptions } from "../../src/adapters/memctx/memctx_adapter.ts";
import { InlineScanner } from "../../src/adapters/memctx/scan_guest.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { VmhostAdapter } from "../../src/adapters/vmhost/vmhost_adapter.ts";
import { assert } from "../../src/base/assert.ts";
import type { EndpointId } from "../../src/base/ids.ts";
import { SILENT } from "../../src/base/log.ts";
import { InprocControl } from "../../src/controls/inproc/inproc_control.ts";
import { Core } from "../../src/core/core.ts";
import { Loop } from "../../src/core/loop.ts";
import { LEASE_CLASS } from "../../src/event/body_number.ts";
import { type Described, describeInline } from "../../src/event/describe.ts";
import { KIND, kindName } from "../../src/event/kind.ts";
import { PRIO } from "../../src/event/priority.ts";
import { ALL_SOURCES } from "../../src/event/source.ts";
import { BODY, type TransferEvent } from "../../src/event/transfer_event.ts";

/** An event as a control was told it. */
export interface Told {
  readonly kind: string;
  readonly corr: number;
  readonly fields: Record<string, Described>;
  readonly body: Uint8Array;
  /** The event itself, retained, for those that carry descriptors. */
  readonly event: TransferEvent | undefined;
}

/** A control that keeps what it is told. */
export class Listener {
  readonly told: Told[] = [];
  readonly control: InprocControl;

  /** Makes it; {@linkcode MemctxRig.join} puts it on the bus. */
  constructor(name: string) {
    const everything = { sources: ALL_SOURCES, prioMin: PRIO.BULK, endpoints: fullGrant(0).endpoints };
    this.control = new InprocControl(name, everything, {
      onEvent: (event) => {
        this.told.push({
          kind: kindName(event.kind),
          corr: event.corr,
          fields: describeInline(event.kind, event.inline),
          body: event.bodyView().slice(),
          event: event.fds.length > 0 ? event.retain() : undefined,
        });
      },
    });
  }

  /** The events of a kind. */
  of(kind: string): Told[] {
    return this.told.filter((told) => told.kind === kind);
  }

  /** Lets go of the events that it kept. */
  release(): void {
    for (const { event } of this.told) event?.release();
    this.told.length = 0;
  }
}

/** What an endpoint's MEMCTX is made of, beside its monitor. */
export interface RigOptions extends Partial<Omit<MemctxOptions, "extents">> {
  /** Where MEMWRITE may land; the endpoint is called "vm". */
  readonly extents?: readonly WriteExtent[];
}

/** The core and what stands on it. */
export class MemctxRig implements AsyncDisposable {
  readonly loop: Loop = new Loop({ clock: monotonicClock, log: SILENT });
  readonly core: Core = new Core({ loop: this.loop, log: SILENT });
  readonly #listeners: Listener[] = [];

  /** Attaches one endpoint. */
  constructor(qmpPath: string, options: RigOptions = {}) {
    const { extents = [] } = options;
    // Whatever ends a context here is what the test does: a machine so busy that QEMU says nothing for three
    // seconds would end it too, and for another reason (1).
    const link = new QmpLink({ path: qmpPath, loop: this.loop, heartbeat: false });
    const memctx = new MemctxAdapter({
      link,
      scanner: new InlineScanner(),
      ...options,
      extents: () => extents,
    });
    const adapters = [memctx, new VmhostAdapter(link)];
    this.core.attach({ id: 0 as EndpointId, name: "vm", vmid: 0, adapters });
  }

  /** Puts a control on the bus. */
  join(name = "test", grant: Partial<Grant> = {}): Listener {
    const listener = new Listener(name);
    this.core.addControl(listener.control, { ...fullGrant(1000), ...grant });
    this.#listeners.push(listener);
    return listener;
  }

  /** Turns the loop until `done` says so. */
  async until(what: string, done: () => boolean, timeoutMs = 180_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (!done()) {
      if (performance.now() > endMs) {
        const tail = this.#listeners.map((l) =>
          l.told.slice(-12).map(({ kind, fields }) => ({ kind, fields }))
        );
        throw new Error(`gave up waiting for ${what}; told: ${JSON.stringify(tail)}`);
      }
      this.loop.turn(5);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Turns the loop while something else happens. */
  async during<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const mark = () => (settled = true);
    work.then(mark, mark);
    await this.until("the work", () => settled, 360_000);
    return await work;
  }

  /** The n-th event (from 1) of a kind. */
  async event(listener: Listener, kind: string, n = 1, timeoutMs = 180_000): Promise<Told> {
    await this.until(`${kind} number ${n}`, () => listener.of(kind).length >= n, timeoutMs);
    const told = listener.of(kind)[n - 1];
    assert(told !== undefined, "the event is there");
    return told;
  }

  /** The answer to a command. */
  async answer(listener: Listener, corr: number): Promise<Told> {
    const find = () => listener.told.find((told) => told.corr === corr);
    await this.until(`the answer to ${corr}`, () => find() !== undefined);
    return find() as Told;
  }

  /** Takes the MEMWRITE lease. */
  async lease(listener: Listener): Promise<void> {
    const corr = listener.control.send(KIND.CMD_ACQUIRE, 0 as EndpointId, (event) => {
      event.words[0] = LEASE_CLASS.MEMWRITE;
    });
    const { kind } = await this.answer(listener, corr);
    assert(kind === "LEASE_GRANTED", "the lease is granted");
  }

  /** Sends a CMD_MEMWRITE; its code. */
  async write(listener: Listener, fill: (event: TransferEvent) => void): Promise<number> {
    const { fields } = await this.answer(
      listener,
      listener.control.send(KIND.CMD_MEMWRITE, 0 as EndpointId, fill),
    );
    return Number(fields["code"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    let gone = false;
    this.core.detach(0 as EndpointId, "detached", () => (gone = true));
    await this.until("the endpoint to be gone", () => gone);
    this.core.forget(0 as EndpointId);
    for (const listener of this.#listeners) {
      listener.control.leave();
      listener.release();
    }
    this.loop.turn(0);
    this.core.dispose();
    assert(this.loop.watched === 0 && this.loop.armed === 0, "nothing is left on the loop");
    this.loop[Symbol.dispose]();
  }
}

/** Fills a MEMWRITE: inline when it fits and `payload` does not ask otherwise. */
export function memwrite(
  event: TransferEvent,
  gva: bigint,
  bytes: Uint8Array,
  options: { cr3?: number; seqlock?: boolean; payload?: boolean } = {},
): void {
  const head = options.cr3 === undefined ? 0 : 8;
  const payload = options.payload === true || bytes.length > 32 - head;
  event.view.setBigUint64(0, gva, true);
  event.view.setUint32(8, bytes.length, true);
  const flags = (payload ? 2 : 1) | (head > 0 ? 4 : 0) | (options.seqlock === true ? 8 : 0);
  event.view.setUint32(12, flags, true);
  if (options.cr3 !== undefined) event.view.setBigUint64(16, BigInt(options.cr3), true);
  if (payload) event.copyBody(BODY.RAW, bytes, 0, bytes.length);
  else event.inline.set(bytes, 16 + head);
}
