/**
 * Serves the control that makes a VM's pictures: CMD_DISPLAY, operation by operation. Each is answered once,
 * by an ACT_ACK or by a DISPLAY.
 * @module
 */
import { getSeals, SEAL } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { CODE, type Code, isCode } from "../../base/codes.ts";
import type { ControlId } from "../../base/ids.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { printable } from "../../base/printable.ts";
import { assert } from "../../base/assert.ts";
import type { Seat } from "../../core/adapter_port.ts";
import { DISPLAY_REQUEST } from "../../event/body_layout.ts";
import { DISPLAY_OP, FRAME_SOURCE, type FrameSourceNumber } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { codeOf } from "../vmhost/qmp_verdict.ts";
import type { DisplayChoice } from "./display_choice.ts";
import type { DisplayFacts } from "./display_facts.ts";
import { headsBody, registersBody, vgaBody } from "./display_reply.ts";
import { DumpFiles } from "./dump_files.ts";
import type { OnceKind } from "./frame_demand.ts";
import type { HeadStates } from "./head_states.ts";
import { probeRegisters, probeVga, type VgaAnswer } from "./vga_probe.ts";
import { openViewer } from "./viewer_socket.ts";

/** What a request came to. */
export interface ServedAnswer {
  /** 0, or why not. */
  readonly code: Code;
  /** The picture's id, its low 32 bits. */
  readonly frameId: number;
  /** Why not, in words; escaped. */
  readonly words: string;
}

/** Told what the maker of pictures says. */
export interface DeskListener {
  /** The heads, which the desk notes what it is told of. */
  readonly heads: HeadStates;
  /**
   * Requests up to a serial are served, or cannot be.
   *
   * @param serial the newest request that was known then
   */
  onServed(head: number, kind: OnceKind, serial: number, answer: ServedAnswer): void;
  /** A head's pictures come from somewhere else, or from nowhere. */
  onHeadState(head: number): void;
  /** QEMU makes no picture of a head that it had told of: it may not have it any more. */
  onNoDump(): void;
}

const SOURCES: ReadonlySet<number> = new Set(Object.values(FRAME_SOURCE));

/** The desk of one endpoint. */
export class DisplayDesk {
  readonly #link: QmpLink;
  readonly #display: DisplayChoice;
  readonly #listener: DeskListener;
  readonly #files: DumpFiles;
  #seat: Seat | null = null;
  #facts: DisplayFacts | undefined;
  /** Questions for the displays that wait until QEMU has told of them. */
  #asking: number[] = [];
  /** The control that asked last. */
  #maker = 0;

  /** A desk without a place on the bus yet. */
  constructor(link: QmpLink, display: DisplayChoice, listener: DeskListener) {
    this.#link = link;
    this.#display = display;
    this.#listener = listener;
    this.#files = new DumpFiles(link);
  }

  /** What is known of the VM's displays; undefined until QEMU has told. */
  get facts(): DisplayFacts | undefined {
    return this.#facts;
  }

  /** Whether somebody makes pictures. */
  get hasMaker(): boolean {
    return this.#maker !== 0;
  }

  /** QEMU has told of its displays. */
  know(facts: DisplayFacts): void {
    this.#facts = facts;
    const seat = this.#seat;
    if (seat !== null) { for (const ticket of this.#asking.splice(0)) this.#tellHeads(seat, ticket, facts); }
  }

  /** It has a place on the bus. */
  open(seat: Seat): void {
    assert(this.#seat === null, "a desk is opened once");
    this.#seat = seat;
  }

  /** The seam ends: what QEMU was given is taken back. */
  close(): void {
    this.#files.clear();
    this.#seat = null;
  }

  /** The monitor is lost: nothing is known any more. */
  lost(): void {
    this.#facts = undefined;
    this.#files.clear();
    for (const ticket of this.#asking.splice(0)) this.#seat?.ack(ticket, CODE["seam-down"]);
  }

  /** A control is gone; whether it was the one that made the pictures. */
  controlGone(control: ControlId): boolean {
    this.#files.controlGone(control);
    if (control !== this.#maker) return false;
    this.#maker = 0;
    this.#listener.heads.forget();
    return true;
  }

  /** A CMD_DISPLAY; its descriptors stay the event's. */
  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    const { at } = DISPLAY_REQUEST;
    const op = event.words[at.op / 4] as number;
    const head = event.words[at.head / 4] as number;
    this.#maker = event.origin;
    if (head >= MAX_HEADS) return seat.ack(event.ticket, CODE["bad-argument"]);
    switch (op) {
      case DISPLAY_OP.SERVED:
        return this.#served(seat, event, head);
      case DISPLAY_OP.SOURCE:
        return this.#source(seat, event, head);
      case DISPLAY_OP.HEADS:
        return this.#heads(seat, event.ticket);
      case DISPLAY_OP.DUMP:
        return this.#dump(seat, event, head);
      case DISPLAY_OP.OPEN:
        return this.#open(seat, event);
      case DISPLAY_OP.VGA:
        return this.#vga(seat, event);
      default:
        return seat.ack(event.ticket, CODE["bad-argument"]);
    }
  }

  #served(seat: Seat, event: TransferEvent, head: number): void {
    const { at } = DISPLAY_REQUEST;
    const code = event.words[at.code / 4] as number;
    if (!isCode(code)) return seat.ack(event.ticket, CODE["bad-argument"]);
    const kind: OnceKind = event.words[at.source / 4] === 0 ? "picture" : "text";
    const serial = event.words[at.serial / 4] as number;
    const frameId = event.words[at.frameId / 4] as number;
    this.#listener.onServed(head, kind, serial, { code, frameId, words: wordsOf(event) });
    seat.ack(event.ticket, CODE.ok);
  }

  #source(seat: Seat, event: TransferEvent, head: number): void {
    const { at } = DISPLAY_REQUEST;
    const source = event.words[at.source / 4] as number;
    const code = event.words[at.code / 4] as number;
    // Without a source there is a reason.
    const isValid = source === 0 ? isCode(code) && code !== CODE.ok : SOURCES.has(source);
    if (!isValid) return seat.ack(event.ticket, CODE["bad-argument"]);
    const why = wordsOf(event);
    this.#listener.heads.set(
      head,
      source === 0
        ? { kind: "lost", code: code as Code, why }
        : { kind: "shown", source: source as FrameSourceNumber, why },
    );
    this.#listener.onHeadState(head);
    seat.ack(event.ticket, CODE.ok);
  }

  #heads(seat: Seat, ticket: number): void {
    if (!this.#link.isUp) return seat.ack(ticket, CODE["seam-down"], 0, 0, this.#link.outlook.away);
    if (this.#facts === undefined) this.#asking.push(ticket);
    else this.#tellHeads(seat, ticket, this.#facts);
  }

  #tellHeads(seat: Seat, ticket: number, facts: DisplayFacts): void {
    const answer = seat.event(KIND.DISPLAY);
    headsBody(answer, this.#display, facts, this.#link.pid);
    seat.reply(ticket, answer);
  }

  #dump(seat: Seat, event: TransferEvent, head: number): void {
    const place = { control: event.origin as ControlId, head };
    const { ticket } = event;
    const known = this.#facts?.heads[head];
    if (!this.#link.isUp || known === undefined) return seat.ack(ticket, CODE["seam-down"]);
    // QEMU knows devices by their ids alone; without one it is its first console that is meant.
    if (known.device === "" && !known.isFirst) {
      return seat.ack(
        ticket,
        CODE["not-supported"],
        0,
        0,
        "its display device has no id (-device …,id=NAME)",
      );
    }
    const dump = (): void =>
      this.#files.dump(place, known, (reply) => {
        this.#ack(seat, ticket, reply);
        if (reply.outcome === "error") this.#listener.onNoDump();
      });
    const [fd] = event.fds;
    if (fd === undefined) {
      return this.#files.has(place)
        ? dump()
        : seat.ack(ticket, CODE["bad-argument"], 0, 0, "it came without a file");
    }
    if (!isMemfd(fd)) return seat.ack(ticket, CODE["bad-argument"], 0, 0, "its file is not a memfd");
    this.#try(seat, ticket, () =>
      this.#files.add(place, fd, (reply) => {
        if (reply.outcome === "done" && this.#files.has(place)) dump();
        else this.#ack(seat, ticket, reply);
      }));
  }

  #open(seat: Seat, event: TransferEvent): void {
    const { ticket } = event;
    const source = event.words[DISPLAY_REQUEST.at.source / 4];
    const protocol = source === FRAME_SOURCE.VNC ? "vnc" : source === FRAME_SOURCE.DBUS ? "dbus" : undefined;
    if (protocol === undefined) return seat.ack(ticket, CODE["bad-argument"]);
    if (!this.#link.isUp) return seat.ack(ticket, CODE["seam-down"], 0, 0, this.#link.outlook.away);
    const own = (): void =>
      this.#try(seat, ticket, () =>
        openViewer(this.#link, protocol, (socket, reply) => {
          if (socket === undefined) this.#ack(seat, ticket, reply);
          else this.#giveViewer(seat, ticket, socket);
        }));
    const { ways, passesDescriptors } = this.#link;
    if (ways === undefined || protocol !== "vnc") return own();
    // By its manager a VM is not spoken to past it; what that does not open may be had all the same.
    ways.openVnc((result) => {
      if (result.ok) this.#giveViewer(seat, ticket, result.socket);
      else if (this.#seat !== seat) return;
      else if (passesDescriptors) own();
      else seat.ack(ticket, result.code, 0, 0, result.why);
    });
  }

  #giveViewer(seat: Seat, ticket: number, socket: OwnedFd): void {
    if (this.#seat !== seat) return socket.close();
    const answer = seat.event(KIND.DISPLAY);
    answer.own([socket.fd], { releasePayload: () => socket.close() });
    seat.reply(ticket, answer);
  }

  /** serial 0: where the card is; 1: its registers alone. */
  #vga(seat: Seat, event: TransferEvent): void {
    const { ticket } = event;
    const link = this.#link;
    if (!link.isUp) return seat.ack(ticket, CODE["seam-down"], 0, 0, this.#link.outlook.away);
    const answer = <T>(result: VgaAnswer<T>, write: (body: TransferEvent, value: T) => void): void => {
      if (this.#seat !== seat) return;
      if (!result.ok) return seat.ack(ticket, result.code as Code, 0, 0, result.why);
      const body = seat.event(KIND.DISPLAY);
      write(body, result.value);
      seat.reply(ticket, body);
    };
    if (event.words[DISPLAY_REQUEST.at.serial / 4] === 1) {
      probeRegisters(link, (result) => answer(result, registersBody));
    } else {
      const owner = { pid: link.pid, uid: link.monitorUid, qemu: printable(link.version, 32) };
      probeVga(link, (result) => answer(result, (body, place) => vgaBody(body, place, owner)));
    }
  }

  /** Out of descriptors: this one command fails, and nothing else. */
  #try(seat: Seat, ticket: number, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      seat.ack(ticket, CODE.busy, 0, 0, error.message);
    }
  }

  #ack(seat: Seat, ticket: number, reply: QmpReply): void {
    // Closed meanwhile: the core has answered what was left.
    if (this.#seat !== seat) return;
    seat.ack(ticket, codeOf(reply), 0, 0, reply.outcome === "error" ? reply.errorText : "");
  }
}

/** The words that came along, escaped. */
function wordsOf(event: TransferEvent): string {
  return printable(new TextDecoder().decode(event.bodyView()));
}

/** Whether QEMU can be given it without harm: writing to a pipe would make its main loop wait. */
function isMemfd(fd: number): boolean {
  try {
    // A file that is not in memory has none.
    return (getSeals(fd) & SEAL.SEAL) !== 0;
  } catch (error) {
    if (error instanceof OsError) return false;
    throw error;
  }
}
