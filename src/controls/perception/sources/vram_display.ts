/**
 * The picture of a std VGA's head: out of its memory while that is a linear picture or text, by screendumps
 * while it is not. To the head it is one source; only one of its two halves paints at a time.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import { type Clock, NEVER } from "../../../base/clock.ts";
import { CODE } from "../../../base/codes.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import type { DisplaySource } from "../../../display/display_source.ts";
import type { ScreendumpSource } from "../../../display/screendump/screendump_source.ts";
import type { ScreenText } from "../../../display/text/screen_text.ts";
import { VgaTextReader } from "../../../display/text/vga_text.ts";
import type { DisplayMode } from "../../../display/vga/display_mode.ts";
import type { VideoMemory } from "../../../display/vga/video_memory.ts";
import { type VramOptions, VramSource } from "../../../display/vga/vram_source.ts";
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
  readonly #memory: VideoMemory;
  readonly #text = new VgaTextReader();
  /** Made when the mode is not linear for the first time. */
  #dump: ScreendumpSource | undefined;
  #isShown = true;
  #perSecond = 0;

  /** A source that does nothing yet; it owns the memory. */
  constructor(context: SourceContext, memory: VideoMemory, card: VramOptions, clock: Clock) {
    this.#context = context;
    this.#clock = clock;
    this.#memory = memory;
    const { canvas, listener } = context;
    this.#vram = new VramSource(memory, canvas, {
      onLost: (code, why) => listener.onLost(code, why),
      onPicture: () => listener.onPicture(),
      onMode: (mode) => this.#onMode(mode),
      onNoPicture: () => this.#dumpOnce(),
      askMode: () => this.#askMode(),
    }, card);
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
    this.#dump?.demand(this.#isShown ? 0 : perSecond);
  }

  once(): void {
    this.#vram.once();
  }

  /** In a text mode straight out of video memory: a millisecond, and no picture. */
  readText(): ScreenText | undefined {
    const registers = this.#vram.readsRegisters ? this.#vram.registers() : undefined;
    return registers === undefined ? undefined : this.#text.read(this.#memory, registers);
  }

  /** Ends both halves, and gives the memory back. */
  [Symbol.dispose](): void {
    this.#vram[Symbol.dispose]();
    this.#dump?.[Symbol.dispose]();
  }

  #onMode(mode: DisplayMode): void {
    this.#isShown = mode.kind === "linear" || mode.kind === "text";
    this.#context.paintsAs(this.#isShown ? FRAME_SOURCE.VRAM : FRAME_SOURCE.SCREENDUMP);
    if (!this.#isShown) this.#dumps().demand(this.#perSecond);
    else this.#dump?.demand(0);
  }

  #dumpOnce(): void {
    assert(!this.#isShown, "a picture that is in memory is taken from there");
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
