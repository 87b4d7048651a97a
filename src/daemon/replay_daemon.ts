/**
 * A daemon for one recording: a real core with a real control socket, whose endpoints play what was recorded.
 * It starts when the first control has joined, which thus misses nothing, and ends when everything has been
 * played and delivered.
 *
 * It runs on the program's own thread and yields between turns, since it serves a test and not a host.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { OsError } from "../../ffi/os_error.ts";
import { ReplaySeam } from "../adapters/replay/replay_seam.ts";
import { FrameRing } from "../controls/perception/frame_ring.ts";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MS } from "../base/clock.ts";
import { CODE } from "../base/codes.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { DEFAULT_MAX_CONTROLS, DEFAULT_QUEUE_EVENTS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { RecordedEvent } from "../event/recording.ts";
import { SOURCE } from "../event/source.ts";
import type { TimerHandler } from "../core/adapter_port.ts";
import { compose, type Composition, disposeBus } from "./composition.ts";
import { ControlSocketFile } from "./control_socket_file.ts";
import type { ReplayEndpoint, ReplayPlan } from "./replay_plan.ts";

const BURST = 64;
/** Time limit for delivering the last events, after which the control is taken not to read. */
const LINGER_MS = 200;

/** The options of a replay. */
export interface ReplayOptions {
  /** The recording. */
  readonly plan: ReplayPlan;
  /** The control socket's path. */
  readonly socketPath: string;
  /** Speed: 1 = as recorded, 2 = twice as fast, 0 = without pauses. */
  readonly speed: number;
  /** The recording's folder, which contains its copies of memory; omitted: the current one. */
  readonly folder?: string;
  /** Whether to keep serving after the end, until the signal aborts. */
  readonly stays?: boolean;
  /** Logs what goes wrong. */
  readonly log: Log;
  /** Aborts the replay. */
  readonly signal: AbortSignal;
  /** Called when the socket listens. */
  readonly onReady: () => void;
  /** Called when an event could not be played. */
  readonly onUnplayed?: (event: RecordedEvent, why: "endpoint" | "damaged") => void;
}

/**
 * Replays; resolves when everything is played or the signal aborts.
 *
 * @returns the number of events played
 * @throws {Fault} when the socket cannot be made
 */
export async function replay(options: ReplayOptions): Promise<number> {
  using daemon = new ReplayDaemon(options);
  return await daemon.run();
}

class ReplayDaemon implements Disposable, TimerHandler {
  readonly #options: ReplayOptions;
  readonly #bus: Composition<ControlSocketFile>;
  readonly #seams = new Map<string, ReplaySeam>();
  #state: "waiting" | "playing" | "played" = "waiting";
  #beganNs = 0;
  #next = 0;
  #played = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    const { socketPath, log } = options;
    this.#bus = compose({
      rules: [],
      clock: monotonicClock,
      log,
      maxControls: DEFAULT_MAX_CONTROLS,
      queueEvents: DEFAULT_QUEUE_EVENTS,
      loop: {},
      listen: (admitsOthers) => new ControlSocketFile(socketPath, admitsOthers, log),
    });
  }

  async run(): Promise<number> {
    const { plan, signal, onReady } = this.#options;
    for (const endpoint of plan.endpoints) this.#attach(endpoint);
    onReady();
    const { loop, listener } = this.#bus;
    try {
      await loop.runYielding(() => {
        if (signal.aborted) loop.stop();
        else if (this.#state === "waiting" && listener.controls.size > 0) this.#begin();
      });
    } finally {
      this.#bus.core.audit.writeLines();
    }
    return this.#played;
  }

  /** Plays the events that are due. */
  onTimer(nowNs: number): void {
    assert(this.#state === "playing", "steps are due only while it plays");
    const { plan, speed } = this.#options;
    const { loop } = this.#bus;
    for (let burst = 0; burst < BURST; burst++) {
      const step = plan.steps[this.#next];
      if (step === undefined) {
        this.#state = "played";
        if (this.#options.stays !== true) loop.arm({ onTimer: () => loop.stop() }, nowNs + LINGER_MS * MS);
        return;
      }
      const dueNs = speed === 0 ? 0 : this.#beganNs + step.dueNs / speed;
      if (dueNs > nowNs) {
        loop.arm(this, dueNs);
        return;
      }
      this.#next++;
      this.#play(step.event);
    }
    loop.arm(this, nowNs + 1);
  }

  #play(event: RecordedEvent): void {
    const { onUnplayed, log } = this.#options;
    const seam = this.#seams.get(`${event.endpoint} ${event.source}`);
    if (seam === undefined) return onUnplayed?.(event, "endpoint");
    try {
      if (seam.play(event)) {
        this.#played++;
        return;
      }
    } catch (error) {
      // A missing copy of memory, or no memory for a ring: the rest can be played all the same.
      if (!(error instanceof Fault || error instanceof OsError)) throw error;
      log.warn(`cannot play an event: ${messageOf(error)}`);
    }
    onUnplayed?.(event, "damaged");
  }

  [Symbol.dispose](): void {
    const { loop, core, roster, listener, listening } = this.#bus;
    listener.close();
    for (const name of roster.names()) roster.detach(name, "shutting-down");
    // The reason why it ends, for controls that would otherwise report a lost daemon.
    const [code, text] = this.#state === "played"
      ? [CODE.ok, "the recording was played to its end"] as const
      : [CODE["shutting-down"], "the replay was stopped"] as const;
    for (const { id } of listener.controls.values()) {
      const event = core.bus.errorEvent(SOURCE.CORE, NO_ENDPOINT, code, 0, text);
      event.origin = id;
      core.bus.up(event);
    }
    core.turn(loop.clock.nowNs());
    for (const slot of [...core.fanOut.controls.values()]) core.leave(slot, "the replay is over");
    while (core.fanOut.controls.size > 0) loop.turn(0);
    listening.close();
    disposeBus(this.#bus);
    loop[Symbol.dispose]();
  }

  #begin(): void {
    assert(this.#state === "waiting", "a recording begins once");
    this.#state = "playing";
    const { loop } = this.#bus;
    this.#beganNs = loop.clock.nowNs();
    loop.arm(this, this.#beganNs);
  }

  #attach({ recorded, name, vmid, seams, heads, consoles }: ReplayEndpoint): void {
    const { folder = "." } = this.#options;
    const makeRing = (bytes: number) => FrameRing.create(bytes, Deno.pid);
    const adapters = [...seams].map(([source, isUpAtOpen]) =>
      new ReplaySeam({ source, isUpAtOpen, heads, consoles, makeRing, folder })
    );
    const outcome = this.#bus.roster.attach({ name, vmid, make: () => adapters });
    if (!outcome.ok) return this.#options.log.error(`cannot attach ${name}: ${outcome.reason}`);
    for (const seam of adapters) this.#seams.set(`${recorded} ${seam.source}`, seam);
  }
}
