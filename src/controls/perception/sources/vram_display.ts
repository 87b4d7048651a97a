/**
 * The picture of a std VGA's head: out of its memory while that is a linear picture, by screendumps while it
 * is not. One source to whoever runs it; only one of its two halves paints at a time.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import { type Clock, NEVER } from "../../../base/clock.ts";
import { CODE } from "../../../base/codes.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import type { DisplaySource } from "../../../display/display_source.ts";
import type { ScreendumpSource } from "../../../display/screendump/screendump_source.ts";
import type { DisplayMode } from "../../../display/vga/display_mode.ts";
import type { VideoMemory } from "../../../display/vga/video_memory.ts";
import { VramSource } from "../../../display/vga/vram_source.ts";
import { openScreendump } from "./screendump_row.ts";
import type { SourceContext } from "./source_row.ts";
import { readRegistersBody } from "./vga_answers.ts";

/** Both halves. */
export class VramDisplay implements DisplaySource {
  readonly kind = "vram" as const;
  readonly fd: number = -1;
  readonly events: number = 0;
  readonly #context: SourceContext;
  readonly #vram: VramSource;
  readonly #clock: Clock;
  /** Made when the mode is not linear for the first time. */
  #dump: ScreendumpSource | undefined;
  #isLinear = true;
  #perSecond = 0;

  /** A source that does nothing yet; it owns the memory. */
  constructor(context: SourceContext, memory: VideoMemory, isVga: boolean, clock: Clock) {
    this.#context = context;
    this.#clock = clock;
    const { canvas, listener } = context;
    this.#vram = new VramSource(memory, canvas, {
      onLost: (code, why) => listener.onLost(code, why),
      onPicture: () => listener.onPicture(),
      onMode: (mode) => this.#onMode(mode),
      onNoPicture: () => this.#dumpOnce(),
      askMode: () => this.#askMode(),
    }, { isVga });
  }

  /** The half that reads memory: what it knows of the card serves texts, too. */
  get vram(): VramSource {
    return this.#vram;
  }

  get nextNs(): number {
    return Math.min(this.#vram.nextNs, this.#dump?.nextNs ?? NEVER);
  }

  step(nowNs: number): void {
    if (nowNs >= this.#vram.nextNs) this.#vram.step(nowNs);
    if (this.#dump !== undefined && nowNs >= this.#dump.nextNs) this.#dump.step(nowNs);
  }

  demand(perSecond: number): void {
    this.#perSecond = perSecond;
    this.#vram.demand(perSecond);
    this.#dump?.demand(this.#isLinear ? 0 : perSecond);
  }

  once(): void {
    this.#vram.once();
  }

  /** Ends both halves, and gives the memory back. */
  [Symbol.dispose](): void {
    this.#vram[Symbol.dispose]();
    this.#dump?.[Symbol.dispose]();
  }

  #onMode(mode: DisplayMode): void {
    this.#isLinear = mode.kind === "linear";
    this.#context.paintsAs(this.#isLinear ? FRAME_SOURCE.VRAM : FRAME_SOURCE.SCREENDUMP);
    if (!this.#isLinear) this.#dumps().demand(this.#perSecond);
    else this.#dump?.demand(0);
  }

  #dumpOnce(): void {
    assert(!this.#isLinear, "a linear picture is in memory");
    this.#dumps().once();
  }

  #dumps(): ScreendumpSource {
    this.#dump ??= openScreendump(this.#context);
    return this.#dump;
  }

  #askMode(): void {
    this.#context.ask({ op: DISPLAY_OP.VGA, serial: 1 }, ({ code, body }) => {
      const registers = code === CODE.ok ? readRegistersBody(body) : undefined;
      this.#vram.onRegisters(registers, this.#clock.nowNs());
      this.#context.onChanged();
    });
  }
}
