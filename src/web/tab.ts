/**
 * One tab of one person's browser: a control of its own on the bus, so that leases are this tab's and go with
 * it. It has the seats that it looks from, and does what the page asks.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { oneLine, printableName } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import { InputControl } from "../client/input_control.ts";
import type { LeaseClassName } from "../client/lease.ts";
import { InputSeat } from "../client/vnc/input_seat.ts";
import type { Viewer, ViewerSeat } from "../rfb/server/rfb_server.ts";
import type { PageMessage, PowerWord } from "./message.ts";

/** A person who does nothing for so long gives keyboard and mouse back, ms. */
export const IDLE_MS = 300_000;
/** Processes that are told at most. */
const MOST_PROCESSES = 2000;
/** What needs no POWER lease. */
const HARMLESS: ReadonlySet<PowerWord> = new Set<PowerWord>(["stop", "cont", "wakeup"]);

/** What becomes of a lease, in words for a person. */
const LOSSES: Readonly<Record<string, string>> = {
  "taken away: owner-gone": "the daemon went away, and took keyboard and mouse back",
  "taken away: disconnected": "the daemon went away, and took keyboard and mouse back",
  "taken away: endpoint-gone": "the VM has gone",
  "taken away: not-kept-alive": "nothing was heard of this page for 10 s",
};

/** How the page hears of seats. */
export interface SeatTold {
  /** The VM. */
  readonly vm: string;
  /** Whether this tab has keyboard and mouse. */
  readonly isMine: boolean;
  /** Why not, or why no longer. */
  readonly why: string;
}

/** What a tab needs of the server. */
export interface TabHome {
  /** Everybody's client, which receives frames. */
  readonly client: Client;
  /** A further client, for as long as it is needed; it receives MEMCTX. */
  guestClient(): Promise<Client>;
  /** Who has a class of a VM now; "" for nobody. */
  ownerOf(vm: string, className: LeaseClassName): Promise<string>;
  /** Puts a line on the timeline. */
  tell(vm: string, what: string): void;
  /** The tab that has a VM's keyboard and mouse, of those that are here. */
  holderOf(vm: string): Tab | undefined;
  /** The picture's size of a VM. */
  sizeOf(vm: string): { readonly width: number; readonly height: number };
}

interface Seat {
  readonly seat: InputSeat;
  readonly viewer: Viewer;
}

/** A tab. */
export class Tab implements AsyncDisposable {
  /** Whose it is. */
  readonly name: string;
  /** Known to this tab alone: what its pictures' sockets say. */
  readonly secret: string;
  readonly #client: Client;
  readonly #home: TabHome;
  readonly #onSeat: (told: SeatTold) => void;
  readonly #seats = new Map<string, Seat>();

  /**
   * One that looks at nothing yet.
   *
   * @param client its own; it is closed with the tab
   */
  constructor(
    { name, secret, client, home, onSeat }: {
      readonly name: string;
      readonly secret: string;
      readonly client: Client;
      readonly home: TabHome;
      readonly onSeat: (told: SeatTold) => void;
    },
  ) {
    this.name = name;
    this.secret = secret;
    this.#client = client;
    this.#home = home;
    this.#onSeat = onSeat;
  }

  /** Whether this tab has a VM's keyboard and mouse. */
  has(vm: string): boolean {
    return this.#seats.get(vm)?.seat.owner !== undefined;
  }

  /** The seat of a viewer that is about to come. */
  seatFor(vm: string): ViewerSeat {
    const seat = new InputSeat({
      client: this.#client,
      ref: vm,
      takeBy: "asked",
      idleMs: IDLE_MS,
      size: () => this.#home.sizeOf(vm),
      onChange: (owner, why) => {
        if (this.#seats.get(vm)?.seat === seat) void this.#tellSeat(vm, owner !== undefined, why);
      },
    });
    return {
      onEnter: (viewer) => {
        this.#seats.get(vm)?.seat.giveBack("the picture was opened anew");
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
   * Does what the page asks.
   *
   * @returns what its answer says
   * @throws {Fault} what cannot be done, in words
   */
  async serve(message: Exclude<PageMessage, { op: "see" }>): Promise<object> {
    const { vm } = message;
    switch (message.op) {
      case "take":
        return await this.#take(vm);
      case "give":
        this.#seats.get(vm)?.seat.giveBack("given back on the page");
        return {};
      case "key":
        await this.#input(vm).key(message.chord);
        return {};
      case "paste":
        await this.#input(vm).type(message.text, message.layout);
        this.#home.tell(vm, `${this.name} typed ${[...message.text].length} characters`);
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
        return await this.#client.vmState(vm);
      case "leases":
        return { input: await this.#home.ownerOf(vm, "input") };
    }
  }

  /** Gives everything back, and waits until the guests are neutral. */
  async [Symbol.asyncDispose](): Promise<void> {
    const seats = [...this.#seats.values()];
    this.#seats.clear();
    await Promise.all(seats.map(({ seat }) => seat[Symbol.asyncDispose]()));
    try {
      await this.#client.close();
    } catch (error) {
      // The daemon has gone, and everything was given back with it.
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #take(vm: string): Promise<object> {
    const mine = this.#seats.get(vm);
    if (mine === undefined) throw cannotTake(vm, "its screen is not shown yet");
    const holder = this.#home.holderOf(vm);
    if (holder !== undefined && holder !== this) {
      if (holder.name !== this.name) {
        throw cannotTake(vm, `${holder.name} has keyboard and mouse on this page; ask for them`);
      }
      await holder.#release(vm, "taken over in another tab of yours");
    }
    mine.seat.take(mine.viewer);
    return {};
  }

  async #release(vm: string, why: string): Promise<void> {
    const seat = this.#seats.get(vm);
    assert(seat !== undefined, "who holds has a seat");
    seat.seat.giveBack(why);
    // It stays usable: a seat that is disposed of is one that nobody has.
    await seat.seat[Symbol.asyncDispose]();
    seat.seat.onEnter(seat.viewer);
  }

  /** Keys beside the viewer's own, under the same lease. */
  #input(vm: string): InputControl {
    const lease = this.#seats.get(vm)?.seat.lease;
    if (lease === undefined) throw new Fault("no-lease", `Cannot press keys on ${vm}: take over first`);
    return new InputControl(this.#client, lease);
  }

  async #power(vm: string, what: PowerWord): Promise<object> {
    if (HARMLESS.has(what)) await this.#client.vm(vm, what);
    else {
      await using _lease = await this.#client.acquire(vm, "power");
      await this.#client.vm(vm, what);
    }
    this.#home.tell(vm, `${this.name}: ${what}`);
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

  /** Tells the page, with who has it instead. */
  async #tellSeat(vm: string, isMine: boolean, why: string): Promise<void> {
    let words = LOSSES[why] ?? why;
    if (!isMine && why.startsWith("taken away: preempted")) {
      const owner = await this.#home.ownerOf(vm, "input").catch((error) => {
        if (!(error instanceof Fault)) throw error;
        return "";
      });
      words = `${owner === "" ? "another control" : owner} took keyboard and mouse over`;
    }
    this.#home.tell(vm, isMine ? `${this.name} took keyboard and mouse` : `${this.name}: ${words}`);
    this.#onSeat({ vm, isMine, why: words });
  }
}

function cannotTake(vm: string, why: string): Fault {
  return new Fault("busy", `Cannot take over ${vm}: ${why}`);
}
