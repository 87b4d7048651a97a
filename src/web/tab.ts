/**
 * One tab of a person's browser: a control of its own on the bus, so that it owns its leases, which end with
 * it. It has one seat per VM that it views, and carries out the page's requests.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { oneLine, printable, printableName } from "../base/printable.ts";
import { type Asks, MOST_QUESTION } from "../client/asks.ts";
import type { Client } from "../client/client.ts";
import { InputControl } from "../client/input_control.ts";
import { listConsoles } from "../client/console_control.ts";
import type { LeaseHolder } from "../client/lease_holder.ts";
import { InputSeat } from "../client/vnc/input_seat.ts";
import type { Viewer, ViewerSeat } from "../rfb/server/rfb_server.ts";
import type { ConsoleStream } from "./console_stream.ts";
import { LeaseNames } from "./lease_names.ts";
import type { PageMessage, PowerWord } from "./message.ts";

/** Time without input after which keyboard and mouse are released, ms. */
export const IDLE_MS = 300_000;
/** Maximum number of consoles shown in one tab. */
const MOST_CONSOLES = 8;
/** Maximum number of processes reported. */
const MOST_PROCESSES = 2000;
/** Power commands that need no POWER lease. */
const HARMLESS: ReadonlySet<PowerWord> = new Set<PowerWord>(["stop", "cont", "wakeup"]);

/** Outcomes of a lease request, in words for a person. */
const LOSSES: Readonly<Record<string, string>> = {
  "taken away: owner-gone": "the daemon went away, and took keyboard and mouse back",
  "taken away: disconnected": "the daemon went away, and took keyboard and mouse back",
  "taken away: endpoint-gone": "the VM was detached",
  "taken away: not-kept-alive": "nothing was heard of this page for 10 s",
};

/** How the page learns of seats. */
export interface SeatTold {
  /** The VM. */
  readonly vm: string;
  /** Whether this tab has keyboard and mouse. */
  readonly isMine: boolean;
  /** Why not, or why no longer. */
  readonly why: string;
}

/** What a tab needs of its household. */
export interface TabHome {
  /** The person's client, which receives frames. */
  readonly client: Client;
  /** Opens another client, which receives MEMCTX. */
  guestClient(): Promise<Client>;
  /** The overview's listeners. */
  readonly house: {
    /** Adds a line to the timeline. */
    tell(vm: string, what: string): void;
    /** A control in words; `name` is what its program calls itself. */
    whoIs(holder: LeaseHolder, name?: string): Promise<string>;
    /** How the bus does, as this connection sees it. */
    metrics(): Promise<object>;
  };
  /** The size of a VM's picture. */
  sizeOf(vm: string): { readonly width: number; readonly height: number };
}

interface Seat {
  readonly seat: InputSeat;
  readonly viewer: Viewer;
}

/** One tab. */
export class Tab implements AsyncDisposable {
  /** The principal. */
  readonly name: string;
  /** A secret known only to this tab, which its pictures' sockets send. */
  readonly secret: string;
  /** Its own connection, which owns its leases. */
  readonly client: Client;
  /** Its leases, and who else has one. */
  readonly leases: LeaseNames;
  readonly #consoles = new Set<ConsoleStream>();
  readonly #sockets = new Set<WebSocket>();
  readonly #home: TabHome;
  readonly #questions: Asks | undefined;
  readonly #holderOf: (vm: string) => Tab | undefined;
  readonly #onSeat: (told: SeatTold) => void;
  readonly #seats = new Map<string, Seat>();

  /**
   * Starts without a view.
   *
   * @param client its own client, which is closed with the tab
   */
  constructor(
    { name, secret, client, home, asks, holderOf, onSeat }: {
      readonly name: string;
      readonly secret: string;
      readonly client: Client;
      readonly home: TabHome;
      /** Models' questions; undefined if there is no folder for them. */
      readonly asks: Asks | undefined;
      /** The tab of the same person that has a VM's keyboard and mouse. */
      readonly holderOf: (vm: string) => Tab | undefined;
      readonly onSeat: (told: SeatTold) => void;
    },
  ) {
    this.name = name;
    this.secret = secret;
    this.client = client;
    this.leases = new LeaseNames(client, home.house);
    this.#home = home;
    this.#questions = asks;
    this.#holderOf = holderOf;
    this.#onSeat = onSeat;
  }

  /** A further socket belongs to this tab, and is closed with it. */
  own(socket: WebSocket): void {
    this.#sockets.add(socket);
    socket.addEventListener("close", () => this.#sockets.delete(socket));
  }

  /** Whether another console may be opened. */
  get mayOpenConsole(): boolean {
    return this.#consoles.size < MOST_CONSOLES;
  }

  /** Shows a console until its socket closes. */
  addConsole(stream: ConsoleStream, socket: WebSocket): void {
    this.#consoles.add(stream);
    socket.addEventListener("close", () => this.#consoles.delete(stream));
  }

  /** Whether this tab has a VM's keyboard and mouse. */
  has(vm: string): boolean {
    return this.#seats.get(vm)?.seat.owner !== undefined;
  }

  /** The seat for a viewer that is about to connect. */
  seatFor(vm: string): ViewerSeat {
    const seat = new InputSeat({
      client: this.client,
      ref: vm,
      takeBy: "asked",
      idleMs: IDLE_MS,
      size: () => this.#home.sizeOf(vm),
      whoIs: (holder) => this.leases.of(vm, "input", holder),
      onChange: (owner, why, taker) => {
        if (this.#seats.get(vm)?.seat === seat) void this.#tellSeat(vm, owner !== undefined, why, taker);
      },
    });
    return {
      onEnter: (viewer) => {
        this.#seats.get(vm)?.seat.giveBack("the picture was opened again");
        this.#seats.set(vm, { seat, viewer });
        seat.onEnter(viewer);
      },
      onKey: (viewer, ...key) => seat.onKey(viewer, ...key),
      onPointer: (viewer, ...pointer) => seat.onPointer(viewer, ...pointer),
      onLeave: (viewer) => {
        seat.onLeave(viewer);
        if (this.#seats.get(vm)?.seat === seat) this.#seats.delete(vm);
      },
    };
  }

  /**
   * Carries out a request of the page.
   *
   * @returns the contents of its answer
   * @throws {Fault} what cannot be done, and why
   */
  async serve(message: Exclude<PageMessage, { op: "see" }>): Promise<object> {
    if (message.op === "metrics") return await this.#home.house.metrics();
    if (message.op === "asks" || message.op === "answer") return await this.#asks(message);
    const { vm } = message;
    switch (message.op) {
      case "take":
        return await this.#take(vm, message.why);
      case "give":
        this.#seats.get(vm)?.seat.giveBack("given back on the page");
        return {};
      case "key":
        await this.#input(vm).key(message.chord);
        return {};
      case "paste":
        await this.#input(vm).type(message.text, message.layout);
        this.#home.house.tell(vm, `${this.name} typed ${[...message.text].length} characters`);
        return {};
      case "power":
        return await this.#power(vm, message.what);
      case "text": {
        const { lines, source, unknown } = await this.#home.client.screenText(vm);
        return { lines: lines.map(oneLine), source, unknown };
      }
      case "processes":
        return await this.#processes(vm);
      case "state":
        return await this.client.vmState(vm);
      case "consoles":
        return {
          consoles: (await listConsoles(this.client, vm)).map(({ number, label, role, place }) => ({
            number,
            label: oneLine(label),
            role,
            place,
          })),
        };
    }
  }

  #sees(vm: string): boolean {
    return this.#home.client.roster.find(vm) !== undefined;
  }

  /** Models' questions, or an answer to one of them. */
  async #asks(message: Extract<PageMessage, { op: "asks" | "answer" }>): Promise<object> {
    const asks = this.#questions;
    if (message.op === "asks") {
      const open = (await asks?.list() ?? []).filter(({ vm }) => this.#sees(vm));
      return {
        asks: open.map(({ id, vm, question, choices }) => ({
          id,
          vm: printable(vm),
          question: printable(question, MOST_QUESTION),
          choices: choices.map((choice) => ({ value: choice, shown: printable(choice) })),
        })),
      };
    }
    if (asks === undefined) {
      throw new Fault("not-supported", "Cannot answer: there is no folder for questions");
    }
    const asked = (await asks.list()).find(({ id }) => id === message.ask);
    if (asked !== undefined && !this.#sees(asked.vm)) {
      throw new Fault("outside-grant", "Cannot answer: it is about a VM that you may not see");
    }
    await asks.answer(message.ask, { text: message.text, by: this.name });
    this.#home.house.tell(asked?.vm ?? "", `${this.name} answered a model's question`);
    return {};
  }

  /** Releases everything, and waits until the guests are in a neutral state. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const console of this.#consoles) console.end();
    this.#consoles.clear();
    for (const socket of this.#sockets) socket.close(1001, "the page disconnected");
    this.#sockets.clear();
    const seats = [...this.#seats.values()];
    this.#seats.clear();
    await Promise.all(seats.map(({ seat }) => seat[Symbol.asyncDispose]()));
    try {
      await this.client.close();
    } catch (error) {
      // The daemon is gone, and the leases with it.
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #take(vm: string, why: string): Promise<object> {
    const mine = this.#seats.get(vm);
    if (mine === undefined) throw cannotTake(vm, "its screen is not shown yet");
    // Between people the daemon decides by its rules; between tabs of one person the last click decides.
    const holder = this.#holderOf(vm);
    if (holder !== undefined && holder !== this) {
      await holder.#release(vm, "taken over in another tab of yours");
    }
    mine.seat.take(mine.viewer, why);
    return {};
  }

  async #release(vm: string, why: string): Promise<void> {
    const seat = this.#seats.get(vm);
    assert(seat !== undefined, "who holds has a seat");
    seat.seat.giveBack(why);
    // It stays usable: a seat that was disposed of belongs to nobody.
    await seat.seat[Symbol.asyncDispose]();
    seat.seat.onEnter(seat.viewer);
  }

  /** Key presses other than the viewer's own, under the same lease. */
  #input(vm: string): InputControl {
    const lease = this.#seats.get(vm)?.seat.lease;
    if (lease === undefined) throw new Fault("no-lease", `Cannot press keys on ${vm}: take over first`);
    return new InputControl(this.client, lease);
  }

  async #power(vm: string, what: PowerWord): Promise<object> {
    if (HARMLESS.has(what)) await this.client.vm(vm, what);
    else {
      await using _lease = await this.leases.acquire(vm, "power", { message: what });
      await this.client.vm(vm, what);
    }
    this.#home.house.tell(vm, `${this.name}: ${what}`);
    return {};
  }

  async #processes(vm: string): Promise<object> {
    const { GuestView } = await import("../client/guest_view.ts");
    await using client = await this.#home.guestClient();
    await using view = await GuestView.open(client, vm);
    if (!view.guest.found) {
      throw new Fault("not-supported", `Cannot list the processes of ${vm}: ${view.guest.detail}`);
    }
    const { items } = view.guest.os.processes();
    return {
      more: Math.max(0, items.length - MOST_PROCESSES),
      processes: items.slice(0, MOST_PROCESSES).map(({ pid, ppid, name, kernelThread }) => ({
        pid,
        ppid,
        name: printableName(name, 64),
        kernelThread,
      })),
    };
  }

  /** Tells the page, naming the current owner. */
  async #tellSeat(vm: string, isMine: boolean, why: string, taker?: LeaseHolder): Promise<void> {
    let words = LOSSES[why] ?? why;
    if (!isMine && why.startsWith("taken away: preempted")) {
      words = taker === undefined
        ? "your grant does not cover keyboard and mouse of this VM any more"
        : `${await this.leases.of(vm, "input", taker)} took keyboard and mouse over`;
    }
    this.#home.house.tell(vm, isMine ? `${this.name} took keyboard and mouse` : `${this.name}: ${words}`);
    this.#onSeat({ vm, isMine, why: words });
  }
}

function cannotTake(vm: string, why: string): Fault {
  return new Fault("busy", `Cannot take over ${vm}: ${why}`);
}
