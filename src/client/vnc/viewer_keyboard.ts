/**
 * One viewer's keyboard and mouse as input records. Keys whose scan codes a viewer tells go as they are. Of
 * others only the meaning is known: they are typed on a US keyboard, with shift put in, or taken out for as
 * long as the key goes down, where the character needs it.
 *
 * It keeps what the viewer holds down: only what went down comes up, and under the key that it went down as.
 * @module
 */
import { keyOfScanCode } from "../../rfb/scan_codes.ts";
import { absRecord, buttonRecord, type InputRecord, keyRecord, scrollRecord } from "../input_record.ts";
import { keyCode } from "../key_codes.ts";
import { BUTTONS, MAX_ABS } from "../mouse_frames.ts";
import { strokeOfKeysym } from "./keysyms.ts";

const LEFT_SHIFT = keyCode("leftshift") ?? 42;
const RIGHT_SHIFT = keyCode("rightshift") ?? 54;
/** Keys that one viewer holds at most: nobody has more fingers, and what is more is not one's own. */
const MOST_HELD = 64;
/** Buttons by their bits; the wheel is between them. */
const BUTTON_BITS: readonly (readonly [bit: number, code: number])[] = [
  [0x01, BUTTONS.left],
  [0x02, BUTTONS.middle],
  [0x04, BUTTONS.right],
  [0x80, BUTTONS.side],
];
/** The wheel's bits: each time one goes down is a notch. */
const WHEEL_BITS: readonly (readonly [bit: number, axis: number, notches: number])[] = [
  [0x08, 0, 1],
  [0x10, 0, -1],
  [0x20, 1, -1],
  [0x40, 1, 1],
];

/** What one viewer holds. */
export class ViewerKeyboard {
  /** Keys that are down, by what the viewer calls them. */
  readonly #held = new Map<string, number>();
  #buttons = 0;

  /** Whether anything is down. */
  get isHolding(): boolean {
    return this.#held.size > 0 || this.#buttons !== 0;
  }

  /** Forgets what is down: it was released otherwise. */
  forget(): void {
    this.#held.clear();
    this.#buttons = 0;
  }

  /** A key as records; none for what is not on the keyboard, or was not down. */
  key(down: boolean, keysym: number, scanCode: number | undefined): InputRecord[] {
    const code = scanCode === undefined ? undefined : keyOfScanCode(scanCode);
    const name = code === undefined ? `sym ${keysym}` : `key ${code}`;
    if (!down) {
      const held = this.#held.get(name);
      this.#held.delete(name);
      return held === undefined || this.#isDown(held) ? [] : [keyRecord(held, false)];
    }
    if (this.#held.size >= MOST_HELD && !this.#held.has(name)) return [];
    if (code !== undefined) {
      this.#held.set(name, code);
      return [keyRecord(code, true)];
    }
    const stroke = strokeOfKeysym(keysym);
    if (stroke === undefined) return [];
    this.#held.set(name, stroke.code);
    return this.#shifted(keyRecord(stroke.code, true), keysym, stroke.shift);
  }

  /**
   * The pointer as records.
   *
   * @param x a pixel of a picture that is `width` wide
   */
  pointer(
    buttons: number,
    { x, y, width, height }: {
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
    },
  ): InputRecord[] {
    const before = this.#buttons;
    const records = [absRecord(0, scaled(x, width)), absRecord(1, scaled(y, height))];
    for (const [bit, code] of BUTTON_BITS) {
      if (((before ^ buttons) & bit) !== 0) records.push(buttonRecord(code, (buttons & bit) !== 0));
    }
    for (const [bit, axis, notches] of WHEEL_BITS) {
      if ((buttons & ~before & bit) !== 0) records.push(scrollRecord(axis, notches));
    }
    this.#buttons = buttons;
    return records;
  }

  /** Whether a key is down under any name. */
  #isDown(code: number): boolean {
    for (const held of this.#held.values()) if (held === code) return true;
    return false;
  }

  /** The record with shift as the character needs it. */
  #shifted(record: InputRecord, keysym: number, needsShift: boolean): InputRecord[] {
    const shifts = [LEFT_SHIFT, RIGHT_SHIFT].filter((code) => this.#isDown(code));
    if (needsShift && shifts.length === 0) {
      return [keyRecord(LEFT_SHIFT, true), record, keyRecord(LEFT_SHIFT, false)];
    }
    // A letter that came small though shift is down: the viewer's Caps Lock is on, and so may the guest's be.
    const isCharacter = strokeOfKeysym(keysym) !== undefined && keysym > 0x20 && keysym < 0x7f;
    const isLetter = keysym >= 0x61 && keysym <= 0x7a;
    if (needsShift || shifts.length === 0 || !isCharacter || isLetter) return [record];
    return [
      ...shifts.map((code) => keyRecord(code, false)),
      record,
      ...shifts.map((code) => keyRecord(code, true)),
    ];
  }
}

function scaled(pixel: number, pixels: number): number {
  return pixels <= 1 ? 0 : Math.round(pixel * MAX_ABS / (pixels - 1));
}
