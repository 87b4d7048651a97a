/**
 * What the volume attacks have in common: a daemon with stub endpoints, an admitted control that asks it
 * again and again while it is attacked, and what the daemon weighs before and after: its descriptors by name,
 * and its resident memory.
 *
 * Memory is compared with what it was after a first portion of the same attack, because V8 compiles and sizes
 * its heaps on first use: that is no leak. And V8 collects when it allocates, not when it is left alone (the
 * loop's thread has no idle task), so the daemon is told to collect all at every chance, after each portion
 * the same honest load runs (4,000 controls that join and leave, 1,000 queries), and the least of several
 * looks counts.
 * @module
 */
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { untilNoMore } from "../fixtures/holdings.ts";
import { attack, type Attacker, type AttackTotals, placeAttacker } from "./attacker.ts";

/** Not let in. */
export const STRANGER = 4242;
/** Let in, with what a display's observer has. */
export const OBSERVER = 4243;
/** Let in, with what a perception control has. */
export const PUBLISHER = 4244;

const RULES = `
[[admission]]
uid = 0
endpoints = ["*"]
caps = ["*"]
arb_prio = 20
[[admission]]
uid = ${OBSERVER}
endpoints = ["*"]
caps = ["OBSERVE", "ROSTER"]
[[admission]]
uid = ${PUBLISHER}
endpoints = ["*"]
caps = ["OBSERVE", "ROSTER", "PUBLISH"]
`;

/** Much of a flooded daemon's log is the same again; the newest of it says why it ended. */
const LOG_CHARACTERS = 200_000;
/**
 * Each collection is a whole one, and the young space stays small. Left to itself V8 keeps up to some 100 MB
 * of garbage on a thread that has nothing to do (it collects when it allocates): what is left after that is
 * what is held.
 */
const COLLECT = "--gc-global,--max-semi-space-size=2";
const ASK_MS = 50;
/** An answer that takes longer is none. */
const ANSWER_MS = 360_000;
const SETTLE_MS = 720_000;
const LOOKS = 12;
const LOOK_MS = 250;
const HONEST_QUERIES = 1000;
const HONEST_JOINS = 4000;
/** What the issue allows. */
export const RSS_FACTOR = 1.05;

/** What a daemon weighs. */
export interface Weight {
  readonly fds: readonly string[];
  readonly rssMb: number;
}

/** A daemon that is to be attacked. */
export class VolumeScene implements AsyncDisposable {
  readonly daemon: DaemonProcess;
  /** The admitted control; it was there before. */
  readonly client: Client;
  /** How often it was answered. */
  answers = 0;
  /** The longest that an answer took, ms: for the report, not for a verdict. */
  longestMs = 0;
  /** The program that joins as an honest control does. */
  readonly #joiner: string;
  readonly #owned: AsyncDisposableStack;

  private constructor(daemon: DaemonProcess, client: Client, joiner: string, owned: AsyncDisposableStack) {
    this.daemon = daemon;
    this.client = client;
    this.#joiner = joiner;
    this.#owned = owned;
  }

  /** Starts a daemon and joins it. */
  static async start(): Promise<VolumeScene> {
    await using owned = new AsyncDisposableStack();
    const daemon = owned.use(
      await DaemonProcess.start({
        stubs: 2,
        // Whoever asks shares the processors with the attackers: that it reads late must not close it.
        config: `${RULES}\n[daemon]\nqueue_events = 16384\n`,
        logLimit: LOG_CHARACTERS,
        env: { DENO_V8_FLAGS: COLLECT },
      }),
    );
    await Deno.chmod(daemon.folder, 0o755);
    const client = owned.use(await daemon.connect("steady"));
    const joiner = await placeAttacker("hello_flood", daemon.folder);
    return new VolumeScene(daemon, client, joiner, owned.move());
  }

  /**
   * Lets attackers run to their end, and asks for a VM's state all the while.
   *
   * @throws {Error} with the daemon's last words, when it ends or the control is not answered
   */
  async withstand(attackers: readonly Attacker[]): Promise<AttackTotals[]> {
    let attacking = true;
    const ends = Promise.allSettled(attackers.map((attacker) => attacker.finish()));
    ends.finally(() => attacking = false);
    const asking = (async () => {
      while (attacking) {
        await this.ask();
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      }
    })();
    // Nobody attacks a daemon that is gone to the end of his time.
    asking.catch(() => attackers.forEach((attacker) => attacker.end()));
    const [outcomes] = await Promise.all([ends, asking]);
    return outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
  }

  /** Asks once. */
  async ask(): Promise<void> {
    const started = performance.now();
    try {
      const { state } = await this.client.vmState("stub0", { timeoutMs: ANSWER_MS });
      if (state !== "running") throw new Error(`the stub is ${state}`);
    } catch (error) {
      throw new Error(`the admitted control got no answer: ${error}; ${await this.#lastWords()}`);
    }
    this.answers++;
    this.longestMs = Math.max(this.longestMs, performance.now() - started);
  }

  /**
   * Waits until there is no descriptor that was not there before, so that nothing is under way any more;
   * throws with what is there besides. Whether the daemon still serves is asked of it.
   */
  async untilFds(before: readonly string[]): Promise<void> {
    try {
      await untilNoMore("descriptors", before, () => this.daemon.fds(), SETTLE_MS);
    } catch (error) {
      throw new Error(`${error}; ${await this.#lastWords()}`);
    }
  }

  /** What it weighs after the same honest load as ever. */
  async weigh(): Promise<Weight> {
    // Who joins and leaves makes the daemon allocate, and so collect; it must be let in.
    const args = [this.daemon.socket, "hello", "2", `${HONEST_JOINS}`, `${ANSWER_MS / 1000}`, "1"];
    await using visitors = await attack(this.#joiner, args, Deno.uid() ?? 0);
    const { sent } = await visitors.finish();
    if (sent < HONEST_JOINS) throw new Error(`only ${sent} of ${HONEST_JOINS} honest controls could join`);
    for (let i = 0; i < HONEST_QUERIES; i++) await this.client.vmState("stub0", { timeoutMs: ANSWER_MS });
    let rssMb = Infinity;
    for (let look = 0; look < LOOKS; look++) {
      rssMb = Math.min(rssMb, this.daemon.rssMb());
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return { fds: this.daemon.fds(), rssMb };
  }

  /** Weighs until it is no more than before and five hundredths; throws with what it is. */
  async untilLight(before: Weight): Promise<Weight> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const now = await this.weigh();
      if (now.rssMb <= before.rssMb * RSS_FACTOR) return now;
      if (performance.now() > deadline) {
        throw new Error(
          `resident: ${now.rssMb.toFixed(1)} MB after, ${before.rssMb.toFixed(1)} MB before the attack`,
        );
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned[Symbol.asyncDispose]();
  }

  async #lastWords(): Promise<string> {
    // Its log may still be on its way.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const lines = this.daemon.logText.trim().split("\n");
    const telling = lines.filter((line) => /uncaught|error|panic|Error/.test(line)).slice(-3);
    return `the daemon's last words: ${[...telling, ...lines.slice(-3)].join(" | ").slice(0, 1200)}`;
  }
}
