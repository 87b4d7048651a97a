/**
 * An event as received by a control in another process: the frame's header, its 48 inline bytes, its body and
 * its file descriptors. The event owns the descriptors: disposing of it closes those that were not taken.
 *
 * It does not interpret the contents: `typed_body.ts` gives the fields types, `describe_event.ts` gives them
 * names for people and JSON.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import { readU64 } from "../base/layout.ts";
import { INLINE_BYTES } from "../base/limits.ts";
import { FRAME } from "../protocol/frame.ts";
import type { Dir } from "../event/defaults.ts";
import { KIND, type Kind, type KindName, kindName } from "../event/kind.ts";
import { type Prio, prioName } from "../event/priority.ts";
import { type Source, sourceName } from "../event/source.ts";
import { type BodyOf, readBody, type TypedKind } from "./typed_body.ts";

/** Shared by events without descriptors; never written. */
const NO_FDS: (OwnedFd | undefined)[] = [];

/** One received event. */
export class ClientEvent implements Disposable {
  /** Its kind, see `event/kind.ts`. */
  readonly kind: Kind;
  /** Its source, see `event/source.ts`. */
  readonly source: Source;
  /** 0 up, 1 down. */
  readonly dir: Dir;
  /** Its priority class. */
  readonly prio: Prio;
  /** The VM; for a CORE event that concerns none, 0. */
  readonly endpoint: EndpointId;
  /** The core's sequence number for this control. */
  readonly seq: number;
  /** The corr of the command that it answers; 0 = none. */
  readonly corr: number;
  /** CLOCK_MONOTONIC at emit, ns. */
  readonly tsNs: number;
  /** How the body is encoded, see `BODY`. */
  readonly bodyFormat: number;
  /** The whole frame as received, a copy: what `record` writes. */
  readonly frame: Uint8Array<ArrayBuffer>;
  /** For an ACT_ACK that refuses: the VM's message, escaped; empty if there was none. */
  words = "";
  // Made at first use, because often only the header of an event is read.
  #inline: Uint8Array<ArrayBuffer> | undefined;
  #view: DataView<ArrayBuffer> | undefined;
  #body: Uint8Array<ArrayBuffer> | undefined;
  readonly #fds: (OwnedFd | undefined)[];

  /**
   * Reads a checked frame. Everything is copied; no reference to the buffer is kept.
   *
   * @param view over the receive buffer
   * @param offset where the frame starts
   * @param fds its descriptors; owned by the event from now on
   * @param isOwn the buffer holds this frame alone, from its start, and belongs to the event: nothing is
   *   copied
   */
  constructor(view: DataView<ArrayBuffer>, offset: number, fds: readonly OwnedFd[] = [], isOwn = false) {
    this.kind = view.getUint16(offset + FRAME.kind, true) as Kind;
    this.source = view.getUint8(offset + FRAME.source) as Source;
    this.dir = view.getUint8(offset + FRAME.dir) as Dir;
    this.prio = view.getUint8(offset + FRAME.prio) as Prio;
    this.bodyFormat = view.getUint8(offset + FRAME.bodyFormat);
    this.endpoint = view.getUint32(offset + FRAME.endpoint, true) as EndpointId;
    this.seq = view.getUint32(offset + FRAME.seq, true);
    this.corr = view.getUint32(offset + FRAME.corr, true);
    this.tsNs = readU64(view, offset + FRAME.tsNs);
    const bodyBytes = view.getUint32(offset + FRAME.bodyBytes, true);
    const first = view.byteOffset + offset;
    const length = FRAME.body + bodyBytes;
    assert(
      !isOwn || (first === 0 && view.buffer.byteLength === length),
      "a buffer that is kept is one frame",
    );
    // A copy of an array, unlike a slice of its buffer, is not filled with zeros before.
    this.frame = isOwn
      ? new Uint8Array(view.buffer)
      : new Uint8Array(new Uint8Array(view.buffer, first, length));
    this.#fds = fds.length === 0 ? NO_FDS : [...fds];
  }

  /** The inline zone, 48 bytes. */
  get inline(): Uint8Array<ArrayBuffer> {
    return this.#inline ??= this.frame.subarray(FRAME.inline, FRAME.body);
  }

  /** The inline zone as a DataView. */
  get view(): DataView<ArrayBuffer> {
    return this.#view ??= new DataView(this.frame.buffer, FRAME.inline, INLINE_BYTES);
  }

  /** The body; empty when there is none. */
  get body(): Uint8Array<ArrayBuffer> {
    return this.#body ??= this.frame.subarray(FRAME.body);
  }

  /** The kind's name: "VM_LIFECYCLE". */
  get kindName(): string {
    return kindName(this.kind);
  }

  /** The source's name: "VMHOST". */
  get sourceName(): string {
    return sourceName(this.source);
  }

  /** The priority's name: "URGENT". */
  get prioName(): string {
    return prioName(this.prio);
  }

  /**
   * The inline fields with their types, if the event is of that kind.
   *
   * @example
   * ```ts
   * const vm = event.as("VM_LIFECYCLE");
   * if (vm?.state === VM_STATE_NUMBER.CRASHED) console.log(`VM ${event.endpoint} crashed`);
   * ```
   */
  as<K extends TypedKind>(name: K): BodyOf<K> | undefined {
    return this.kind === KIND[name as KindName] ? readBody(name, this.view) : undefined;
  }

  /** Number of its descriptors, including those that were taken. */
  get fdCount(): number {
    return this.#fds.length;
  }

  /** Descriptor number `i`, borrowed: valid until it is taken or the event is disposed of. */
  fd(i: number): number {
    const fd = this.#fds[i];
    assert(fd !== undefined, "a descriptor that is looked at came along and was not taken");
    return fd.fd;
  }

  /** Takes descriptor number `i`: it stays open when the event is disposed of, and belongs to the caller. */
  takeFd(i: number): OwnedFd {
    const fd = this.#fds[i];
    assert(fd !== undefined, "a descriptor is there and taken once");
    this.#fds[i] = undefined;
    return fd;
  }

  /** Takes all descriptors that were not taken yet. */
  takeFds(): OwnedFd[] {
    if (this.#fds.length === 0) return [];
    const fds = this.#fds.filter((fd) => fd !== undefined);
    this.#fds.fill(undefined);
    return fds;
  }

  /**
   * The same event with the descriptors that were not taken, which leave this one; for keeping it longer than
   * its stream does.
   */
  detach(): ClientEvent {
    return new ClientEvent(new DataView(this.frame.buffer), 0, this.takeFds());
  }

  /**
   * A second copy of the event with duplicated descriptors, for a second consumer. An event without
   * descriptors is shared.
   */
  share(): ClientEvent {
    if (this.#fds.length === 0) return this;
    const fds = this.#fds.map((fd) => fd?.dup()).filter((fd) => fd !== undefined);
    return new ClientEvent(new DataView(this.frame.buffer), 0, fds);
  }

  /** Closes the descriptors that were not taken. */
  [Symbol.dispose](): void {
    for (const fd of this.takeFds()) fd.close();
  }
}
