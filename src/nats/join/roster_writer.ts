/**
 * This host's entry in the roster's bucket: put when it changes and every few seconds, always over the very
 * entry that we put before. If another one stands there, another host has our name: whoever notices first
 * ends, and says so. Nothing is ever written over an entry of somebody who lives.
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

/** What a writer is made of. */
export interface RosterWriterOptions {
  /** The server. */
  readonly link: NatsLink;
  /** The entry as it is now. */
  readonly entry: () => HostEntry;
  /** Says a line to the operator. */
  readonly tell: (line: string) => void;
  /** Another host has our name, or the roster cannot be written: it is over. */
  readonly onFault: (fault: Fault) => void;
}

/** What a writer does. */
type WriterState =
  /** Its entry stands in the bucket as far as is known; the next put waits for its time. */
  | "resting"
  | "putting"
  /** The entry has changed since the put that is under way. */
  | "putting-old"
  | "ended";

/** The writer. */
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
   * Takes the host's place in the roster.
   *
   * @throws {Fault} `busy` when a host of this name lives; `missing`, `refused`, `unreachable`
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

  /** The entry changed: it is put now, or right after the put that is under way. */
  change(): void {
    if (this.#state === "putting") this.#state = "putting-old";
    else if (this.#state === "resting") void this.#put();
  }

  /** Takes the entry away: readers see at once that the host has left. */
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

  /** Waits until nobody else has the place, and takes it. */
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
    // Whatever waits for the server waits for its coming back, not for a timer.
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

  /** A put is over. @returns whether the entry has changed since it began */
  #endPut(): boolean {
    if (this.#state === "ended") return false;
    assert(this.#state !== "resting", "a put that ends was under way");
    const isOld = this.#state === "putting-old";
    this.#state = "resting";
    return isOld;
  }

  /** A put failed: what stands there now? */
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
      // Ours: a put of before, whose confirmation was lost.
      if (isOurs || other === undefined) this.#revision = found.revision;
      else this.#end(sameName(other));
    } catch (mending) {
      this.#trouble(mending, error);
    }
  }

  #trouble(error: unknown, first: unknown): void {
    const fault = rosterFault(error);
    this.#troubles++;
    // The server may be coming up; without its bucket it is told once, and tried on.
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

/** Whether an entry is of a process of this machine that has ended. */
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
