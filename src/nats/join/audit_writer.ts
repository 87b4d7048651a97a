/**
 * Writes the audit trail to the server's stream: at least once, in order. The server confirms each entry; a
 * repeated entry carries the same number, by which the stream recognises and drops it. The queue is bounded:
 * if the server is away for long, the oldest entries are dropped, counted, and reported.
 * @module
 */
import { jetstream, type JetStreamClient } from "@nats-io/jetstream";
import { assert } from "../../base/assert.ts";
import { messageOf } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import type { JoinCounts } from "./counts.ts";

const MOST_WAITING = 16_384;
const TIMEOUT_MS = 3000;
const RETRY_MS = 1000;

/** The writer of the audit. */
export class AuditWriter {
  readonly #js: JetStreamClient;
  readonly #subject: string;
  readonly #run: string;
  readonly #counts: JoinCounts;
  readonly #tell: (line: string) => void;
  readonly #waiting: { readonly number: number; readonly frame: Uint8Array }[] = [];
  #number = 0;
  #isWriting = false;
  #isEnded = false;
  #troubles = 0;

  /**
   * Starts with an empty queue.
   *
   * @param run this run's id: entries are identified by it and a number of their own
   */
  constructor(
    { link, subject, run, counts, tell }: {
      readonly link: NatsLink;
      readonly subject: string;
      readonly run: string;
      readonly counts: JoinCounts;
      readonly tell: (line: string) => void;
    },
  ) {
    this.#js = jetstream(link.nc, { timeout: TIMEOUT_MS });
    this.#subject = subject;
    this.#run = run;
    this.#counts = counts;
    this.#tell = tell;
  }

  /** Number of queued entries. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Queues an entry: the frame of an AUDIT event, which the writer owns from now on. */
  push(frame: Uint8Array): void {
    assert(frame.length > 0, "an entry has a frame");
    this.#waiting.push({ number: ++this.#number, frame });
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.splice(this.#isWriting ? 1 : 0, 1);
      this.#counts.auditDropped++;
    }
    if (!this.#isWriting) void this.#write();
  }

  /** Writes the queue, for as long as the server accepts it. */
  async end(): Promise<void> {
    this.#isEnded = true;
    for (let i = 0; i < 20 && this.#isWriting; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      try {
        await this.#js.publish(this.#subject, first.frame, { msgID: `${this.#run}-${first.number}` });
        this.#waiting.shift();
        this.#counts.audited++;
        this.#troubles = 0;
      } catch (error) {
        if (this.#troubles++ === 0) {
          this.#tell(
            `the audit waits: ${
              oneLine(messageOf(error)).slice(0, 200)
            }; does the server have the stream (vmsig join --create)?`,
          );
        }
        if (this.#isEnded) break;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#isWriting = false;
  }
}
