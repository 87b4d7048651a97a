/**
 * Keeps this host's entry in the roster's bucket: written when it changes and every few seconds, always as an
 * update of the revision that we wrote before. If the entry has another revision, another host has the same
 * name; the one that notices first ends with an error. The entry of a live host is never overwritten.
 * @module
 */
import { type KV, Kvm } from "@nats-io/kv";
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { rosterFault } from "../reader/roster_reader.ts";
import { BEAT_MS, DEAD_MS, type HostEntry, readHostEntry, writeHostEntry } from "../wire/host_entry.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import { ROSTER_BUCKET, token } from "../wire/subjects.ts";

const LOOK_MS = 500;
const RETRY_MS = 500;
const PUT_TIMEOUT_MS = 3000;

/** The options of a writer. */
export interface RosterWriterOptions {
  /** The server. */
  readonly link: NatsLink;
  /** The current entry. */
  readonly entry: () => HostEntry;
  /** Prints a line for the operator. */
  readonly tell: (line: string) => void;
  /** Called when another host has our name, or the roster cannot be written: the writer has ended. */
  readonly onFault: (fault: Fault) => void;
}

/** The state of a writer. */
type WriterState =
  /** As far as is known, its entry is in the bucket; the next write is scheduled. */
  | "resting"
  | "putting"
  /** The entry has changed since the write that is under way. */
  | "putting-old"
  | "ended";

/** The writer of one host's entry. */
export class RosterWriter implements AsyncDisposable {
  readonly #options: RosterWriterOptions;
  readonly #key: string;
  readonly #kv: KV;
  #revision = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: WriterState = "resting";
  #troubles = 0;

  private constructor(kv: KV, options: RosterWriterOptions) {
    this.#kv = kv;
    this.#options = options;
    this.#key = token(options.entry().host);
  }

  /**
   * Claims the host's name in the roster.
   *
   * @throws {Fault} `busy` when a host with this name is alive; `missing`, `refused`, `unreachable`
   */
  static async open(options: RosterWriterOptions): Promise<RosterWriter> {
    try {
      const kv = await new Kvm(options.link.nc).open(ROSTER_BUCKET, { allow_direct: false });
      const writer = new RosterWriter(kv, options);
      await writer.#takePlace();
      options.link.listen({ onUp: () => writer.change() });
      return writer;
    } catch (error) {
      throw writerFault(error);
    }
  }

  /** The entry has changed: it is written now, or right after the write that is under way. */
  change(): void {
    if (this.#state === "putting") this.#state = "putting-old";
    else if (this.#state === "resting") void this.#put();
  }

  /** Removes the entry, so that readers notice at once that the host has left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = "ended";
    clearTimeout(this.#timer);
    if (!this.#options.link.isUp || this.#revision === 0) return;
    try {
      await this.#kv.delete(this.#key, { previousSeq: this.#revision });
    } catch (error) {
      // It expires by itself.
      if (!(error instanceof Error)) throw error;
    }
  }

  /** Waits until nobody else has the name, and claims it. */
  async #takePlace(): Promise<void> {
    const { entry, tell } = this.#options;
    const bytes = writeHostEntry(entry());
    const untilMs = performance.now() + 2 * DEAD_MS;
    let revision = -1;
    for (;;) {
      const found = await this.#kv.get(this.#key);
      if (found === null || found.operation !== "PUT") {
        this.#revision = await this.#kv.create(this.#key, bytes);
        break;
      }
      const other = readHostEntry(found.value);
      if (other === undefined || isOfDeadProcess(other, entry())) {
        this.#revision = await this.#kv.update(this.#key, bytes, found.revision);
        break;
      }
      if (revision >= 0 && found.revision !== revision) throw sameName(other);
      if (revision < 0) {
        tell(
          `a host named ${
            oneLine(other.host)
          } was seen a moment ago; waiting to see whether it is still alive`,
        );
      }
      revision = found.revision;
      if (performance.now() > untilMs) throw sameName(other);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    this.#again(BEAT_MS);
  }

  #again(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#state !== "ended") this.#timer = setTimeout(() => void this.#put(), ms);
  }

  async #put(): Promise<void> {
    if (this.#state !== "resting") return;
    // Everything that waits for the server waits for its return, not for a timer.
    if (!this.#options.link.isUp) return this.#again(BEAT_MS);
    this.#state = "putting";
    let waitMs = BEAT_MS;
    try {
      this.#revision = await this.#kv.update(
        this.#key,
        writeHostEntry(this.#options.entry()),
        this.#revision,
        PUT_TIMEOUT_MS,
      );
      this.#troubles = 0;
    } catch (error) {
      waitMs = RETRY_MS;
      await this.#mend(error);
    }
    const isOld = this.#endPut();
    if (isOld && waitMs === BEAT_MS) void this.#put();
    else this.#again(waitMs);
  }

  /** A write is complete. @returns whether the entry has changed since it began */
  #endPut(): boolean {
    if (this.#state === "ended") return false;
    assert(this.#state !== "resting", "a put that ends was under way");
    const isOld = this.#state === "putting-old";
    this.#state = "resting";
    return isOld;
  }

  /** A write failed: reads what is there now. */
  async #mend(error: unknown): Promise<void> {
    try {
      const found = await this.#kv.get(this.#key);
      if (found === null || found.operation !== "PUT") {
        this.#revision = found?.revision ?? 0;
        return;
      }
      const other = readHostEntry(found.value);
      const isOurs = other?.run === this.#options.entry().run;
      assert(!isOurs || found.revision >= 0, "an entry of ours has a revision");
      // Our own: an earlier write whose confirmation was lost.
      if (isOurs || other === undefined) this.#revision = found.revision;
      else this.#end(sameName(other));
    } catch (mending) {
      this.#trouble(mending, error);
    }
  }

  #trouble(error: unknown, first: unknown): void {
    const fault = rosterFault(error);
    this.#troubles++;
    // The server may be starting; a missing bucket is logged once, and tried again.
    if (this.#troubles === 1 && this.#options.link.isUp) {
      this.#options.tell(`${fault.message} (after: ${oneLine(messageOf(first)).slice(0, 200)})`);
    }
  }

  #end(fault: Fault): void {
    this.#state = "ended";
    this.#revision = 0;
    clearTimeout(this.#timer);
    this.#options.onFault(fault);
  }
}

/** Whether an entry belongs to a process of this machine that has ended. */
function isOfDeadProcess(other: HostEntry, own: HostEntry): boolean {
  if (other.machine !== own.machine || other.machine === "") return false;
  try {
    return !Deno.readTextFileSync(`/proc/${other.pid}/cmdline`).includes("join");
  } catch {
    return true;
  }
}

function sameName({ host, machine, pid, vmsig }: HostEntry): Fault {
  return new Fault(
    "busy",
    `Cannot join as ${oneLine(host)}: another host of this name has joined (machine ${
      oneLine(machine)
    }, process ${pid}, vmsig ${oneLine(vmsig)}); give one of them another name by --host NAME`,
  );
}

function writerFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (/wrong last sequence/i.test(messageOf(error))) {
    return new Fault("busy", "Cannot join: another host took this name at the same moment; start it again", {
      cause: error,
    });
  }
  return rosterFault(error);
}
