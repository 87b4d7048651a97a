/**
 * The keyboard and mouse of one endpoint: the input lease and the input sent under it. Every frame is
 * confirmed by the daemon; text and drags keep a few frames in flight, and stop at the first that is refused.
 * @module
 */
import { KIND } from "../event/kind.ts";
import { parseChord, pressRecords, releaseRecords } from "./chord.ts";
import type { Client } from "./client.ts";
import { buttonRecord, type InputRecord, scrollRecord, writeInputFrame } from "./input_record.ts";
import type { Lease } from "./lease.ts";
import {
  type ButtonName,
  BUTTONS,
  clickFrames,
  clickFramesAt,
  moveFrame,
  type Point,
  pointsBetween,
} from "./mouse_frames.ts";
import type { CommandOptions } from "./session.ts";
import { framesOfText } from "./us_layout.ts";

/** Frames that may await their acknowledgement. */
export const FRAMES_IN_FLIGHT = 8;

/** Options of a drag. */
export interface DragOptions {
  /** Number of intermediate steps; 16 by default. */
  readonly steps?: number;
  /** The button; left by default. */
  readonly button?: ButtonName;
  /** Duration of the drag, ms; by default as fast as the VM confirms. */
  readonly durationMs?: number;
}

/**
 * Input under a lease. Made by `takeInput`.
 *
 * @example
 * ```ts
 * await using input = await takeInput(client, "web");
 * await input.key("ctrl-alt-f2");
 * await input.type("root\n");
 * ```
 */
export class InputControl implements AsyncDisposable {
  /** The lease that it owns. */
  readonly lease: Lease;
  readonly #client: Client;
  readonly #options: CommandOptions;

  /**
   * Sends input under a lease that is already owned; the lease is released with this object.
   *
   * @param options for every frame
   */
  constructor(client: Client, lease: Lease, options: CommandOptions = {}) {
    this.#client = client;
    this.lease = lease;
    this.#options = { ...options, token: lease.token };
  }

  /** Sends one atomic frame and waits for its acknowledgement. */
  async frame(records: readonly InputRecord[]): Promise<void> {
    const what = `send input to ${this.#client.roster.nameOf(this.lease.endpoint)}`;
    await this.#client.command(KIND.CMD_INPUT, this.lease.endpoint, what, (event) => {
      writeInputFrame(event, records);
    }, this.#options);
  }

  /**
   * Sends frames in order, up to {@linkcode FRAMES_IN_FLIGHT} at once. Throws the fault of the first refused
   * one; none is sent after it.
   */
  async frames(all: readonly (readonly InputRecord[])[]): Promise<void> {
    const flying = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    for (const records of all) {
      while (flying.size >= FRAMES_IN_FLIGHT) await Promise.race(flying);
      if (failure !== undefined) break;
      const sent: Promise<void> = this.frame(records)
        .catch((error) => {
          failure ??= { error };
        })
        .finally(() => flying.delete(sent));
      flying.add(sent);
    }
    await Promise.all(flying);
    if (failure !== undefined) throw failure.error;
  }

  /**
   * Presses a chord and releases it, the last key first.
   *
   * @param chord "ctrl-alt-delete"; see `chord.ts`
   * @param holdMs how long it stays down, ms; by default 0: one frame
   */
  async key(chord: string, holdMs = 0): Promise<void> {
    const codes = parseChord(chord);
    if (holdMs <= 0) return await this.frame([...pressRecords(codes), ...releaseRecords(codes)]);
    await this.#around(pressRecords(codes), releaseRecords(codes), () => this.wait(holdMs));
  }

  /**
   * Types text on a given keyboard layout, which must be the guest's.
   *
   * @param layout "us", "de", "fr", …; see `keyboard_layout.ts`
   * @throws {Fault} `bad-argument` before anything is sent, when a character is not on the layout
   */
  async type(text: string, layout = "us"): Promise<void> {
    const framesOf = await typingOn(layout);
    await this.frames(framesOf(text));
  }

  /** Moves the pointer; coordinates from 0 to 0x7FFF on each axis. */
  async move(x: number, y: number): Promise<void> {
    await this.frame(moveFrame({ x, y }));
  }

  /** Presses a button and releases it. */
  async click(button: ButtonName = "left"): Promise<void> {
    await this.frames(clickFrames(button));
  }

  /**
   * Moves the pointer to a point and clicks there.
   *
   * @param count 2 for a double click
   */
  async clickAt(at: Point, button: ButtonName = "left", count = 1): Promise<void> {
    await this.frames(clickFramesAt(at, button, count));
  }

  /** Presses a button. It is released with the lease at the latest. */
  async down(button: ButtonName = "left"): Promise<void> {
    await this.frame([buttonRecord(BUTTONS[button], true)]);
  }

  /** Releases a button. */
  async up(button: ButtonName = "left"): Promise<void> {
    await this.frame([buttonRecord(BUTTONS[button], false)]);
  }

  /**
   * Turns the wheel by notches: up, or down when negative. `axis` 1 is the horizontal one: right, or left
   * when negative.
   */
  async scroll(notches: number, axis = 0): Promise<void> {
    await this.frame([scrollRecord(axis, notches)]);
  }

  /** Drags from one point to another. The button is released even if a step is refused. */
  async drag(from: Point, to: Point, options: DragOptions = {}): Promise<void> {
    const { steps = 16, button = "left", durationMs = 0 } = options;
    const way = pointsBetween(from, to, Math.max(1, steps)).map(moveFrame);
    await this.frame(moveFrame(from));
    const press = [buttonRecord(BUTTONS[button], true)];
    await this.#around(press, [buttonRecord(BUTTONS[button], false)], async () => {
      if (durationMs <= 0) return await this.frames(way);
      for (const step of way) {
        await this.frame(step);
        await this.wait(durationMs / way.length);
      }
    });
  }

  /** Keeps a chord down while `during` runs. */
  async hold(chord: string, during: () => Promise<void>): Promise<void> {
    const codes = parseChord(chord);
    await this.#around(pressRecords(codes), releaseRecords(codes), during);
  }

  /** Releases the lease; the guest's held keys and buttons are released first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.lease.release();
  }

  async #around(
    before: readonly InputRecord[],
    after: readonly InputRecord[],
    during: () => Promise<void>,
  ): Promise<void> {
    await this.frame(before);
    try {
      await during();
    } finally {
      // Without the lease nothing needs to be undone: the daemon has released what was held. The signal must
      // not stop this release.
      if (this.lease.owned) await new InputControl(this.#client, this.lease).frame(after);
    }
  }

  /**
   * Waits, or returns earlier when the lease is lost or the signal aborts, which the next frame then reports.
   */
  async wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const signals = [this.lease.signal, this.#options.signal].filter((signal) => signal !== undefined);
    const timer = setTimeout(resolve, ms);
    const done = () => resolve();
    for (const signal of signals) {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", done, { once: true });
    }
    await promise;
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener("abort", done);
  }
}

/**
 * Returns the function that turns text into frames for a keyboard layout; layouts other than the US one are
 * loaded on demand. The function throws `bad-argument` for an unknown layout, or for a character that is not
 * on it.
 */
export async function typingOn(layout: string): Promise<(text: string) => InputRecord[][]> {
  if (layout === "us") return framesOfText;
  const { keyboardLayout } = await import("./keyboard_layout.ts");
  return (text) => keyboardLayout(layout).framesOfText(text);
}

/**
 * Acquires the input lease of an endpoint and returns its keyboard and mouse.
 *
 * @param options for the lease and for every frame
 * @throws {Fault} as `Client.acquire`
 */
export async function takeInput(
  client: Client,
  ref: string | number,
  options: CommandOptions & { readonly ttlMs?: number } = {},
): Promise<InputControl> {
  const lease = await client.acquire(ref, "input", options);
  return new InputControl(client, lease, options);
}
