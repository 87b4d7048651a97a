/**
 * Watches for a guest's system until it is found: asks QEMU for the vCPUs' registers, and when one of them
 * runs under page tables, has RAM looked through; else, and when nothing was found, again after a growing
 * pause. Found, it rests: an idle VM costs nothing. A VM that runs again after it stood still may have been
 * given other memory meanwhile (loadvm, snapshot-load, an incoming migration, none of which is told), so what
 * was found is then proved again: where it was, and by a vCPU's registers.
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

/** Looks for the system of one VM. */
export class GuestWatch implements TimerHandler {
  readonly #options: GuestWatchOptions;
  #ram: SharedRam | null = null;
  /** Grows with each start and stop: what was asked under another one is stale. */
  #round = 0;
  #running = false;
  #waiting = false;
  #pauseNs = FIRST_PAUSE_NS;
  /** When this round began. */
  #startNs = 0;
  /** When paging was first seen in this round; 0 = not yet. */
  #pagingSinceNs = 0;
  #unknownTold = false;
  /** What the watch rests on; null while it looks. */
  #found: FoundGuest | null = null;
  /** Proofs of it that failed, and whether one is under way, asked for again meanwhile, or due. */
  #failedProofs = 0;
  #proof: "none" | "running" | "running-and-again" | "due" = "none";

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
    this.#ram = ram;
    this.#startNs = this.#nowNs();
    this.#pauseNs = FIRST_PAUSE_NS;
    this.#pagingSinceNs = 0;
    this.#unknownTold = false;
    if (lookNow) this.#look();
    else this.#lookLater();
  }

  /** Rests. What is under way is forgotten. */
  stop(): void {
    this.#round++;
    this.#ram = null;
    this.#found = null;
    this.#proof = "none";
    this.#waiting = false;
    this.#options.loop.disarm(this);
  }

  /** Looks whether what was found is still there: the VM runs again. Nothing while it is looked for. */
  prove(): void {
    if (this.#found === null) return;
    if (this.#proof === "running") this.#proof = "running-and-again";
    if (this.#proof !== "none") return;
    this.#failedProofs = 0;
    this.#askProof();
  }

  /** Tells whether the VM runs: one that is paused does not change, so it is not looked at again. */
  setRunning(running: boolean): void {
    this.#running = running;
    if (!this.#waiting) return;
    const { loop } = this.#options;
    if (running) loop.arm(this, loop.clock.nowNs() + FIRST_PAUSE_NS);
    else loop.disarm(this);
  }

  /** Called by the loop. */
  onTimer(): void {
    if (this.#proof === "due") return this.#askProof();
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#look();
  }

  /** Called by the loop: a look threw; the next one comes. */
  onFault(): void {
    if (this.#ram !== null) this.#lookLater();
    else if (this.#proof !== "none") this.#proveLater();
  }

  #look(): void {
    this.#askRegisters((vcpu) => this.#onRegisters(vcpu));
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

  #onRegisters(vcpu: Vcpu | undefined): void {
    // Without paging in long mode firmware or a boot loader runs: RAM need not be looked at.
    if (vcpu === undefined) return this.#lookLater();
    if (this.#pagingSinceNs === 0) {
      // A kernel has just begun to start: it is awaited as closely as at first, however long the firmware
      // took.
      this.#pagingSinceNs = this.#nowNs();
      this.#pauseNs = FIRST_PAUSE_NS;
    }
    this.#scan(vcpu);
  }

  #scan(vcpu: Vcpu): void {
    const ram = this.#ram;
    if (ram !== null) this.#askScan(ram, vcpu, undefined, (answer) => this.#onAnswer(answer));
  }

  #askScan(
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

  #askProof(): void {
    const found = this.#found;
    if (found === null) return;
    this.#proof = "running";
    this.#askRegisters((vcpu, isAnswer) => {
      if (!isAnswer) return this.#proveLater();
      // No vCPU has page tables: whatever runs now is not the kernel that was found.
      if (vcpu === undefined) return this.#loseGuest(found.ram, undefined);
      this.#askScan(found.ram, vcpu, found.foundAt, (answer) => this.#onProof(found, answer));
    });
  }

  #onProof(found: FoundGuest, answer: ScanAnswer): void {
    assert(this.#found === found, "a proof is of what the watch rests on");
    if (answer.outcome === "failed") return this.#proveLater();
    if (answer.outcome === "found") {
      if (answer.identity !== found.identity) return this.#loseGuest(found.ram, answer);
      const again = this.#proof === "running-and-again";
      this.#proof = "none";
      if (again) this.prove();
      return;
    }
    this.#failedProofs++;
    if (this.#failedProofs >= MOST_PROOFS) return this.#loseGuest(found.ram, undefined);
    this.#proveLater();
  }

  #proveLater(): void {
    const { loop } = this.#options;
    this.#proof = "due";
    loop.arm(this, loop.clock.nowNs() + FIRST_PAUSE_NS);
  }

  /** @param other what was found in its place */
  #loseGuest(ram: SharedRam, other: ScanAnswer | undefined): void {
    this.#options.listener.onGuestLost();
    this.start(ram, other === undefined);
    if (other === undefined) return;
    this.#pagingSinceNs = this.#nowNs();
    this.#onAnswer(other);
  }

  #onAnswer(answer: ScanAnswer): void {
    const pagingNs = this.#nowNs() - this.#pagingSinceNs;
    if (answer.outcome === "found" && (answer.settled || pagingNs >= SETTLE_NS)) {
      const { kind, architecture, root, levels, variant, isolated, version, identity, foundAt } = answer;
      const ram = this.#ram;
      this.stop();
      if (ram !== null) this.#found = { ram, identity, foundAt };
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
    this.#lookLater();
  }

  #lookLater(): void {
    const { loop } = this.#options;
    this.#waiting = true;
    if (this.#running) loop.arm(this, this.#nowNs() + this.#pauseNs);
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
