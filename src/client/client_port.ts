/**
 * What the objects made by a client (a console, a guest agent) need of it. The client implements it; the
 * objects do not depend on the client's class.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { Fault } from "../base/fault.ts";
import type { Kind } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import type { Lease, LeaseClassName } from "./lease.ts";
import type { EndpointRef, RosterView } from "./roster_view.ts";
import type { CommandOptions } from "./command_options.ts";

/** A client, as seen by the objects that it makes. */
export interface ClientPort {
  /** The roster as far as it has arrived. */
  readonly roster: RosterView;
  /** Why the connection ended; undefined while it lives. */
  readonly fault: Fault | undefined;
  /** An endpoint's number. */
  endpoint(ref: EndpointRef): Promise<EndpointId>;
  /** Acquires a lease; see Client. */
  acquire(ref: EndpointRef, className: LeaseClassName, options?: CommandOptions): Promise<Lease>;
  /** Sends a command and awaits its answer; see Client. */
  command(
    kind: Kind,
    endpoint: EndpointId,
    what: string,
    fill: (event: TransferEvent) => void,
    options?: CommandOptions,
  ): Promise<ClientEvent>;
}
