/**
 * One person's view: what the daemon shows to that principal, over connections of that principal. All tabs of
 * the person share it. A person sees nothing by another person's right: two people who look at one VM are two
 * viewers to the daemon, which costs an encoder each, and what a shrunken grant no longer covers ends at
 * once.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { Client } from "../client/client.ts";
import type { ConnectOptions } from "../client/connect.ts";
import type { SubscribeOptions } from "../client/handshake.ts";
import { House } from "./house.ts";
import { SharedScreen } from "./shared_screen.ts";
import { type Thumbnail, Thumbnails } from "./thumbnails.ts";
import type { Identity } from "./tokens.ts";

/** Joins the bus once more, for a person. */
export type Join = (
  who: Identity,
  name: string,
  sub: SubscribeOptions,
  reconnect: ConnectOptions["reconnect"],
) => Promise<Client>;

/** What a household is told by, and tells. */
export interface HouseholdOptions {
  /** Whose it is. */
  readonly who: Identity;
  /** Joins the bus. */
  readonly join: Join;
  /** There is a new small picture. */
  readonly onThumbnail: (vm: string, picture: Thumbnail) => void;
  /** A VM's frames have stopped (why), or come again (""). */
  readonly onTrouble: (vm: string, why: string) => void;
  /** The daemon lets this principal in no more. */
  readonly onEnded: (fault: Fault) => void;
}

/** What one person sees. */
export class Household implements AsyncDisposable {
  /** Whose it is. */
  readonly who: Identity;
  /** The VMs, leases and events. */
  readonly house: House;
  /** Small pictures. */
  readonly thumbnails: Thumbnails;
  readonly #options: HouseholdOptions;
  readonly #screens = new Map<string, SharedScreen>();
  #holds = 0;

  private constructor(options: HouseholdOptions, client: Client) {
    this.who = options.who;
    this.#options = options;
    this.house = new House(client, options.onEnded);
    this.thumbnails = new Thumbnails(client, options.onThumbnail);
  }

  /**
   * Joins the bus for a person.
   *
   * @throws {Fault} why the daemon does not let it in
   */
  static async open(options: HouseholdOptions): Promise<Household> {
    let household: Household | undefined;
    const onAway = (fault: Fault) => household?.house.setAway(fault.message);
    const sub = { sources: ["CORE", "VMHOST", "INPUT", "FRAME"] } as const;
    const client = await options.join(options.who, `web ${options.who.name}`, sub, { onAway });
    return household = new Household(options, client);
  }

  /** Its connection, which receives frames. */
  get client(): Client {
    return this.house.client;
  }

  /** Whether somebody needs it. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Somebody needs it. */
  hold(): void {
    this.#holds++;
  }

  /** Somebody needs it no longer. */
  letGo(): void {
    assert(this.#holds > 0, "what is let go of was held");
    this.#holds--;
  }

  /** A further connection, which receives MEMCTX. */
  guestClient(): Promise<Client> {
    return this.join({ sources: ["CORE", "MEMCTX"] }, false);
  }

  /** A further connection. */
  join(sub: SubscribeOptions, reconnect: ConnectOptions["reconnect"]): Promise<Client> {
    return this.#options.join(this.who, `web ${this.who.name}`, sub, reconnect);
  }

  /** A VM's screen, made when it is first looked at. */
  screen(vm: string): SharedScreen {
    let screen = this.#screens.get(vm);
    if (screen === undefined) {
      screen = new SharedScreen(this.client, vm, (why) => this.#options.onTrouble(vm, why));
      this.#screens.set(vm, screen);
    }
    return screen;
  }

  /** The picture's size of a VM. */
  sizeOf(vm: string): { readonly width: number; readonly height: number } {
    return this.#screens.get(vm)?.size ?? { width: 1, height: 1 };
  }

  /** Leaves the bus. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const screen of this.#screens.values()) await screen[Symbol.asyncDispose]();
    this.#screens.clear();
    await this.thumbnails[Symbol.asyncDispose]();
    await this.client.close().catch((error) => {
      // The daemon has gone already.
      if (!(error instanceof Fault)) throw error;
    });
    await this.house[Symbol.asyncDispose]();
  }
}
