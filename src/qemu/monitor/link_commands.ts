/**
 * The commands that a link's users send while the monitor is up, and how many events QEMU may send for them.
 * What is under way is the conversation's (protocol/qmp_client.ts).
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
   * Makes them.
   *
   * @param clientWhileUp the conversation; undefined while commands do not reach QEMU
   * @param onFault told when the connection is of no more use
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

  /** The monitor has come up: what was counted before does not count. */
  comeUp(): void {
    assert(this.#clientWhileUp() !== undefined, "a monitor that is up has a conversation");
    this.#gauge = new EventGauge();
  }

  /** Takes an event. False: there are more than can be meant. */
  admitsEvent(name: string, nowNs: number): boolean {
    return this.#gauge.admits(name, nowNs);
  }

  /**
   * Sends a command, as the link's `execute` says.
   *
   * @returns until when it waits for its reply; {@linkcode NEVER} when it waits for none
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
      // Which monitor a VM has is not a defect of who asks: it is told as QEMU's own refusals are.
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
      // The kernel takes no more descriptors (ETOOMANYREFS): the command is in flight for the client only.
      if (!(error instanceof OsError)) throw error;
      this.#onFault(error);
    }
    return deadlineNs;
  }
}
