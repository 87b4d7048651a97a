/**
 * Watches for a guest's system until it is found: asks QEMU for the vCPUs' registers, and when one of them
 * runs under page tables, has RAM looked through; else, and when nothing was found, again after a growing
 * pause. Found, it rests: an idle VM costs nothing. A VM that runs again after it stood still may have been
 * given other memory meanwhile (loadvm, snapshot-load, an incoming migration, none of which is told), so what
 * was found is then proved again: where it was, and by a vCPU's registers. While a postcopy migration still
 * brings the RAM of a VM that runs already, nothing of it is looked at.
 *
 * Each {@linkcode start} begins anew and drops answers to questions of an earlier one: an answer to a
 * question from before a reset says nothing of the kernel after it.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MS, SECOND } from "../../base/clock.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import type { WantedSystem } from "../../guest/systems.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import type { GuestContext } from "./context_event.ts";
import type { ScanAnswer, ScanPort } from "./scan_port.ts";
import type { SharedRam } from "./shared_ram.ts";
import { liveVcpu, parseVcpus, type Vcpu } from "./vcpu_state.ts";

const FIRST_PAUSE_NS = 100 * MS;
const LONGEST_PAUSE_NS = 2 * SECOND;
/** Firmware that has run for so long waits for somebody, or has nothing to boot. */
const IDLE_FIRMWARE_AFTER_NS = 60 * SECOND;
const IDLE_FIRMWARE_PAUSE_NS = 5 * SECOND;
/**
 * A guest that has run under page tables for so long without being found is told as unknown, and looked at
 * more seldom.
 */
const UNKNOWN_AFTER_NS = 60 * SECOND;
const UNKNOWN_PAUSE_NS = 30 * SECOND;
/** How long a found kernel may have no user process before it is taken as it is. */
const SETTLE_NS = 10 * SECOND;
const ANSWER_NS = 2 * SECOND;
/**
 * How often a proof may fail before what was found counts as gone: a process whose root the registers showed
 * may have ended before RAM was looked at.
 */
const MOST_PROOFS = 3;

/** What is told of a watch. */
export interface GuestWatchListener {
  /** A system was found; the watch rests. */
  onGuest(guest: GuestContext, version: string): void;
  /** What was found is not there any more though there was no reset; the watch looks again. */
  onGuestLost(): void;
  /**
   * Something runs that cannot be read; told once per start. The watch goes on.
   *
   * @param detail why, for a person
   * @param system what was recognised, if anything was
   */
  onUnknownGuest(detail: string, system: string | undefined): void;
}

/** What a watch needs. */
export interface GuestWatchOptions {
  /** The loop that runs its timer. */
  readonly loop: LoopPort;
  /** Answers the vCPUs' registers. */
  readonly link: Pick<QmpLink, "execute">;
  /** Looks through RAM. */
  readonly scanner: Pick<ScanPort, "scan">;
  /** Which systems to look for. */
  readonly guest: WantedSystem;
  /** The endpoint's name, for logs. */
  readonly name: string;
  /** Receives what is found. */
  readonly listener: GuestWatchListener;
}

/** What was found, and where it is proved again. */
interface FoundGuest {
  readonly ram: SharedRam;
  readonly identity: string;
  readonly foundAt: number | undefined;
}

/** What a watch does. */
type WatchState =
  /** Nothing: it was not started, or was stopped. */
  | { readonly kind: "stopped" }
  /** QEMU was asked for the registers, or RAM is scanned. */
  | { readonly kind: "looking"; readonly ram: SharedRam }
  /** It looks again after a pause, which elapses only while the VM runs. */
  | { readonly kind: "pausing"; readonly ram: SharedRam }
  /** The system was found. */
  | { readonly kind: "resting"; readonly found: FoundGuest }
  /** Looks whether that system is still there; `isAskedAgain` while that was under way. */
  | {
    readonly kind: "proving";
    readonly found: FoundGuest;
    readonly failures: number;
    readonly isAskedAgain: boolean;
  }
  /** It repeats the proof after a pause. */
  | { readonly kind: "proof-due"; readonly found: FoundGuest; readonly failures: number };

const STOPPED: WatchState = { kind: "stopped" };

/** Looks for the system of one VM. */
export class GuestWatch implements TimerHandler {
  readonly #options: GuestWatchOptions;
  #state: WatchState = STOPPED;
  /** Grows with each start and stop: what was asked under another one is stale. */
  #round = 0;
  /** Whether the VM runs. */
  #isVmRunning = false;
  #pauseNs = FIRST_PAUSE_NS;
  /** When this round began. */
  #startNs = 0;
  /** When paging was first seen in this round; 0 = not yet. */
  #pagingSinceNs = 0;
  #unknownTold = false;

  /** Makes one that rests. */
  constructor(options: GuestWatchOptions) {
    this.#options = options;
  }

  /**
   * Looks again and again while the VM runs, until something is found or it is stopped.
   *
   * @param ram where; borrowed until {@linkcode stop}
   * @param lookNow false after a reset: no kernel runs yet, and a guest that resets in a circle costs nothing
   */
  start(ram: SharedRam, lookNow: boolean): void {
    this.stop();
    this.#startNs = this.#nowNs();
    this.#pauseNs = FIRST_PAUSE_NS;
    this.#pagingSinceNs = 0;
    this.#unknownTold = false;
    if (lookNow) this.#look(ram);
    else this.#lookLater(ram);
  }

  /** Rests. What is under way is forgotten. */
  stop(): void {
    this.#round++;
    this.#state = STOPPED;
    this.#options.loop.disarm(this);
  }

  /** Looks whether what was found is still there: the VM runs again. Nothing while it is looked for. */
  prove(): void {
    const state = this.#state;
    if (state.kind === "proving") this.#state = { ...state, isAskedAgain: true };
    else if (state.kind === "resting") this.#askProof(state.found, 0);
  }

  /** Tells whether the VM runs: one that is paused does not change, so it is not looked at again. */
  setRunning(running: boolean): void {
    this.#isVmRunning = running;
    if (this.#state.kind !== "pausing") return;
    const { loop } = this.#options;
    if (running) loop.arm(this, loop.clock.nowNs() + FIRST_PAUSE_NS);
    else loop.disarm(this);
  }

  /** Called by the loop. */
  onTimer(): void {
    const state = this.#state;
    if (state.kind === "proof-due") this.#askProof(state.found, state.failures);
    else if (state.kind === "pausing") this.#look(state.ram);
  }

  /** Called by the loop: a look threw; the next one comes. */
  onFault(): void {
    const state = this.#state;
    if (state.kind === "looking" || state.kind === "pausing") this.#lookLater(state.ram);
    else if (state.kind === "proving") this.#proveLater(state.found, state.failures);
  }

  #look(ram: SharedRam): void {
    assert(
      this.#state.kind === "stopped" || this.#state.kind === "pausing",
      "one look at a time is under way",
    );
    this.#state = { kind: "looking", ram };
    this.#askRegisters((vcpu) => this.#onRegisters(ram, vcpu));
  }

  #askRegisters(done: (vcpu: Vcpu | undefined, isAnswer: boolean) => void): void {
    const round = this.#round;
    this.#options.link.execute(
      "human-monitor-command",
      { "command-line": "info registers -a" },
      (reply: QmpReply) => {
        if (round !== this.#round) return;
        const isAnswer = reply.outcome === "done" && typeof reply.value === "string";
        done(liveVcpu(parseVcpus(isAnswer ? reply.value as string : "")), isAnswer);
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  #onRegisters(ram: SharedRam, vcpu: Vcpu | undefined): void {
    // Without paging in long mode firmware or a boot loader runs: RAM need not be looked at.
    if (vcpu === undefined) return this.#lookLater(ram);
    if (this.#pagingSinceNs === 0) {
      // A kernel has just begun to start: it is awaited as closely as at first, however long the firmware
      // took.
      this.#pagingSinceNs = this.#nowNs();
      this.#pauseNs = FIRST_PAUSE_NS;
    }
    this.#askScan(ram, vcpu, undefined, (answer) => this.#onAnswer(ram, answer));
  }

  /**
   * Has RAM looked through, unless a postcopy migration still brings pages of it: the look would make a page
   * that is missing one of zeros in the file, for the guest, too, and QEMU cannot put the right one there any
   * more. Asked after the registers, since a vCPU has page tables only once such a migration has begun.
   */
  #askScan(
    ram: SharedRam,
    vcpu: Vcpu,
    foundAt: number | undefined,
    done: (answer: ScanAnswer) => void,
  ): void {
    const round = this.#round;
    this.#options.link.execute("query-migrate", undefined, (reply: QmpReply) => {
      if (round !== this.#round) return;
      if (isIncomplete(reply)) return done({ outcome: "failed", detail: "RAM is not all there yet" });
      this.#scan(ram, vcpu, foundAt, done);
    }, { timeoutNs: ANSWER_NS });
  }

  #scan(
    ram: SharedRam,
    vcpu: Vcpu,
    foundAt: number | undefined,
    done: (answer: ScanAnswer) => void,
  ): void {
    const { scanner, guest, name } = this.#options;
    const round = this.#round;
    const { pid, started, pieces } = ram;
    const live = "pc" in vcpu ? { livePc: vcpu.pc } : { liveRoot: vcpu.cr3 };
    const files = ram.scanFiles();
    scanner.scan(
      { name, pid, started, files, pieces, guest, ...live, liveInUserMode: vcpu.userMode, foundAt },
      (answer) => {
        if (round === this.#round) done(answer);
      },
    );
  }

  #askProof(found: FoundGuest, failures: number): void {
    this.#state = { kind: "proving", found, failures, isAskedAgain: false };
    this.#askRegisters((vcpu, isAnswer) => {
      if (!isAnswer) return this.#proveLater(found, failures);
      // No vCPU has page tables: whatever runs now is not the kernel that was found.
      if (vcpu === undefined) return this.#loseGuest(found.ram, undefined);
      this.#askScan(found.ram, vcpu, found.foundAt, (answer) => this.#onProof(answer));
    });
  }

  #onProof(answer: ScanAnswer): void {
    const state = this.#state;
    assert(state.kind === "proving", "only a proof that is under way is answered");
    const { found, failures, isAskedAgain } = state;
    if (answer.outcome === "failed") return this.#proveLater(found, failures);
    if (answer.outcome === "found") {
      if (answer.identity !== found.identity) return this.#loseGuest(found.ram, answer);
      this.#state = { kind: "resting", found };
      if (isAskedAgain) this.prove();
      return;
    }
    if (failures + 1 >= MOST_PROOFS) return this.#loseGuest(found.ram, undefined);
    this.#proveLater(found, failures + 1);
  }

  #proveLater(found: FoundGuest, failures: number): void {
    const { loop } = this.#options;
    this.#state = { kind: "proof-due", found, failures };
    loop.arm(this, loop.clock.nowNs() + FIRST_PAUSE_NS);
  }

  /** @param other what was found in its place */
  #loseGuest(ram: SharedRam, other: ScanAnswer | undefined): void {
    this.#options.listener.onGuestLost();
    this.start(ram, other === undefined);
    if (other === undefined) return;
    this.#pagingSinceNs = this.#nowNs();
    this.#onAnswer(ram, other);
  }

  #onAnswer(ram: SharedRam, answer: ScanAnswer): void {
    const pagingNs = this.#nowNs() - this.#pagingSinceNs;
    if (answer.outcome === "found" && (answer.settled || pagingNs >= SETTLE_NS)) {
      const { kind, architecture, root, levels, variant, isolated, version, identity, foundAt } = answer;
      this.stop();
      this.#state = { kind: "resting", found: { ram, identity, foundAt } };
      return this.#options.listener.onGuest({ kind, architecture, root, levels, variant, isolated }, version);
    }
    const isUnknown = answer.outcome === "none" &&
      (answer.reason === "unsupported" || pagingNs >= UNKNOWN_AFTER_NS);
    if (isUnknown && pagingNs >= SETTLE_NS) {
      this.#pauseNs = UNKNOWN_PAUSE_NS;
      if (!this.#unknownTold) {
        this.#unknownTold = true;
        this.#options.listener.onUnknownGuest(answer.detail, answer.system);
      }
    }
    this.#lookLater(ram);
  }

  #lookLater(ram: SharedRam): void {
    const { loop } = this.#options;
    this.#state = { kind: "pausing", ram };
    if (this.#isVmRunning) loop.arm(this, this.#nowNs() + this.#pauseNs);
    this.#pauseNs = Math.max(this.#pauseNs, Math.min(2 * this.#pauseNs, this.#longestPauseNs()));
  }

  #longestPauseNs(): number {
    const isIdle = this.#pagingSinceNs === 0 && this.#nowNs() - this.#startNs >= IDLE_FIRMWARE_AFTER_NS;
    return isIdle ? IDLE_FIRMWARE_PAUSE_NS : LONGEST_PAUSE_NS;
  }

  #nowNs(): number {
    return this.#options.loop.clock.nowNs();
  }
}

/** Whether pages of RAM are still on their way, by query-migrate's answer; also when there is no answer. */
function isIncomplete(reply: QmpReply): boolean {
  // A QEMU that knows no such command knows no postcopy either.
  if (reply.outcome !== "done") return reply.outcome !== "error";
  const status = isObject(reply.value) ? reply.value["status"] : undefined;
  return typeof status === "string" && status.startsWith("postcopy");
}
