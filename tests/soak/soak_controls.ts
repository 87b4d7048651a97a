/**
 * The controls of a soak: they come, ask, steer, hold leases, leave, and vanish. Every command has to be
 * answered once, and no event may be missing that an OVERRUN does not account for (the client library ends a
 * connection with a gap by a fault, which is a failure here).
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/client.ts";
import type { Lease } from "../../src/client/lease.ts";
import type { DaemonProcess } from "../fixtures/daemon_process.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";

/** Longer than the daemon may take to answer anything: a VM that stands still is given up after 3 s. */
const ANSWER_MS = 20_000;
/** What a command may be answered with, in a world where VMs and leases come and go. */
const FAIR = new Set([
  "no-endpoint",
  "seam-down",
  "refused",
  "timed-out",
  "busy",
  "no-lease",
  "stale-lease",
  "not-supported",
  "bad-argument",
]);

/** What the controls of a soak have seen. */
export class SoakTally {
  commands = 0;
  answered = 0;
  refused = 0;
  events = 0;
  overruns = 0;
  lost = 0;
  readonly failures: string[] = [];
}

/** One control, until it leaves. */
export class SoakControl {
  readonly #client: Client;
  readonly #tally: SoakTally;
  readonly #open = new Set<Promise<void>>();
  readonly #reading: Promise<void>;
  #lease: Lease | undefined;
  #gone = false;

  private constructor(client: Client, tally: SoakTally) {
    this.#client = client;
    this.#tally = tally;
    this.#reading = this.#read();
  }

  /** Joins. */
  static async join(daemon: DaemonProcess, tally: SoakTally, name: string): Promise<SoakControl> {
    return new SoakControl(await daemon.connect(name), tally);
  }

  /** Commands that are not answered yet. */
  get open(): number {
    return this.#open.size;
  }

  /** Does one thing at random. */
  act(random: SeededRandom): string {
    const there = this.#client.roster.list();
    const entry = there[random.below(there.length)];
    if (entry === undefined) return "";
    const { endpoint, name } = entry;
    switch (random.below(8)) {
      case 0:
        this.#ask(() => this.#client.vm(endpoint, "stop", { timeoutMs: ANSWER_MS }));
        return `stop ${name}`;
      case 1:
      case 2:
        this.#ask(() => this.#client.vm(endpoint, "cont", { timeoutMs: ANSWER_MS }));
        return `cont ${name}`;
      case 3:
        this.#ask(async () => {
          await this.#lease?.release();
          this.#lease = await this.#client.acquire(endpoint, random.oneIn(2) ? "input" : "power", {
            timeoutMs: ANSWER_MS,
            ttlMs: 1000,
          });
        });
        return `acquire ${name}`;
      case 4:
        this.#ask(async () => {
          const lease = this.#lease;
          this.#lease = undefined;
          await lease?.release();
        });
        return "release";
      case 5:
        this.#ask(() => this.#client.held(endpoint, { timeoutMs: ANSWER_MS }));
        return `held ${name}`;
      default:
        for (let i = 0; i < 10; i++) {
          this.#ask(() => this.#client.vmState(endpoint, { timeoutMs: ANSWER_MS }));
        }
        return `ask ${name} ten times`;
    }
  }

  /** Leaves properly: everything is answered first. */
  async leave(): Promise<void> {
    await Promise.all(this.#open);
    this.#gone = true;
    try {
      await this.#client.close();
    } catch (error) {
      // A lease may be lost, or its VM gone, while it is given back.
      if (!(error instanceof Fault) || !FAIR.has(error.code)) throw error;
    }
    await this.#reading;
    if (this.#client.fault !== undefined) this.#tally.failures.push(`${this.#client.fault}`);
  }

  #ask(command: () => Promise<unknown>): void {
    this.#tally.commands++;
    const started = performance.now();
    const open = command().then(
      () => {
        this.#tally.answered++;
      },
      (error) => {
        const late = performance.now() - started >= ANSWER_MS;
        if (!(error instanceof Fault) || !FAIR.has(error.code) || late) {
          this.#tally.failures.push(`${error}`);
        } else this.#tally.refused++;
      },
    );
    this.#open.add(open);
    open.then(() => this.#open.delete(open));
  }

  async #read(): Promise<void> {
    try {
      for await (const event of this.#client.events()) {
        this.#tally.events++;
        const overrun = event.as("OVERRUN");
        if (overrun !== undefined) {
          this.#tally.overruns++;
          this.#tally.lost += overrun.lost;
        }
      }
    } catch (error) {
      if (!this.#gone) this.#tally.failures.push(`${error}`);
    }
  }
}
