/**
 * Input records (src/event/PROTOCOL.md: CMD_INPUT) and the encoding of a frame of them: the first record in
 * the inline zone, the rest as a raw body. A frame is atomic: no input of another control comes between its
 * records.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { INPUT_RECORD_BYTES, MAX_INPUT_RECORDS } from "../base/limits.ts";
import { INPUT } from "../event/body_layout.ts";
import { INPUT_KIND } from "../event/body_number.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";

/** One record. */
export interface InputRecord {
  /** One of `INPUT_KIND`. */
  readonly kind: number;
  /** Number of the axis, button or key. */
  readonly code: number;
  /** Coordinate, delta, or 1 for pressed and 0 for released. */
  readonly value: number;
  /** Notches of a SCROLL. */
  readonly scroll: number;
}

/** Presses or releases a key. */
export function keyRecord(code: number, down: boolean): InputRecord {
  return { kind: INPUT_KIND.KEY, code, value: down ? 1 : 0, scroll: 0 };
}

/** Presses or releases a button. */
export function buttonRecord(code: number, down: boolean): InputRecord {
  return { kind: INPUT_KIND.BTN, code, value: down ? 1 : 0, scroll: 0 };
}

/** An absolute axis: 0 is x, 1 is y, 0 to 0x7FFF. */
export function absRecord(axis: number, value: number): InputRecord {
  return { kind: INPUT_KIND.ABS, code: axis, value, scroll: 0 };
}

/** A relative axis. */
export function relRecord(axis: number, delta: number): InputRecord {
  return { kind: INPUT_KIND.REL, code: axis, value: delta, scroll: 0 };
}

/** The wheel: axis 0 is vertical, 1 horizontal; notches. */
export function scrollRecord(axis: number, notches: number): InputRecord {
  return { kind: INPUT_KIND.SCROLL, code: axis, value: 0, scroll: notches };
}

/**
 * Writes a frame into a CMD_INPUT.
 *
 * @throws {Fault} `too-large` for more than 256 records, `bad-argument` for none
 */
export function writeInputFrame(event: TransferEvent, records: readonly InputRecord[]): void {
  const [first, ...rest] = records;
  if (first === undefined) throw new Fault("bad-argument", "Cannot send input: the frame is empty");
  if (records.length > MAX_INPUT_RECORDS) {
    throw new Fault(
      "too-large",
      `Cannot send input: the frame has ${records.length} records, and ${MAX_INPUT_RECORDS} are possible; split it`,
    );
  }
  writeRecord(event.view, 0, first);
  if (rest.length === 0) return;
  const body = new Uint8Array(rest.length * INPUT_RECORD_BYTES);
  const view = new DataView(body.buffer);
  rest.forEach((record, i) => writeRecord(view, i * INPUT_RECORD_BYTES, record));
  event.setBody(BODY.RAW, body);
}

function writeRecord(view: DataView, at: number, record: InputRecord): void {
  view.setUint32(at + INPUT.at.kind, record.kind, true);
  view.setInt32(at + INPUT.at.code, record.code, true);
  view.setInt32(at + INPUT.at.value, record.value, true);
  view.setFloat64(at + INPUT.at.scroll, record.scroll, true);
}
