/**
 * The time of day as a log line begins with it: local, ISO 8601, with milliseconds and the offset from UTC.
 * For people; what is measured goes by the monotonic clock.
 * @module
 */

/**
 * A time as "2026-03-01T09:05:07.042+01:00".
 *
 * @param at when; now unless told
 */
export function localTime(at: Date = new Date()): string {
  const minutes = -at.getTimezoneOffset();
  const local = new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, -1);
  const offset = Math.abs(minutes);
  return `${local}${minutes < 0 ? "-" : "+"}${two(Math.trunc(offset / 60))}:${two(offset % 60)}`;
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
