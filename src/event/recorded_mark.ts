/**
 * What a trace keeps beside the events: what somebody did to a VM and how it ended, and which processes ran
 * at that moment. A mark is a further field of an AUDIT's map that the recorder writes itself; a reader that
 * does not know of marks passes it over, and a replay plays no AUDIT.
 * @module
 */
/** Processes of one mark. */
export const MOST_MARKED_PROCESSES = 2000;
/** Characters of what was done. */
export const MOST_MARK_TEXT = 4000;

/** A process of the guest. */
export interface MarkedProcess {
  /** Its number. */
  readonly pid: number;
  /** Its parent's. */
  readonly ppid: number;
  /** Its name; the guest's words. */
  readonly name: string;
}

/** A mark. */
export type RecordedMark =
  /** Something was begun. */
  | { readonly type: "begin"; readonly action: number; readonly what: string }
  /** It has ended; `why` is empty when it went well, `said` is what it answered where it answers anything. */
  | { readonly type: "end"; readonly action: number; readonly why: string; readonly said?: string }
  /** The guest's processes, when they have changed since the mark before. */
  | { readonly type: "processes"; readonly processes: readonly MarkedProcess[] };

/** A mark out of a file's map; undefined when it is not valid. */
export function markOf(value: unknown): RecordedMark | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, action, what, why, said, processes } = value as Record<string, unknown>;
  if (type === "begin") return isNumber(action) && isText(what) ? { type, action, what } : undefined;
  if (type === "end") {
    if (!isNumber(action) || !isText(why)) return undefined;
    if (said === undefined) return { type, action, why };
    return isText(said) ? { type, action, why, said } : undefined;
  }
  if (type !== "processes" || !Array.isArray(processes) || processes.length > MOST_MARKED_PROCESSES) {
    return undefined;
  }
  const sound: MarkedProcess[] = [];
  for (const each of processes) {
    if (typeof each !== "object" || each === null) return undefined;
    const { pid, ppid, name } = each as Record<string, unknown>;
    if (!isNumber(pid) || !isNumber(ppid) || !isText(name)) return undefined;
    sound.push({ pid, ppid, name });
  }
  return { type, processes: sound };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= MOST_MARK_TEXT;
}
