/**
 * Watches for a guest's system until it is found: asks QEMU for the vCPUs' registers, and when one of them
 * runs under page tables, has RAM looked through; else, and when nothing was found, again after a growing
 * pause. Found, it rests: an idle VM costs nothing.
 *
 * Each {@linkcode start} begins anew, and what an earlier one still hears is dropped: an answer that was
 * asked for before a reset says nothing of the kernel after it.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import type { WantedSystem } from "../../guest/systems.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { GuestContext } from "./context_event.ts";
import type { ScanAnswer, ScanPort, ScanRequest } from "./scan_port.ts";
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

/** What is told of a watch. */
export interface GuestWatchListener {
  /** A system was found; the watch rests. */
  onGuest(guest: GuestContext, version: string): void;
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
  /** Where its timer lives. */
  readonly loop: LoopPort;
  /** Whom it asks for registers. */
  readonly link: Pick<QmpLink, "execute">;
  /** Who looks through RAM. */
  readonly scanner: Pick<ScanPort, "scan">;
  /** Which systems to look for. */
  readonly guest: WantedSystem;
  /** The endpoint's name, for logs. */
  readonly name: string;
  /** Who is told. */
  readonly listener: GuestWatchListener;
}

/** What a context says of a kernel: when it holds no longer, another one runs. */
export interface ToldKernel {
  /** Which system. */
  readonly kind: string;
  /** Its release. */
  readonly version: string;
  /** Its page-table root. */
  readonly root: number;
  /** Levels of its page tables. */
  readonly levels: number;
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
  /** A proof under way: of which round, and whether it is asked for once more. */
  #proof: { readonly round: number; isAskedAgain: boolean } | null = null;

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

  /**
   * Looks once whether a kernel that was told still is the one that runs: RAM is another one after loadvm, a
   * snapshot that is loaded, a migration that comes in, and none of these is a reset. With a profile that is
   * known it takes some 15 ms of the scanner's thread. Asked for often, it is done again when it is done.
   *
   * @param ram where; borrowed until it is done
   * @param onOther told when it is another one, or none; not told after a {@linkcode start} or {@linkcode
   *   stop}
   */
  prove(ram: SharedRam, told: ToldKernel, onOther: () => void): void {
    if (this.#proof?.round === this.#round) {
      this.#proof.isAskedAgain = true;
      return;
    }
    const proof = { round: this.#round, isAskedAgain: false };
    this.#proof = proof;
    const end = (isOther: boolean): void => {
      if (this.#proof !== proof || proof.round !== this.#round) return;
      this.#proof = null;
      if (isOther) onOther();
      else if (proof.isAskedAgain) this.prove(ram, told, onOther);
    };
    this.#askRegisters((reply) => {
      // A monitor that is lost ends the context anyway.
      if (reply.outcome !== "done" || typeof reply.value !== "string") return end(false);
      const vcpu = liveVcpu(parseVcpus(reply.value));
      if (vcpu === undefined) return end(true);
      if (proof.round !== this.#round) return;
      this.#options.scanner.scan(this.#requestFor(ram, vcpu), (answer) => {
        if (answer.outcome === "failed") return end(false);
        end(
          answer.outcome !== "found" || answer.kind !== told.kind || answer.version !== told.version ||
            answer.root !== told.root || answer.levels !== told.levels,
        );
      });
    });
  }

  /** Rests. What is under way is forgotten. */
  stop(): void {
    this.#round++;
    this.#ram = null;
    this.#waiting = false;
    this.#options.loop.disarm(this);
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
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#look();
  }

  /** Called by the loop: a look threw; the next one comes. */
  onFault(): void {
    if (this.#ram !== null) this.#lookLater();
  }

  #look(): void {
    const round = this.#round;
    this.#askRegisters((reply) => {
      if (round === this.#round) this.#onRegisters(reply);
    });
  }

  #askRegisters(handler: (reply: QmpReply) => void): void {
    const args = { "command-line": "info registers -a" };
    this.#options.link.execute("human-monitor-command", args, handler, { timeoutNs: ANSWER_NS });
  }

  #onRegisters(reply: QmpReply): void {
    const text = reply.outcome === "done" && typeof reply.value === "string" ? reply.value : "";
    const vcpu = liveVcpu(parseVcpus(text));
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
    if (ram === null) return;
    const round = this.#round;
    this.#options.scanner.scan(this.#requestFor(ram, vcpu), (answer) => {
      if (round === this.#round) this.#onAnswer(answer);
    });
  }

  #requestFor(ram: SharedRam, vcpu: Vcpu): ScanRequest {
    const { guest, name } = this.#options;
    const { pid, started, pieces } = ram;
    const [liveRoot, liveInUserMode] = [vcpu.cr3, vcpu.userMode];
    return { name, pid, started, files: ram.scanFiles(), pieces, guest, liveRoot, liveInUserMode };
  }

  #onAnswer(answer: ScanAnswer): void {
    const pagingNs = this.#nowNs() - this.#pagingSinceNs;
    if (answer.outcome === "found" && (answer.settled || pagingNs >= SETTLE_NS)) {
      const { kind, architecture, root, levels, isolated, version } = answer;
      this.stop();
      return this.#options.listener.onGuest({ kind, architecture, root, levels, isolated }, version);
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
