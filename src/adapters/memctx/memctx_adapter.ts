/**
 * The MEMCTX seam of a VM that QEMU runs: its RAM by read-only descriptors, the root of its kernel's address
 * space, valid for an epoch; and the one way to write into that memory.
 *
 * - The seam is up when the RAM can be shared. A context is told when a system was found in it; the next one
 *   has the next epoch.
 * - A context ends with a reset, with another memory map, with the guest's or QEMU's end, and that is told
 *   before anything else of the VM: the adapter has to be the monitor's first user, so that it hears of a
 *   RESET before the host plane does.
 * - Looking for a system happens elsewhere (scan_port.ts), the watching in guest_watch.ts.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { WriteExtent } from "../../access/write_extent.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { MEMCTX_INVALIDATED } from "../../event/body_layout.ts";
import {
  INVALIDATED,
  type Invalidation,
  LEASE_CLASS,
  SEAM_REASON,
  type SeamReason,
} from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { PayloadOwner, TransferEvent } from "../../event/transfer_event.ts";
import type { WantedSystem } from "../../guest/systems.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { fillContext, type GuestContext, NO_GUEST } from "./context_event.ts";
import { GuestWatch, type GuestWatchListener } from "./guest_watch.ts";
import { MemoryWriter, type WriteContext, writeContextOf } from "./memory_writer.ts";
import { MemwriteRequest } from "./memwrite_request.ts";
import { askRam, isUnanswered, type RamTold } from "./ram_questions.ts";
import { RamReplacement } from "./ram_replacement.ts";
import type { RamAnswer, ScanPort } from "./scan_port.ts";
import { SharedRam } from "./shared_ram.ts";
import { unknownGuestText } from "./unknown_guest.ts";
import { WriteExtents } from "./write_extents.ts";

/** What an adapter is made of. */
export interface MemctxOptions {
  /** The endpoint's monitor. */
  readonly link: QmpLink;
  /** Opens RAM and looks through it. */
  readonly scanner: ScanPort;
  /** Which kind of backend the config asks for. */
  readonly memory?: "auto" | "memfd" | "file";
  /** Which system the config asks for; `none`: RAM alone. */
  readonly guest?: WantedSystem | "none";
  /** Where MEMWRITE may land, of all endpoints, as the config says now; nowhere when left out. */
  readonly extents?: () => readonly WriteExtent[];
  /** Write into pages that the guest has mapped read-only, too. */
  readonly forceReadOnly?: boolean;
}

/** Pause before a query is repeated that found the monitor's queue full, ns. */
const RETRY_NS = SECOND;
/** Pause before RAM is opened again after a timeout or a file lease of QEMU's owner, ns. */
const BUSY_PAUSE_NS = 30 * SECOND;
/** Events after which the memory map is read again, since it may have changed. */
const MAP_EVENTS: ReadonlySet<string> = new Set([
  "MEMORY_DEVICE_SIZE_CHANGE",
  "ACPI_DEVICE_OST",
  "DEVICE_DELETED",
]);

const READ_ONLY = "the guest has a page of it mapped read-only";

/** The adapter of one VM's memory. */
export class MemctxAdapter implements Adapter, QmpLinkUser, GuestWatchListener, TimerHandler {
  readonly source: Source = SOURCE.MEMCTX;
  readonly name = "memctx";
  readonly #options: MemctxOptions;
  readonly #request = new MemwriteRequest();
  readonly #closer: PayloadOwner = {
    releasePayload: (event) => this.#options.scanner.closeRam([...event.fds]),
  };
  readonly #describeRequest = (): string => describe(this.#request);
  #extents = new WriteExtents([], "");
  /** The config's ranges in `#extents`; a different array means that the config has changed. */
  #configured: readonly WriteExtent[] = [];
  #seat: Seat | null = null;
  #watch: GuestWatch | null = null;
  #ram: SharedRam | null = null;
  #writer: MemoryWriter | null = null;
  /** The current context, for the writer; null if there is none. */
  #context: WriteContext | null = null;
  /** Number of the last announced context. */
  #epoch = 0;
  /** Incremented when the monitor is lost: answers to queries from an earlier round are stale. */
  #round = 0;
  /** The message for a write that is refused. */
  #refusal = "";
  #pid = 0;
  readonly #replacement: RamReplacement;

  /** Uses the endpoint's monitor, which it shares with other adapters. */
  constructor(options: MemctxOptions) {
    this.#options = options;
    this.#replacement = new RamReplacement(options.link, {
      onReplaced: () => {
        this.#watch?.stop();
        this.#invalidate(INVALIDATED.RAM_REPLACED);
      },
      onSettled: () => this.#find(true),
    });
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    const { link, scanner, guest = "auto" } = this.#options;
    if (guest !== "none") {
      const name = seat.endpointName;
      this.#watch = new GuestWatch({ loop: seat.loop, link, scanner, guest, name, listener: this });
    }
    link.use(this);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind !== KIND.CMD_MEMWRITE) return seat.ack(event.ticket, CODE["not-supported"]);
    const request = this.#request;
    let code = request.read(event);
    let inOrder = 0;
    if (code === CODE.ok) code = this.#admit(event, request);
    if (code === CODE.ok) {
      code = this.#write(request);
      inOrder = this.#writer?.inOrder ?? 0;
    }
    const cls = LEASE_CLASS.MEMWRITE;
    seat.audit(event.kind, code, { ticket: event.ticket, cls, detail: this.#describeRequest });
    seat.ack(event.ticket, code, code === CODE.ok ? 0 : inOrder, 0, this.#refusal);
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(this.#seat !== null, "an adapter that closes was opened, and closes once");
    // The core announces the end of the epoch, because it knows what is retained.
    this.#options.link.leave(this);
    this.#context = null;
    this.#forget();
    this.#watch = null;
    this.#seat = null;
    closed();
  }

  /** Called by the core and the loop: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#options.link.onFault(error);
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    assert(this.#seat !== null, "a link calls its users only");
    this.#pid = pid;
    this.#watch?.setRunning(status === "running");
    this.#openRam();
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    this.#lose(loss.reason);
    // Retained, so that a control which joins later learns why there is no memory.
    this.#seat?.emitError(loss.code, loss.reason, loss.text);
  }

  /** Called by the link, before it tells its other users. */
  onQmpEvent({ name, data }: QmpEvent): void {
    switch (name) {
      case "JOB_STATUS_CHANGE":
        return this.#replacement.onJobEvent(data);
      case "RESET":
        this.#invalidate(INVALIDATED.RESET);
        return this.#find(false);
      case "SHUTDOWN":
        // Its memory may still exist, but no kernel runs in it until a RESET.
        this.#watch?.stop();
        return this.#invalidate(INVALIDATED.ENDPOINT_GONE);
      case "GUEST_CRASHLOADED":
        this.#invalidate(INVALIDATED.KERNEL_CHANGED);
        return this.#find(false);
      case "STOP":
        return this.#watch?.setRunning(false);
      case "RESUME":
        this.#watch?.setRunning(true);
        return this.#watch?.prove();
      default:
        if (MAP_EVENTS.has(name)) this.#openRam();
    }
  }

  /** Called by the loop. */
  onTimer(): void {
    this.#openRam();
  }

  /** Called by the watch. */
  onGuest(guest: GuestContext, version: string): void {
    const seat = this.#seat;
    const ram = this.#ram;
    if (seat === null || ram === null) return;
    assert(this.#context === null, "an epoch has ended before the next one begins");
    const event = seat.event(KIND.MEMCTX);
    try {
      fillContext(event, ram, guest, this.#epoch + 1, this.#closer);
    } catch (error) {
      event.release();
      return this.#refuse(seat, error);
    }
    this.#epoch++;
    this.#context = writeContextOf(guest);
    seat.log.info("context", { epoch: this.#epoch, guest: guest.kind ?? "none", version, root: guest.root });
    seat.emit(event);
  }

  /** Called by the watch. */
  onGuestLost(): void {
    this.#seat?.log.info("the guest's memory was replaced", { epoch: this.#epoch });
    this.#invalidate(INVALIDATED.KERNEL_CHANGED);
  }

  /** Called by the watch. */
  onUnknownGuest(detail: string, system: string | undefined): void {
    this.#seat?.log.warn("no guest system that vmsig can read was found in RAM", {
      system: system ?? "unknown",
      detail,
    });
    this.#seat?.emitError(CODE["not-supported"], 0, unknownGuestText(detail));
  }

  /** Checks what a well-formed write needs: a context, the current lease, an extent. */
  #admit(event: TransferEvent, request: MemwriteRequest): Code {
    if (this.#context === null || this.#ram === null) return CODE["seam-down"];
    // Routing has checked the lease too; but a write cannot be undone, so it is checked here again.
    if (this.#seat?.leaseIsLive(LEASE_CLASS.MEMWRITE, event.token) !== true) return CODE["stale-lease"];
    const { paging } = this.#context;
    if (paging === undefined) return CODE["not-supported"];
    if (!request.isCanonical(paging.addressBits)) return CODE["bad-argument"];
    const kernel = request.isKernelHalf || !request.hasRoot;
    if (!this.#currentExtents().allow(kernel, request.hi, request.lo, request.span)) {
      return CODE["outside-extent"];
    }
    return CODE.ok;
  }

  #currentExtents(): WriteExtents {
    const configured = this.#options.extents?.() ?? this.#configured;
    if (configured !== this.#configured) {
      this.#extents = new WriteExtents(configured, this.#seat?.endpointName ?? "");
      this.#configured = configured;
    }
    return this.#extents;
  }

  #write(request: MemwriteRequest): Code {
    const { forceReadOnly = false } = this.#options;
    this.#refusal = READ_ONLY;
    try {
      this.#writer ??= new MemoryWriter(this.#ram as SharedRam);
      return this.#writer.write(request, this.#context as WriteContext, forceReadOnly);
    } catch (error) {
      this.#seat?.log.error("cannot write guest memory", { why: messageOf(error) });
      this.#refusal = messageOf(error);
      return CODE.refused;
    }
  }

  /** Reads the memory map and opens RAM; if it is open already, checks whether it still is the same. */
  #openRam(): void {
    const round = this.#round;
    askRam(this.#options.link, () => round !== this.#round, (told) => this.#onMemoryMap(told));
  }

  #onMemoryMap(answer: RamTold): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (answer.outcome === "failed") {
      const { reply } = answer;
      // Not sent: the queue was full, or the link is being lost. Unanswered: the link is lost, and reports
      // why.
      if (reply.outcome === "unsent") return seat.loop.arm(this, seat.loop.clock.nowNs() + RETRY_NS);
      if (isUnanswered(reply)) return;
      return this.#refuse(seat, new Fault("refused", `Cannot read QEMU's memory map: ${whyNot(reply)}`));
    }
    const { link, scanner, memory: wanted = "auto" } = this.#options;
    const { monitorUid } = link;
    const round = this.#round;
    const name = seat.endpointName;
    scanner.openRam({ name, pid: this.#pid, monitorUid, ...answer.told, wanted }, (opened) => {
      if (round === this.#round) this.#onOpened(seat, opened);
      else if (opened.outcome === "open") scanner.closeRam(opened.ram.fds);
    });
  }

  #onOpened(seat: Seat, answer: RamAnswer): void {
    if (!this.#options.link.processLives) {
      // Its pid may now belong to another process.
      if (answer.outcome === "open") this.#options.scanner.closeRam(answer.ram.fds);
      return this.#lose(SEAM_REASON.PROCESS_GONE);
    }
    if (answer.outcome === "failed" && answer.code === "no-endpoint") {
      return this.#lose(SEAM_REASON.PROCESS_GONE);
    }
    // A timeout, or a file lease of its owner: tried again later.
    if (answer.outcome === "failed" && (answer.code === "timed-out" || answer.code === "busy")) {
      seat.loop.arm(this, seat.loop.clock.nowNs() + BUSY_PAUSE_NS);
    }
    let ram: SharedRam;
    try {
      if (answer.outcome === "failed") throw new Fault(answer.code, answer.detail);
      ram = new SharedRam(answer.ram, (fds) => this.#options.scanner.closeRam(fds));
    } catch (error) {
      return this.#refuse(seat, error);
    }
    if (this.#ram?.isSameAs(ram) === true) return ram[Symbol.dispose]();
    this.#invalidate(INVALIDATED.MAP_CHANGED);
    this.#dropRam();
    this.#ram = ram;
    if (answer.outcome === "open" && answer.ram.missing.length > 0) {
      const backends = answer.ram.missing.join(" ");
      seat.log.warn("RAM is missing: memory backends that are not shared, or too many", { backends });
    }
    if (!seat.isUp) seat.up(this.#pid);
    this.#find(true);
  }

  /** Begins a context: at once if no system is looked for, otherwise when the watch has found one. */
  #find(lookNow: boolean): void {
    if (this.#ram === null) return;
    if (this.#watch !== null) this.#watch.start(this.#ram, lookNow);
    else this.onGuest(NO_GUEST, "");
  }

  #invalidate(reason: Invalidation): void {
    if (this.#context === null) return;
    this.#context = null;
    const seat = this.#seat;
    if (seat === null) return;
    const event = seat.event(KIND.MEMCTX_INVALIDATED);
    event.view.setUint32(MEMCTX_INVALIDATED.at.epoch, this.#epoch, true);
    event.view.setUint32(MEMCTX_INVALIDATED.at.reason, reason, true);
    seat.emit(event);
  }

  #dropRam(): void {
    assert(this.#context === null, "RAM is closed after its context has ended");
    this.#watch?.stop();
    this.#writer?.[Symbol.dispose]();
    this.#writer = null;
    this.#ram?.[Symbol.dispose]();
    this.#ram = null;
  }

  /** Makes pending queries stale, and closes what is open. */
  #forget(): void {
    this.#round++;
    this.#replacement.forget();
    this.#seat?.loop.disarm(this);
    this.#dropRam();
  }

  /** QEMU is gone or no longer answers: nothing known about its memory holds any more. */
  #lose(reason: SeamReason): void {
    this.#invalidate(INVALIDATED.ENDPOINT_GONE);
    this.#forget();
    this.#seat?.down(reason, this.#pid);
  }

  /** RAM cannot be opened: the rest of the endpoint works without it. */
  #refuse(seat: Seat, error: unknown): void {
    const code = error instanceof Fault ? (CODE as Record<string, Code>)[error.code] : undefined;
    seat.log.error(messageOf(error));
    this.#invalidate(INVALIDATED.MAP_CHANGED);
    this.#dropRam();
    seat.down(SEAM_REASON.NO_PERMISSION, this.#pid);
    const notShared = error instanceof Fault && error.code === "not-supported";
    const text = notShared ? "RAM is not shared: see vmsig probe" : "RAM cannot be opened: see the log";
    seat.emitError(code ?? CODE.refused, 0, text);
  }
}

/** For the audit: where and how much, never what. */
function describe({ hi, lo, length, hasRoot, rootFrame, seqlock }: MemwriteRequest): string {
  const low = (lo >>> 0).toString(16);
  const gva = hi === 0 ? low : (hi >>> 0).toString(16) + low.padStart(8, "0");
  const root = hasRoot ? ` root=0x${(rootFrame * 4096).toString(16)}` : "";
  return `gva=0x${gva} len=${length}${root}${seqlock ? " seqlock" : ""}`;
}

function whyNot(reply: QmpReply): string {
  return reply.outcome === "error" ? reply.errorText : reply.outcome;
}
