/**
 * What a channel is made of, how it may be tuned, and how its waits end.
 * @module
 */
import { type Clock, MS } from "../base/clock.ts";
import type { ChannelLink } from "./channel_link.ts";
import type { RegionHeader } from "./region_header.ts";
import type { Role } from "./region_layout.ts";
import type { SharedRegion } from "./shared_region.ts";

/** How a wait ended: what was waited for is there; the time is over; the other end is going or gone. */
export type WaitOutcome = "ready" | "timed-out" | "closed";
/** What can be waited for; "any" is a message, or the room that a prepare() was refused. */
export type WaitFor = "receive" | "send" | "any" | "control";

/** How a channel behaves towards its user. */
export interface ChannelTuning {
  /** How long a wait looks before it sleeps, in fast-receive mode, ns. */
  readonly spinNs?: number;
  /** Whether waits learn to look first where answers come at once (spin_policy.ts). True unless told. */
  readonly learnsToSpin?: boolean;
}

/** What a channel is made of. */
export interface ChannelParts {
  /** Which end we are. */
  readonly role: Role;
  /** The memory. */
  readonly region: SharedRegion;
  /** Its head, laid out and checked. */
  readonly header: RegionHeader;
  /** Order of the ring from the listener to the connector. */
  readonly prodOrder: number;
  /** Order of the other one. */
  readonly consOrder: number;
  /** The generation that both ends agreed on. */
  readonly generation: number;
  /** The transport. */
  readonly link: ChannelLink;
  /** The time. */
  readonly clock: Clock;
  /** How it behaves. */
  readonly tuning?: ChannelTuning;
}

/** A sleep is looked up from at least this often, for what nobody rings for. */
export const SLICE_NS: number = 100 * MS;
