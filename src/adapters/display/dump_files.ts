/**
 * The files that screendumps go to: descriptor sets of QEMU's, one for each control and head that brought a
 * memfd. A set is made once and used again; it is taken back when its control goes, when another memfd comes,
 * and when the seam ends. With the monitor QEMU forgets those that nobody else could name.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import type { ControlId } from "../../base/ids.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { DisplayHead } from "./display_facts.ts";

/** The guest's devices wait while QEMU makes a picture; it may be a large one on a busy machine. */
const DUMP_NS = 10 * SECOND;
const ANSWER_NS = 5 * SECOND;

/** Who dumps which head. */
export interface DumpPlace {
  /** The control that asked. */
  readonly control: ControlId;
  /** The head's number. */
  readonly head: number;
}

/** The descriptor sets of one monitor. */
export class DumpFiles {
  readonly #link: QmpLink;
  readonly #sets = new Map<string, number>();
  #generation = 0;

  /** None yet. */
  constructor(link: QmpLink) {
    this.#link = link;
  }

  /** Whether a place has a file. */
  has(place: DumpPlace): boolean {
    return this.#generation === this.#link.generation && this.#sets.has(keyOf(place));
  }

  /**
   * Hands QEMU a file for a place.
   *
   * @param fd a memfd, open for writing only; borrowed for the call
   * @param done told QEMU's answer
   * @throws {OsError} when no descriptor can be had
   */
  add(place: DumpPlace, fd: number, done: (reply: QmpReply) => void): void {
    assert(this.#link.isUp, "a file is handed to a monitor that is there");
    this.#remove(keyOf(place));
    this.#generation = this.#link.generation;
    const { generation } = this.#link;
    this.#link.execute("add-fd", undefined, (reply) => {
      const set = reply.outcome === "done" && isObject(reply.value) ? reply.value["fdset-id"] : undefined;
      if (typeof set === "number" && generation === this.#link.generation) {
        this.#remove(keyOf(place));
        this.#sets.set(keyOf(place), set);
      }
      done(reply);
    }, { timeoutNs: ANSWER_NS, fds: [fd] });
  }

  /**
   * Has QEMU write a head's picture into the file of a place, as a PPM.
   *
   * @param done told QEMU's answer
   */
  dump(place: DumpPlace, head: DisplayHead, done: (reply: QmpReply) => void): void {
    const set = this.#sets.get(keyOf(place));
    assert(set !== undefined && this.has(place), "a picture goes to a file that QEMU has");
    const args = {
      filename: `/dev/fdset/${set}`,
      ...head.device === "" ? {} : { device: head.device, head: head.deviceHead },
    };
    this.#link.execute("screendump", args, done, { timeoutNs: DUMP_NS });
  }

  /** A control is gone, and what it brought is not needed any more. */
  controlGone(control: ControlId): void {
    for (const key of [...this.#sets.keys()]) if (key.startsWith(`${control}:`)) this.#remove(key);
  }

  /** Takes all of them back. */
  clear(): void {
    for (const key of [...this.#sets.keys()]) this.#remove(key);
  }

  #remove(key: string): void {
    const set = this.#sets.get(key);
    if (set === undefined) return;
    this.#sets.delete(key);
    // With its connection QEMU has forgotten them; another one's numbers are not ours.
    if (this.#generation !== this.#link.generation || !this.#link.isUp) return;
    this.#link.execute("remove-fd", { "fdset-id": set }, () => {}, { timeoutNs: ANSWER_NS });
  }
}

function keyOf({ control, head }: DumpPlace): string {
  return `${control}:${head}`;
}
