/**
 * What a QEMU's command line says about its memory: machine type, size, backends. Read from /proc/PID/cmdline, so that a VM can be looked at
 * whose monitor belongs to somebody else.
 *
 * It reads the option forms that management tools write (`-machine`, `-m`, `-object`, `-numa`, JSON objects included), and leaves the rest.
 * @module
 */

const MIB = 2 ** 20;
const UNIT: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: MIB, g: 2 ** 30, t: 2 ** 40 };

/** A memory backend as the command line defines it. */
export interface BackendOption {
  /** Which kind of object: "memory-backend-memfd", "memory-backend-file", "memory-backend-ram". */
  readonly type: string;
  /** Its id. */
  readonly id: string;
  /** Its size; undefined when it is not said. */
  readonly sizeBytes: number | undefined;
  /** Whether it is shared; a memfd is unless told otherwise. */
  readonly share: boolean;
  /** `mem-path`, for a file. */
  readonly path: string | undefined;
}

/** What was found. */
export interface QemuMemoryOptions {
  /** The machine type; "pc" when none is named. */
  readonly machine: string;
  /** Size of RAM; 128 MiB when none is named. */
  readonly ramBytes: number;
  /** `max-ram-below-4g`. */
  readonly maxBelow: number | undefined;
  /** All backends, in order. */
  readonly backends: readonly BackendOption[];
  /** Ids of those that are the machine's RAM, in the order in which they make it up; empty when it has no backend. */
  readonly ramIds: readonly string[];
}

/** Reads the words of a command line. */
export function parseQemuCommandLine(words: readonly string[]): QemuMemoryOptions {
  let machine = "pc";
  let ramBytes = 128 * MIB;
  let maxBelow: number | undefined;
  let memoryBackend: string | undefined;
  const numa: string[] = [];
  const backends: BackendOption[] = [];
  for (let i = 1; i + 1 < words.length; i++) {
    const name = (words[i] as string).replace(/^--/, "-");
    const value = words[i + 1] as string;
    if (name === "-machine" || name === "-M") {
      const options = parseOptions(value, "type");
      machine = options["type"] ?? machine;
      memoryBackend = options["memory-backend"] ?? memoryBackend;
      maxBelow = size(options["max-ram-below-4g"], "b") ?? maxBelow;
    } else if (name === "-m") {
      ramBytes = size(parseOptions(value, "size")["size"], "m") ?? ramBytes;
    } else if (name === "-numa") {
      const memdev = parseOptions(value, "type")["memdev"];
      if (memdev !== undefined) numa.push(memdev);
    } else if (name === "-object") {
      const backend = backendOf(value);
      if (backend !== undefined) backends.push(backend);
    } else {
      continue;
    }
    i++;
  }
  const ramIds = memoryBackend !== undefined ? [memoryBackend] : numa;
  return { machine, ramBytes, maxBelow, backends, ramIds };
}

function backendOf(value: string): BackendOption | undefined {
  const options = value.startsWith("{") ? jsonOptions(value) : parseOptions(value, "qom-type");
  const type = options["qom-type"] ?? "";
  const id = options["id"];
  if (!type.startsWith("memory-backend-") || id === undefined) return undefined;
  const share = options["share"];
  return {
    type,
    id,
    sizeBytes: size(options["size"], "b"),
    share: share === undefined
      ? type === "memory-backend-memfd"
      : share === "on" || share === "true" || share === "yes",
    path: options["mem-path"],
  };
}

function jsonOptions(text: string): Record<string, string> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return {};
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, String(v)]));
  } catch (error) {
    // QEMU itself would not have started with it: it is no option of ours.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** `a,b=c,d=e,,f`: the first word without a key belongs to `first`; a doubled comma is a comma. */
function parseOptions(text: string, first: string): Record<string, string> {
  const out: Record<string, string> = {};
  const parts = text.replaceAll(",,", "\0").split(",");
  parts.forEach((part, i) => {
    const whole = part.replaceAll("\0", ",");
    const equals = whole.indexOf("=");
    if (equals > 0) out[whole.slice(0, equals)] = whole.slice(equals + 1);
    else if (i === 0) out[first] = whole;
  });
  return out;
}

/** A size as QEMU reads it: a number with a unit, `unit` when there is none. */
function size(text: string | undefined, unit: string): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?)([bkmgt])?$/i.exec(text ?? "");
  if (match !== null) {
    return Math.floor(Number(match[1]) * (UNIT[(match[2] ?? unit).toLowerCase()] as number));
  }
  return /^0x[0-9a-f]+$/i.test(text ?? "") ? Number(text) : undefined;
}
