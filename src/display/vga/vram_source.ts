/**
 * The picture of a std VGA (or bochs-display) read directly from its video memory, without the monitor and
 * without pausing QEMU. In modes of 32 bits the canvas gets the bytes as they are; others are widened as in a
 * screendump.
 *
 * The mode comes from the card's registers: from where QEMU keeps them (vga_state.ts), with every picture.
 * Where they are not found there, by the monitor ({@linkcode VramPort.askMode}), whose answer may help to
 * find them; it is asked again once a second while somebody watches, before each single picture, and after
 * {@linkcode VramSource.modeMayHaveChanged}.
 *
 * The guest may write while its memory is read: a picture may show half of an update, as a monitor's would.
 * What is shown is what is in memory: a guest that has blanked its screen still shows its picture.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { CODE } from "../../base/codes.ts";
import type { Canvas } from "../canvas.ts";
import type { DisplayListener, DisplaySource } from "../display_source.ts";
import { type CardRule, type DispiRegisters, type LinearMode, modeOf } from "./dispi.ts";
import { type DisplayMode, fullModeOf, isMoved, isSameMode, pictureSize } from "./display_mode.ts";
import { LinearPicture } from "./linear_picture.ts";
import type { Widening } from "./pixel_rows.ts";
import { textColoursOf, type TextMode } from "./text_mode.ts";
import { RowSweep } from "./row_sweep.ts";
import { SparseReader } from "./sparse_reader.ts";
import { TextPicture } from "./text_picture.ts";
import { type VgaRegisters, VgaState } from "./vga_state.ts";
import type { VideoMemory } from "./video_memory.ts";

/** How often the mode is asked for while somebody watches and nothing else tells of it. */
const ASK_GAP_NS = SECOND;
/** How often a mode that cannot be shown is looked at again, where it is known without asking. */
const OTHER_LOOK_NS = SECOND / 10;
/** Who looks no more often than this is shown small changes some looks later. */
const SPARSE_GAP_NS = SECOND;
/** How often QEMU's heap is looked through before the monitor is asked for ever. */
const MAX_SEARCHES = 8;
/** And so often before the monitor is asked at all: a guest that sets a mode meanwhile hides them. */
const MAX_FIRST_SEARCHES = 3;

/** What the source needs of its owner. */
export interface VramPort extends DisplayListener {
  /**
   * Read the card's registers by the monitor (`registersCommand`), and hand the answer to
   * {@linkcode VramSource.onRegisters}. Not called again before it was answered.
   */
  askMode(): void;
  /** The card shows something else from now on. There is a picture here of `linear` and of `text` alone. */
  onMode(mode: DisplayMode): void;
  /** The single picture that was asked for cannot be had here: the mode is neither linear nor text. */
  onNoPicture(): void;
}

/** What is known of a card. */
export interface VramOptions {
  /** False for bochs-display, whose memory region has the name "bochs-display-vram". */
  readonly isVga: boolean;
  /** How 15-bit pixels are widened: "zeros" unless told. */
  readonly widening?: Widening;
  /** True: its registers are looked for in QEMU's memory before the monitor is asked. */
  readonly searchFirst?: boolean;
  /** True: its registers are never looked for in QEMU's memory. */
  readonly onlyAsk?: boolean;
}

/** How the mode is known. */
type ModeState =
  /** Not at all: it is asked for. */
  | { readonly kind: "unknown" }
  /**
   * By the monitor, or, where `isFirst`, not at all; QEMU's heap is being looked through for the registers.
   */
  | { readonly kind: "searching"; readonly state: VgaState; readonly isFirst: boolean }
  /** By the monitor, asked anew at {@linkcode VramSource.#askNs}. */
  | { readonly kind: "asked" }
  /** From QEMU's memory, with every picture. */
  | { readonly kind: "read"; readonly state: VgaState };

/** The question for the mode; `asked-and-due` when what is asked is out of date already. */
type ModeQuestion = "none" | "due" | "asked" | "asked-and-due";

/** The source. */
export class VramSource implements DisplaySource {
  readonly kind = "vram" as const;
  readonly fd: number = -1;
  readonly events: number = 0;
  readonly #memory: VideoMemory;
  readonly #canvas: Canvas;
  readonly #port: VramPort;
  readonly #card: CardRule;
  readonly #linear: LinearPicture;
  readonly #sweep = new RowSweep();
  readonly #text = new TextPicture();
  readonly #sparse: SparseReader;
  /** Whether the picture under way is read sparsely. */
  #isSparse = false;
  /** Whether some row of what is on the canvas may be older than the last looks. */
  #mustReadAll = true;
  #state: ModeState = { kind: "unknown" };
  #mode: DisplayMode | undefined;
  #searchesLeft: number;
  #firstSearchesLeft = 0;
  #gapNs = NEVER;
  #isWanted = false;
  #question: ModeQuestion = "due";
  #isLost = false;
  #askNs = 0;
  #lastNs = -Infinity;
  #nextNs = NEVER;

  /**
   * A source that does nothing yet.
   *
   * @param memory the card's memory; owned from now on
   * @param canvas what it paints on
   * @param port who runs it
   * @param options of the card
   */
  constructor(memory: VideoMemory, canvas: Canvas, port: VramPort, options: VramOptions) {
    this.#memory = memory;
    this.#canvas = canvas;
    this.#sparse = new SparseReader(memory, canvas);
    this.#port = port;
    this.#linear = new LinearPicture(memory, canvas, options.widening ?? "zeros");
    this.#card = { isVga: options.isVga, memoryBytes: memory.sizeBytes };
    const canSearch = options.isVga && options.onlyAsk !== true && memory.heap.end > 0;
    this.#searchesLeft = canSearch ? MAX_SEARCHES : 0;
    if (canSearch && options.searchFirst === true) {
      this.#firstSearchesLeft = MAX_FIRST_SEARCHES;
      this.#question = "none";
      this.#searchFirst();
    }
  }

  get nextNs(): number {
    return this.#nextNs;
  }

  /** What the card shows, as far as it is known. */
  get mode(): DisplayMode | undefined {
    return this.#mode;
  }

  /** Whether the mode is known with every picture, without the monitor. */
  get readsRegisters(): boolean {
    return this.#state.kind === "read";
  }

  /** The VGA's registers as they are now; undefined where they are not found, or QEMU has gone. */
  registers(): VgaRegisters | undefined {
    return this.#state.kind === "read" ? this.#state.state.read() : undefined;
  }

  demand(perSecond: number): void {
    assert(perSecond >= 0 && perSecond <= 240, "a rate is 0 to 240 pictures a second");
    if (this.#gapNs === NEVER) this.#mustReadAll = true;
    this.#gapNs = perSecond === 0 ? NEVER : SECOND / perSecond;
    this.#sweep.end();
    this.#schedule();
  }

  once(): void {
    this.#isWanted = true;
    // What was asked for earlier tells an earlier mode.
    if (this.#isKnownByAsking) this.#askSoon();
    this.#schedule();
  }

  /** The guest was reset or went on, or its state was loaded: the mode is not what it was. */
  modeMayHaveChanged(): void {
    if (this.#isKnownByAsking) this.#askSoon();
    this.#schedule();
  }

  /**
   * The monitor's answer.
   *
   * @param registers the card's; undefined when it shows none: it is not there, or not placed yet
   */
  onRegisters(registers: DispiRegisters | undefined, nowNs: number): void {
    assert(this.#isAsking, "an answer was asked for");
    this.#question = this.#question === "asked" ? "none" : "due";
    this.#askNs = nowNs + ASK_GAP_NS;
    if (this.#isLost) return;
    if (registers === undefined) {
      this.#state = { kind: "asked" };
      this.#take({ kind: "off" });
    } else {
      this.#learn(registers);
      this.#take(modeOf(registers, this.#card));
    }
    this.#schedule();
  }

  step(nowNs: number): void {
    if (nowNs < this.#nextNs || this.#isLost) return;
    if (this.#state.kind === "searching") this.#search(this.#state.state);
    if (this.#question === "due") this.#ask();
    // Until the mode is known, no picture can be called current.
    if (!this.#isAsking && !this.#isSearchingFirst && this.#isDue(nowNs)) this.#look(nowNs);
    const isOld = this.#state.kind === "asked" && nowNs >= this.#askNs && this.#gapNs !== NEVER;
    if (isOld && !this.#isAsking) this.#askSoon();
    this.#schedule();
  }

  /** Closes the memory. */
  [Symbol.dispose](): void {
    this.#isLost = true;
    this.#nextNs = NEVER;
    this.#memory[Symbol.dispose]();
  }

  get #isSearchingFirst(): boolean {
    return this.#state.kind === "searching" && this.#state.isFirst;
  }

  get #isKnownByAsking(): boolean {
    return this.#state.kind !== "read" && !this.#isSearchingFirst;
  }

  #searchFirst(): void {
    this.#firstSearchesLeft--;
    this.#state = { kind: "searching", state: new VgaState(this.#memory, undefined), isFirst: true };
  }

  get #isAsking(): boolean {
    return this.#question === "asked" || this.#question === "asked-and-due";
  }

  /** Asks for the mode with the next step, or once more when the answer that is awaited has come. */
  #askSoon(): void {
    this.#question = this.#isAsking ? "asked-and-due" : "due";
  }

  #ask(): void {
    this.#question = "asked";
    this.#port.askMode();
  }

  #isDue(nowNs: number): boolean {
    return this.#isWanted || nowNs >= this.#pictureNs;
  }

  /** When the next picture is to be read, or the next piece of one. */
  get #pictureNs(): number {
    return this.#sweep.isUnderWay ? this.#sweep.nextNs : this.#lastNs + this.#gapNs;
  }

  /** When it wants to be stepped: at once while something can be done now. */
  #schedule(): void {
    const isIdle = this.#isLost || (this.#gapNs === NEVER && !this.#isWanted);
    const kind = this.#mode?.kind;
    if (isIdle) this.#nextNs = NEVER;
    else if (this.#isAsking) this.#nextNs = NEVER;
    else if (this.#question === "due" || this.#isWanted || this.#state.kind === "searching") this.#nextNs = 0;
    else if (kind === "linear" || kind === "text") this.#nextNs = this.#pictureNs;
    else if (this.#state.kind === "read") this.#nextNs = this.#lastNs + OTHER_LOOK_NS;
    else this.#nextNs = this.#askNs;
    if (!isIdle && this.#state.kind === "asked") this.#nextNs = Math.min(this.#nextNs, this.#askNs);
  }

  /** Begins to look for the registers in QEMU's memory, now that they are known. */
  #learn(registers: DispiRegisters): void {
    if (this.#state.kind === "read") return;
    if (this.#state.kind === "searching" && this.#state.state.looksFor(registers)) return;
    // A guest that sets a mode meanwhile hides them: with the next answer they are looked for again.
    this.#state = this.#searchesLeft-- > 0
      ? { kind: "searching", state: new VgaState(this.#memory, registers), isFirst: false }
      : { kind: "asked" };
  }

  #search(state: VgaState): void {
    const found = state.search();
    if (found === "found") this.#state = { kind: "read", state };
    else if (found === "absent" && this.#isSearchingFirst) {
      if (this.#firstSearchesLeft > 0) return this.#searchFirst();
      this.#state = { kind: "unknown" };
      this.#askSoon();
    } else if (found === "absent") this.#state = { kind: "asked" };
  }

  #look(nowNs: number): void {
    if (this.#isWanted || !this.#sweep.isUnderWay) {
      this.#lastNs = nowNs;
      this.#sweep.end();
      if (!this.#readMode()) return;
      const mode = this.#mode;
      // A single picture is read at once: it is as of now.
      const isWatched = !this.#isWanted && mode?.kind === "linear" && mode.bits === 32;
      this.#isSparse = isWatched && this.#gapNs >= SPARSE_GAP_NS && !this.#mustReadAll;
      if (isWatched && !this.#isSparse) this.#sweep.begin(mode.height, mode.stride, nowNs, this.#gapNs);
    }
    if (this.#mode?.kind !== "linear" && this.#mode?.kind !== "text") {
      if (this.#isWanted) this.#port.onNoPicture();
      this.#isWanted = false;
      return;
    }
    if (!this.#paint(this.#mode) || this.#sweep.isUnderWay) return;
    if (this.#state.kind === "read" && !this.#isStill(this.#mode)) {
      // Half of one mode and half of another: painted anew, and never shown.
      this.#readMode();
      if (this.#mode.kind !== "linear" && this.#mode.kind !== "text") return;
      if (!this.#paint(this.#mode)) return;
    }
    this.#mustReadAll = false;
    this.#canvas.commit(nowNs);
    if (!this.#isWanted) return;
    this.#isWanted = false;
    this.#port.onPicture();
  }

  /** Takes the mode from QEMU's memory where that is known; false when QEMU has gone. */
  #readMode(): boolean {
    if (this.#state.kind !== "read") return true;
    const registers = this.#state.state.read();
    if (registers === undefined) {
      this.#lose();
      return false;
    }
    this.#take(fullModeOf(registers, this.#card));
    if (this.#mode?.kind === "linear" && this.#mode.bits === 8) this.#linear.takePalette(registers);
    return true;
  }

  #isStill(mode: DisplayMode): boolean {
    const registers = this.#state.kind === "read" ? this.#state.state.read() : undefined;
    return registers !== undefined && isSameMode(mode, fullModeOf(registers, this.#card));
  }

  /** The card has this mode from now on. */
  #take(mode: DisplayMode): void {
    // Without its palette a picture of indices cannot be shown.
    const shown: DisplayMode = mode.kind === "linear" && mode.bits === 8 && this.#state.kind !== "read"
      ? { kind: "invalid" }
      : mode;
    if (isSameMode(this.#mode, shown)) return;
    const [before, after] = [pictureSize(this.#mode), pictureSize(shown)];
    const isElsewhere = isMoved(this.#mode, shown);
    this.#mode = shown;
    this.#sweep.end();
    // What has changed by that is seen as any change is.
    if (isElsewhere) return this.#port.onMode(shown);
    this.#text.forget();
    this.#isSparse = false;
    this.#mustReadAll = true;
    this.#linear.begin(shown.kind === "linear" ? shown : undefined);
    if (after !== undefined) {
      const isResized = before?.width !== after.width || before.height !== after.height;
      if (isResized) this.#canvas.resize(after.width, after.height);
      // All of it is shown once, also when it is black.
      this.#canvas.damage(0, 0, after.width, after.height);
    }
    this.#port.onMode(shown);
  }

  /** Reads the picture; false when QEMU has gone. */
  #paint(mode: LinearMode | TextMode): boolean {
    if (mode.kind === "text") return this.#paintText();
    const changed = this.#isSparse
      ? this.#sparse.read(mode)
      : this.#linear.paint(mode, this.#sweep.next(mode.height));
    if (changed < 0) this.#lose();
    return changed >= 0;
  }

  /** Of the mode's cells: where they begin and what they look like may have changed with each picture. */
  #paintText(): boolean {
    const registers = this.registers();
    const mode = registers === undefined ? undefined : fullModeOf(registers, this.#card);
    // Left meanwhile: the next look sees to it.
    if (registers !== undefined && (mode?.kind !== "text" || !isSameMode(this.#mode, mode))) return true;
    const isThere = registers !== undefined && mode?.kind === "text" &&
      this.#text.paint(this.#memory, mode, textColoursOf(registers), this.#canvas);
    if (!isThere) this.#lose();
    return isThere;
  }

  #lose(): void {
    this.#isLost = true;
    this.#nextNs = NEVER;
    const why = this.#memory.isThere
      ? "its video memory is no longer there: the card was removed"
      : "QEMU has ended";
    this.#port.onLost(CODE["seam-down"], why);
  }
}
