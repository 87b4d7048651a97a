/**
 * What to start a QEMU with so that its RAM can be shared: options that this very command line takes beside
 * what it has. QEMU refuses `memory-backend` beside a NUMA node's `memdev` and beside `-mem-path`, and a
 * second object of one id.
 * @module
 */
import type { MemoryOptions } from "../qemu/memory_options.ts";

/** What the advice hangs on. */
export type RemedyOptions = Pick<MemoryOptions, "backends" | "ramIds" | "isNuma">;

/**
 * The advice, as a sentence's part: "start QEMU with …".
 *
 * @param options what the command line says
 */
export function remedyFor({ backends, ramIds, isNuma }: RemedyOptions): string {
  const changes = ramIds.flatMap((id) => {
    const backend = backends.find((each) => each.id === id);
    if (backend?.share === true && backend.type !== "memory-backend-ram") return [];
    if (backend === undefined || !/^[\w.-]{1,64}$/.test(id)) return [];
    if (backend.type === "memory-backend-file") {
      return [`share=on in the -object memory-backend-file,id=${id}`];
    }
    return [
      `-object memory-backend-memfd,id=${id},size=${
        backend.sizeBytes ?? "SIZE"
      },share=on in place of its ${backend.type}`,
    ];
  });
  if (changes.length > 0) return `start QEMU with ${changes.slice(0, 4).join(", and ")}`;
  const each = "-object memory-backend-memfd,id=ID,size=SIZE,share=on";
  if (isNuma) return `start QEMU with ${each} for each NUMA node's memdev`;
  return "start QEMU with -object memory-backend-memfd,id=ram0,size=SIZE,share=on -machine …,memory-backend=ram0 (and without -mem-path)";
}
