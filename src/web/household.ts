/**
 * One person's view: what the daemon shows to that principal, over connections of that principal, shared by
 * all tabs of the person. Nobody sees anything by another person's rights: two people who look at one VM are
 * two viewers to the daemon, each with an encoder, and what a reduced grant no longer covers ends at once.
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

/** Joins the bus again for a person. */
export type Join = (
  who: Identity,
  name: string,
  sub: SubscribeOptions,
  reconnect: ConnectOptions["reconnect"],
) => Promise<Client>;

/** The options and listeners of a household. */
export interface HouseholdOptions {
  /** The principal. */
  readonly who: Identity;
  /** Joins the bus. */
  readonly join: Join;
  /** There is a new thumbnail. */
  readonly onThumbnail: (vm: string, picture: Thumbnail) => void;
  /** A VM's frames have stopped (why), or continue (""). */
  readonly onTrouble: (vm: string, why: string) => void;
  /** The daemon no longer admits this principal. */
  readonly onEnded: (fault: Fault) => void;
}

/** One person's view. */
export class Household implements AsyncDisposable {
  /** The principal. */
  readonly who: Identity;
  /** The VMs, leases and events. */
  readonly house: House;
  /** The thumbnails. */
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
   * @throws {Fault} why the daemon does not admit it
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

  /** Whether somebody uses it. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Adds a user. */
  hold(): void {
    this.#holds++;
  }

  /** Removes a user. */
  letGo(): void {
    assert(this.#holds > 0, "what is let go of was held");
    this.#holds--;
  }

  /** Opens another connection, which receives MEMCTX. */
  guestClient(): Promise<Client> {
    return this.join({ sources: ["CORE", "MEMCTX"] }, false);
  }

  /** Opens another connection. */
  join(sub: SubscribeOptions, reconnect: ConnectOptions["reconnect"]): Promise<Client> {
    return this.#options.join(this.who, `web ${this.who.name}`, sub, reconnect);
  }

  /** A VM's screen, made when it is first viewed. */
  screen(vm: string): SharedScreen {
    let screen = this.#screens.get(vm);
    if (screen === undefined) {
      screen = new SharedScreen(this.client, vm, (why) => this.#options.onTrouble(vm, why));
      this.#screens.set(vm, screen);
    }
    return screen;
  }

  /** The size of a VM's picture. */
  sizeOf(vm: string): { readonly width: number; readonly height: number } {
    return this.#screens.get(vm)?.size ?? { width: 1, height: 1 };
  }

  /** Leaves the bus. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const screen of this.#screens.values()) await screen[Symbol.asyncDispose]();
    this.#screens.clear();
    await this.thumbnails[Symbol.asyncDispose]();
    await this.client.close().catch((error) => {
      // The daemon is gone already.
      if (!(error instanceof Fault)) throw error;
    });
    await this.house[Symbol.asyncDispose]();
  }
}
