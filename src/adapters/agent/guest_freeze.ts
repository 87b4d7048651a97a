/**
 * The file systems that a control has frozen in a guest, and their thaw when its lease has ended. A guest
 * that stays frozen stands still at its next write, so a thaw that has failed (its agent restarts, libvirtd
 * is away) is tried again until the agent has confirmed it.
 *
 *   thawed --(a freeze is answered)--> frozen --(the lease ends)--> owed --(the agent confirms)--> thawed
 *
 * A freeze without an answer may have been carried out, and counts as one.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import { printable } from "../../base/printable.ts";
import type { Log } from "../../base/log.ts";
import type { AgentCommand, AgentReply } from "../../qemu/agent/agent_client.ts";
import type { LineRefusal } from "./agent_line.ts";

const THAW_NS = 10 * SECOND;

/** What it needs of its adapter. */
export interface FreezeHost {
  /** Sends a command to the agent; its handler or `refused` is told, once. */
  execute(command: AgentCommand, refused: (refusal: LineRefusal) => void): void;
  /** The adapter's own log. */
  readonly log: Pick<Log, "warn">;
}

/** What is frozen in one guest. */
export class GuestFreeze {
  readonly #host: FreezeHost;
  #stage: "thawed" | "frozen" | "owed" = "thawed";
  /** Freezes that are asked for and not answered yet. */
  #asked = 0;
  /** Whether what is owed rests on one of those alone. */
  #isAssumed = false;
  #isThawing = false;
  #hasWarned = false;
  #idle: (() => void)[] = [];

  /** Nothing is frozen. */
  constructor(host: FreezeHost) {
    this.#host = host;
  }

  /** Whether the guest is to be thawed, and has not been. */
  get isOwed(): boolean {
    return this.#stage === "owed";
  }

  /** A freeze is asked for. @returns to be told what became of it, once */
  freezing(): (outcome: AgentReply["outcome"]) => void {
    this.#asked++;
    // The agent freezes nothing that is frozen: somebody has thawed it, and this owner's freeze is another.
    const isAnew = this.#stage === "owed";
    return (outcome) => {
      this.#asked--;
      // What could not be frozen as a whole, the agent has thawed itself.
      const isFrozen = outcome !== "error" && outcome !== "unsent";
      const isOwn = this.#stage === "thawed" || (isAnew && this.#stage === "owed" && outcome === "done");
      if (isFrozen && isOwn) this.#stage = "frozen";
      if (isFrozen) this.#isAssumed = false;
      else if (this.#isAssumed && this.#asked === 0) this.thawed();
    };
  }

  /** The agent has confirmed a thaw, or another system runs. */
  thawed(): void {
    this.#stage = "thawed";
    this.#isAssumed = false;
    this.#hasWarned = false;
  }

  /** The owner's lease has ended. @param done called when the guest is thawed, or cannot be now */
  release(done: () => void): void {
    if (this.#stage === "thawed" && this.#asked === 0) return done();
    if (this.#stage === "thawed") this.#isAssumed = true;
    this.#stage = "owed";
    this.thaw(done);
  }

  /** Tries the thaw that is owed. @param done called once, when it has been tried */
  thaw(done: () => void): void {
    if (this.#stage !== "owed") return done();
    this.#idle.push(done);
    if (this.#isThawing) return;
    this.#isThawing = true;
    this.#host.execute({
      name: "guest-fsfreeze-thaw",
      limitNs: THAW_NS,
      // The next owner may have thawed it meanwhile.
      mayBeSent: () => this.#stage === "owed",
      handler: (reply) => this.#tried(reply.outcome, reply.outcome === "error" ? reply.text : reply.outcome),
    }, ({ why }) => this.#tried("unsent", why));
  }

  /** Calls back when no thaw is under way. */
  whenIdle(done: () => void): void {
    if (this.#isThawing) this.#idle.push(done);
    else done();
  }

  #tried(outcome: AgentReply["outcome"], why: string): void {
    this.#isThawing = false;
    if (this.#stage === "owed") {
      if (outcome === "done") this.thawed();
      else if (!this.#hasWarned) {
        this.#hasWarned = true;
        this.#host.log.warn(
          "the guest's file systems stay frozen until its agent answers: its owner is gone",
          {
            why: printable(why, 256),
          },
        );
      }
    }
    for (const done of this.#idle.splice(0)) done();
  }
}
