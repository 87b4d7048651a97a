/**
 * The WebSocket between a tab's page and the server, other than those of its pictures: the page's requests,
 * and the messages to it. Every message from the page is checked and bounded; an invalid one ends the
 * connection.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";
import type { House, HouseListener } from "./house.ts";
import { type PageMessage, parseMessage } from "./message.ts";
import { MessageBudget } from "./message_budget.ts";
import type { SeatTold, Tab } from "./tab.ts";
import type { Thumbnail, Thumbnails } from "./thumbnails.ts";

/** Limit of bytes queued for a page; one that does not read is disconnected. */
const MOST_WAITING = 8 * 2 ** 20;
/** Amount of queued bytes above which no further thumbnails are sent. */
const MOST_PICTURES = 2 ** 20;
/** Requests of one page that may be open. */
const MOST_AT_WORK = 16;

/** The options of a page's connection. */
export interface PageOptions {
  /** The open socket. */
  readonly socket: WebSocket;
  /** The contents of its greeting. */
  readonly hello: object;
  /** The page's tab. */
  readonly tab: Tab;
  /** What it is told about. */
  readonly house: House;
  /** The thumbnails that it watches. */
  readonly thumbnails: Thumbnails;
}

/** A page. */
export class PageConnection implements HouseListener {
  /** The page's tab. */
  readonly tab: Tab;
  readonly #options: PageOptions;
  readonly #budget = new MessageBudget(performance.now());
  readonly #seen = new Set<string>();
  #atWork = 0;
  #isEnded = false;

  /** Greets the page, and passes on all changes from now on. */
  constructor(options: PageOptions) {
    this.#options = options;
    this.tab = options.tab;
    const { house, socket, hello } = options;
    this.#send({ t: "hello", ...hello });
    this.onDaemon(house.away);
    this.onVms(house.vms);
    this.#send({ t: "lines", lines: house.lines });
    house.add(this);
    socket.onmessage = ({ data }) => this.#receive(data);
    // Errors are followed by a close event.
    socket.onerror = (event) => event.preventDefault();
  }

  onVms(vms: HouseListener["onVms"] extends (vms: infer V) => void ? V : never): void {
    this.#send({ t: "vms", vms });
  }

  onLine(line: Parameters<HouseListener["onLine"]>[0]): void {
    this.#send({ t: "lines", lines: [line] });
  }

  onDaemon(why: string): void {
    this.#send({ t: "daemon", why: oneLine(why) });
  }

  /** There is a new thumbnail. */
  onThumbnail(vm: string, { png }: Thumbnail): void {
    const { socket } = this.#options;
    // A page that reads slowly gets fewer.
    if (!this.#seen.has(vm) || socket.bufferedAmount > MOST_PICTURES) return;
    if (this.#isEnded || socket.readyState !== WebSocket.OPEN) return;
    // The name's length, the name, the picture.
    const name = new TextEncoder().encode(vm);
    const bytes = new Uint8Array(2 + name.length + png.length);
    new DataView(bytes.buffer).setUint16(0, name.length);
    bytes.set(name, 2);
    bytes.set(png, 2 + name.length);
    socket.send(bytes);
  }

  /** A VM's frames have stopped (why), or continue (""). */
  onTrouble(vm: string, why: string): void {
    this.#send({ t: "trouble", vm, why: oneLine(why) });
  }

  /** A seat has changed. */
  onSeat(told: SeatTold): void {
    this.#send({ t: "seat", ...told, why: oneLine(told.why) });
  }

  /** The page is gone: its watches end. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#options.house.remove(this);
    for (const vm of this.#seen) this.#options.thumbnails.unsee(vm);
    this.#seen.clear();
  }

  #receive(data: unknown): void {
    if (this.#isEnded) return;
    const { socket } = this.#options;
    if (!this.#budget.take(performance.now())) return socket.close(1008, "too many messages");
    if (typeof data !== "string") return socket.close(1003, "text is expected");
    let message: PageMessage;
    try {
      message = parseMessage(data);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return socket.close(1008, "what the page said is not understood");
    }
    if (message.op === "see") return this.#see(message.vms);
    const { id } = message;
    if (this.#atWork >= MOST_AT_WORK) {
      return this.#send({
        t: "answer",
        id,
        fault: "Cannot do more at once: wait for the calls that are under way",
      });
    }
    this.#atWork++;
    void this.tab.serve(message)
      .then((answer) => this.#send({ t: "answer", id, ...answer }))
      .catch((error) => {
        if (!(error instanceof Fault)) throw error;
        this.#send({ t: "answer", id, fault: oneLine(messageOf(error)), code: error.code });
      })
      .finally(() => this.#atWork--);
  }

  #see(vms: readonly string[]): void {
    const { thumbnails, house } = this.#options;
    // Only existing VMs are watched, because the names come from the page.
    const wanted = new Set(vms.filter((vm) => house.client.roster.find(vm) !== undefined));
    for (const vm of this.#seen) {
      if (wanted.has(vm)) continue;
      this.#seen.delete(vm);
      thumbnails.unsee(vm);
    }
    for (const vm of wanted) {
      if (this.#seen.has(vm)) continue;
      this.#seen.add(vm);
      thumbnails.see(vm);
      const there = thumbnails.of(vm);
      if (there !== undefined) this.onThumbnail(vm, there);
    }
    assert(this.#seen.size === wanted.size, "what is seen is what was asked for");
  }

  #send(message: object): void {
    const { socket } = this.#options;
    if (this.#isEnded || socket.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > MOST_WAITING) {
      return socket.close(1008, "the page does not read what it is sent");
    }
    socket.send(JSON.stringify(message));
  }
}
