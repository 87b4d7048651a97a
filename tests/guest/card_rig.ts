/**
 * The vram source on a card of a real VM, with a canvas in memory, for tests: who asks the monitor for it.
 * @module
 */
import { assert } from "@std/assert";
import { monotonicClock } from "../../ffi/clock.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import type { GlyphFrame } from "../../src/display/text/glyph_cell.ts";
import type { DisplayMode } from "../../src/display/vga/display_mode.ts";
import {
  type DisplayCard,
  parseDisplayCards,
  parseHostPlace,
  parseRegisters,
  registersCommand,
} from "../../src/display/vga/monitor_texts.ts";
import { wideningOf } from "../../src/display/vga/pixel_rows.ts";
import { VideoMemory, type VideoMemoryPlace } from "../../src/display/vga/video_memory.ts";
import { type VramOptions, VramSource } from "../../src/display/vga/vram_source.ts";
import { GuestError } from "./guest_process.ts";
import type { TestQmp } from "./test_qmp.ts";

/** An answer of the human monitor. */
export async function askMonitor(qmp: TestQmp, line: string): Promise<string> {
  return await qmp.execute("human-monitor-command", { "command-line": line }) as string;
}

/** Where a card's video memory lies. */
export async function placeOf(
  pid: number,
  qmp: TestQmp,
  card: DisplayCard,
): Promise<VideoMemoryPlace & { readonly region: string }> {
  const { memory } = card;
  if (memory === undefined) throw new GuestError("the card has no memory");
  const host = parseHostPlace(await askMonitor(qmp, `gpa2hva 0x${memory.gpa.toString(16)}`));
  if (host === undefined) throw new GuestError("the card's memory is nowhere");
  return { pid, started: "", address: host.address, sizeBytes: memory.sizeBytes, region: host.region };
}

/** The source, its canvas, and what it told. */
export class CardRig implements Disposable {
  readonly canvas = new MemoryCanvas();
  readonly modes: DisplayMode[] = [];
  readonly source: VramSource;
  /** The card's memory; the source's own. */
  readonly memory: VideoMemory;
  asked = 0;
  pictures = 0;
  unanswered = 0;
  lost = "";
  #mustAnswer = false;
  readonly #qmp: TestQmp;
  readonly #card: DisplayCard;

  private constructor(qmp: TestQmp, card: DisplayCard, memory: VideoMemory, options: VramOptions) {
    this.#qmp = qmp;
    this.memory = memory;
    this.#card = card;
    this.source = new VramSource(memory, this.canvas, {
      onLost: (_code, why) => this.lost = why,
      onPicture: () => this.pictures++,
      onNoPicture: () => this.unanswered++,
      onMode: (mode) => this.modes.push(mode),
      askMode: () => {
        this.asked++;
        this.#mustAnswer = true;
      },
    }, options);
  }

  /** On one card. */
  static async on(pid: number, qmp: TestQmp, card: DisplayCard, onlyAsk = false): Promise<CardRig> {
    const place = await placeOf(pid, qmp, card);
    const { qemu } = await qmp.execute("query-version") as { qemu: { major: number } };
    const widening = wideningOf(`${qemu.major}`);
    const options = { isVga: place.region !== "bochs-display-vram", onlyAsk, widening };
    return new CardRig(qmp, card, VideoMemory.open(place), options);
  }

  /** On the first card that there is. */
  static async first(pid: number, qmp: TestQmp): Promise<CardRig> {
    const [card] = parseDisplayCards(await askMonitor(qmp, "info pci"));
    if (card === undefined) throw new GuestError("the VM has no display card");
    return await CardRig.on(pid, qmp, card);
  }

  /** The picture for the glyph reader. */
  frame(): GlyphFrame {
    const { width, height, stride, words } = this.canvas;
    return { width, height, strideWords: stride / 4, words, isRgb: false };
  }

  /** Steps until the one picture that is asked for is there, or known not to be had. */
  async once(): Promise<"picture" | "none" | "lost"> {
    const [pictures, unanswered] = [this.pictures, this.unanswered];
    this.source.once();
    for (;;) {
      await this.step();
      if (this.lost !== "") return "lost";
      if (this.pictures > pictures) return "picture";
      if (this.unanswered > unanswered) return "none";
    }
  }

  /** Steps until the registers are found in QEMU's memory. */
  async findRegisters(): Promise<void> {
    this.source.demand(240);
    for (let i = 0; i < 1000 && !this.source.readsRegisters; i++) {
      this.source.modeMayHaveChanged();
      await this.step();
    }
    this.source.demand(0);
    assert(this.source.readsRegisters, "the registers are in QEMU's heap");
  }

  async step(): Promise<void> {
    this.source.step(monotonicClock.nowNs());
    if (!this.#mustAnswer) return;
    this.#mustAnswer = false;
    const registers = this.#card.registers;
    const text = registers === undefined ? "" : await askMonitor(this.#qmp, registersCommand(registers));
    this.source.onRegisters(parseRegisters(text), monotonicClock.nowNs());
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}
