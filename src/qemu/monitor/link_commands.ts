/**
 * The commands that a link's users send while the monitor is up, and the limit on events from QEMU. Commands
 * in flight are managed by the conversation (protocol/qmp_client.ts).
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import { assert } from "../../base/assert.ts";
import { type Clock, NEVER } from "../../base/clock.ts";
import { EventGauge } from "../protocol/event_gauge.ts";
import type { QmpClient, QmpReplyHandler } from "../protocol/qmp_client.ts";
import type { QmpCommandOptions } from "./link_options.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import { SentDescriptors } from "./sent_descriptors.ts";

const NO_FDS: readonly number[] = [];

/** The commands of one link. */
export class LinkCommands {
  readonly #transport: QmpTransport;
  readonly #clock: Clock;
  readonly #clientWhileUp: () => QmpClient | undefined;
  readonly #onFault: (error: unknown) => void;
  #gauge = new EventGauge();

  /**
   * Starts without commands.
   *
   * @param clientWhileUp the conversation; undefined while the link is down
   * @param onFault called when the connection is no longer usable
   */
  constructor(
    transport: QmpTransport,
    clock: Clock,
    clientWhileUp: () => QmpClient | undefined,
    onFault: (error: unknown) => void,
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#clientWhileUp = clientWhileUp;
    this.#onFault = onFault;
  }

  /** The monitor has come up: counting starts again. */
  comeUp(): void {
    assert(this.#clientWhileUp() !== undefined, "a monitor that is up has a conversation");
    this.#gauge = new EventGauge();
  }

  /** Counts an event. False: there are more than a healthy QEMU sends. */
  admitsEvent(name: string, nowNs: number): boolean {
    return this.#gauge.admits(name, nowNs);
  }

  /**
   * Sends a command, as described for the link's `execute`.
   *
   * @returns the deadline of its reply; {@linkcode NEVER} if there is none
   */
  execute(
    command: string,
    args: object | undefined,
    handler: QmpReplyHandler,
    { tag = 0, timeoutNs, fds = NO_FDS }: QmpCommandOptions,
  ): number {
    const client = this.#clientWhileUp();
    if (client === undefined) {
      handler({ outcome: "unsent" }, tag);
      return NEVER;
    }
    if (fds.length > 0 && !this.#transport.passesDescriptors) {
      // That a VM's monitor cannot do this is not the caller's mistake: it is reported like a refusal of
      // QEMU.
      const errorText = `${this.#transport.name} passes no descriptors, only a unix socket does; ` +
        "give the VM one (-qmp unix:PATH,server=on,wait=off)";
      handler({ outcome: "error", errorClass: "GenericError", errorText }, tag);
      return NEVER;
    }
    const descriptors = fds.length === 0 ? null : SentDescriptors.copyFor(this.#transport, fds);
    this.#gauge.noteCommand(command);
    const deadlineNs = this.#clock.nowNs() + timeoutNs;
    try {
      client.execute(command, args, handler, { tag, deadlineNs, descriptors });
    } catch (error) {
      // The kernel accepts no more descriptors (ETOOMANYREFS): only the client still considers the command in
      // flight.
      if (!(error instanceof OsError)) throw error;
      this.#onFault(error);
    }
    return deadlineNs;
  }
}
