/**
 * A machine's screen as a test sees it. Everything waits by itself until it is there, and looks again only
 * when a new frame has come.
 * @module
 */
import type { ScreenText } from "../display/text/screen_text.ts";
import type { WaitCondition, WaitResult } from "../client/wait_condition.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";
import type { StepOptions } from "./machine_options.ts";
import { type Needle, readNeedle } from "./needle_file.ts";
import type { NeedleMatch } from "./needle_match.ts";
import { pictureFrom } from "./picture_file.ts";

/** How a picture is looked for. */
export interface ImageOptions extends StepOptions {
  /** Look only here. */
  readonly area?: Rectangle;
  /** Mean difference per channel, 0 to 255, that is still a match; 0 unless told. */
  readonly tolerance?: number;
}

/** How a change, or standstill, is looked for. */
export interface AreaOptions extends StepOptions {
  /** Look only here. */
  readonly area?: Rectangle;
}

/** What the screen needs of its machine. */
export interface ScreenOwner {
  /** Waits for a condition, and leaves evidence when it does not come. */
  wait(condition: WaitCondition, options?: StepOptions): Promise<WaitResult>;
  /** Waits for one of several needles. */
  needle(needles: readonly Needle[], options?: StepOptions): Promise<NeedleMatch>;
  /** The screen as of now. */
  picture(options?: StepOptions): Promise<Picture>;
  /** The text on it as of now. */
  screenText(options?: StepOptions): Promise<ScreenText>;
}

/** A machine's screen. */
export class MachineScreen {
  readonly #owner: ScreenOwner;

  /** Made by `Machine`. */
  constructor(owner: ScreenOwner) {
    this.#owner = owner;
  }

  /**
   * Waits for a text on the screen.
   *
   * @param wanted a text as it stands, or an expression over all lines, which end with "\n"
   * @throws {MachineFault} `timed-out`, with what the screen showed instead
   */
  async text(
    wanted: RegExp | string,
    options: StepOptions = {},
  ): Promise<Extract<WaitResult, { what: "text" }>> {
    const text = typeof wanted === "string" ? new RegExp(escaped(wanted)) : wanted;
    return await this.#owner.wait({ text }, options) as Extract<WaitResult, { what: "text" }>;
  }

  /**
   * Waits for a picture on the screen.
   *
   * @param wanted pixels, or the path of a PNG file; transparent pixels match anything
   * @throws {MachineFault} `timed-out`; `bad-argument` for a file that is not a PNG
   */
  async image(
    wanted: Picture | string,
    { area, tolerance, ...options }: ImageOptions = {},
  ): Promise<Extract<WaitResult, { what: "image" }>> {
    const image = await pictureFrom(wanted);
    const condition = {
      image,
      ...(area === undefined ? {} : { area }),
      ...(tolerance === undefined ? {} : { tolerance }),
    };
    return await this.#owner.wait(condition, options) as Extract<WaitResult, { what: "image" }>;
  }

  /**
   * Waits for one of several needles of openQA's.
   *
   * @param wanted needles, or the paths of their files
   * @returns where it is, and what else was looked for
   * @throws {MachineFault} `timed-out`, with how alike the best of them was; `bad-argument` for a broken one
   */
  async needle(
    wanted: Needle | string | readonly (Needle | string)[],
    options: StepOptions = {},
  ): Promise<NeedleMatch> {
    const list = Array.isArray(wanted) ? wanted as readonly (Needle | string)[] : [wanted as Needle | string];
    const needles = await Promise.all(list.map((one) => typeof one === "string" ? readNeedle(one) : one));
    return await this.#owner.needle(needles, options);
  }

  /** Waits until the screen, or a part of it, has not changed for so many ms; 1000 unless told. */
  async still(stillMs = 1000, { area, ...options }: AreaOptions = {}): Promise<void> {
    await this.#owner.wait({ stillMs, ...(area === undefined ? {} : { area }) }, options);
  }

  /** Waits until the screen, or a part of it, changes; tells where. */
  async change({ area, ...options }: AreaOptions = {}): Promise<Extract<WaitResult, { what: "change" }>> {
    const condition = { change: true, ...(area === undefined ? {} : { area }) } as const;
    return await this.#owner.wait(condition, options) as Extract<WaitResult, { what: "change" }>;
  }

  /** The lines on the screen as of now, without waiting for anything. */
  async lines(options: StepOptions = {}): Promise<readonly string[]> {
    return (await this.#owner.screenText(options)).lines;
  }

  /** The screen's pixels as of now. */
  async picture(options: StepOptions = {}): Promise<Picture> {
    return await this.#owner.picture(options);
  }
}

/** An expression that matches a text as it stands. */
function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
