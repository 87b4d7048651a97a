/**
 * One CMD_INPUT as columns of records, checked as a whole before the first is sent: a frame with one bad
 * record has no effect. The protocol's ranges are checked here; the driver knows which keys and buttons
 * exist.
 *
 * The protocol does not limit relative motion or scrolling; {@linkcode MAX_RELATIVE} and {@linkcode
 * MAX_NOTCHES} do, so that one command cannot occupy a guest for minutes.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { INPUT_RECORD_BYTES, MAX_INPUT_RECORDS } from "../../base/limits.ts";
import { INPUT } from "../../event/body_layout.ts";
import { INPUT_KIND } from "../../event/body_number.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";

/** Greatest absolute coordinate (src/event/PROTOCOL.md). */
export const MAX_ABSOLUTE = 0x7fff;
/** Greatest relative motion of one record, either way. */
const MAX_RELATIVE = 0x7fff;
/** Notches that one record scrolls at most, either way. */
const MAX_NOTCHES = 100;
/** Notches that one frame scrolls at most. */
export const MAX_FRAME_NOTCHES = 1024;
/** Greatest evdev key code. */
export const KEY_MAX = 0x2ff;

const FIRST_RECORDS = 4;

/** Which keys and buttons a driver can press. */
export interface InputRepertoire {
  /** Whether it has the key (evdev code, 1 to KEY_MAX). */
  hasKey(code: number): boolean;
  /** Whether it has the button (evdev code). */
  hasButton(code: number): boolean;
}

/** A checked frame. Reused after {@linkcode clear}. */
export class InputFrame {
  /** The command's ticket; 0 for a frame of the adapter's own. */
  ticket = 0;
  /** The lease under which it was admitted. */
  token = 0;
  /** Whether it consists of the adapter's own key-ups, of which many may be sent at once. */
  isRelease = false;
  /** How many records. */
  count = 0;
  /** Kind by record, one of INPUT_KIND. */
  kinds: Uint8Array = new Uint8Array(FIRST_RECORDS);
  /** Axis, button or key by record. */
  codes: Uint16Array = new Uint16Array(FIRST_RECORDS);
  /** Value by record. */
  values: Int32Array = new Int32Array(FIRST_RECORDS);
  /** Notches by record. */
  scrolls: Float64Array = new Float64Array(FIRST_RECORDS);
  /** For the driver: the next record to be sent. */
  nextRecord = 0;
  /** For the driver: steps at the actuator. */
  stepsUnderWay = 0;
  /** For the driver: number of steps carried out. */
  stepsDone = 0;
  /** For the driver: the first error; ok if there was none. */
  code: Code = CODE.ok;
  /** For the driver: the actuator's message. Outside text. */
  words = "";

  /** Empties it. */
  clear(): this {
    this.ticket = this.token = this.count = 0;
    this.isRelease = false;
    this.nextRecord = this.stepsUnderWay = this.stepsDone = 0;
    this.code = CODE.ok;
    this.words = "";
    return this;
  }

  /** Adds a record without checking it. */
  push(kind: number, code: number, value: number, scroll: number): void {
    const i = this.count++;
    if (i >= this.kinds.length) this.#grow(2 * this.kinds.length);
    this.kinds[i] = kind;
    this.codes[i] = code;
    this.values[i] = value;
    this.scrolls[i] = scroll;
  }

  /**
   * Reads a command's records.
   *
   * @returns ok, or the code of the refusal
   */
  read(event: TransferEvent, repertoire: InputRepertoire): Code {
    this.clear();
    const { bodyBytes } = event;
    if (bodyBytes > 0 && event.bodyFormat !== BODY.RAW) return CODE["bad-argument"];
    if (bodyBytes % INPUT_RECORD_BYTES !== 0) return CODE["bad-argument"];
    const further = bodyBytes / INPUT_RECORD_BYTES;
    if (1 + further > MAX_INPUT_RECORDS) return CODE["too-large"];
    this.ticket = event.ticket;
    this.token = event.token;
    if (!this.#readRecord(event.view, 0, repertoire)) return CODE["bad-argument"];
    if (further > 0) {
      const { body } = event;
      const view = new DataView(body.buffer, body.byteOffset + event.bodyOffset, bodyBytes);
      for (let i = 0; i < further; i++) {
        if (!this.#readRecord(view, i * INPUT_RECORD_BYTES, repertoire)) return CODE["bad-argument"];
      }
    }
    assert(this.count === 1 + further, "a frame has the records that its command has");
    return this.#notches() > MAX_FRAME_NOTCHES ? CODE["too-large"] : CODE.ok;
  }

  #readRecord(view: DataView, offset: number, repertoire: InputRepertoire): boolean {
    const kind = view.getUint32(offset + INPUT.at.kind, true);
    const code = view.getInt32(offset + INPUT.at.code, true);
    const value = view.getInt32(offset + INPUT.at.value, true);
    const scroll = view.getFloat64(offset + INPUT.at.scroll, true);
    if (!isValid(kind, code, value, scroll, repertoire)) return false;
    this.push(kind, code, value, kind === INPUT_KIND.SCROLL ? scroll : 0);
    return true;
  }

  #notches(): number {
    let sum = 0;
    for (let i = 0; i < this.count; i++) sum += Math.abs(this.scrolls[i] ?? 0);
    return sum;
  }

  #grow(records: number): void {
    const kinds = new Uint8Array(records);
    const codes = new Uint16Array(records);
    const values = new Int32Array(records);
    const scrolls = new Float64Array(records);
    kinds.set(this.kinds);
    codes.set(this.codes);
    values.set(this.values);
    scrolls.set(this.scrolls);
    this.kinds = kinds;
    this.codes = codes;
    this.values = values;
    this.scrolls = scrolls;
  }
}

function isValid(
  kind: number,
  code: number,
  value: number,
  scroll: number,
  repertoire: InputRepertoire,
): boolean {
  switch (kind) {
    case INPUT_KIND.ABS:
      return isAxis(code) && value >= 0 && value <= MAX_ABSOLUTE;
    case INPUT_KIND.REL:
      return isAxis(code) && value >= -MAX_RELATIVE && value <= MAX_RELATIVE;
    case INPUT_KIND.BTN:
      return (value === 0 || value === 1) && code > 0 && code <= KEY_MAX && repertoire.hasButton(code);
    case INPUT_KIND.KEY:
      return (value === 0 || value === 1) && code > 0 && code <= KEY_MAX && repertoire.hasKey(code);
    case INPUT_KIND.SCROLL:
      // NaN is neither.
      return isAxis(code) && scroll >= -MAX_NOTCHES && scroll <= MAX_NOTCHES;
    default:
      return false;
  }
}

function isAxis(code: number): boolean {
  return code === 0 || code === 1;
}
