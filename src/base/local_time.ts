/**
 * The time of day as a log line begins with it: local, ISO 8601, with milliseconds and the offset from UTC.
 * For people; what is measured goes by the monotonic clock.
 *
 * Audit lines are written on the loop's thread while an answer waits: what holds for a whole second is kept,
 * a call in the same second costs a sixth.
 * @module
 */

/** The last second that was asked for, its offset from UTC, and what stands around its milliseconds. */
let second = NaN;
let east = NaN;
let before = "";
let behind = "";

/**
 * A time as "2026-03-01T09:05:07.042+01:00".
 *
 * @param at when; now unless told
 */
export function localTime(at: Date = new Date()): string {
  const ms = at.getTime();
  const now = Math.floor(ms / 1000);
  const minutes = -at.getTimezoneOffset();
  if (now !== second || minutes !== east) keep(now, minutes);
  return `${before}${String(ms - now * 1000).padStart(3, "0")}${behind}`;
}

/** Makes what holds for a second, so many minutes east of Greenwich. */
function keep(now: number, minutes: number): void {
  const offset = Math.abs(minutes);
  before = new Date(now * 1000 + minutes * 60_000).toISOString().slice(0, -4);
  behind = `${minutes < 0 ? "-" : "+"}${two(Math.trunc(offset / 60))}:${two(offset % 60)}`;
  second = now;
  east = minutes;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

/**
 * Lines to standard error, for the threads that do not serve the bus.
 *
 * @param journal whether journald reads them: it has times of its own
 */
export function stderrSink(journal: boolean): (line: string) => void {
  return journal ? (line) => console.error(line) : (line) => console.error(`${localTime()} ${line}`);
}
