/**
 * The line to a guest's agent: its channel is opened when a command comes, and left again when nobody has
 * asked anything for a while, because QEMU serves one client of it.
 *
 *   closed --(a command)--> opening --(the channel is free)--> open --(nobody for 5 s)--> closed
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { ByteStream, type StreamUser } from "../../core/byte_stream.ts";
import { SendQueue } from "../../core/send_queue.ts";
import { AgentClient, type AgentCommand } from "../../qemu/agent/agent_client.ts";
import type { VmWays } from "../../qemu/monitor/vm_ways.ts";
import type { Channel } from "../channel/channel_listing.ts";
import { findHolder, holderWords } from "../channel/channel_holder.ts";
import { openChannel } from "../channel/open_channel.ts";

const IDLE_NS = 5 * SECOND;
/** Bytes that wait for the agent, beyond which it does not read. */
const MAX_UNSENT = 4 << 20;

/** What the line needs of its adapter. */
export interface AgentLineHost {
  /** The loop. */
  readonly loop: LoopPort;
  /** Who runs the VM; -1 unknown. */
  uid(): number;
  /** Its process; 0 unknown. */
  pid(): number;
  /** What the manager of the VM opens; undefined: nobody manages it. */
  ways(): VmWays | undefined;
  /** Why QEMU cannot be asked now, and what to do; "" when it can. */
  away(): string;
  /**
   * Asks QEMU for the agent's channel as it is now; told once, undefined when there is none, "unknown" when
   * QEMU does not say.
   */
  lookAgain(done: (channel: Channel | "unknown" | undefined) => void): void;
  /** It is open: it wants to be called at other times. */
  onOpened(): void;
}

/** Why a command was not even tried. */
export interface LineRefusal {
  /** The protocol's code. */
  readonly code: Code;
  /** Why, and what to do. */
  readonly why: string;
}

type LineStage =
  | { readonly at: "closed" | "opening" }
  | { readonly at: "open"; readonly stream: ByteStream; readonly client: AgentClient };

interface Waiting {
  readonly command: AgentCommand;
  readonly refused: (refusal: LineRefusal) => void;
}

/** The line. */
export class AgentLine implements StreamUser {
  readonly #host: AgentLineHost;
  #stage: LineStage = { at: "closed" };
  #waiting: Waiting[] = [];
  readonly #unsent = new SendQueue(
    MAX_UNSENT,
    (bytes, offset) => this.#stage.at === "open" ? this.#stage.stream.write(bytes, offset) : 0,
  );
  #lastNs = 0;
  #attempt = 0;

  /** Rests until a command comes. */
  constructor(host: AgentLineHost) {
    this.#host = host;
  }

  /** When {@linkcode tick} is due; NEVER when it is not. */
  get deadlineNs(): number {
    if (this.#stage.at !== "open") return NEVER;
    const { client } = this.#stage;
    return client.isIdle ? this.#lastNs + IDLE_NS : client.deadlineNs;
  }

  /** Sends a command; either its handler is told, or `refused`, once. */
  execute(command: AgentCommand, refused: (refusal: LineRefusal) => void): void {
    this.#lastNs = this.#host.loop.clock.nowNs();
    if (this.#stage.at === "open") return this.#stage.client.execute(command, this.#lastNs);
    this.#waiting.push({ command, refused });
    if (this.#stage.at === "closed") this.#open();
  }

  /** Withdraws commands that may not be sent any more. */
  sweep(): void {
    if (this.#stage.at === "open") this.#stage.client.sweep();
  }

  /** Called at {@linkcode deadlineNs}. */
  tick(nowNs: number): void {
    if (this.#stage.at !== "open") return;
    const { client } = this.#stage;
    client.tick(nowNs);
    if (client.isIdle && this.#lastNs + IDLE_NS <= nowNs) this.close("");
  }

  /** Nobody is at the other end any more: what is under way is answered at once. */
  lost(why: string): void {
    if (this.#stage.at === "open") this.close(why);
  }

  /** Leaves the channel; whoever waits is told. */
  close(why: string): void {
    const stage = this.#stage;
    this.#stage = { at: "closed" };
    this.#attempt++;
    this.#unsent.clear();
    if (stage.at === "open") {
      stage.stream.close();
      stage.client.close();
    }
    this.#refuse({ code: CODE["seam-down"], why });
  }

  /** See {@linkcode StreamUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#lastNs = this.#host.loop.clock.nowNs();
    if (this.#stage.at === "open") this.#stage.client.receive(bytes, this.#lastNs);
  }

  /** See {@linkcode StreamUser}. */
  onRoom(): void {
    this.#unsent.flush();
  }

  /** See {@linkcode StreamUser}. */
  onEnd(why: string): void {
    this.close(why);
  }

  #open(): void {
    assert(this.#stage.at === "closed", "a channel is opened once at a time");
    this.#stage = { at: "opening" };
    const attempt = ++this.#attempt;
    this.#host.lookAgain((channel) => {
      if (attempt !== this.#attempt) return;
      if (channel === "unknown") {
        this.#stage = { at: "closed" };
        return this.#refuse({ code: CODE["seam-down"], why: this.#host.away() });
      }
      const ways = this.#host.ways();
      const refusal = lackOf(channel, ways !== undefined);
      if (refusal?.code === CODE.busy && channel !== undefined) {
        return this.#refuseHeld(attempt, channel, refusal);
      }
      if (refusal !== undefined || channel === undefined) {
        this.#stage = { at: "closed" };
        return this.#refuse(refusal ?? { code: CODE["not-supported"], why: "" });
      }
      const { loop } = this.#host;
      // What a manager of VMs holds is the channel of the agent itself, and QEMU serves one client of it.
      if (ways !== undefined) {
        return ways.openAgent((result) => {
          this.#onOpened(attempt, result.ok ? new ByteStream(result.socket, loop, this, "the VM") : result);
        });
      }
      this.#onOpened(
        attempt,
        openChannel(channel.place, { uid: this.#host.uid(), pid: this.#host.pid(), loop, user: this }),
      );
    });
  }

  /** Another client has it: who that is the kernel tells, to whoever may see it. */
  #refuseHeld(attempt: number, { place }: Channel, refusal: LineRefusal): void {
    findHolder(this.#host.loop, place, this.#host.pid(), (holder) => {
      if (attempt !== this.#attempt) return;
      this.#stage = { at: "closed" };
      this.#refuse(
        holder === undefined ? refusal : { ...refusal, why: holderWords(holder, "the agent's channel") },
      );
    });
  }

  #onOpened(attempt: number, stream: ByteStream | LineRefusal): void {
    if (attempt !== this.#attempt) {
      if (!("code" in stream)) stream.close();
      return;
    }
    assert(this.#stage.at === "opening", "the newest attempt is the one that is under way");
    this.#stage = { at: "closed" };
    if ("code" in stream) return this.#refuse(stream);
    const client = new AgentClient((bytes) => {
      if (!this.#unsent.send(bytes)) this.close("the agent does not read its channel");
    });
    this.#stage = { at: "open", stream, client };
    this.#lastNs = this.#host.loop.clock.nowNs();
    for (const { command } of this.#waiting.splice(0)) client.execute(command, this.#lastNs);
    this.#host.onOpened();
  }

  #refuse(refusal: LineRefusal): void {
    for (const { refused } of this.#waiting.splice(0)) refused(refusal);
  }
}

/**
 * What is in the way of using an agent's channel; undefined when nothing is.
 *
 * @param isManaged whether a manager of the VM is asked, who may hold the channel itself
 */
export function lackOf(channel: Channel | undefined, isManaged = false): LineRefusal | undefined {
  if (channel === undefined) {
    return {
      code: CODE["not-supported"],
      // The options are longer than what goes with a refusal.
      why: "the VM has no channel for a guest agent; vmsig agent --help says how to add one",
    };
  }
  if (!isManaged && channel.place.kind === "unix" && !channel.place.isFree) {
    return { code: CODE.busy, why: "another client has the agent's channel; QEMU serves one at a time" };
  }
  if (!isManaged && channel.place.kind === "other") {
    return { code: CODE["not-supported"], why: channel.place.why };
  }
  if (!channel.isGuestOpen) {
    return {
      code: CODE["seam-down"],
      why: "no agent runs in the guest; install and start qemu-guest-agent there",
    };
  }
  return undefined;
}
