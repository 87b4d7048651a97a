/**
 * A daemon for one recording: a real core with a real control socket, whose endpoints play what was recorded.
 * It begins when the first control has joined, so that this one misses nothing, and ends when all is played
 * and delivered.
 *
 * It runs on the program's own thread and yields between turns, for it serves a test and not a host.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { listenUnix, SOCKET, unlinkSocket } from "../../ffi/unix_socket.ts";
import { ReplaySeam } from "../adapters/replay/replay_seam.ts";
import { DEFAULT_MAX_CONTROLS, DEFAULT_QUEUE_EVENTS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { SocketListener } from "../controls/socket/socket_listener.ts";
import type { RecordedEvent } from "../event/recording.ts";
import type { TimerHandler } from "../core/adapter_port.ts";
import { Core } from "../core/core.ts";
import { Loop } from "../core/loop.ts";
import { Roster } from "../roster/roster.ts";
import { PeerAdmission } from "./peer_admission.ts";
import type { ReplayEndpoint, ReplayPlan } from "./replay_plan.ts";

const BURST = 64;
/** What was played last is delivered within this time, or its control does not read. */
const LINGER_MS = 200;

/** How to replay. */
export interface ReplayOptions {
  /** What is played. */
  readonly plan: ReplayPlan;
  /** Where it listens. */
  readonly socketPath: string;
  /** 1: as recorded, 2: twice as fast, 0: without any pause. */
  readonly speed: number;
  /** For what goes wrong on the way. */
  readonly log: Log;
  /** Ends it early. */
  readonly signal: AbortSignal;
  /** The socket listens. */
  readonly onReady: () => void;
  /** An event was due whose endpoint could not be attached; it does not count as played. */
  readonly onUnplayed?: (event: RecordedEvent) => void;
}

/**
 * Replays, and resolves when all is played or the signal aborts.
 *
 * @returns how many events were played
 * @throws {Fault} when the socket cannot be had
 */
export async function replay(options: ReplayOptions): Promise<number> {
  using daemon = new ReplayDaemon(options);
  return await daemon.run();
}

class ReplayDaemon implements Disposable, TimerHandler {
  readonly #options: ReplayOptions;
  readonly #listening;
  readonly #loop: Loop;
  readonly #core: Core;
  readonly #roster: Roster;
  readonly #listener: SocketListener;
  readonly #seams = new Map<string, ReplaySeam>();
  #beganNs = 0;
  #next = 0;
  #played = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    const { socketPath, log } = options;
    const admission = new PeerAdmission({
      rules: [],
      ownUid: Deno.uid() ?? -1,
      clock: monotonicClock,
      maxControls: DEFAULT_MAX_CONTROLS,
      idOf: (name) => this.#roster.idOf(name),
    });
    this.#listening = listenUnix(socketPath, SOCKET.SEQPACKET);
    this.#loop = new Loop({ clock: monotonicClock, log });
    this.#core = new Core({ loop: this.#loop, log });
    this.#loop.setHook(this.#core);
    this.#roster = new Roster(this.#core, log, () => {});
    this.#listener = new SocketListener({
      listener: this.#listening,
      core: this.#core,
      loop: this.#loop,
      log,
      admission,
      maxControls: DEFAULT_MAX_CONTROLS,
      queueEvents: DEFAULT_QUEUE_EVENTS,
    });
  }

  async run(): Promise<number> {
    const { plan, signal, onReady } = this.#options;
    for (const endpoint of plan.endpoints) this.#attach(endpoint);
    onReady();
    await this.#loop.runYielding(() => {
      if (signal.aborted) this.#loop.stop();
      else if (this.#beganNs === 0 && this.#listener.controls.size > 0) this.#begin();
    });
    return this.#played;
  }

  /** Plays what is due. */
  onTimer(nowNs: number): void {
    const { plan, speed } = this.#options;
    for (let burst = 0; burst < BURST; burst++) {
      const step = plan.steps[this.#next];
      if (step === undefined) {
        const linger = { onTimer: () => this.#loop.stop() };
        this.#loop.arm(linger, nowNs + LINGER_MS * 1_000_000);
        return;
      }
      const dueNs = speed === 0 ? 0 : this.#beganNs + step.dueNs / speed;
      if (dueNs > nowNs) {
        this.#loop.arm(this, dueNs);
        return;
      }
      this.#next++;
      const seam = this.#seams.get(`${step.event.endpoint} ${step.event.source}`);
      if (seam === undefined) this.#options.onUnplayed?.(step.event);
      else {
        seam.play(step.event);
        this.#played++;
      }
    }
    this.#loop.arm(this, nowNs + 1);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const name of this.#roster.names()) this.#roster.detach(name, "shutting-down");
    this.#core.turn(this.#loop.clock.nowNs());
    for (const slot of [...this.#core.fanOut.controls.values()]) this.#core.leave(slot, "the replay is over");
    while (this.#core.fanOut.controls.size > 0) this.#loop.turn(0);
    unlinkSocket(this.#options.socketPath);
    this.#listening.close();
    this.#listener.dispose();
    this.#core.dispose();
    this.#loop[Symbol.dispose]();
  }

  #begin(): void {
    this.#beganNs = this.#loop.clock.nowNs();
    this.#loop.arm(this, this.#beganNs);
  }

  #attach({ recorded, name, vmid, seams }: ReplayEndpoint): void {
    const adapters = [...seams].map(([source, isUp]) => new ReplaySeam(source, isUp));
    const outcome = this.#roster.attach({ name, vmid, make: () => adapters });
    if (!outcome.ok) return this.#options.log.error(`cannot attach ${name}: ${outcome.reason}`);
    for (const seam of adapters) this.#seams.set(`${recorded} ${seam.source}`, seam);
  }
}
